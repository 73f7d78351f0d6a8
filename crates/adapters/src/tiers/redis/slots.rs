//! Which node of a cluster has a key? Slots, as Redis Cluster computes them, and the map from slot to node.

use redis::Value;

use crate::tiers::address::ServerAddress;

/// Slots of every cluster.
pub(super) const SLOTS: usize = 16_384;

/// A key's slot: what stands in its first braces decides, if anything does.
pub(super) fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS as u16
}

/// CRC-16/XMODEM, as the cluster specification names it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let mixed = crc ^ u16::from(*byte) << 8;
        (0..8).fold(mixed, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

/// A run of slots, and who has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) primary: ServerAddress,
    pub(super) replicas: Vec<ServerAddress>,
}

/// What CLUSTER SLOTS answered. `asked`: the host that was asked, where an answer leaves it out.
pub(super) fn runs(answer: &Value, asked: &str) -> Option<Vec<Run>> {
    let Value::Array(rows) = answer else { return None };
    rows.iter().map(|row| run(row, asked)).collect()
}

fn run(row: &Value, asked: &str) -> Option<Run> {
    let Value::Array(row) = row else { return None };
    let slot = |value: &Value| match value {
        Value::Int(n) => u16::try_from(*n).ok().filter(|n| usize::from(*n) < SLOTS),
        _ => None,
    };
    let [first, last, nodes @ ..] = &row[..] else { return None };
    let mut nodes = nodes.iter().filter_map(|node| address(node, asked));
    Some(Run { first: slot(first)?, last: slot(last)?, primary: nodes.next()?, replicas: nodes.collect() })
}

fn address(node: &Value, asked: &str) -> Option<ServerAddress> {
    let Value::Array(node) = node else { return None };
    let [host, Value::Int(port), ..] = &node[..] else { return None };
    let host = match host {
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        Value::Nil => "",
        _ => return None,
    };
    // "?": the node does not know its own name.
    let host = if host.is_empty() || host == "?" { asked } else { host };
    Some(ServerAddress { host: host.to_owned(), port: u16::try_from(*port).ok()? })
}

/// An address as MOVED and ASK write it; the host is left out where it is the one that was asked.
pub(super) fn redirected(text: &str, asked: &str) -> Option<ServerAddress> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { asked } else { host };
    Some(ServerAddress { host: host.to_owned(), port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        // By `CLUSTER KEYSLOT` of Redis 7.0.15.
        for (key, expected) in
            [("foo", 12182), ("bar", 5061), ("", 0), ("{user1000}.following", 3443), ("foo{}{bar}", 8363)]
        {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
    }

    #[test]
    fn a_map_is_read_with_hosts_left_out() {
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), Value::BulkString(b"id".to_vec())]);
        let named = |host: &str| Value::BulkString(host.as_bytes().to_vec());
        let row =
            |first, last, nodes: Vec<Value>| Value::Array([vec![Value::Int(first), Value::Int(last)], nodes].concat());
        let answer = Value::Array(vec![
            row(0, 5, vec![node(named("10.0.0.1"), 1), node(Value::Nil, 2)]),
            row(6, 16_383, vec![node(named(""), 3)]),
        ]);
        let runs = runs(&answer, "seed").expect("a map");
        let at = |host: &str, port| ServerAddress { host: host.into(), port };
        assert_eq!((&runs[0].primary, &runs[0].replicas[..]), (&at("10.0.0.1", 1), &[at("seed", 2)][..]));
        assert_eq!((runs[1].first, runs[1].last, &runs[1].primary), (6, 16_383, &at("seed", 3)));
    }

    #[test]
    fn an_answer_of_another_shape_is_no_map() {
        for odd in [Value::Nil, Value::Array(vec![Value::Nil]), Value::Array(vec![Value::Array(vec![Value::Int(1)])])] {
            assert_eq!(runs(&odd, "seed"), None);
        }
        let outside = Value::Array(vec![Value::Int(0), Value::Int(16_384)]);
        assert_eq!(runs(&Value::Array(vec![outside]), "seed"), None);
        assert_eq!(redirected("[::1]:7", "x").map(|at| at.host), Some("::1".into()));
        assert_eq!(redirected(":7", "x").map(|at| at.host), Some("x".into()));
        assert_eq!(redirected("7", "x"), None);
    }
}

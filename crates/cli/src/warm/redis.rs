//! Which keys does another Redis have? Its SCAN, step by step.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use bellwether_resp::{Protocol, ReplyLimits, ReplyParser, Value, Writer};

use crate::explain::encoded;
use crate::failure::Failure;

/// From connecting to each answer.
const LIMIT: Duration = Duration::from_secs(10);
/// Keys looked at in one step.
const COUNT: &str = "1000";

/// A connection that walks a keyspace.
pub(super) struct Redis {
    stream: TcpStream,
    parser: ReplyParser,
    input: Vec<u8>,
    prefix: Vec<u8>,
    pattern: Vec<u8>,
    /// `None`: the walk is over.
    cursor: Option<Vec<u8>>,
    keys: Vec<String>,
}

impl Redis {
    /// `redis://[user:password@]host[:port][/db]`
    pub(super) fn open(url: &str, prefix: &str) -> Result<Redis, Failure> {
        let wrong = || Failure::Input(vec!["--from: expected redis://[user:password@]host[:port][/db]".to_owned()]);
        let rest = url.strip_prefix("redis://").ok_or_else(wrong)?;
        let (login, rest) = rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
        let (host, db) = rest.split_once('/').unwrap_or((rest, ""));
        let host = if host.rsplit_once(':').is_some() { host.to_owned() } else { format!("{host}:6379") };
        if host.starts_with(':') || !(db.is_empty() || db.parse::<u32>().is_ok()) {
            return Err(wrong());
        }
        let failed = |error: std::io::Error| Failure::Run(format!("{host}: {error}"));
        let address = host.to_socket_addrs().map_err(failed)?.next();
        let address = address.ok_or_else(|| Failure::Run(format!("{host}: the name has no address")))?;
        let stream = TcpStream::connect_timeout(&address, LIMIT).map_err(failed)?;
        stream.set_read_timeout(Some(LIMIT)).and_then(|()| stream.set_write_timeout(Some(LIMIT))).map_err(failed)?;
        let mut redis = Redis {
            stream,
            parser: ReplyParser::new(ReplyLimits::NORMAL),
            input: Vec::new(),
            prefix: prefix.as_bytes().to_vec(),
            pattern: pattern(prefix.as_bytes()),
            cursor: Some(b"0".to_vec()),
            keys: Vec::new(),
        };
        if let Some(login) = login {
            let words: Vec<&[u8]> = match login.split_once(':') {
                Some(("", password)) => vec![b"AUTH", password.as_bytes()],
                Some((user, password)) => vec![b"AUTH", user.as_bytes(), password.as_bytes()],
                None => vec![b"AUTH", login.as_bytes()],
            };
            redis.call(&words)?;
        }
        if !db.is_empty() {
            redis.call(&[b"SELECT", db.as_bytes()])?;
        }
        Ok(redis)
    }

    /// The next keys, at most so many, without the prefix; none: that was all.
    pub(super) fn next(&mut self, most: usize) -> Result<Vec<String>, Failure> {
        while self.keys.len() < most
            && let Some(cursor) = self.cursor.take()
        {
            let pattern = self.pattern.clone();
            let reply = self.call(&[b"SCAN", &cursor, b"MATCH", &pattern, b"COUNT", COUNT.as_bytes()])?;
            let parts = reply.as_slice().unwrap_or_default();
            let (Some(next), Some(found)) =
                (parts.first().and_then(Value::as_bytes), parts.get(1).and_then(Value::as_slice))
            else {
                return Err(Failure::Run("SCAN was answered with something else: is it a Redis?".to_owned()));
            };
            self.cursor = (next != b"0").then(|| next.to_vec());
            let own = found.iter().filter_map(|key| key.as_bytes()?.strip_prefix(self.prefix.as_slice()));
            // Bellwether's own keys are no client's.
            let own = own.filter(|key| !key.is_empty() && !key.starts_with(b"@@"));
            self.keys.extend(own.map(encoded));
        }
        let rest = self.keys.split_off(most.min(self.keys.len()));
        Ok(std::mem::replace(&mut self.keys, rest))
    }

    fn call(&mut self, words: &[&[u8]]) -> Result<Value, Failure> {
        let mut output = Vec::new();
        let mut writer = Writer::new(&mut output, Protocol::Resp2);
        writer.array(words.len());
        words.iter().for_each(|word| writer.bulk(word));
        let failed = |error: std::io::Error| Failure::Run(format!("the other Redis: {error}"));
        self.stream.write_all(&output).map_err(failed)?;
        let mut part = [0; 16 << 10];
        loop {
            let parsed = self.parser.next(&self.input);
            match parsed.map_err(|error| Failure::Run(format!("the other Redis: {error}")))? {
                Some(reply) => {
                    self.input.drain(..reply.consumed);
                    return match reply.value.as_error() {
                        Some(error) => {
                            let words = String::from_utf8_lossy(error).escape_debug().to_string();
                            Err(Failure::Run(format!("the other Redis: {words}")))
                        }
                        None => Ok(reply.value),
                    };
                }
                None => match self.stream.read(&mut part).map_err(failed)? {
                    0 => return Err(Failure::Run("the other Redis has closed the connection".to_owned())),
                    read => self.input.extend_from_slice(&part[..read]),
                },
            }
        }
    }
}

/// What MATCH takes for this prefix: what means something there is escaped.
fn pattern(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for byte in prefix {
        if b"*?[]\\^".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern.push(b'*');
    pattern
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_prefix_means_itself() {
        assert_eq!(super::pattern(b"bw:[a]*"), b"bw:\\[a\\]\\**");
    }
}

//! How is a request said, and where does its reply end? Three protocols, one operation: get 1 KiB by its key.

use memchr::memmem;

/// Bytes of a value.
pub const VALUE: usize = 1024;
/// Keys that are asked for.
pub const KEYS: usize = 10_000;
/// Digits of a key's number: all keys are of one length, as those of redis-benchmark.
const DIGITS: usize = 12;
/// The longest head of a reply; every one here is far shorter.
const MAX_HEAD: usize = 16 << 10;

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Redis's.
    Resp,
    /// Memcached's, as text.
    Memcached,
    /// HTTP/1.1.
    Http,
}

/// The `n`-th key.
pub fn key(n: usize) -> String {
    format!("kv:{n:0DIGITS$}")
}

/// The value of every key.
pub fn value() -> String {
    "x".repeat(VALUE)
}

impl Wire {
    /// In tables.
    pub const fn name(self) -> &'static str {
        match self {
            Wire::Resp => "RESP",
            Wire::Memcached => "memcached",
            Wire::Http => "HTTP",
        }
    }

    /// Requests that are sent at once. HTTP clients don't pipeline.
    pub const fn depths(self) -> &'static [usize] {
        match self {
            Wire::Resp | Wire::Memcached => &[1, 16],
            Wire::Http => &[1],
        }
    }

    /// A request for key 0.
    fn get(self) -> Vec<u8> {
        let key = key(0);
        match self {
            Wire::Resp => format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()),
            Wire::Memcached => format!("get {key}\r\n"),
            Wire::Http => format!("GET /v1/{key} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
        }
        .into_bytes()
    }

    /// A request that stores the value of the `n`-th key, and what a server answers. `None`: what is
    /// asked for over HTTP is stored because it was asked for.
    pub(crate) fn set(self, n: usize) -> Option<(Vec<u8>, &'static [u8])> {
        let (key, value) = (key(n), value());
        match self {
            Wire::Resp => {
                let (key_len, value_len) = (key.len(), value.len());
                let text = format!("*3\r\n$3\r\nSET\r\n${key_len}\r\n{key}\r\n${value_len}\r\n{value}\r\n");
                Some((text.into_bytes(), b"+OK\r\n"))
            }
            Wire::Memcached => Some((format!("set {key} 0 0 {VALUE}\r\n{value}\r\n").into_bytes(), b"STORED\r\n")),
            Wire::Http => None,
        }
    }

    /// The cheapest question that shows that a server answers.
    pub(crate) const fn probe(self) -> &'static [u8] {
        match self {
            Wire::Resp => b"PING\r\n",
            Wire::Memcached => b"version\r\n",
            Wire::Http => b"GET /v1/probe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        }
    }

    /// The length of the whole reply that begins `bytes`; `None` if its head is not there yet.
    fn reply(self, bytes: &[u8]) -> Result<Option<usize>, Unexpected> {
        let unexpected = || Unexpected(bytes[..bytes.len().min(80)].escape_ascii().to_string());
        match self {
            Wire::Resp | Wire::Memcached => {
                let start: &[u8] = if self == Wire::Resp { b"$" } else { b"VALUE " };
                let here = bytes.len().min(start.len());
                if bytes[..here] != start[..here] {
                    return Err(unexpected());
                }
                let Some(end) = memchr::memchr(b'\n', bytes) else { return Ok(None) };
                let line = bytes[..end].trim_ascii_end();
                let digits = line.rsplit(|byte| matches!(byte, b' ' | b'$')).next().unwrap_or_default();
                let after: usize = if self == Wire::Resp { 2 } else { "\r\nEND\r\n".len() };
                let length: usize = number(digits).ok_or_else(unexpected)?;
                Ok(Some(end + 1 + length + after))
            }
            Wire::Http => {
                let start = b"HTTP/1.1 200";
                let here = bytes.len().min(start.len());
                if bytes[..here] != start[..here] {
                    return Err(unexpected());
                }
                let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
                let length = bytes[..end].split(|byte| *byte == b'\n').find_map(|line| {
                    let (name, value) = line.split_at_checked("content-length:".len())?;
                    name.eq_ignore_ascii_case(b"content-length:").then(|| number(value.trim_ascii()))?
                });
                Ok(Some(end + 4 + length.ok_or_else(unexpected)?))
            }
        }
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The beginning of a reply that is no value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unexpected(pub(crate) String);

/// Requests sent together, for keys that change from batch to batch.
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Of one request.
    length: usize,
    /// Where a request's digits begin.
    digits: usize,
}

impl Batch {
    pub(crate) fn new(wire: Wire, depth: usize) -> Batch {
        let one = wire.get();
        let prefix = memmem::find(&one, b"kv:").unwrap_or(0) + 3;
        Batch { length: one.len(), digits: prefix, bytes: one.repeat(depth) }
    }

    /// The bytes of the next batch, its keys drawn by `draw`.
    pub(crate) fn next(&mut self, mut draw: impl FnMut() -> usize) -> &[u8] {
        for request in self.bytes.chunks_exact_mut(self.length) {
            let mut n = draw();
            for digit in request[self.digits..self.digits + DIGITS].iter_mut().rev() {
                *digit = b'0' + (n % 10) as u8;
                n /= 10;
            }
        }
        &self.bytes
    }
}

/// Counts the replies in what comes from a server, wherever reads are cut.
pub(crate) struct Replies {
    wire: Wire,
    /// Bytes of the current reply that are still to come.
    missing: usize,
    /// A head that has not come whole.
    head: Vec<u8>,
}

impl Replies {
    pub(crate) fn new(wire: Wire) -> Replies {
        Replies { wire, missing: 0, head: Vec::new() }
    }

    /// How many replies end in `bytes`.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<usize, Unexpected> {
        if self.head.is_empty() {
            return self.count(bytes);
        }
        let mut whole = std::mem::take(&mut self.head);
        whole.extend_from_slice(bytes);
        self.count(&whole)
    }

    fn count(&mut self, mut bytes: &[u8]) -> Result<usize, Unexpected> {
        let mut ended = 0;
        loop {
            if self.missing > bytes.len() {
                self.missing -= bytes.len();
                return Ok(ended);
            }
            if self.missing > 0 {
                ended += 1;
                bytes = &bytes[self.missing..];
                self.missing = 0;
            }
            if bytes.is_empty() {
                return Ok(ended);
            }
            match self.wire.reply(bytes)? {
                Some(length) => self.missing = length,
                None if bytes.len() > MAX_HEAD => return Err(Unexpected("a head without an end".to_owned())),
                None => {
                    self.head.extend_from_slice(bytes);
                    return Ok(ended);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(wire: Wire) -> Vec<u8> {
        match wire {
            Wire::Resp => format!("${VALUE}\r\n{}\r\n", value()),
            Wire::Memcached => format!("VALUE {} 0 {VALUE}\r\n{}\r\nEND\r\n", key(7), value()),
            Wire::Http => format!("HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: {VALUE}\r\n\r\n{}", value()),
        }
        .into_bytes()
        .repeat(3)
    }

    #[test]
    fn replies_are_counted_wherever_reads_are_cut() {
        for wire in [Wire::Resp, Wire::Memcached, Wire::Http] {
            let all = replies(wire);
            for size in [1, 3, 700, 1033, all.len()] {
                let mut counted = Replies::new(wire);
                let ended: usize = all.chunks(size).map(|part| counted.feed(part).expect("a value")).sum();
                assert_eq!((ended, counted.missing, counted.head.len()), (3, 0, 0), "{wire:?} in parts of {size}");
            }
        }
    }

    #[test]
    fn what_is_no_value_is_an_error() {
        for (wire, reply) in [
            (Wire::Resp, "$-1\r\n"),
            (Wire::Resp, "-ERR no\r\n"),
            (Wire::Memcached, "END\r\n"),
            (Wire::Http, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
            (Wire::Http, "HTTP/1.1 200 OK\r\n\r\n"),
        ] {
            assert!(Replies::new(wire).feed(reply.as_bytes()).is_err(), "{reply:?}");
        }
    }

    #[test]
    fn a_batch_asks_for_the_keys_that_are_drawn() {
        let mut batch = Batch::new(Wire::Memcached, 2);
        let mut draws = [42, 9_999].into_iter();
        let bytes = batch.next(|| draws.next().unwrap_or(0)).to_vec();
        assert_eq!(String::from_utf8_lossy(&bytes), format!("get {}\r\nget {}\r\n", key(42), key(9_999)));
        let again = batch.next(|| 1).to_vec();
        assert_eq!(again.len(), bytes.len());
        assert!(again.starts_with(format!("get {}", key(1)).as_bytes()), "digits of the last batch are gone");
    }
}

//! What do bytes of Memcached's meta protocol mean? Requests out, replies in, without any I/O.
//!
//! Replies come in the order of requests. Each request carries an opaque number of its own that its reply brings
//! back: a reply with another one belongs to somebody else, and the connection is of no use any more.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

/// A reply's line is never longer: names have at most 250 bytes.
const LONGEST_LINE: usize = 2048;

/// How a `ms` treats what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Swap {
    /// Stores only if nothing is there.
    Absent,
    /// Stores only if what is there was not touched since.
    Unchanged(u64),
}

/// One request.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// What is under a name, with its `cas`, time to live, and flags.
    Get(Bytes),
    /// Stores, if nobody was quicker.
    Set {
        /// The name.
        name: Bytes,
        /// Against what.
        swap: Swap,
        /// Seconds to live, none: for ever.
        ttl: Option<u32>,
        /// The client's own flags.
        flags: u32,
        /// The bytes.
        data: Bytes,
    },
    /// Deletes, if nobody was quicker.
    Delete(Bytes, u64),
    /// Deletes whatever is there.
    Remove(Bytes),
}

impl Request {
    /// The line, and what follows it.
    pub(super) fn write(&self, opaque: u32, out: &mut Vec<u8>) {
        match self {
            Request::Get(name) => {
                out.extend_from_slice(b"mg ");
                out.extend_from_slice(name);
                out.extend_from_slice(format!(" v c t f O{opaque}\r\n").as_bytes());
            }
            Request::Set { name, swap, ttl, flags, data } => {
                out.extend_from_slice(b"ms ");
                out.extend_from_slice(name);
                let swap = match swap {
                    Swap::Absent => "ME".to_owned(),
                    Swap::Unchanged(cas) => format!("C{cas}"),
                };
                let (size, ttl) = (data.len(), ttl.unwrap_or(0));
                out.extend_from_slice(format!(" {size} {swap} T{ttl} F{flags} O{opaque}\r\n").as_bytes());
                out.extend_from_slice(data);
                out.extend_from_slice(b"\r\n");
            }
            Request::Delete(name, cas) => {
                out.extend_from_slice(b"md ");
                out.extend_from_slice(name);
                out.extend_from_slice(format!(" C{cas} O{opaque}\r\n").as_bytes());
            }
            Request::Remove(name) => {
                out.extend_from_slice(b"md ");
                out.extend_from_slice(name);
                out.extend_from_slice(format!(" O{opaque}\r\n").as_bytes());
            }
        }
    }
}

/// What was found under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) data: Bytes,
    pub(super) cas: u64,
    /// Seconds left; none: for ever.
    pub(super) ttl: Option<u32>,
    pub(super) flags: u32,
}

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// `VA`
    Found(Item),
    /// `VA` of more bytes than are wanted: they were passed over.
    TooLong(u64),
    /// `EN`: nothing is there.
    Nothing,
    /// `HD`
    Done,
    /// `EX`, `NF`, `NS`: somebody was quicker.
    Lost,
    /// `SERVER_ERROR`
    Refused(String),
}

/// Why a connection can't be used any more: it speaks something else, or of something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Line,
    Opaque,
    Garbled,
}

impl Broken {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Broken::Line => "it answered a line without an end",
            Broken::Opaque => "it answered what was asked by somebody else",
            Broken::Garbled => "it answered what is no reply of the meta protocol",
        }
    }
}

/// Finds replies in what was read.
pub(super) struct Replies {
    /// Longer values are passed over.
    most: usize,
    /// Bytes of such a value that are still to come.
    skipping: u64,
    skipped: u64,
}

impl Replies {
    pub(super) fn new(most: usize) -> Replies {
        Replies { most, skipping: 0, skipped: 0 }
    }

    /// The next reply, which must be to the request with this opaque. `None`: more bytes are needed.
    pub(super) fn next(&mut self, input: &mut BytesMut, opaque: u32) -> Result<Option<Reply>, Broken> {
        if self.skipping > 0 {
            let here = usize::try_from(self.skipping).unwrap_or(usize::MAX).min(input.len());
            input.advance(here);
            self.skipping -= here as u64;
            return Ok((self.skipping == 0).then_some(Reply::TooLong(self.skipped)));
        }
        let Some(end) = memchr(b'\n', &input[..input.len().min(LONGEST_LINE)]) else {
            return if input.len() < LONGEST_LINE { Ok(None) } else { Err(Broken::Line) };
        };
        let line = input[..end].strip_suffix(b"\r").ok_or(Broken::Garbled)?;
        if line.starts_with(b"SERVER_ERROR ") {
            let reply = Reply::Refused(String::from_utf8_lossy(&line[13..]).into_owned());
            input.advance(end + 1);
            return Ok(Some(reply));
        }
        let mut words = line.split(|byte| *byte == b' ');
        match words.next() {
            Some(b"VA") => {
                let size: u64 = words.next().and_then(number).ok_or(Broken::Garbled)?;
                let flags = Flags::read(words, opaque)?;
                self.value(input, end + 1, size, flags)
            }
            Some(word) => {
                let reply = match word {
                    b"HD" => Reply::Done,
                    b"EN" => Reply::Nothing,
                    b"EX" | b"NF" | b"NS" => Reply::Lost,
                    _ => return Err(Broken::Garbled),
                };
                let flags = Flags::read(words, opaque)?;
                // Old servers answer a miss with the bare word.
                if flags.opaque.is_none() && reply != Reply::Nothing {
                    return Err(Broken::Opaque);
                }
                input.advance(end + 1);
                Ok(Some(reply))
            }
            None => Err(Broken::Garbled),
        }
    }

    fn value(&mut self, input: &mut BytesMut, at: usize, size: u64, flags: Flags) -> Result<Option<Reply>, Broken> {
        flags.opaque.ok_or(Broken::Opaque)?;
        let length = match usize::try_from(size) {
            Ok(length) if length <= self.most => length,
            _ => {
                input.advance(at);
                (self.skipping, self.skipped) = (size.saturating_add(2), size);
                return self.next(input, 0);
            }
        };
        if input.len() < at + length + 2 {
            // No more than was promised, and no more than is wanted.
            input.reserve(at + length + 2 - input.len());
            return Ok(None);
        }
        if input[at + length..at + length + 2] != *b"\r\n" {
            return Err(Broken::Garbled);
        }
        // Copied: who keeps a small value must not keep all that was read with it.
        let data = Bytes::copy_from_slice(&input[at..at + length]);
        input.advance(at + length + 2);
        let cas = flags.cas.ok_or(Broken::Garbled)?;
        Ok(Some(Reply::Found(Item { data, cas, ttl: flags.ttl, flags: flags.client.unwrap_or(0) })))
    }
}

#[derive(Default)]
struct Flags {
    opaque: Option<u32>,
    cas: Option<u64>,
    ttl: Option<u32>,
    client: Option<u32>,
}

impl Flags {
    fn read<'a>(words: impl Iterator<Item = &'a [u8]>, opaque: u32) -> Result<Flags, Broken> {
        let mut flags = Flags::default();
        for word in words {
            let Some((flag, value)) = word.split_first() else { continue };
            match flag {
                b'O' => flags.opaque = number(value),
                b'c' => flags.cas = number(value),
                // -1: for ever.
                b't' => flags.ttl = number(value),
                b'f' => flags.client = number(value),
                _ => {}
            }
        }
        if flags.opaque.is_some_and(|found| found != opaque) {
            return Err(Broken::Opaque);
        }
        Ok(flags)
    }
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Reply::{Done, Found, Lost, Nothing, Refused, TooLong};

    fn all(bytes: &[u8], cut: usize) -> Result<Vec<Reply>, Broken> {
        let (mut replies, mut input, mut found) = (Replies::new(16), BytesMut::new(), Vec::new());
        for piece in bytes.chunks(cut) {
            input.extend_from_slice(piece);
            while let Some(reply) = replies.next(&mut input, 7)? {
                found.push(reply);
                if input.is_empty() {
                    break;
                }
            }
        }
        Ok(found)
    }

    fn item(data: &'static str, cas: u64, ttl: Option<u32>, flags: u32) -> Reply {
        Found(Item { data: Bytes::from_static(data.as_bytes()), cas, ttl, flags })
    }

    #[test]
    fn any_cut_of_a_stream_of_replies_reads_the_same() {
        let stream = b"EN\r\nHD O7\r\nVA 5 c9 t100 f77 O7\r\nhello\r\nNS O7\r\nVA 4 c2 t-1 f0 O7\r\n\r\n\r\n\r\nVA 20 c1 t1 f0 \
            O7\r\n01234567890123456789\r\nEX O7\r\nNF O7\r\nSERVER_ERROR out of memory\r\nVA 0 c3 t5 f1 O7\r\n\r\nEN O7\r\n";
        let story = vec![
            Nothing,
            Done,
            item("hello", 9, Some(100), 77),
            Lost,
            item("\r\n\r\n", 2, None, 0),
            TooLong(20),
            Lost,
            Lost,
            Refused("out of memory".into()),
            item("", 3, Some(5), 1),
            Nothing,
        ];
        for cut in 1..=stream.len() {
            assert_eq!(all(stream, cut), Ok(story.clone()), "cut by {cut}");
        }
    }

    #[test]
    fn what_is_no_reply_to_this_request_ends_the_connection() {
        let cases: [(&[u8], Broken); 10] = [
            (b"HD O8\r\n", Broken::Opaque),
            (b"EN O6\r\n", Broken::Opaque),
            (b"HD\r\n", Broken::Opaque),
            (b"VA 1 c1 t1 f1\r\nx\r\n", Broken::Opaque),
            (b"ERROR\r\n", Broken::Garbled),
            (b"CLIENT_ERROR bad data chunk\r\n", Broken::Garbled),
            (b"VA x c1 O7\r\n", Broken::Garbled),
            (b"VA 1 c1 t1 f1 O7\r\nxyz\r\n", Broken::Garbled),
            (b"HD O7\n", Broken::Garbled),
            (b"\r\n", Broken::Garbled),
        ];
        for (bytes, broken) in cases {
            assert_eq!(all(bytes, 100), Err(broken), "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(all(&[b'x'; 4000], 100), Err(Broken::Line));
    }

    #[test]
    fn requests_are_written_as_the_protocol_has_them() {
        let written = |request: Request| {
            let mut out = Vec::new();
            request.write(7, &mut out);
            String::from_utf8(out).expect("text")
        };
        let name = Bytes::from_static(b"bw:k");
        let set =
            |swap, ttl| Request::Set { name: name.clone(), swap, ttl, flags: 3, data: Bytes::from_static(b"body") };
        assert_eq!(written(Request::Get(name.clone())), "mg bw:k v c t f O7\r\n");
        assert_eq!(written(set(Swap::Absent, Some(9))), "ms bw:k 4 ME T9 F3 O7\r\nbody\r\n");
        assert_eq!(written(set(Swap::Unchanged(5), None)), "ms bw:k 4 C5 T0 F3 O7\r\nbody\r\n");
        assert_eq!(written(Request::Delete(name.clone(), 5)), "md bw:k C5 O7\r\n");
    }
}

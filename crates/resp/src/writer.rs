//! How is a reply written, in either dialect?

use bytes::{BufMut, BytesMut};
use memchr::memchr2;

use crate::Protocol;

/// An output buffer: replies are appended to it and leave in one write.
pub trait Output {
    /// Makes room for `bytes` more at once.
    fn room(&mut self, bytes: usize);
    /// Appends.
    fn append(&mut self, bytes: &[u8]);
}

impl Output for Vec<u8> {
    #[inline]
    fn room(&mut self, bytes: usize) {
        self.reserve(bytes);
    }

    #[inline]
    fn append(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Output for BytesMut {
    #[inline]
    fn room(&mut self, bytes: usize) {
        self.reserve(bytes);
    }

    #[inline]
    fn append(&mut self, bytes: &[u8]) {
        self.put_slice(bytes);
    }
}

/// Bytes of the longest header: a type byte, an `i64`, CR LF.
const HEADER: usize = 1 + 20 + 2;

/// Appends replies to an output buffer. An aggregate is written as its header, then its elements.
///
/// ```
/// use bellwether_resp::{Protocol, Writer};
///
/// let mut output = Vec::new();
/// let mut reply = Writer::new(&mut output, Protocol::Resp3);
/// reply.map(1);
/// reply.bulk(b"proto");
/// reply.int(3);
/// assert_eq!(output, b"%1\r\n$5\r\nproto\r\n:3\r\n");
/// ```
#[derive(Debug)]
pub struct Writer<'a, O> {
    output: &'a mut O,
    protocol: Protocol,
}

impl<'a, O: Output> Writer<'a, O> {
    /// A writer that appends to `output` in this dialect.
    #[inline]
    pub fn new(output: &'a mut O, protocol: Protocol) -> Self {
        Writer { output, protocol }
    }

    /// The dialect, for replies whose shape depends on it.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// `+text`. Line ends in it become blanks.
    #[inline]
    pub fn simple(&mut self, text: impl AsRef<[u8]>) {
        self.line(b'+', text.as_ref());
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.output.append(b"+OK\r\n");
    }

    /// `-text`, where `text` begins with the code in capitals. Line ends in it become blanks: an error often
    /// quotes what a client sent, which must not become a second reply.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        self.line(b'-', text.as_ref());
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, number: i64) {
        self.header(b':', number);
    }

    /// A bulk string: any bytes.
    #[inline]
    pub fn bulk(&mut self, bytes: impl AsRef<[u8]>) {
        self.blob(b'$', b"", bytes.as_ref());
    }

    /// No value.
    #[inline]
    pub fn nil(&mut self) {
        self.either(b"$-1\r\n", b"_\r\n");
    }

    /// No array, as EXEC answers when a watched key has changed; RESP3 has one nil only.
    pub fn nil_array(&mut self) {
        self.either(b"*-1\r\n", b"_\r\n");
    }

    /// The header of an array of `len` elements.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len as i64);
    }

    /// The header of a map of `pairs`; in RESP2 an array of twice as many elements.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', pairs as i64 * 2),
            Protocol::Resp3 => self.header(b'%', pairs as i64),
        }
    }

    /// The header of a set; in RESP2 an array.
    pub fn set(&mut self, len: usize) {
        self.aggregate(b'~', len);
    }

    /// The header of an out-of-band message; in RESP2 (Pub/Sub) an array.
    pub fn push(&mut self, len: usize) {
        self.aggregate(b'>', len);
    }

    /// A truth value; in RESP2 the integer 1 or 0.
    pub fn bool(&mut self, truth: bool) {
        match truth {
            true => self.either(b":1\r\n", b"#t\r\n"),
            false => self.either(b":0\r\n", b"#f\r\n"),
        }
    }

    /// A floating-point number, in the shortest form that reads back equal; in RESP2 a bulk string.
    pub fn double(&mut self, number: f64) {
        let text = double_text(number);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// Text for people (`txt`, `mkd`), which clients show as it is; in RESP2 a bulk string.
    pub fn verbatim(&mut self, format: [u8; 3], text: impl AsRef<[u8]>) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => self.blob(b'=', &[format[0], format[1], format[2], b':'], text.as_ref()),
        }
    }

    #[inline]
    fn either(&mut self, resp2: &[u8], resp3: &[u8]) {
        self.output.append(match self.protocol {
            Protocol::Resp2 => resp2,
            Protocol::Resp3 => resp3,
        });
    }

    fn aggregate(&mut self, resp3: u8, len: usize) {
        let kind = if self.protocol == Protocol::Resp3 { resp3 } else { b'*' };
        self.header(kind, len as i64);
    }

    #[inline]
    fn header(&mut self, kind: u8, number: i64) {
        // Lengths have few digits: these are put together in registers, and no copy waits for them.
        let digit = |power: u32| b'0' + (number as u32 / power % 10) as u8;
        match number {
            0..=9 => return self.output.append(&[kind, digit(1), b'\r', b'\n']),
            10..=99 => return self.output.append(&[kind, digit(10), digit(1), b'\r', b'\n']),
            100..=999 => return self.output.append(&[kind, digit(100), digit(10), digit(1), b'\r', b'\n']),
            1000..=9999 => {
                return self.output.append(&[kind, digit(1000), digit(100), digit(10), digit(1), b'\r', b'\n']);
            }
            _ => {}
        }
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number).as_bytes();
        // Put together first: one append checks the room once.
        let mut header = [0; HEADER];
        header[0] = kind;
        header[1..=digits.len()].copy_from_slice(digits);
        header[digits.len() + 1] = b'\r';
        header[digits.len() + 2] = b'\n';
        self.output.append(&header[..digits.len() + 3]);
    }

    #[inline]
    fn blob(&mut self, kind: u8, prefix: &[u8], bytes: &[u8]) {
        let len = prefix.len() + bytes.len();
        self.output.room(HEADER + len + 2);
        self.header(kind, len as i64);
        self.output.append(prefix);
        self.output.append(bytes);
        self.output.append(b"\r\n");
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.output.room(text.len() + 3);
        self.output.append(&[kind]);
        let mut rest = text;
        while let Some(at) = memchr2(b'\r', b'\n', rest) {
            self.output.append(&rest[..at]);
            self.output.append(b" ");
            rest = &rest[at + 1..];
        }
        self.output.append(rest);
        self.output.append(b"\r\n");
    }
}

/// As Redis prints doubles: an exponent for what is very large or very small, `inf`, `nan`.
fn double_text(number: f64) -> String {
    let size = number.abs();
    if number.is_nan() {
        "nan".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "inf".to_owned() } else { "-inf".to_owned() }
    } else if size != 0.0 && !(1e-5..1e17).contains(&size) {
        let text = format!("{number:e}");
        // C writes the plus sign of an exponent, and some clients' patterns want it.
        if size >= 1.0 { text.replacen('e', "e+", 1) } else { text }
    } else {
        number.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl Fn(&mut Writer<'_, Vec<u8>>)) -> String {
        let mut output = Vec::new();
        write(&mut Writer::new(&mut output, protocol));
        String::from_utf8(output).expect("these replies are text")
    }

    #[test]
    fn every_type_in_both_dialects() {
        type Write = fn(&mut Writer<'_, Vec<u8>>);
        let table: &[(Write, &str, &str)] = &[
            (|w| w.simple("PONG"), "+PONG\r\n", "+PONG\r\n"),
            (|w| w.ok(), "+OK\r\n", "+OK\r\n"),
            (|w| w.error("ERR no"), "-ERR no\r\n", "-ERR no\r\n"),
            (|w| w.int(0), ":0\r\n", ":0\r\n"),
            (|w| w.int(9), ":9\r\n", ":9\r\n"),
            (|w| w.int(10), ":10\r\n", ":10\r\n"),
            (|w| w.int(-1), ":-1\r\n", ":-1\r\n"),
            (|w| w.int(i64::MIN), ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"),
            (|w| w.int(i64::MAX), ":9223372036854775807\r\n", ":9223372036854775807\r\n"),
            (|w| w.bulk(""), "$0\r\n\r\n", "$0\r\n\r\n"),
            (|w| w.bulk("a\r\nb"), "$4\r\na\r\nb\r\n", "$4\r\na\r\nb\r\n"),
            (|w| w.nil(), "$-1\r\n", "_\r\n"),
            (|w| w.nil_array(), "*-1\r\n", "_\r\n"),
            (|w| w.array(12), "*12\r\n", "*12\r\n"),
            (|w| w.map(7), "*14\r\n", "%7\r\n"),
            (|w| w.set(2), "*2\r\n", "~2\r\n"),
            (|w| w.push(2), "*2\r\n", ">2\r\n"),
            (|w| w.bool(true), ":1\r\n", "#t\r\n"),
            (|w| w.bool(false), ":0\r\n", "#f\r\n"),
            (|w| w.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (|w| w.double(-0.0), "$2\r\n-0\r\n", ",-0\r\n"),
            (|w| w.double(1e300), "$6\r\n1e+300\r\n", ",1e+300\r\n"),
            (|w| w.double(-1.5e-7), "$7\r\n-1.5e-7\r\n", ",-1.5e-7\r\n"),
            (|w| w.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n"),
            (|w| w.double(f64::NAN), "$3\r\nnan\r\n", ",nan\r\n"),
            (|w| w.verbatim(*b"txt", "hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
        ];
        for (i, (write, resp2, resp3)) in table.iter().enumerate() {
            assert_eq!(written(Protocol::Resp2, write), *resp2, "row {i}");
            assert_eq!(written(Protocol::Resp3, write), *resp3, "row {i}");
        }
    }

    #[test]
    fn an_error_that_quotes_a_client_stays_one_reply() {
        let text = "ERR unknown command 'x\r\n+OK\r\n', with args\n";
        assert_eq!(written(Protocol::Resp2, |w| w.error(text)), "-ERR unknown command 'x  +OK  ', with args \r\n");
    }

    #[test]
    fn both_buffers_get_the_same_bytes() {
        let (mut vec, mut bytes) = (Vec::new(), BytesMut::new());
        Writer::new(&mut vec, Protocol::Resp3).bulk([7; 1000]);
        Writer::new(&mut bytes, Protocol::Resp3).bulk([7; 1000]);
        assert_eq!(vec, bytes);
    }
}

//! What does a server say on the wire, byte for byte, without a client library in between?

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No test waits longer for one reply.
const REPLY_LIMIT: Duration = Duration::from_secs(20);

/// A reply of RESP2 or RESP3.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// `+OK`
    Simple(String),
    /// `-ERR …`, without the dash
    Error(String),
    /// `:1`
    Int(i64),
    /// `$3`; verbatim strings too, without their prefix
    Bulk(Vec<u8>),
    /// `$-1`, `*-1`, `_`
    Nil,
    /// `*`, `~`
    Array(Vec<Value>),
    /// `%`
    Map(Vec<(Value, Value)>),
    /// `>`
    Push(Vec<Value>),
    /// `,`
    Double(f64),
    /// `#`
    Bool(bool),
}

impl Value {
    /// A bulk string of `text`.
    pub fn bulk(text: &str) -> Self {
        Self::Bulk(text.as_bytes().to_vec())
    }

    /// `+OK`
    pub fn ok() -> Self {
        Self::Simple("OK".into())
    }

    /// The error's text, if it is one.
    pub fn error(&self) -> Option<&str> {
        if let Self::Error(text) = self { Some(text) } else { None }
    }

    /// Text of a string of any kind, or of a number.
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Self::Simple(text) => text.clone(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Int(number) => number.to_string(),
            other => panic!("expected a string, got {other}"),
        }
    }

    /// The number.
    #[track_caller]
    pub fn int(&self) -> i64 {
        if let Self::Int(number) = self { *number } else { panic!("expected an integer, got {self}") }
    }

    /// The elements.
    #[track_caller]
    pub fn items(&self) -> &[Value] {
        if let Self::Array(items) = self { items } else { panic!("expected an array, got {self}") }
    }

    /// The value as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text:?} is no JSON: {e}"))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bulk(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Self::Error(text) => write!(f, "-{text}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// One connection.
pub struct Resp {
    reader: BufReader<TcpStream>,
}

impl Resp {
    /// Connects.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, REPLY_LIMIT).expect("the server accepts connections");
        stream.set_read_timeout(Some(REPLY_LIMIT)).expect("a read limit can be set");
        stream.set_write_timeout(Some(REPLY_LIMIT)).expect("a write limit can be set");
        stream.set_nodelay(true).expect("nodelay can be set");
        Self { reader: BufReader::new(stream) }
    }

    /// Sends one command and reads its reply.
    #[track_caller]
    pub fn call(&mut self, words: &[&str]) -> Value {
        self.call_bytes(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
    }

    /// [`call`](Self::call) with arguments that need not be text.
    #[track_caller]
    pub fn call_bytes(&mut self, words: &[&[u8]]) -> Value {
        self.send_raw(&encode(words)).unwrap_or_else(|e| panic!("sending {words:?}: {e}"));
        self.read().unwrap_or_else(|e| panic!("reading the reply to {}: {e}", String::from_utf8_lossy(words[0])))
    }

    /// Sends commands in one write, then reads all replies.
    #[track_caller]
    pub fn pipeline<W: AsRef<str>>(&mut self, commands: &[Vec<W>]) -> Vec<Value> {
        let bytes = |words: &Vec<W>| encode(&words.iter().map(|word| word.as_ref().as_bytes()).collect::<Vec<_>>());
        let request: Vec<u8> = commands.iter().flat_map(bytes).collect();
        self.send_raw(&request).expect("a pipeline can be sent");
        commands.iter().map(|_| self.read().expect("every command of a pipeline is answered")).collect()
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// A changed limit for reads.
    pub fn read_limit(&mut self, limit: Duration) {
        self.reader.get_ref().set_read_timeout(Some(limit)).expect("a read limit can be set");
    }

    /// Everything up to the close, at most `limit` bytes; an error if the server does not close in time.
    /// A reset counts as a close: the kernel sends one when the server closes with unread input.
    pub fn read_to_close(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        match (&mut self.reader).take(limit).read_to_end(&mut all) {
            Ok(_) => Ok(all),
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Ok(all),
            Err(e) => Err(e),
        }
    }

    /// Reads one reply.
    pub fn read(&mut self) -> io::Result<Value> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| bad("an empty line"))?;
        Ok(match kind {
            "+" => Value::Simple(rest.into()),
            "-" => Value::Error(rest.into()),
            ":" | "(" => Value::Int(rest.parse().map_err(|_| bad(&line))?),
            "_" => Value::Nil,
            "#" => Value::Bool(rest == "t"),
            "," => Value::Double(rest.parse().map_err(|_| bad(&line))?),
            "$" | "=" | "!" => match self.body(rest)? {
                None => Value::Nil,
                Some(body) if kind == "!" => Value::Error(String::from_utf8_lossy(&body).into_owned()),
                Some(body) if kind == "=" => Value::Bulk(body.get(4..).unwrap_or_default().to_vec()),
                Some(body) => Value::Bulk(body),
            },
            "*" if rest.starts_with('-') => Value::Nil,
            "*" | "~" => Value::Array(self.many(count(rest)?)?),
            ">" => Value::Push(self.many(count(rest)?)?),
            "%" => {
                let flat = self.many(2 * count(rest)?)?;
                Value::Map(flat.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
            }
            _ => return Err(bad(&line)),
        })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        text.strip_suffix("\r\n").map(String::from).ok_or_else(|| bad(&text))
    }

    fn body(&mut self, length: &str) -> io::Result<Option<Vec<u8>>> {
        if length == "-1" {
            return Ok(None);
        }
        let mut body = vec![0; count(length)? + 2];
        self.reader.read_exact(&mut body)?;
        if body.split_off(body.len() - 2) != b"\r\n" {
            return Err(bad("a bulk string without its end"));
        }
        Ok(Some(body))
    }

    fn many(&mut self, count: usize) -> io::Result<Vec<Value>> {
        (0..count).map(|_| self.read()).collect()
    }
}

/// A command as clients send it.
/// A command as clients write it.
pub fn encode(words: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn count(text: &str) -> io::Result<usize> {
    text.parse().map_err(|_| bad(text))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not RESP: {what:?}"))
}

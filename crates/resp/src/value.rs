//! What can a server answer?

use std::fmt;

/// One reply of either dialect, owned.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+`: a status.
    Simple(Vec<u8>),
    /// `-` or `!`: an error, its code first.
    Error(Vec<u8>),
    /// `:`
    Int(i64),
    /// `$`: any bytes.
    Bulk(Vec<u8>),
    /// `_`, or RESP2's `$-1` and `*-1`.
    Nil,
    /// `#`
    Bool(bool),
    /// `,`
    Double(f64),
    /// `(`: an integer of any size, in digits.
    BigNumber(Vec<u8>),
    /// `=`: text for people.
    Verbatim {
        /// `txt`, `mkd`.
        format: [u8; 3],
        /// The text behind the format.
        text: Vec<u8>,
    },
    /// `*`
    Array(Vec<Value>),
    /// `~`, in the order sent.
    Set(Vec<Value>),
    /// `%`, in the order sent.
    Map(Vec<(Value, Value)>),
    /// `>`: not the answer to a command.
    Push(Vec<Value>),
}

impl Value {
    /// The bytes of any kind of string; `None` for everything else, errors included.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Simple(bytes) | Value::Bulk(bytes) | Value::Verbatim { text: bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    /// The number, if it is an integer.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The error's text, if it is one.
    pub fn as_error(&self) -> Option<&[u8]> {
        match self {
            Value::Error(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of an array, set or push.
    pub fn as_slice(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => Some(items),
            _ => None,
        }
    }

    /// Pairs of a map, or of RESP2's flat array in its place.
    pub fn pairs(&self) -> Option<Vec<(&Value, &Value)>> {
        match self {
            Value::Map(pairs) => Some(pairs.iter().map(|(key, value)| (key, value)).collect()),
            Value::Array(flat) if flat.len().is_multiple_of(2) => {
                Some(flat.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect())
            }
            _ => None,
        }
    }
}

/// For people: strings as text (undecodable bytes replaced), aggregates in brackets on one line.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Simple(text) | Value::Bulk(text) | Value::BigNumber(text) | Value::Verbatim { text, .. } => {
                f.write_str(&String::from_utf8_lossy(text))
            }
            Value::Error(text) => write!(f, "(error) {}", String::from_utf8_lossy(text)),
            Value::Int(number) => write!(f, "{number}"),
            Value::Nil => f.write_str("(nil)"),
            Value::Bool(truth) => write!(f, "{truth}"),
            Value::Double(number) => write!(f, "{number}"),
            Value::Array(items) | Value::Set(items) | Value::Push(items) => {
                write_list(f, "[", "]", items, |f, item| write!(f, "{item}"))
            }
            Value::Map(pairs) => write_list(f, "{", "}", pairs, |f, (key, value)| write!(f, "{key}: {value}")),
        }
    }
}

fn write_list<T>(
    f: &mut fmt::Formatter<'_>,
    open: &str,
    close: &str,
    items: &[T],
    write: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    f.write_str(open)?;
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        write(f, item)?;
    }
    f.write_str(close)
}

//! What was a caller told, and is it of the row that was asked for? A value carries its key and version.

use bellwether_resp::Value;

use crate::error::ClientError;
use crate::key::Key;

/// An answer to a `GET`, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// This version of the row.
    Version(u64),
    /// There is no such row.
    Nil,
    /// An error of the endpoint.
    Refused(String),
    /// Another key's value, or none that an origin has ever given.
    Foreign,
    /// No answer: closed, or too late.
    Lost,
}

impl Answer {
    /// What the origin answers: a row that says whose it is, and which version.
    pub(crate) fn row(key: &Key, version: u64) -> String {
        format!("{{\"path\":\"{}\",\"version\":{version}}}", key.path)
    }

    pub(crate) fn of(reply: Result<Value, ClientError>, key: &Key) -> Answer {
        match reply {
            Ok(value) => Answer::read(&value, key),
            // Bytes out of step: somebody else's.
            Err(ClientError::Protocol(_)) => Answer::Foreign,
            Err(_) => Answer::Lost,
        }
    }

    pub(crate) fn read(value: &Value, key: &Key) -> Answer {
        match value {
            Value::Nil => Answer::Nil,
            Value::Error(text) => Answer::Refused(String::from_utf8_lossy(text).into_owned()),
            other => version(other, key).map_or(Answer::Foreign, Answer::Version),
        }
    }

    /// What `BW.GET` answered: the value is the first of five words.
    pub(crate) fn of_terms(reply: Result<Value, ClientError>, key: &Key) -> Answer {
        match &reply {
            Ok(value) => match value.as_slice() {
                Some([value, ..]) => Answer::read(value, key),
                _ => Answer::read(value, key),
            },
            Err(_) => Answer::of(reply, key),
        }
    }

    /// The version, if it is one.
    pub(crate) fn version(&self) -> Option<u64> {
        if let Answer::Version(version) = self { Some(*version) } else { None }
    }

    /// Was the caller given the row?
    pub(crate) fn served(&self) -> bool {
        self.version().is_some()
    }

    pub(crate) fn refused(&self) -> bool {
        matches!(self, Answer::Refused(_))
    }
}

fn version(value: &Value, key: &Key) -> Option<u64> {
    let text = std::str::from_utf8(value.as_bytes()?).ok()?;
    let version = text.strip_prefix("{\"path\":\"")?.strip_prefix(&key.path)?.strip_prefix("\",\"version\":")?;
    version.strip_suffix('}')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_row_of_that_key_is_its_value() {
        let (key, other) = (Key::new("row", "r", 1), Key::new("row", "r", 12));
        let read = |text: &str| Answer::read(&Value::Bulk(text.as_bytes().to_vec()), &key);
        assert_eq!(read(&Answer::row(&key, 7)), Answer::Version(7));
        for foreign in [&Answer::row(&other, 7), "", "{}", "{\"never\":\"a value\"}", &Answer::row(&key, 7)[..20]] {
            assert_eq!(read(foreign), Answer::Foreign, "{foreign}");
        }
        assert_eq!(Answer::read(&Value::Nil, &key), Answer::Nil);
        assert!(Answer::read(&Value::Error(b"ERR x".to_vec()), &key).refused());
        assert_eq!(Answer::read(&Value::Int(1), &key), Answer::Foreign);
        let terms = |value| Answer::of_terms(Ok(Value::Array(vec![value, Value::Bulk(b"hit".to_vec())])), &key);
        assert_eq!(terms(Value::Bulk(Answer::row(&key, 7).into_bytes())), Answer::Version(7));
        assert_eq!(terms(Value::Nil), Answer::Nil);
        assert!(Answer::of_terms(Ok(Value::Error(b"BWSHED x".to_vec())), &key).refused());
    }
}

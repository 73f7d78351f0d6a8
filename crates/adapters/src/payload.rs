//! What is a loaded body? Bytes, and what the next conditional request needs to know of them.

use std::borrow::Cow;

use bellwether::Weigh;
use bytes::Bytes;

/// A body as an origin gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The bytes that are served. They own exactly their length: a slice of a connection's read
    /// buffer would keep the whole buffer alive for as long as the entry.
    pub body: Bytes,
    /// What HTTP origins sent to recognise this very version by.
    /// Boxed: rows of a database, most of what is kept, have none.
    pub validator: Option<Box<Validator>>,
    /// The media type, if the origin said one. Rows as JSON say `application/json`, a raw column
    /// says nothing.
    pub content_type: Option<Cow<'static, str>>,
}

/// `ETag` and `Last-Modified`, byte for byte as the origin sent them (an `ETag` with its quotes
/// and its `W/`): they are sent back, never interpreted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validator {
    /// The `ETag` header.
    pub etag: Option<Bytes>,
    /// The `Last-Modified` header.
    pub last_modified: Option<Bytes>,
}

/// The type of rows rendered as JSON.
#[cfg(any(feature = "sqlite", feature = "http", feature = "postgres"))]
pub(crate) const JSON: &str = "application/json";

impl Weigh for Payload {
    fn weight(&self) -> usize {
        self.body.weight() + self.beside()
    }

    fn around(&self) -> usize {
        size_of::<Payload>() + self.beside()
    }
}

impl Payload {
    /// Bytes that it owns beside its body.
    fn beside(&self) -> usize {
        let validator =
            self.validator.as_ref().map_or(0, |v| size_of::<Validator>() + v.etag.weight() + v.last_modified.weight());
        let content_type = match &self.content_type {
            Some(Cow::Owned(text)) => text.capacity(),
            Some(Cow::Borrowed(_)) | None => 0,
        };
        validator + content_type
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_weighs_all_that_it_owns() {
        let plain =
            Payload { body: Bytes::from_static(b"1234"), validator: None, content_type: Some("text/css".into()) };
        assert_eq!(plain.weight(), 4, "a static type costs nothing");
        let full = Payload {
            validator: Some(Box::new(Validator { etag: Some(Bytes::from_static(b"\"v1\"")), last_modified: None })),
            content_type: Some("text/plain".to_owned().into()),
            ..plain.clone()
        };
        assert_eq!(full.weight(), 4 + size_of::<Validator>() + 4 + 10);
        for payload in [plain, full] {
            assert_eq!(size_of::<Payload>() + payload.weight() - payload.around(), 4, "the body alone is the value");
        }
    }
}

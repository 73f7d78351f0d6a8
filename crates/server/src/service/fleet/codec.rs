//! How does a payload travel? Its body as it is; what else is known of it beside that.

use std::borrow::Cow;

use bellwether::shared::{Codec, Encoded, Format};
use bellwether_adapters::{Payload, Validator};
use bytes::Bytes;

/// The pairs beside a body: codecs have the numbers from 64 on.
const CONTENT_TYPE: u8 = 64;
const ETAG: u8 = 65;
const LAST_MODIFIED: u8 = 66;

/// The type that a body in JSON has, which goes without saying.
const JSON: &str = "application/json";

/// Payloads of every space.
#[derive(Clone, Copy, Debug)]
pub(in crate::service) struct Payloads;

impl Codec<Payload> for Payloads {
    fn encode(&self, payload: &Payload) -> Option<Encoded> {
        let Payload { body, validator, content_type } = payload;
        let (mut format, mut about) = (Format::Bytes, Vec::new());
        match content_type.as_deref() {
            Some(JSON) => format = Format::Json,
            Some(other) => about.push((CONTENT_TYPE, Bytes::copy_from_slice(other.as_bytes()))),
            None => {}
        }
        if let Some(Validator { etag, last_modified }) = validator.as_deref() {
            about.extend(etag.clone().map(|etag| (ETAG, etag)));
            about.extend(last_modified.clone().map(|moment| (LAST_MODIFIED, moment)));
        }
        Some(Encoded { body: body.clone(), format, about })
    }

    fn decode(&self, stored: Encoded) -> Option<Payload> {
        let Encoded { body, format, about } = stored;
        let mut content_type = (format == Format::Json).then_some(Cow::Borrowed(JSON));
        let mut validator = Validator::default();
        for (what, bytes) in about {
            match what {
                CONTENT_TYPE => content_type = Some(Cow::Owned(String::from_utf8(bytes.to_vec()).ok()?)),
                ETAG => validator.etag = Some(own(&bytes)),
                LAST_MODIFIED => validator.last_modified = Some(own(&bytes)),
                // Of a later version, which says more.
                _ => {}
            }
        }
        let validator = (validator != Validator::default()).then(|| Box::new(validator));
        Some(Payload { body: own(&body), validator, content_type })
    }

    /// What others wrote is handed out as it is, of no type.
    fn foreign(&self, body: Bytes) -> Option<Payload> {
        Some(Payload { body: own(&body), validator: None, content_type: None })
    }
}

/// A copy of exactly its length: a slice of what was read from a socket would keep all of that alive.
fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_comes_back_as_it_went() {
        let plain = Payload { body: Bytes::from_static(b"\x00\xff"), validator: None, content_type: None };
        let json = Payload { content_type: Some(Cow::Borrowed(JSON)), ..plain.clone() };
        let tag = |etag, last_modified| Some(Box::new(Validator { etag, last_modified }));
        let page = Payload {
            content_type: Some(Cow::Owned("text/html".to_owned())),
            validator: tag(Some(Bytes::from_static(b"W/\"1\"")), Some(Bytes::from_static(b"yesterday"))),
            ..plain.clone()
        };
        let weak = Payload { validator: tag(None, Some(Bytes::new())), ..plain.clone() };
        for payload in [plain, json, page, weak] {
            let encoded = Payloads.encode(&payload).expect("every payload travels");
            assert_eq!(encoded.body, payload.body, "readable by others as it is");
            assert_eq!(encoded.format == Format::Json, payload.content_type.as_deref() == Some(JSON));
            assert!(encoded.about.iter().all(|(number, _)| *number >= 64));
            assert_eq!(Payloads.decode(encoded), Some(payload));
        }
        let unknown = Encoded { about: vec![(200, Bytes::from_static(b"?"))], ..Encoded::default() };
        assert!(Payloads.decode(unknown).is_some(), "what a later version adds is no reason to load");
        let no_text = Encoded { about: vec![(CONTENT_TYPE, Bytes::from_static(b"\xff"))], ..Encoded::default() };
        assert_eq!(Payloads.decode(no_text), None);
    }
}

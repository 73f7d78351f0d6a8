//! How does the engine, which knows no types, encode and decode? A codec with its type erased.

use std::sync::Arc;

use bytes::Bytes;

use crate::body::{AnyBody, AnyCodec};
use crate::entry::Entry;
use crate::shared::{Codec, Encoded};
use crate::weigh::Value;

/// A codec of values of one type.
pub(crate) struct Erased<V>(pub(crate) Arc<dyn Codec<V>>);

impl<V: Value> AnyCodec for Erased<V> {
    fn encode(&self, entry: &Entry) -> Option<Encoded> {
        self.0.encode(entry.value::<V>()?)
    }

    fn decode(&self, stored: Encoded) -> Option<AnyBody> {
        self.0.decode(stored).map(|value| Box::new(value) as AnyBody)
    }

    fn foreign(&self, body: Bytes) -> Option<AnyBody> {
        self.0.foreign(body).map(|value| Box::new(value) as AnyBody)
    }
}

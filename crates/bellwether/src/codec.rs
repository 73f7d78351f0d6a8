//! How do values leave the process? Only spaces whose values can travel use a shared tier.

use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::body::{AnyBody, Codec};
use crate::entry::Entry;
use crate::weigh::Weigh;

/// Values as JSON.
pub(crate) struct Json<V>(PhantomData<fn() -> V>);

impl<V> Json<V> {
    pub(crate) fn new() -> Json<V> {
        Json(PhantomData)
    }
}

impl<V: Serialize + DeserializeOwned + Weigh + Send + Sync + 'static> Codec for Json<V> {
    fn encode(&self, entry: &Entry) -> Option<Bytes> {
        serde_json::to_vec(entry.value::<V>()?).ok().map(Bytes::from)
    }

    fn decode(&self, bytes: &[u8]) -> Option<AnyBody> {
        serde_json::from_slice::<V>(bytes).ok().map(|value| Box::new(value) as AnyBody)
    }
}

//! How does a typed value travel through an engine that knows no types?

use std::sync::Arc;

use bellwether_core::entry::Meta;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::entry::{Aside, Entry, Resident};
use crate::key::Key;
use crate::load::{LoadError, Loaded};
use crate::port::clock::Clock;
use crate::shared::Encoded;
use crate::weigh::Weigh;
use bellwether_core::time::Tick;

/// A value on its way from a loader into an entry.
pub(crate) trait Body: Send {
    /// Becomes an entry.
    fn into_entry(self: Box<Self>, key: &Key, meta: Meta, aside: Aside) -> Resident;
}

impl<V: Weigh + Send + Sync + 'static> Body for V {
    fn into_entry(self: Box<Self>, key: &Key, meta: Meta, aside: Aside) -> Resident {
        // Not `self.weight()`: that would weigh the box, which is unpacked here.
        let heap = V::weight(&self);
        Entry::new(key, meta, aside, heap, *self)
    }
}

/// A value without its type.
pub(crate) type AnyBody = Box<dyn Body>;

/// A loader's answer without its type.
pub(crate) type AnyLoaded = Result<Loaded<AnyBody>, LoadError>;

/// A loader without its types: called at most once, on the engine's runtime.
pub(crate) type LoadFn = Box<dyn FnOnce(LoadInput) -> BoxFuture<'static, AnyLoaded> + Send>;

/// How a key of these bytes is loaded although nobody reads it; `None`: they name no key.
pub(crate) type Unasked = Arc<dyn Fn(&[u8]) -> Option<LoadFn> + Send + Sync>;

/// What a loader is told.
pub(crate) struct LoadInput {
    /// The body it may find unmodified.
    pub(crate) have: Option<Resident>,
    /// When the load is cut off.
    pub(crate) deadline: Tick,
    pub(crate) clock: Clock,
}

/// Turns values into bytes and back where they leave the process: a [`crate::shared::Codec`] without its type.
pub(crate) trait AnyCodec: Send + Sync {
    fn encode(&self, entry: &Entry) -> Option<Encoded>;
    fn decode(&self, stored: Encoded) -> Option<AnyBody>;
    fn foreign(&self, body: Bytes) -> Option<AnyBody>;
}

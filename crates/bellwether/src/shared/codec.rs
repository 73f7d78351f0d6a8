//! What are a space's values called in the shared tier, and what are their bytes?

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Format;

/// How do values of a space leave the process, and come back?
///
/// Both ways may refuse: a value that is not encoded stays here, bytes that are not decoded are a miss (G8).
pub trait Codec<V>: Send + Sync + 'static {
    /// The value as bytes; `None`: it can't travel.
    fn encode(&self, value: &V) -> Option<Encoded>;
    /// The value of bytes that this codec made.
    fn decode(&self, stored: Encoded) -> Option<V>;
    /// The value of bytes that somebody else stored under one of our keys; `None`: not to be understood.
    fn foreign(&self, body: Bytes) -> Option<V> {
        let _ = body;
        None
    }
}

/// An encoded value.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Encoded {
    /// Its bytes.
    pub body: Bytes,
    /// What they are.
    pub format: Format,
    /// What the codec adds: pairs of a number of its own (64 to 255) and bytes.
    pub about: Vec<(u8, Bytes)>,
}

/// How a space's values live in the shared tier and on disk, as far as the cache has them.
pub struct Sharing<V> {
    pub(crate) codec: Arc<dyn Codec<V>>,
    pub(crate) naming: Option<Arc<dyn Naming>>,
    pub(crate) recipe: u64,
    pub(crate) on_shared: bool,
    pub(crate) on_disk: bool,
    pub(crate) by_key: bool,
}

/// What a space's keys are called in the shared tier and on disk.
pub trait Naming: Send + Sync + 'static {
    /// The name of a key. Two keys, of whatever spaces, never have one name (G5).
    fn name(&self, key: &[u8]) -> Vec<u8>;
    /// The key of a name; `None`: it belongs to no key of this space.
    fn key(&self, name: &[u8]) -> Option<Vec<u8>>;
}

/// A prefix, then the key.
pub(crate) struct Prefix(pub(crate) Box<[u8]>);

impl Naming for Prefix {
    fn name(&self, key: &[u8]) -> Vec<u8> {
        [&*self.0, key].concat()
    }

    fn key(&self, name: &[u8]) -> Option<Vec<u8>> {
        name.strip_prefix(&*self.0).map(<[u8]>::to_vec)
    }
}

impl<V> Sharing<V> {
    /// By this codec, named by the space's name, a colon and the key.
    pub fn with(codec: impl Codec<V>) -> Sharing<V> {
        Sharing { codec: Arc::new(codec), naming: None, recipe: 0, on_shared: true, on_disk: true, by_key: false }
    }

    /// Named by this prefix and the key instead. No two spaces of a tier may have prefixes of which one begins the other.
    #[must_use]
    pub fn prefix(self, prefix: impl AsRef<[u8]>) -> Sharing<V> {
        self.named(Prefix(prefix.as_ref().into()))
    }

    /// Named in another way.
    #[must_use]
    pub fn named(self, naming: impl Naming) -> Sharing<V> {
        Sharing { naming: Some(Arc::new(naming)), ..self }
    }
}

impl<V> Sharing<V> {
    /// How values are made, as a number: a hash of a query, say. What an earlier life of the process left on disk under
    /// another recipe is not used.
    #[must_use]
    pub fn recipe(self, recipe: u64) -> Sharing<V> {
        Sharing { recipe, ..self }
    }

    /// Not in the shared tier: on this machine's disk alone.
    #[must_use]
    pub fn only_disk(self) -> Sharing<V> {
        Sharing { on_shared: false, ..self }
    }

    /// Nobody clears the space as a whole ([`crate::Space::clear`]): what has no tags is then invalidated by its key alone, and
    /// the shared tier knows of that. So a process that has lost the backplane alone takes such values over from the tier,
    /// however old they are. Whoever clears it all the same is not heard of by such a process.
    #[must_use]
    pub fn by_key_alone(self) -> Sharing<V> {
        Sharing { by_key: true, ..self }
    }

    /// Not on this machine's disk: in the shared tier alone.
    #[must_use]
    pub fn only_shared(self) -> Sharing<V> {
        Sharing { on_disk: false, ..self }
    }
}

impl<V: Serialize + DeserializeOwned + 'static> Sharing<V> {
    /// As JSON.
    pub fn json() -> Sharing<V> {
        Sharing::with(Json)
    }
}

/// Values as JSON.
struct Json;

impl<V: Serialize + DeserializeOwned> Codec<V> for Json {
    fn encode(&self, value: &V) -> Option<Encoded> {
        let body = Bytes::from(serde_json::to_vec(value).ok()?);
        Some(Encoded { body, format: Format::Json, about: Vec::new() })
    }

    fn decode(&self, stored: Encoded) -> Option<V> {
        serde_json::from_slice(&stored.body).ok()
    }

    fn foreign(&self, body: Bytes) -> Option<V> {
        serde_json::from_slice(&body).ok()
    }
}

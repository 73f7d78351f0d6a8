//! How do the values of a space live outside the process: in which bytes, under which names, in which tiers?

use std::sync::Arc;

use crate::body::AnyCodec;
use crate::codec::Erased;
use crate::shared::{Naming, Prefix, Sharing, tag_hash};
use crate::weigh::Value;

/// How a space's values live outside the process.
#[derive(Clone)]
pub(crate) struct Travel {
    pub(crate) codec: Arc<dyn AnyCodec>,
    pub(crate) naming: Arc<dyn Naming>,
    /// Names the space and how its values are made.
    pub(crate) recipe: u64,
    /// They may live in the shared tier.
    pub(crate) on_shared: bool,
    /// They may live on disk.
    pub(crate) on_disk: bool,
    /// The space is never invalidated as a whole.
    pub(crate) by_key: bool,
}

impl Travel {
    pub(crate) fn of<V: Value>(space: &str, sharing: Sharing<V>) -> Travel {
        let plain = || Arc::new(Prefix(format!("{space}:").into_bytes().into())) as Arc<dyn Naming>;
        let recipe = format!("{space}\0{}\0{}", std::any::type_name::<V>(), sharing.recipe);
        Travel {
            codec: Arc::new(Erased(sharing.codec)),
            naming: sharing.naming.unwrap_or_else(plain),
            recipe: tag_hash(&recipe),
            on_shared: sharing.on_shared,
            on_disk: sharing.on_disk,
            by_key: sharing.by_key,
        }
    }

    /// A key's name in the shared tier.
    pub(crate) fn name(&self, key: &[u8]) -> Vec<u8> {
        self.naming.name(key)
    }
}

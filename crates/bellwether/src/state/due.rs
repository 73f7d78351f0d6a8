//! Which copies are to be compared with the shared tier soon? Keys that were read and not compared for a while.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::space::SpaceState;
use crate::key::{ByCarriedHash, Key};

/// Keys that wait; one beyond that becomes suspect, and is compared when it is read.
const MOST_DUE: usize = 16_384;

/// Those keys.
#[derive(Default)]
pub(crate) struct Due(Mutex<HashMap<Key, Arc<SpaceState>, ByCarriedHash>>);

impl Due {
    /// Takes note of one, unless others are at it right now: it is read again.
    pub(crate) fn add(&self, space: &Arc<SpaceState>, key: impl FnOnce() -> Key) {
        let Some(mut keys) = self.0.try_lock() else { return };
        if keys.len() < MOST_DUE {
            keys.entry(key()).or_insert_with(|| space.clone());
        }
    }

    /// All of them.
    pub(crate) fn take(&self) -> Vec<(Key, Arc<SpaceState>)> {
        std::mem::take(&mut *self.0.lock()).into_iter().collect()
    }
}

//! Which keys are read from several nodes of the shared tier? Those that the plan says, for as long as it says so.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::space::SpaceState;
use crate::key::{ByCarriedHash, Key};

/// What the tier was told.
#[derive(Default)]
pub(crate) struct Splits(HashMap<Key, u16, ByCarriedHash>);

impl Splits {
    /// Tells the tier what has changed. `copies`: the keys that are split, and over how many nodes.
    pub(crate) fn follow(
        &mut self,
        engine: &Arc<Engine>,
        spaces: &HashMap<u32, Arc<SpaceState>>,
        copies: &HashMap<Key, u16, ByCarriedHash>,
    ) {
        let tell = |key: &Key, nodes: u16| {
            let space = spaces.get(&key.space)?;
            let (spread, travel) = (engine.spread.as_ref()?, space.travel.as_ref()?);
            spread.spread(&travel.name(&key.bytes), nodes);
            Some(space)
        };
        self.0.retain(|key, _| {
            let stays = copies.contains_key(key);
            if !stays {
                // Of a space that is gone nobody reads the key any more.
                let _ = tell(key, 1);
            }
            stays
        });
        for (key, nodes) in copies {
            let before = self.0.insert(key.clone(), *nodes);
            if before == Some(*nodes) {
                continue;
            }
            let Some(space) = tell(key, *nodes) else { continue };
            // Copies are made of a value that names them: the next one.
            let held = engine.memory.peek(key.by_ref()).map(|entry| entry.fence()).unwrap_or_default();
            engine.refresh_unasked(space, key, held);
        }
    }
}

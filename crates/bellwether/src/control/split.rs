//! How does the shared tier hold keys that are hot? From how many nodes they are read, whether replicas may answer, and
//! how well they are compressed: as the plan says, for as long as it says so.

use std::collections::HashMap;
use std::sync::Arc;

use bellwether_core::heat::plan::Measure;
use bellwether_core::time::Span;

use crate::engine::Engine;
use crate::entry::TierMark;
use crate::key::{ByCarriedHash, Key};
use crate::state::plan::Planned;
use crate::state::space::SpaceState;

/// What the tier was told, by key.
#[derive(Default)]
pub(crate) struct Splits(HashMap<Key, Told, ByCarriedHash>);

/// What it was told of one key.
struct Told {
    held: Held,
    /// Its value is to be loaded once more, so that it lies there as the tier was told.
    anew: bool,
}

/// How the tier holds a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    /// Nodes that its reads are shared out among.
    nodes: u16,
    /// Replicas may answer that lag by no more.
    lag: Option<Span>,
    /// Compressed as well as can be.
    tight: bool,
}

/// As any key.
const USUAL: Held = Held { nodes: 1, lag: None, tight: false };

impl Held {
    fn planned(planned: &Planned) -> Held {
        let reaction = &planned.reaction;
        Held { nodes: reaction.copies, lag: reaction.replicas, tight: reaction.compress }
    }
}

impl Splits {
    /// Tells the tier what has changed, and counts what came of it.
    pub(crate) fn follow(
        &mut self,
        engine: &Arc<Engine>,
        spaces: &HashMap<u32, Arc<SpaceState>>,
        by_key: &HashMap<Key, Planned, ByCarriedHash>,
    ) {
        let Some(spread) = &engine.spread else { return };
        let name = |key: &Key| {
            let space = spaces.get(&key.space)?;
            Some((space, space.travel.as_ref()?.name(&key.bytes)))
        };
        self.0.retain(|key, _| {
            let stays = by_key.get(key).is_some_and(|planned| Held::planned(planned) != USUAL);
            // Of a space that is gone nobody reads the key any more.
            if let Some((_, name)) = name(key).filter(|_| !stays) {
                spread.spread(&name, USUAL.nodes);
                spread.near(&name, USUAL.lag);
            }
            stays
        });
        for (key, planned) in by_key {
            let held = Held::planned(planned);
            let Some((space, name)) = name(key).filter(|_| held != USUAL) else { continue };
            let used = spread.take_used(&name);
            engine.plans.saved(&planned.toll, Measure::Split, used.from_copies);
            engine.plans.cost(&planned.toll, Measure::Split, used.filled);
            engine.plans.saved(&planned.toll, Measure::Replicas, used.from_replicas);
            let resident = engine.memory.peek(key.by_ref());
            let told = self.0.entry(key.clone()).or_insert(Told { held: USUAL, anew: false });
            if told.held != held {
                spread.spread(&name, held.nodes);
                spread.near(&name, held.lag);
                let read = resident.as_ref().and_then(|entry| entry.mark()).map(TierMark::fence).unwrap_or_default();
                spread.knows(&name, engine.pending.raised(key).max(read));
                // Copies are made of a value that names them, and what lies there is as long as it was.
                told.anew |= told.held.nodes != held.nodes || held.tight && !told.held.tight;
                told.held = held;
            }
            if space.loads_unasked() {
                // Not while somebody loads it anyway: then at the end of the next window.
                let seen = resident.map(|entry| entry.fence()).unwrap_or_default();
                told.anew = told.anew && !engine.refresh_unasked(space, key, seen);
            } else if held.nodes > 1 && !spread.names_copies(&name) {
                // Nobody can load it: what lies there is told of its copies.
                spread.name_copies(&name, engine.pending.raised(key));
            }
        }
    }
}

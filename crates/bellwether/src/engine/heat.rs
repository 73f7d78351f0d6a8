//! What changes for a key that is reacted to? Its times, how it travels, and whether memory answers although its space's
//! memory is off.

use bellwether_core::draw::Draw;
use bellwether_core::entry::{Kind, Meta};
use bellwether_core::heat::plan::{Measure, promotion};
use bellwether_core::time::Tick;

use crate::engine::Engine;
use crate::entry::{Entry, Resident};
use crate::key::Key;
use crate::shared::{Envelope, Position};
use crate::state::space::SpaceState;

impl Engine {
    /// A space comes into use, in the place of `before`: does memory answer, by its policy?
    pub(crate) fn settle_memory(&self, space: &SpaceState, before: Option<&SpaceState>) {
        if self.tier.is_none() {
            return;
        }
        if space.is_without_memory() {
            space.brake(true);
        } else if before.is_some_and(|before| before.id == space.id && before.is_without_memory()) {
            space.brake(false);
        }
    }

    /// An entry of `key` as it goes to the shared tier; `None` if its value can't travel.
    pub(crate) fn outgoing(&self, space: &SpaceState, key: &Key, entry: &Entry, seen: Position) -> Option<Envelope> {
        let envelope = self.envelope(space, entry, seen)?;
        let tight = self.plans.of(key, |planned| {
            let compressed = planned.reaction.compress && envelope.kind == Kind::Value;
            compressed.then(|| {
                self.plans.cost(&planned.toll, Measure::Compress, 1);
                planned.toll.packed.clone()
            })
        });
        Some(Envelope { tight, ..envelope })
    }

    /// An entry of `key` came from the shared tier.
    pub(crate) fn came_in(&self, key: &Key) {
        self.plans.of(key, |planned| planned.reaction.compress.then(|| planned.toll.packed.read()));
    }

    /// The meta of a value that was loaded here, kept longer if the key's reaction says so. Not of one that another
    /// process loaded: that was extended there, and the budget is one for all.
    pub(crate) fn extended(&self, key: &Key, meta: Meta) -> Meta {
        let extended = self.plans.of(key, |planned| {
            let longer = planned.reaction.extend?.of(meta);
            self.plans.saved(&planned.toll, Measure::Extend, 1);
            Some(longer)
        });
        extended.unwrap_or(meta)
    }

    /// What is kept of a promoted key is held from now on. Call it under the key's lock.
    pub(crate) fn hold(&self, key: &Key, entry: &Resident) {
        self.plans.of(key, |planned| {
            planned.reaction.promote?;
            planned.toll.hold(entry.fence(), self.clock.now());
            self.plans.cost(&planned.toll, Measure::Promote, 1);
            Some(())
        });
    }

    /// Whether memory answers with this entry although its space's memory is off: its key is promoted, and the shared
    /// tier was asked for it not long ago.
    pub(crate) fn is_held(&self, key: &Key, entry: &Resident, at: Tick) -> bool {
        let held = self.plans.of(key, |planned| {
            let ttl = planned.reaction.promote?;
            let since = planned.toll.held_since(entry.fence())?;
            // Each copy has a draw of its own, the same at every read.
            (at < since + promotion(ttl, Draw(entry.fence().0).unit()))
                .then(|| self.plans.saved(&planned.toll, Measure::Promote, 1))
        });
        held.is_some()
    }
}

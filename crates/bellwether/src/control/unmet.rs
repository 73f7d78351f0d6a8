//! When is loaded what was asked for in vain? Once nobody waits for its origin, and nobody needs to ask again.

use std::sync::{Arc, Weak};

use bellwether_core::fence::Fence;
use bellwether_core::guard::unmet::LOOK;

use crate::engine::Engine;
use crate::port::clock::Clock;

/// Looks for room until the cache is gone.
pub(crate) fn start(engine: &Arc<Engine>) {
    engine.runtime().spawn(watch(Arc::downgrade(engine), engine.clock.clone()));
}

async fn watch(engine: Weak<Engine>, clock: Clock) {
    for turn in 0_usize.. {
        clock.sleep_until(clock.now() + LOOK).await;
        let Some(engine) = engine.upgrade() else { return };
        let mut spaces: Vec<_> = engine.spaces.read().values().cloned().collect();
        // Where there is room for one load, each space is the first to be asked now and then.
        let first = turn.checked_rem(spaces.len()).unwrap_or(0);
        spaces.rotate_left(first);
        for space in spaces {
            let due = {
                let mut unmet = space.unmet.lock();
                if unmet.is_empty() {
                    continue;
                }
                let room = space.catch_up(unmet.len());
                unmet.due(room, clock.now())
            };
            for key in due {
                // Not needed where somebody else has loaded it meanwhile.
                let _begun = engine.refresh_unasked(&space, &key, Fence::default());
            }
        }
    }
}

//! In which spaces does memory cost more than it saves? Looked at for each shared space, window by window.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use bellwether_core::guard::brake::{Brake, Traffic, WINDOW};

use crate::engine::Engine;
use crate::port::clock::Clock;

/// Looks until the cache is gone. Without a shared tier there is nothing in memory's place.
pub(crate) fn start(engine: &Arc<Engine>) {
    if engine.tier.is_some() {
        engine.runtime().spawn(watch(Arc::downgrade(engine), engine.clock.clone()));
    }
}

async fn watch(engine: Weak<Engine>, clock: Clock) {
    // By the ids of spaces: the brake, and the traffic up to the last look.
    let mut brakes: HashMap<u32, (Brake, Traffic)> = HashMap::new();
    loop {
        clock.sleep_until(clock.now() + WINDOW).await;
        let Some(engine) = engine.upgrade() else { return };
        look(&engine, &mut brakes);
    }
}

/// A window is over.
fn look(engine: &Engine, brakes: &mut HashMap<u32, (Brake, Traffic)>) {
    let spaces: Vec<_> = engine
        .spaces
        .read()
        .values()
        .filter(|space| space.travel.is_some() && !space.is_without_memory())
        .cloned()
        .collect();
    brakes.retain(|id, _| spaces.iter().any(|space| space.id == *id));
    for space in spaces {
        let (brake, before) = brakes.entry(space.id).or_default();
        let so_far = space.traffic();
        let window = so_far.since(std::mem::replace(before, so_far));
        let Some(on) = brake.judge(window) else { continue };
        space.brake(on);
        let (space, invalidations, hits, reads) = (&*space.name, window.invalidations, window.hits, window.reads);
        if on {
            tracing::warn!(space, invalidations, hits, "more is invalidated than memory serves: its tier is off");
        } else {
            tracing::info!(space, invalidations, reads, "more is read than invalidated: the memory tier is on again");
        }
    }
}

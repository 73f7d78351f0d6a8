//! When is a copy too old to be believed? A mark that rises with time, so that nothing is served which the shared tier
//! has not confirmed within `resync`, however long nobody read it.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use bellwether_core::fence::Fence;
use bellwether_core::time::Span;

use crate::engine::Engine;
use crate::port::clock::Clock;

/// Steps in which the mark rises within one `resync`.
const STEPS: usize = 8;

/// Raises the mark until the cache is gone. Nothing to do without a shared tier.
pub(crate) fn start(engine: &Arc<Engine>) {
    if engine.tier.is_some() {
        // Copies are compared from half of it on.
        let step = Span((engine.resync.0 * 2 / STEPS as u64).max(1));
        engine.runtime().spawn(raise(Arc::downgrade(engine), engine.clock.clone(), step));
    }
}

async fn raise(engine: Weak<Engine>, clock: Clock, step: Span) {
    // The newest first. What is above the last of them was confirmed less than `STEPS` steps ago.
    let mut drawn: VecDeque<Fence> = VecDeque::new();
    loop {
        clock.sleep_until(clock.now() + step).await;
        let Some(engine) = engine.upgrade() else { return };
        drawn.push_front(engine.next_fence());
        drawn.truncate(STEPS);
        if let Some(suspect) = drawn.get(STEPS - 1) {
            engine.each_shared(|space| space.doubt(*suspect));
        }
    }
}

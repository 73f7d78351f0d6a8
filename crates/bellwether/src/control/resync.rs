//! When is a copy too old to be believed? A mark that rises with time, so that nothing is served which the shared tier
//! has not confirmed within `resync` and a quarter of it, however long nobody read it and whether it answers or not.

use std::sync::{Arc, Weak};

use bellwether_core::time::Span;

use crate::engine::Engine;
use crate::port::clock::Clock;

/// Raises the mark until the cache is gone. Nothing to do without a shared tier.
pub(crate) fn start(engine: &Arc<Engine>) {
    if engine.tier.is_some() {
        engine.mind_pauses();
        let step = engine.ageing.lock().step();
        engine.runtime().spawn(raise(Arc::downgrade(engine), engine.clock.clone(), step));
    }
}

async fn raise(engine: Weak<Engine>, clock: Clock, step: Span) {
    loop {
        clock.sleep_until(clock.now() + step).await;
        let Some(engine) = engine.upgrade() else { return };
        engine.age_copies(clock.now());
    }
}

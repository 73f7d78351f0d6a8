//! Is the shared tier still silent? Asked a few times a second while copies are served for that reason.

use std::sync::{Arc, Weak};

use crate::engine::Engine;
use crate::port::clock::Clock;
use crate::state::silence::Silence;

/// Asks until the cache is gone. Nothing to do without a shared tier.
pub(crate) fn start(engine: &Arc<Engine>) {
    if engine.tier.is_some() {
        engine.runtime().spawn(ask(Arc::downgrade(engine), engine.clock.clone()));
    }
}

async fn ask(engine: Weak<Engine>, clock: Clock) {
    let Some(began) = engine.upgrade().map(|engine| engine.silence.began()) else { return };
    loop {
        began.notified().await;
        while engine.upgrade().is_some_and(|engine| engine.silence.is_on()) {
            clock.sleep_until(clock.now() + Silence::pause()).await;
            let Some(engine) = engine.upgrade() else { return };
            engine.ask_whether_silent().await;
        }
    }
}

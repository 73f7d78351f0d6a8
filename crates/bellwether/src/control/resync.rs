//! When is a copy too old to be believed? Marks that rise with time, so that nothing is served which the shared tier
//! has not confirmed within `resync`.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use bellwether_core::fence::Fence;
use bellwether_core::time::Span;

use crate::engine::Engine;
use crate::port::clock::Clock;

/// Steps in which the marks rise within one `resync`.
const STEPS: usize = 8;
/// Copies that were not confirmed for so many steps are compared in the background.
const DUE: usize = 4;
/// The shortest step.
const SHORTEST: Span = Span::ms(5);

/// Raises the marks and compares what is due, until the cache is gone. Nothing to do without a shared tier.
pub(crate) fn start(engine: &Arc<Engine>) {
    if engine.tier.is_some() {
        let step = Span(engine.resync.0 / STEPS as u64).max(SHORTEST);
        engine.runtime().spawn(raise(Arc::downgrade(engine), engine.clock.clone(), step));
        engine.runtime().spawn(compare(Arc::downgrade(engine), engine.clock.clone(), step));
    }
}

async fn raise(engine: Weak<Engine>, clock: Clock, step: Span) {
    // The newest first. What is above the one of `n` steps ago was confirmed less than `n + 1` steps ago.
    let mut drawn: VecDeque<Fence> = VecDeque::new();
    loop {
        clock.sleep_until(clock.now() + step).await;
        let Some(engine) = engine.upgrade() else { return };
        drawn.push_front(engine.next_fence());
        drawn.truncate(STEPS);
        let ago = |steps: usize| drawn.get(steps - 1).copied().unwrap_or_default();
        engine.each_shared(|space| space.doubt(ago(DUE), ago(STEPS)));
    }
}

async fn compare(engine: Weak<Engine>, clock: Clock, step: Span) {
    loop {
        clock.sleep_until(clock.now() + step).await;
        let Some(engine) = engine.upgrade() else { return };
        engine.verify_due().await;
    }
}

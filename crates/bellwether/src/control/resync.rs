//! When is a copy too old to be believed? A mark that rises with time, so that nothing is served which the shared tier
//! has not confirmed within `resync` and a quarter of it, however long nobody read it.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use bellwether_core::fence::Fence;
use bellwether_core::time::{Span, Tick};

use crate::engine::Engine;
use crate::port::clock::Clock;

/// Steps of the mark within one `resync`: from its end on a copy that is read is compared.
const PERIOD: u64 = 8;
/// A copy is suspect when that end is past by this part of `resync`, or by so many budgets of the tier: a tier that is
/// silent must be known to be before.
const MARGIN: u64 = 4;
const BUDGETS: u64 = 3;

/// Raises the mark until the cache is gone. Nothing to do without a shared tier.
pub(crate) fn start(engine: &Arc<Engine>) {
    if engine.tier.is_some() {
        let step = Span((engine.resync.0 / PERIOD).max(1));
        let margin = (engine.resync.0 / MARGIN).max(engine.tier_budget.0 * BUDGETS);
        let most = Span(engine.resync.0 + margin);
        engine.runtime().spawn(raise(Arc::downgrade(engine), engine.clock.clone(), step, most));
    }
}

/// `most`: what was confirmed so long ago is suspect.
async fn raise(engine: Weak<Engine>, clock: Clock, step: Span, most: Span) {
    // The oldest first, each with its moment: a process that stood still has not taken its steps meanwhile.
    let mut drawn: VecDeque<(Tick, Fence)> = VecDeque::new();
    loop {
        clock.sleep_until(clock.now() + step).await;
        let Some(engine) = engine.upgrade() else { return };
        let now = clock.now();
        drawn.push_back((now, engine.next_fence()));
        let mut suspect = None;
        while let Some((at, fence)) = drawn.front().copied()
            && now.since(at) >= most
        {
            suspect = Some(fence);
            drawn.pop_front();
        }
        // A tier that is silent confirms nothing, and learns of no invalidation: what is held is left in peace.
        let silent = engine.tier_silent.load(Ordering::Relaxed);
        if let Some(suspect) = suspect.filter(|_| !silent) {
            engine.each_shared(|space| space.doubt(suspect));
        }
    }
}

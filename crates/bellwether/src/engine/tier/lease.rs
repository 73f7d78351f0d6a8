//! Who holds the right to load a key, for the whole fleet? A lease: kept alive while its load runs, given back in
//! whatever way that ends.

use std::sync::Arc;

use bellwether_core::failure::FailClass;
use bellwether_core::fence::Fence;
use bellwether_core::lease::heartbeat;
use bellwether_core::position::Position;
use bellwether_core::time::Span;
use tokio::task::AbortHandle;

use crate::engine::Engine;
use crate::observe::shared::add;
use crate::shared::{Envelope, Stored, Tier, TierTrouble};
use crate::state::space::SpaceState;

/// A heartbeat that was not answered is tried again after such a part of the time between two.
const MADE_UP: u64 = 4;

/// A lease that was granted.
pub(crate) struct Lease {
    to: Arc<Place>,
    pub(crate) token: Fence,
    /// What this process had applied of the fleet's invalidations before it asked for the lease.
    pub(crate) seen: Position,
    beat: AbortHandle,
    /// Neither published nor given back yet.
    open: bool,
}

/// A key in the shared tier.
pub(crate) struct Place {
    pub(crate) engine: Arc<Engine>,
    pub(crate) space: Arc<SpaceState>,
    pub(crate) tier: Arc<dyn Tier>,
    pub(crate) name: Vec<u8>,
}

impl Lease {
    pub(crate) fn new(to: &Arc<Place>, token: Fence, seen: Position, lease: Span) -> Lease {
        let beat = to.engine.runtime().spawn(beat(to.clone(), token, lease)).abort_handle();
        Lease { to: to.clone(), token, seen, beat, open: true }
    }

    /// Publishes what was loaded, which ends the lease.
    pub(crate) async fn publish(mut self, envelope: Envelope) -> Result<Stored, TierTrouble> {
        let Place { engine, space, tier, name } = &*self.to;
        let stored = engine.within_budget(space, tier.publish(name, self.token, envelope)).await;
        match stored {
            Ok(Stored::Yes(_)) => add(&engine.tally.published),
            Ok(Stored::Refused) => add(&engine.tally.refused),
            // Perhaps it was stored and the answer lost: then giving the lease back does nothing.
            Err(_) => return stored,
        }
        self.open = false;
        stored
    }

    /// Gives the lease back. Whether the tier hears of it or not, it ends.
    pub(crate) async fn release(mut self, failed: Option<(Span, FailClass)>) {
        self.open = false;
        release(&self.to, self.token, failed).await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.beat.abort();
        if self.open {
            let (to, token) = (self.to.clone(), self.token);
            self.to.engine.runtime().spawn(async move { release(&to, token, None).await });
        }
    }
}

async fn release(to: &Place, token: Fence, failed: Option<(Span, FailClass)>) {
    let Place { engine, space, tier, name } = to;
    if engine.within_budget(space, tier.release(name, token, failed)).await.is_ok() {
        add(&engine.tally.released);
    }
}

/// Renews the lease, at most until the origin's timeout has passed since it was granted: whoever waits for it must
/// not wait for a load that hangs.
async fn beat(to: Arc<Place>, token: Fence, lease: Span) {
    let Place { engine, space, tier, name } = &*to;
    let until = engine.clock.now() + space.gate.timeout();
    let mut pause = heartbeat(lease);
    loop {
        engine.clock.sleep_until(engine.clock.now() + pause).await;
        if engine.clock.now() >= until {
            return;
        }
        pause = match engine.within_budget(space, tier.renew(name, token, lease)).await {
            Ok(true) => heartbeat(lease),
            // A void token stays void. The load goes on, because callers here wait for it; it will not be stored there.
            Ok(false) => return,
            // One that was missed is made up for: with the next one as well the holder is presumed gone.
            Err(_) => Span(heartbeat(lease).0 / MADE_UP).max(Span(1)),
        };
    }
}

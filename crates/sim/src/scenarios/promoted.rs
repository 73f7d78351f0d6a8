//! How does a promoted key live in an instance's memory? As the core's plan says.

use bellwether_core::draw::Draw;
use bellwether_core::heat::hot::{Hot, Rates, Stage};
use bellwether_core::heat::plan::{Allowed, Situation, plan, promotion};
use bellwether_core::time::{Span, Tick};

/// What a space may add to a value's age: the default.
const BUDGET: Span = Span::secs(2);
/// Of the space.
const TTL: Span = Span::secs(60);

/// A key that an instance holds in memory.
pub(super) struct Promoted {
    hold: Span,
    until: Tick,
}

impl Promoted {
    /// What the plan makes of a verdict; without one of its own an instance takes over what the fleet sees.
    pub(super) fn planned(hot: Option<Hot>, instances: u32, capacity: f64, rate: f64) -> Option<Promoted> {
        let hot = hot.unwrap_or_else(|| seen(capacity, rate));
        let hold = plan(&situation(Some(hot), instances, capacity))?.promote?;
        Some(Promoted { hold, until: Tick(0) })
    }

    /// Whether a read at `now` asks the shared tier: one does, the others wait for it or read the copy.
    pub(super) fn asks_again(&mut self, draw: Draw, now: Tick) -> bool {
        let asks = now >= self.until;
        if asks {
            self.until = now + promotion(self.hold, draw.unit());
        }
        asks
    }
}

/// For how long the plan promotes a key of this rate.
pub(super) fn planned(instances: u32, capacity: f64, rate: f64) -> Option<Span> {
    plan(&situation(Some(seen(capacity, rate)), instances, capacity))?.promote
}

/// On how many nodes the plan puts a key of this rate.
pub(super) fn copies(instances: u32, capacity: f64, rate: f64, nodes: u32, memory: bool) -> u16 {
    let mut situation = Situation { nodes, ..situation(Some(seen(capacity, rate)), instances, capacity) };
    if !memory {
        situation.allowed.budget = Span::ZERO;
    }
    plan(&situation).map_or(1, |reaction| reaction.copies)
}

fn seen(capacity: f64, rate: f64) -> Hot {
    let fleet = Rates { reads: rate, writes: 0.0, bytes: 0.0 };
    Hot { stage: Stage::Hot, here: fleet, fleet, share: rate / capacity, since: Tick(0), hold_until: Tick::NEVER }
}

fn situation(hot: Option<Hot>, instances: u32, capacity: f64) -> Situation {
    let allowed = Allowed { budget: BUDGET, extend_ttl: false, memory: false, shared: true, loads: false };
    Situation {
        hot,
        allowed,
        ttl: TTL,
        value_bytes: 1_024,
        instances,
        nodes: 1,
        replicas: 0,
        capacity,
        // They hear each other over the backplane.
        heard: true,
        degraded: false,
        announced: false,
        threads: 1,
    }
}

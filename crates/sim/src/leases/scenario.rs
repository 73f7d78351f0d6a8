//! What is done to the fleet? Sizes, policies and faults, drawn from a seed.

use bellwether_core::policy::{Early, Policy};
use bellwether_core::time::Span;

use crate::world::Dice;

/// The longest that a process stands still or the tier is frozen.
pub(super) const LONGEST_PAUSE: Span = Span::secs(3);

/// So long without a look at the clock, and a process has stood still: then the mark rises before anything else.
pub(super) const PAUSE: Span = Span::ms(250);

/// What one run is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Of the one space.
    pub policy: Policy,
    /// Processes of the fleet.
    pub processes: u16,
    /// Keys that are asked for.
    pub keys: u8,
    /// Requests of the run.
    pub requests: u32,
    /// They come within this time, in bursts over the whole fleet.
    pub length: Span,
    /// Rows that are written, each followed by an invalidation by some process.
    pub writes: u32,
    /// The median of a load's service time.
    pub load: Span,
    /// A load is cut off after this.
    pub timeout: Span,
    /// All that a request may spend on the tier.
    pub budget: Span,
    /// A copy is compared with the tier after this, and not believed a quarter later; if at all.
    pub resync: Option<Span>,
    /// What goes wrong.
    pub faults: Faults,
}

/// How often what goes wrong: shares of calls and loads, or events of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// A way to the tier, or to another process, takes up to this.
    pub delay: Span,
    /// Calls or answers that are lost.
    pub lost: f64,
    /// Messages between processes that are lost.
    pub deaf: f64,
    /// Loads that fail.
    pub fail: f64,
    /// Loads that never return.
    pub hang: f64,
    /// Clocks of processes and of the tier's servers differ by up to this.
    pub skew: Span,
    /// The tier fails over to a replica.
    pub failovers: u32,
    /// ... that lags behind by this.
    pub lag: Span,
    /// The tier is frozen for a while.
    pub freezes: u32,
    /// Somebody else deletes a key.
    pub deletes: u32,
    /// A process stands still for a while.
    pub stops: u32,
    /// A process dies, and begins anew.
    pub crashes: u32,
    /// A process reaches neither the tier nor the others for a while.
    pub cuts: u32,
}

impl Faults {
    /// None but that everything takes its time.
    pub fn is_calm(&self) -> bool {
        let none = self.failovers + self.freezes + self.deletes + self.stops + self.crashes + self.cuts == 0;
        none && self.lost + self.deaf + self.fail + self.hang == 0.0
    }
}

impl Scenario {
    /// A scenario drawn from `seed`: up to 40 processes, every fault present in some, none in a third of them.
    pub fn drawn(seed: u64) -> Scenario {
        // Dice of its own: what is drawn here is drawn for fleets that were there before it.
        let mut apart = Dice::of(seed ^ 0xA9A2_7000);
        let resync = if apart.chance(0.3) { Some(Span(apart.one_of(&[200, 600, 1500]))) } else { None };
        let cuts = if resync.is_some() { apart.one_of(&[0, 1, 2, 6]) } else { 0 };
        let mut dice = Dice::of(seed ^ 0x1EA5_E000);
        let d = &mut dice;
        let load = Span(d.one_of(&[2, 20, 60, 150]));
        let grace = Span(d.one_of(&[0, 0, 300, 3000]));
        let policy = Policy {
            stale_while_revalidate: if d.chance(0.6) { grace } else { Span::ZERO },
            stale_if_error: Span(d.one_of(&[grace.0, 0, 800])),
            timeout: Span(d.one_of(&[100, 400, 1000])),
            jitter: d.one_of(&[0.0, 0.1]),
            early: d.one_of(&[Early::Off, Early::Lead]),
            ..Policy::ttl(Span(d.one_of(&[150, 600, 3000])))
        };
        let calm = d.chance(0.3);
        let some = |d: &mut Dice, most: &[u32]| if calm { 0 } else { d.one_of(most) };
        let share = |d: &mut Dice, most: f64| if calm || d.chance(0.5) { 0.0 } else { most * d.draw().unit() };
        let faults = Faults {
            delay: Span(d.one_of(&[0, 1, 4])),
            lost: share(d, 0.08),
            deaf: share(d, 0.2),
            fail: share(d, 0.4),
            hang: share(d, 0.1),
            skew: Span(d.one_of(&[0, 50, 5000])),
            failovers: some(d, &[0, 0, 1, 2]),
            lag: Span(d.one_of(&[0, 5, 50])),
            freezes: some(d, &[0, 0, 1]),
            deletes: some(d, &[0, 0, 3]),
            stops: some(d, &[0, 0, 2, 6]),
            crashes: some(d, &[0, 0, 2]),
            cuts: if calm { 0 } else { cuts },
        };
        Scenario {
            policy,
            processes: d.one_of(&[2, 5, 12, 40]),
            keys: d.one_of(&[1, 2]),
            requests: d.one_of(&[60, 200, 400]),
            length: Span(d.one_of(&[300, 1500, 6000])),
            writes: d.one_of(&[0, 3, 10, 25]),
            load,
            timeout: Span(load.0 * 3 + 100),
            budget: Span(50),
            resync,
            faults,
        }
    }
}

//! What do we know about a value without looking at it? The meta of an entry.

use crate::fence::Fence;
use crate::heat::past::Past;
use crate::time::{Span, Tick};

/// What kind of thing an entry says about its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// There is a value.
    Value,
    /// The row does not exist.
    Negative,
    /// The answer may not be kept: callers load side by side, without a flight.
    HitForMiss,
}

/// Meta of an entry: 48 bytes. Windows after `fresh_until` are 32-bit milliseconds (49 days).
///
/// `fresh_until <= swr_until <= hard_until` holds by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Drawn before the load read the origin.
    pub fence: Fence,
    /// Start of the load: ages count from here.
    pub born: Tick,
    /// Fresh before this moment.
    pub fresh_until: Tick,
    /// From `fresh_until`: served at once for this many ms while one refresh runs.
    pub swr_ms: u32,
    /// From `fresh_until`: served for this many ms when a load failed; never below `swr_ms`.
    pub hard_ms: u32,
    /// How long the load took, in ms: pure service time, never the wait for a permit.
    pub cost_ms: u32,
    /// Early refresh may begin this many ms ahead of `fresh_until`.
    pub early_ms: u32,
    /// What the entry says.
    pub kind: Kind,
}

impl Meta {
    /// From here to `hard_until` the value is stale.
    pub fn swr_until(&self) -> Tick {
        self.fresh_until + Span(u64::from(self.swr_ms))
    }

    /// From here the entry is expired.
    pub fn hard_until(&self) -> Tick {
        self.fresh_until + Span(u64::from(self.hard_ms))
    }

    /// Before this moment an entry is plainly fresh: no early refresh to think about.
    pub fn calm_until(&self) -> Tick {
        self.fresh_until - Span(u64::from(self.early_ms))
    }

    /// The same, stale from `now` on at the latest: its windows end when they did.
    pub fn stale_from(self, now: Tick) -> Meta {
        let fresh_until = self.fresh_until.min(now);
        Meta {
            fresh_until,
            swr_ms: self.swr_until().since(fresh_until).as_u32(),
            hard_ms: self.hard_until().since(fresh_until).as_u32(),
            early_ms: 0,
            ..self
        }
    }

    /// Time since the load began.
    pub fn age(&self, now: Tick) -> Span {
        now.since(self.born)
    }
}

/// A [`Meta`] in 32 bytes, for a tier that holds millions, with two flags of the holder's own. All but
/// `early_ms`: the holder keeps it beside this, because it is what may change while the entry is read.
///
/// Exact but for what no cache needs: a load that took longer than half a minute is told to a sixteenth of a second, and
/// one that took 34 minutes and more as 34 minutes,
/// an entry fresh for more than 24 days has its birth rounded down to a second (so that it never
/// seems younger than it is), and an entry ends 68 years after its birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// No padding: what is packed stands beside other words of 32 bits.
#[repr(C, packed(4))]
pub struct Packed {
    fence: u64,
    fresh_until: u64,
    /// From birth to `fresh_until`: ms, or with the top bit seconds.
    life: u32,
    swr_ms: u32,
    hard_ms: u32,
    /// Kind, flags, what is known from before, and the load's cost in ms.
    rest: u32,
}

/// Marks a life in seconds.
const IN_SECONDS: u32 = 1 << 31;
/// Where the kind stands in `rest`: zero for a value.
const KIND_SHIFT: u32 = 30;
/// Where the holder's flags stand in `rest`.
const FLAGS_SHIFT: u32 = 28;
const FLAGS: u32 = 0b11;
/// A value without flags is below.
const PLAIN: u32 = (1 << FLAGS_SHIFT) - 1;
/// Where in `rest` it stands how often the key was read before.
const PAST_SHIFT: u32 = 16;
/// The load's cost: ms, or with the top bit in steps of [`COST_STEP`].
const COST: u32 = (1 << PAST_SHIFT) - 1;
const IN_STEPS: u32 = 1 << (PAST_SHIFT - 1);
const COST_STEP: u32 = 64;

impl Packed {
    /// Packs a meta, with two flags (bits 0 and 1) that mean what their holder wants.
    pub fn new(meta: Meta, flags: u32) -> Packed {
        let ms = meta.fresh_until.since(meta.born).0;
        let (fresh_until, life) = match u32::try_from(ms) {
            Ok(ms) if ms < IN_SECONDS => (meta.fresh_until, ms),
            _ => {
                let seconds = ms.div_ceil(1000).min(u64::from(IN_SECONDS - 1)) as u32;
                (meta.fresh_until.min(meta.born + Span(u64::from(seconds) * 1000)), seconds | IN_SECONDS)
            }
        };
        Packed {
            fence: meta.fence.0,
            fresh_until: fresh_until.0,
            life,
            swr_ms: meta.swr_ms,
            hard_ms: meta.hard_ms,
            rest: (meta.kind as u32) << KIND_SHIFT | (flags & FLAGS) << FLAGS_SHIFT | cost(meta.cost_ms),
        }
    }

    /// The same, remembering how often the key was read before.
    pub fn with_past(self, past: Past) -> Packed {
        Packed { rest: self.rest & !(PLAIN & !COST) | (u32::from(past.0) << PAST_SHIFT & PLAIN), ..self }
    }

    /// How often the key was read before.
    pub fn past(&self) -> Past {
        Past(((self.rest & PLAIN) >> PAST_SHIFT) as u16)
    }

    /// The meta again.
    pub fn meta(&self, early_ms: u32) -> Meta {
        let fresh_until = self.fresh_until();
        let life = match self.life & !IN_SECONDS {
            seconds if self.life & IN_SECONDS != 0 => u64::from(seconds) * 1000,
            ms => u64::from(ms),
        };
        Meta {
            fence: self.fence(),
            born: fresh_until - Span(life),
            fresh_until,
            swr_ms: self.swr_ms,
            hard_ms: self.hard_ms,
            cost_ms: match self.rest & COST {
                ms if ms < IN_STEPS => ms,
                steps => (steps & !IN_STEPS) * COST_STEP,
            },
            early_ms,
            kind: self.kind(),
        }
    }

    /// [`Meta::fence`].
    #[inline]
    pub fn fence(&self) -> Fence {
        Fence(self.fence)
    }

    /// [`Meta::fresh_until`].
    #[inline]
    pub fn fresh_until(&self) -> Tick {
        Tick(self.fresh_until)
    }

    /// [`Meta::calm_until`].
    #[inline]
    pub fn calm_until(&self, early_ms: u32) -> Tick {
        self.fresh_until() - Span(u64::from(early_ms))
    }

    /// [`Meta::hard_until`].
    #[inline]
    pub fn hard_until(&self) -> Tick {
        self.fresh_until() + Span(u64::from(self.hard_ms))
    }

    /// [`Meta::kind`].
    #[inline]
    pub fn kind(&self) -> Kind {
        match self.rest >> KIND_SHIFT {
            0 => Kind::Value,
            1 => Kind::Negative,
            _ => Kind::HitForMiss,
        }
    }

    /// The holder's flags.
    #[inline]
    pub fn flags(&self) -> u32 {
        self.rest >> FLAGS_SHIFT & FLAGS
    }

    /// Whether this is a value's meta without a flag: one comparison.
    #[inline]
    pub fn is_plain_value(&self) -> bool {
        self.rest <= PLAIN
    }
}

/// A cost as it is packed.
fn cost(ms: u32) -> u32 {
    if ms < IN_STEPS { ms } else { IN_STEPS | (ms / COST_STEP).min(IN_STEPS - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn meta_stays_small() {
        assert!(size_of::<Meta>() <= 48, "{}", size_of::<Meta>());
        assert_eq!((size_of::<Packed>(), align_of::<Packed>()), (32, 4));
    }

    const DAY: u64 = 24 * 3600 * 1000;

    fn any_meta() -> impl Strategy<Value = Meta> {
        let life = prop_oneof![0..DAY, 0..20 * DAY, 0..500 * DAY, Just(u64::MAX)];
        let windows = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
        (any::<u64>(), 0..10_000 * DAY, life, windows, 0usize..3).prop_map(|(fence, born, life, windows, kind)| {
            let (swr_ms, hard_ms, cost_ms, early_ms) = windows;
            let kind = [Kind::Value, Kind::Negative, Kind::HitForMiss][kind];
            let (born, fresh_until) = (Tick(born), Tick(born) + Span(life));
            Meta { fence: Fence(fence), born, fresh_until, swr_ms, hard_ms, cost_ms, early_ms, kind }
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_as_it_was_or_seems_older(meta in any_meta(), flags in 0u32..4, past in 0u16..4096) {
            let packed = Packed::new(meta, flags).with_past(Past(past));
            prop_assert_eq!(packed.past(), Past(past));
            let out = packed.meta(meta.early_ms);
            let life = meta.fresh_until.since(meta.born).0;
            if life < u64::from(IN_SECONDS) {
                prop_assert_eq!(out, Meta { cost_ms: out.cost_ms, ..meta });
            } else {
                prop_assert!(out.born <= meta.born && meta.born.since(out.born) < Span(1000));
                prop_assert!(out.fresh_until == meta.fresh_until || out.fresh_until.since(meta.born) > Span(24_000 * DAY));
                prop_assert!(out.fresh_until <= meta.fresh_until);
                prop_assert_eq!((out.fence, out.swr_ms, out.hard_ms), (meta.fence, meta.swr_ms, meta.hard_ms));
                prop_assert_eq!((out.early_ms, out.kind, out.cost_ms), (meta.early_ms, meta.kind, out.cost_ms));
            }
            let told = meta.cost_ms.min((IN_STEPS - 1) * COST_STEP);
            let step = if told < IN_STEPS { 1 } else { COST_STEP };
            prop_assert!(out.cost_ms <= told && told - out.cost_ms < step);
            prop_assert_eq!(packed.flags(), flags);
            prop_assert_eq!((packed.fence(), packed.fresh_until(), packed.kind()), (out.fence, out.fresh_until, out.kind));
            prop_assert_eq!((packed.calm_until(meta.early_ms), packed.hard_until()), (out.calm_until(), out.hard_until()));
            prop_assert_eq!(packed.is_plain_value(), meta.kind == Kind::Value && flags == 0);
        }

        #[test]
        fn a_birth_after_the_end_is_moved_back_never_forward(born in 0..DAY, early in 0..DAY) {
            let meta = Meta { fence: Fence(1), born: Tick(born + early), fresh_until: Tick(born), swr_ms: 0, hard_ms: 0,
                cost_ms: 0, early_ms: 0, kind: Kind::Value };
            prop_assert_eq!(Packed::new(meta, 0).meta(meta.early_ms).born, Tick(born));
        }
    }
}

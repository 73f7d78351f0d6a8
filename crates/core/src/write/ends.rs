//! When do a space's values end, and which moment is so crowded that the next one had better end earlier?
//!
//! A histogram over the moments at which values stop being fresh, kept up to date as they come and go: it tells
//! minutes ahead what an avalanche will look like, and new values keep away from where it would be.

use std::ops::Range;

use crate::draw::Draw;
use crate::time::{Span, Tick};

/// Width of a slot for values that live up to [`FINE_LIFE`].
const FINE: Span = Span::secs(10);
const FINE_LIFE: Span = Span::secs(3600);
const FINE_SLOTS: usize = 361;
/// Width of a slot for those that live longer, up to [`COARSE_LIFE`]. What lives longer still is not counted.
const COARSE: Span = Span::secs(600);
const COARSE_LIFE: Span = Span::secs(7 * 24 * 3600);
const COARSE_SLOTS: usize = 1009;

/// Fewer values that end together are no crowd.
pub const CROWD: u32 = 1_000;
/// A slot is crowded above so many times what each would have if ends were even.
const UNEVEN: u64 = 2;
/// A value that would end in a crowd may end earlier by this share of its life.
const SPREAD: f64 = 0.25;
/// Places that are compared, of which the emptiest is taken.
const TRIES: u64 = 2;

/// Values that end within one stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// From now on.
    pub ahead: Range<Span>,
    /// How many.
    pub keys: u64,
}

/// The ends of one space's fresh values.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    fine: Ring,
    coarse: Ring,
}

/// Slots by time; each remembers which stretch it stands for, so that an old count never counts for a later one.
#[derive(Clone, Debug, Default)]
struct Ring {
    /// Made when first needed.
    slots: Vec<(u64, u32)>,
}

/// How a value's life is counted: decided by its own times alone, so that it is taken out where it was put in.
#[derive(Clone, Copy)]
struct Grain {
    width: Span,
    slots: usize,
    is_fine: bool,
}

const FINE_GRAIN: Grain = Grain { width: FINE, slots: FINE_SLOTS, is_fine: true };
const COARSE_GRAIN: Grain = Grain { width: COARSE, slots: COARSE_SLOTS, is_fine: false };

fn grain(born: Tick, fresh_until: Tick) -> Option<Grain> {
    match fresh_until.since(born) {
        life if life <= FINE_LIFE => Some(FINE_GRAIN),
        life if life <= COARSE_LIFE => Some(COARSE_GRAIN),
        _ => None,
    }
}

impl Ring {
    fn at(&mut self, stretch: u64, slots: usize) -> &mut (u64, u32) {
        if self.slots.is_empty() {
            self.slots = vec![(0, 0); slots];
        }
        let len = self.slots.len() as u64;
        &mut self.slots[(stretch % len) as usize]
    }

    fn count(&self, stretch: u64) -> u32 {
        let len = self.slots.len() as u64;
        let slot = if len == 0 { None } else { self.slots.get((stretch % len) as usize) };
        slot.filter(|(of, _)| *of == stretch).map_or(0, |(_, count)| *count)
    }
}

impl Ends {
    /// A value came that was born then and is fresh until then.
    pub fn add(&mut self, born: Tick, fresh_until: Tick) {
        let Some(grain) = grain(born, fresh_until) else { return };
        let stretch = fresh_until.0 / grain.width.0;
        let slot = self.ring(grain).at(stretch, grain.slots);
        match slot.0.cmp(&stretch) {
            std::cmp::Ordering::Equal => slot.1 = slot.1.saturating_add(1),
            std::cmp::Ordering::Less => *slot = (stretch, 1),
            // One that has ended already: its place is another's.
            std::cmp::Ordering::Greater => {}
        }
    }

    /// It went.
    pub fn take(&mut self, born: Tick, fresh_until: Tick) {
        let Some(grain) = grain(born, fresh_until) else { return };
        let stretch = fresh_until.0 / grain.width.0;
        let slot = self.ring(grain).at(stretch, grain.slots);
        if slot.0 == stretch {
            slot.1 = slot.1.saturating_sub(1);
        }
    }

    /// Values that end from `now` on and within `span`.
    pub fn within(&self, span: Span, now: Tick) -> u64 {
        self.slots(now).filter(|crowd| crowd.ahead.end <= span + FINE).map(|crowd| crowd.keys).sum()
    }

    /// The largest crowd ahead, if there is one.
    pub fn crowd(&self, now: Tick) -> Option<Crowd> {
        let of = |grain| self.stretches(grain, now).max_by_key(|(_, count)| *count);
        let crowded = |grain: Grain, found: Option<(u64, u32)>| {
            let (stretch, count) = found?;
            self.is_crowded(grain, count, now).then(|| crowd(grain, stretch, count, now))
        };
        let found = [crowded(FINE_GRAIN, of(FINE_GRAIN)), crowded(COARSE_GRAIN, of(COARSE_GRAIN))];
        found.into_iter().flatten().max_by_key(|crowd| crowd.keys)
    }

    /// Until when a value born at `born` had better be fresh: `fresh_until`, or earlier if too many end then.
    pub fn spread(&self, born: Tick, fresh_until: Tick, now: Tick, draw: Draw) -> Tick {
        let Some(grain) = grain(born, fresh_until) else { return fresh_until };
        let count = |at: Tick| self.ring_of(grain).count(at.0 / grain.width.0);
        if !self.is_crowded(grain, count(fresh_until), now) {
            return fresh_until;
        }
        let most = fresh_until.since(now.max(born)).scale(SPREAD);
        let places = (0..TRIES).map(|try_| fresh_until - most.scale(draw.fork(try_).unit()));
        // Decided with the grain that the value would have now; a shorter life may be counted elsewhere, which is rare
        // and harmless.
        places.min_by_key(|at| count(*at)).unwrap_or(fresh_until)
    }

    fn is_crowded(&self, grain: Grain, count: u32, now: Tick) -> bool {
        if count < CROWD {
            return false;
        }
        // Over the stretches up to the last that anything ends in: a space's ttl is a good part of that.
        let first = now.0 / grain.width.0;
        let (mut all, mut last) = (0u64, first);
        for (stretch, count) in self.stretches(grain, now) {
            all += u64::from(count);
            last = last.max(stretch);
        }
        u64::from(count) * (last - first + 1) > all * UNEVEN || last == first
    }

    fn slots(&self, now: Tick) -> impl Iterator<Item = Crowd> + '_ {
        [FINE_GRAIN, COARSE_GRAIN].into_iter().flat_map(move |grain| {
            self.stretches(grain, now).map(move |(stretch, count)| crowd(grain, stretch, count, now))
        })
    }

    /// Stretches that end after `now`, with what ends in them.
    fn stretches(&self, grain: Grain, now: Tick) -> impl Iterator<Item = (u64, u32)> + '_ {
        let first = now.0 / grain.width.0;
        let slots = self.ring_of(grain).slots.iter();
        slots.copied().filter(move |(stretch, count)| *stretch >= first && *count > 0)
    }

    fn ring(&mut self, grain: Grain) -> &mut Ring {
        if grain.is_fine { &mut self.fine } else { &mut self.coarse }
    }

    fn ring_of(&self, grain: Grain) -> &Ring {
        if grain.is_fine { &self.fine } else { &self.coarse }
    }
}

fn crowd(grain: Grain, stretch: u64, count: u32, now: Tick) -> Crowd {
    let from = Tick(stretch * grain.width.0);
    Crowd { ahead: from.since(now)..(from + grain.width).since(now), keys: u64::from(count) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Tick = Tick(5_000_000_000);
    const HOUR: Span = Span::secs(3600);

    #[test]
    fn what_ends_together_is_foretold() {
        let mut ends = Ends::default();
        for n in 0..31_000 {
            ends.add(NOW - Span::secs(60), NOW + Span::secs(240) + Span::ms(n % 900));
        }
        for n in 0..3_000u64 {
            ends.add(NOW, NOW + Span::secs(n % 3600));
        }
        let crowd = ends.crowd(NOW).expect("there is one");
        assert!(crowd.keys >= 31_000 && crowd.ahead.contains(&Span::secs(240)), "{crowd:?}");
        assert!(ends.within(Span::secs(200), NOW) < 1_000);
        assert!(ends.within(Span::secs(260), NOW) > 31_000);
        assert_eq!(ends.crowd(NOW + Span::secs(300)), None, "it is over");
    }

    #[test]
    fn what_lives_for_days_is_foretold_as_well() {
        let mut ends = Ends::default();
        for _ in 0..CROWD {
            ends.add(NOW - HOUR, NOW + Span::secs(24 * 3600));
        }
        let crowd = ends.crowd(NOW).expect("there is one");
        assert!(crowd.ahead.contains(&Span::secs(24 * 3600)), "{crowd:?}");
    }

    #[test]
    fn even_ends_are_no_crowd_however_many() {
        let mut ends = Ends::default();
        for n in 0..360_000u64 {
            ends.add(NOW, NOW + Span::ms(n * 10));
        }
        assert_eq!(ends.crowd(NOW), None);
        let end = NOW + Span::secs(1800);
        assert_eq!(ends.spread(NOW, end, NOW, Draw(7)), end);
    }

    #[test]
    fn what_is_stored_together_is_spread_over_a_quarter_of_its_life() {
        let peak = |spread: bool| {
            let mut ends = Ends::default();
            for n in 0..31_000u64 {
                let end = NOW + HOUR;
                let end = if spread { ends.spread(NOW, end, NOW, Draw(n)) } else { end };
                assert!(end <= NOW + HOUR && end >= NOW + HOUR.scale(0.75) - Span::ms(1));
                ends.add(NOW, end);
            }
            ends.stretches(FINE_GRAIN, NOW).map(|(_, count)| count).max().unwrap_or_default()
        };
        assert_eq!(peak(false), 31_000);
        // The first thousand, and an even share of the rest: 30,000 / 90 stretches.
        assert!(peak(true) < 1_500, "{}", peak(true));
    }

    proptest! {
        #[test]
        fn what_came_and_went_leaves_nothing(
            values in prop::collection::vec((0u64..900_000_000, 0u64..900_000_000), 1..100),
            keep in 0usize..100,
        ) {
            let mut ends = Ends::default();
            let times: Vec<_> = values.iter().map(|(before, after)| (NOW - Span(*before), NOW + Span(*after))).collect();
            let mut all = Ends::default();
            times.iter().for_each(|(born, end)| {
                ends.add(*born, *end);
                all.add(*born, *end);
            });
            times.iter().skip(keep).for_each(|(born, end)| ends.take(*born, *end));
            let mut kept = Ends::default();
            times.iter().take(keep).for_each(|(born, end)| kept.add(*born, *end));
            let day = Span::secs(30 * 24 * 3600);
            prop_assert_eq!(ends.within(day, NOW), kept.within(day, NOW));
            prop_assert!(all.within(day, NOW) <= values.len() as u64);
        }
    }
}

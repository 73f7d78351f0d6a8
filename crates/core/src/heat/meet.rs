//! When is a thread's own reference worth its place, and who makes room for it? Only where threads meet at a key again and
//! again, and only for what is used less.
//!
//! ```
//! use bellwether_core::heat::meet::{Rival, keeps};
//! use bellwether_core::time::{Span, Tick};
//!
//! let mut rival = Rival::default();
//! let both = [Some(40), None];
//! assert_eq!([1, 2, 3].map(|now| rival.met(7, || both, Tick(now))), [None, None, Some(1)], "one of the places is free");
//! assert!(keeps(256, Span::ms(20)), "used, and others met there");
//! assert!(!keeps(3, Span::ms(20)) && !keeps(256, Span::secs(1)), "hardly used, or by this thread alone");
//! ```

use crate::time::{Span, Tick};

/// Places among which a key may have one.
pub const WAYS: usize = 2;
/// A key is met so often before it has a place: what was loaded by one thread and is read by another changes hands once.
const TIMES: u32 = 3;
/// And within so long: where threads meet seldom, what they lose is little.
const WITHIN: Span = Span::ms(100);
/// A reference that was used less often from one time that the store is asked to the next costs more than it saves.
const LEAST_USES: u32 = 8;
/// Whoever uses a reference asks the store ten times a second: who was not heard of for so long does not.
const ALONE: Span = Span::ms(300);

/// Who wants one of the places of a few keys. One at a time: who is met most often stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rival {
    who: u32,
    met: u32,
    /// How often those who have the places had been used when it came.
    used: [u32; WAYS],
    came: Tick,
}

impl Rival {
    /// The thread met another at the key that is called `who`. `used`: how often the references that have the places were
    /// used in all, `None` where there is none. Which place the key may have.
    ///
    /// Of two hits of threads that fight over a key about one is a meeting: whoever has a place loses it if he was used
    /// half as often.
    pub fn met(&mut self, who: u32, used: impl Fn() -> [Option<u32>; WAYS], now: Tick) -> Option<usize> {
        if self.met == 0 || now.since(self.came) > WITHIN {
            *self = Rival { who, met: 0, used: used().map(Option::unwrap_or_default), came: now };
        } else if self.who != who {
            self.met -= 1;
            return None;
        }
        self.met += 1;
        if self.met < TIMES {
            return None;
        }
        let (used, mut before) = (used(), self.used.into_iter());
        let since = used.map(|used| Some(used?.wrapping_sub(before.next()?)));
        self.met = 0;
        let (way, least) = since.into_iter().enumerate().min_by_key(|(_, since)| *since)?;
        least.is_none_or(|least| least < TIMES).then_some(way)
    }
}

/// Whether a reference is kept that was used so often since the store was asked last, while no other thread was heard of
/// for so long.
pub fn keeps(uses: u32, alone: Span) -> bool {
    uses >= LEAST_USES && alone <= ALONE
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: [Option<u32>; WAYS] = [None, None];

    #[test]
    fn what_changes_hands_once_has_no_place() {
        let mut rival = Rival::default();
        assert!((0..1_000).all(|who| rival.met(who, || FREE, Tick(5)).is_none()), "a thousand keys, each met once");
        let slowly = |n: u64| rival.met(7, || FREE, Tick(1_000 + n * (WITHIN.0 / 2 + 1))).is_some();
        assert!(!(0..1_000).any(slowly), "and one that is met seldom");
        assert_eq!((0..TIMES).filter_map(|_| rival.met(7, || FREE, Tick(1 << 40))).count(), 1, "the control: often");
    }

    #[test]
    fn a_place_is_kept_by_who_is_used_more() {
        let mut rival = Rival::default();
        let mut taken = |step: [u32; WAYS]| {
            let used = |n: u32| step.map(|step| Some(u32::MAX - 10).map(|used: u32| used.wrapping_add(n * step)));
            (0..30).find_map(|n| rival.met(9, || used(n), Tick(1 << 30)))
        };
        assert_eq!(taken([5, 4]), None, "both are used more often than this one is met");
        assert_eq!(taken([5, 0]), Some(1), "one is not used any more");
        assert_eq!(taken([1, 5]), Some(0), "or half as often");
    }

    #[test]
    fn of_two_who_want_a_place_the_one_that_is_met_more_gets_it() {
        let mut rival = Rival::default();
        let got: Vec<u32> = (0..400u32)
            .map(|n| if n % 4 == 0 { 1 } else { 2 })
            .filter(|who| rival.met(*who, || FREE, Tick(3)).is_some())
            .collect();
        let often = got.iter().filter(|who| **who == 2).count();
        assert!(often > 50 && got.len() - often <= often / 10, "{got:?}");
    }
}

//! Which accesses are looked at? Every other one where there are few, and fewer where there are many, chosen so that no
//! rhythm of the requests can hide a key or favour one.

use crate::draw::Draw;

/// One access in so many is looked at, and stands for so many, where there are few.
pub const SAMPLE: u64 = 2;
/// Looks that one window is worth: up to twice as many are taken, which costs a fiftieth of a core.
const ENOUGH: u64 = 32_768;
/// Looks at a key that just matters: from so many a count tells what it is.
const TELLING: u64 = 32;
/// Down to one in `SAMPLE << COARSE` fewer are looked at for the sake of speed alone; from there on only as long as a key
/// that matters is looked at often enough.
const COARSE: u32 = 2;
/// However many accesses there are, one in `SAMPLE << THINNEST` is looked at.
const THINNEST: u32 = 7;

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Whether the `n`th access that a thread counts is looked at.
///
/// Not every second: a program that asks for two keys in turn would then always be seen asking for the same one.
/// Multiples of the golden ratio lie evenly however they are stepped through (Weyl), so of every `p`th access
/// half are chosen as well, whatever `p` is. And it needs neither a countdown nor randomness: the count of hits, which
/// is kept anyway, is enough.
#[inline]
pub fn is_due(n: u64) -> bool {
    Sampling::FULL.draw(n).is_some()
}

/// How many of the accesses are looked at: one in `SAMPLE << self.0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sampling(pub u32);

/// An access that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Its number: it differs from access to access.
    pub nth: u64,
    /// It stands for so many accesses.
    pub weight: u32,
}

impl Drawn {
    /// One in so many of those that are drawn, which stands for all of them.
    pub fn one_in(self, many: u32) -> Option<Drawn> {
        let due = Draw(self.nth).fork(u64::from(many)).0.is_multiple_of(u64::from(many.max(1)));
        due.then_some(Drawn { weight: self.weight.saturating_mul(many), ..self })
    }
}

impl Sampling {
    /// One in [`SAMPLE`].
    pub const FULL: Sampling = Sampling(0);

    /// For a window like the last one, which had so many accesses. From `least` accesses on a key matters.
    ///
    /// A look costs as much as the hit itself. Half of a million hits a second can be looked at for a hundredth of a
    /// core, which tells keys apart that differ by a few accesses. Twenty million need no ten million looks: what is
    /// hot among them is seen thousands of times in any case.
    pub fn of(accesses: u64, least: u64) -> Sampling {
        let told = |thin: u32| thin <= COARSE || least / (SAMPLE << thin) >= TELLING;
        let enough = |thin: &u32| accesses / (SAMPLE << thin) > ENOUGH && told(*thin);
        Sampling((1..=THINNEST).take_while(enough).last().unwrap_or(0))
    }

    /// Whether the `n`th access that a thread counts is looked at.
    #[inline]
    pub fn draw(self, n: u64) -> Option<Drawn> {
        let due = n.wrapping_mul(GOLDEN) < (u64::MAX / SAMPLE) >> self.0;
        due.then_some(Drawn { nth: n, weight: (SAMPLE as u32) << self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_two_is_looked_at_whatever_the_rhythm() {
        for period in 1..=64u64 {
            for phase in [0, period / 2] {
                let rounds = 10_000;
                let due = (0..rounds).filter(|round| is_due(phase + round * period)).count() as f64;
                let share = due * SAMPLE as f64 / rounds as f64;
                assert!((0.9..1.1).contains(&share), "of every {period}th from {phase}: {share}");
            }
        }
        // The control: a plain countdown never sees every second key.
        let plain = |n: u64| n.is_multiple_of(SAMPLE);
        assert_eq!((0..80_000u64).filter(|n| plain(*n) && n % 8 == 3).count(), 0);
    }

    #[test]
    fn where_there_are_many_fewer_are_looked_at_and_stand_for_the_others() {
        assert_eq!(Sampling::of(0, u64::MAX), Sampling::FULL);
        assert_eq!(Sampling::of(100_000, u64::MAX), Sampling::FULL);
        assert_eq!(Sampling::of(20_000_000, 2_500), Sampling(5), "a key that matters is still looked at");
        assert_eq!(Sampling::of(2_000_000, 50), Sampling(COARSE), "one of many processes sees little of it");
        assert_eq!(Sampling::of(u64::MAX, u64::MAX), Sampling(THINNEST));
        // However many there are, about as many are looked at.
        let looks = |window: u64| window / (SAMPLE << Sampling::of(window, u64::MAX).0);
        assert!((200_000..8_000_000).step_by(50_000).all(|window| (32_768..=65_536).contains(&looks(window))));
        for sampling in (0..=THINNEST).map(Sampling) {
            for period in [1, 2, 3, 8, 13, 64] {
                let rounds = 400_000;
                let drawn = (0..rounds).filter_map(|round| sampling.draw(7 + round * period));
                let seen = drawn.map(|drawn| u64::from(drawn.weight)).sum::<u64>() as f64 / rounds as f64;
                assert!((0.9..1.1).contains(&seen), "{sampling:?}, of every {period}th: {seen}");
            }
        }
    }

    #[test]
    fn one_in_so_many_of_those_drawn_stands_for_all() {
        let drawn = || (0..400_000).filter_map(is_drawn);
        let all: u64 = drawn().map(|drawn| u64::from(drawn.weight)).sum();
        let some: Vec<Drawn> = drawn().filter_map(|drawn| drawn.one_in(8)).collect();
        let counted: u64 = some.iter().map(|drawn| u64::from(drawn.weight)).sum();
        assert!((0.95..1.05).contains(&(counted as f64 / all as f64)), "{counted} of {all}");
        assert!(some.len() * 7 < drawn().count(), "{} are looked at", some.len());
    }

    fn is_drawn(n: u64) -> Option<Drawn> {
        Sampling::FULL.draw(n)
    }

    #[test]
    fn no_access_waits_long_to_be_looked_at() {
        let due: Vec<u64> = (0..10_000).filter(|n| is_due(*n)).collect();
        assert!(due.windows(2).all(|pair| pair[1] - pair[0] <= 2 * SAMPLE));
    }
}

//! Which accesses are looked at? All where there are few, and fewer where there are many, chosen so that no rhythm of the
//! requests can hide a key or favour one.
//!
//! A hit by what its entry counts itself: each time that the entry has been served so often again. So whatever is asked
//! for is seen as often as it is asked for, and off by less than what one look stands for, where looks that are drawn
//! are off by the root of their number. What no entry counts is drawn by the number of the access.

use crate::draw::Draw;

/// Looks that one window is worth: up to twice as many are taken, which costs less than a hundredth of a core.
const ENOUGH: u64 = 16_384;
/// Looks at a key that just matters: it is off by less than an eighth then.
const TELLING: u64 = 8;
/// Down to one in `1 << COARSE` fewer are looked at for the sake of speed alone; from there on only as long as a key
/// that matters is looked at often enough.
const COARSE: u32 = 3;
/// However many accesses there are, one in `1 << THINNEST` is looked at.
pub const THINNEST: u32 = 8;
/// From so many bytes on a value is large: each read of it costs so much that few of them matter.
const LARGE: u32 = 8 << 10;
/// Reads of a large value are looked at `1 << CLOSER` times as often.
const CLOSER: u32 = 3;

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// How many of the accesses are looked at: one in two to the power of something, less one, so that a hit has nothing to
/// reckon but an `and`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sampling(u32);

/// An access that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Its number: it differs from access to access.
    pub nth: u64,
    /// It stands for so many accesses.
    pub weight: u32,
}

impl Sampling {
    /// Every access.
    pub const FULL: Sampling = Sampling(0);
    /// For a window in which so many accesses are expected. From `least` accesses on a key matters.
    ///
    /// A look costs half of a hit. What a window of 100,000 accesses tells with one look in four, a window
    /// of a million tells with one in 32: its keys differ by more.
    pub fn of(accesses: u64, least: u64) -> Sampling {
        let told = |thin: u32| thin <= COARSE || least >> thin >= TELLING;
        let enough = |thin: &u32| accesses >> thin > ENOUGH && told(*thin);
        Sampling::one_in((1..=THINNEST).take_while(enough).last().unwrap_or(0))
    }

    /// One in `1 << thin`.
    pub const fn one_in(thin: u32) -> Sampling {
        Sampling((1 << thin) - 1)
    }

    /// As a number, for [`Sampling::from_bits`].
    pub fn bits(self) -> u32 {
        self.0
    }

    /// What [`Sampling::bits`] told.
    #[inline]
    pub fn from_bits(bits: u32) -> Sampling {
        Sampling(bits)
    }

    /// A look stands for so many accesses.
    #[inline]
    pub fn weight(self) -> u32 {
        self.0 + 1
    }

    /// The same, of a value of so many bytes, all told.
    #[inline]
    pub fn of_size(self, bytes: u32) -> Sampling {
        if bytes < LARGE { self } else { Sampling(self.0 >> CLOSER) }
    }

    /// Whether a hit is looked at whose entry has been served so often, counted from anywhere.
    #[inline]
    pub fn is_due(self, served: u32) -> bool {
        served & self.0 == 0
    }

    /// Whether the `n`th access that a thread counts is looked at.
    ///
    /// Not each time that the number is a multiple: a program that asks for two keys in turn would then always be seen
    /// asking for the same one. Multiples of the golden ratio lie evenly however they are stepped through (Weyl), so of
    /// every `p`th access as many are chosen as well, whatever `p` is. And it needs neither a countdown nor randomness.
    #[inline]
    pub fn draw(self, n: u64) -> Option<Drawn> {
        let due = n.wrapping_mul(GOLDEN) <= u64::MAX >> self.0.count_ones();
        due.then(|| Drawn { nth: n, weight: self.weight() })
    }
}

/// From where an entry counts what it serves, by a number of its own. Were it zero, what is replaced again and again would
/// be looked at too seldom or too often, and always by as much.
pub fn phase(fence: u64) -> u32 {
    Draw(fence).fork(0).0 as u32 & ((1 << THINNEST) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_drawn_whatever_the_rhythm() {
        let sampling = Sampling::one_in(1);
        for period in 1..=64u64 {
            for phase in [0, period / 2] {
                let rounds = 10_000;
                let drawn = (0..rounds).filter(|round| sampling.draw(phase + round * period).is_some()).count() as f64;
                let share = drawn * 2.0 / rounds as f64;
                assert!((0.9..1.1).contains(&share), "of every {period}th from {phase}: {share}");
            }
        }
        // The control: a plain countdown never sees every second key.
        let plain = |n: u64| n.is_multiple_of(2);
        assert_eq!((0..80_000u64).filter(|n| plain(*n) && n % 8 == 3).count(), 0);
    }

    #[test]
    fn where_there_are_many_fewer_are_looked_at_and_stand_for_the_others() {
        assert_eq!(Sampling::of(0, u64::MAX), Sampling::FULL);
        assert_eq!(Sampling::of(30_000, u64::MAX), Sampling::FULL);
        assert_eq!(
            (Sampling::of(100_000, 2_500), Sampling::of(1_000_000, 2_500)),
            (Sampling::one_in(2), Sampling::one_in(5))
        );
        assert_eq!(Sampling::of(20_000_000, 2_500), Sampling::one_in(8), "a key that matters is still looked at");
        assert_eq!(Sampling::of(2_000_000, 50), Sampling::one_in(COARSE), "one of many processes sees little of it");
        assert_eq!(Sampling::of(u64::MAX, u64::MAX), Sampling::one_in(THINNEST));
        // However many there are, about as many are looked at.
        let looks = |window: u64| window / u64::from(Sampling::of(window, u64::MAX).weight());
        assert!((20_000..4_000_000).step_by(50_000).all(|window| (16_384..=32_768).contains(&looks(window))));
        for sampling in (0..=THINNEST).map(Sampling::one_in) {
            for period in [1, 2, 3, 8, 13, 64] {
                let rounds = 400_000;
                let drawn = (0..rounds).filter_map(|round| sampling.draw(7 + round * period));
                let seen = drawn.map(|drawn| u64::from(drawn.weight)).sum::<u64>() as f64 / rounds as f64;
                assert!((0.9..1.1).contains(&seen), "{sampling:?}, of every {period}th: {seen}");
            }
        }
    }

    #[test]
    fn what_an_entry_has_served_is_seen_up_to_less_than_a_look() {
        for sampling in [Sampling::FULL, Sampling::one_in(2), Sampling::one_in(THINNEST)] {
            for (fence, times) in (0..100).flat_map(|fence| [1u32, 20, 3_000].map(|times| (fence, times))) {
                let served = phase(fence);
                let looks = (served + 1..=served + times).filter(|served| sampling.is_due(*served)).count() as u32;
                assert!((looks * sampling.weight()).abs_diff(times) < sampling.weight());
            }
        }
    }

    #[test]
    fn entries_that_are_replaced_again_and_again_are_seen_as_often_as_they_are_served() {
        // Each lives for so many hits, fewer than a look stands for; fences are drawn in any rhythm.
        let sampling = Sampling::one_in(6);
        for (life, stride) in [(1u32, 1u64), (3, 2), (40, 2), (63, 64)] {
            let lives = 200_000 / u64::from(life);
            let looks = |nth: u64| {
                let served = phase(5 + nth * stride);
                (served + 1..=served + life).filter(|served| sampling.is_due(*served)).count() as u64
            };
            let seen = (0..lives).map(looks).sum::<u64>() * u64::from(sampling.weight());
            let share = seen as f64 / (lives * u64::from(life)) as f64;
            assert!((0.9..1.1).contains(&share), "{life} hits, every {stride}th fence: {share}");
        }
        // The control: counted from zero they are never seen.
        assert!(!(1..=63).any(|served| sampling.is_due(served)));
    }

    #[test]
    fn large_values_are_looked_at_more_often() {
        let sampling = Sampling::one_in(5);
        assert_eq!((sampling.of_size(1_000), sampling.of_size(LARGE)), (sampling, Sampling::one_in(2)));
        assert_eq!(Sampling::one_in(1).of_size(u32::MAX), Sampling::FULL);
    }

    #[test]
    fn no_access_waits_long_to_be_drawn() {
        let drawn: Vec<u64> = (0..10_000).filter(|n| Sampling::one_in(1).draw(*n).is_some()).collect();
        assert!(drawn.windows(2).all(|pair| pair[1] - pair[0] <= 4));
    }
}

//! Which accesses are looked at? One in eight, chosen so that no rhythm of the requests can hide a key or favour one.

/// One access in so many is counted, and stands for so many.
pub const SAMPLE: u64 = 8;

/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Whether the `n`th access that a thread counts is looked at.
///
/// Not every eighth: a program that asks for eight keys in turn would then always be seen asking for the same one.
/// Multiples of the golden ratio lie evenly however they are stepped through (Weyl), so of every `p`th access an
/// eighth is chosen as well, whatever `p` is. And it needs neither a countdown nor randomness: the count of hits, which
/// is kept anyway, is enough.
#[inline]
pub fn is_due(n: u64) -> bool {
    n.wrapping_mul(GOLDEN) < u64::MAX / SAMPLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_eight_is_looked_at_whatever_the_rhythm() {
        for period in 1..=64u64 {
            for phase in [0, period / 2] {
                let rounds = 10_000;
                let due = (0..rounds).filter(|round| is_due(phase + round * period)).count() as f64;
                let share = due * SAMPLE as f64 / rounds as f64;
                assert!((0.9..1.1).contains(&share), "of every {period}th from {phase}: {share}");
            }
        }
        // The control: a plain countdown sees one key of eight, and takes it for all.
        let plain = |n: u64| n.is_multiple_of(SAMPLE);
        assert_eq!((0..80_000u64).filter(|n| plain(*n) && n % 8 == 3).count(), 0);
    }

    #[test]
    fn no_access_waits_long_to_be_looked_at() {
        let due: Vec<u64> = (0..10_000).filter(|n| is_due(*n)).collect();
        assert!(due.windows(2).all(|pair| pair[1] - pair[0] <= 2 * SAMPLE));
    }
}

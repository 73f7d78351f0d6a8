//! Which way does the coin fall? Randomness comes in as data, so the same draw gives the same decision.

/// 64 random bits, drawn by the shell (or by the simulator from its seed).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draw(pub u64);

impl Draw {
    /// Uniform in `[0, 1)`, with 53 bits.
    pub fn unit(self) -> f64 {
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An independent draw for a second purpose (SplitMix64's finalizer; Steele et al., OOPSLA 2014).
    #[must_use]
    pub fn fork(self, purpose: u64) -> Draw {
        let mut z =
            self.0.wrapping_add(purpose.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Draw(z ^ (z >> 31))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_cover_the_interval_and_forks_differ() {
        let mean = (0..10_000).map(|n| Draw(7).fork(n).unit()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        assert!(Draw(u64::MAX).unit() < 1.0);
        assert_ne!(Draw(1).fork(1), Draw(1).fork(2));
    }
}

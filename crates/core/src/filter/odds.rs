//! How many keys that do not exist pass a filter, and what does it take of memory?
//!
//! Binary fuse filter with three places and fingerprints of 16 bits: Graf, Lemire, "Binary Fuse Filters: Fast and
//! Smaller Than Xor Filters", JEA 2022; its sizes by table 1 there.

/// Bits of a fingerprint.
pub const FINGERPRINT_BITS: u32 = 16;
/// So many of the keys that the base does not have pass it all the same.
pub const BASE_ODDS: f64 = 1.0 / 65_536.0;
/// So many pass the overlay, however far it has grown: half as many.
pub const OVERLAY_ODDS: f64 = BASE_ODDS / 2.0;

/// So many of the keys that exist nowhere pass both together. `grown`: part of the overlay that is in use, 0 to 1.
pub fn passes(grown: f64) -> f64 {
    // Either lets it pass; that both do is too rare to matter, and on the safe side.
    BASE_ODDS + OVERLAY_ODDS * grown.clamp(0.0, 1.0)
}

/// Of so many questions a second for keys that do not exist, these reach the origin.
pub fn reaching(questions: f64, grown: f64) -> f64 {
    questions * passes(grown)
}

/// Bits that a base takes for each of its keys, by the paper: its arrays are cut into whole segments, which adds to it.
pub fn base_bits(keys: u64) -> f64 {
    if keys < 2 {
        return f64::from(FINGERPRINT_BITS);
    }
    let factor = 0.875 + 0.25 * 1e6_f64.ln() / (keys as f64).ln();
    f64::from(FINGERPRINT_BITS) * factor.max(1.125)
}

/// Bits that a Bloom filter takes for each of its keys, where so many of others pass it.
pub fn bloom_bits(odds: f64) -> f64 {
    -odds.max(f64::MIN_POSITIVE).ln() / std::f64::consts::LN_2.powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_keys_take_eighteen_bits_each_and_one_stranger_in_65536_passes() {
        assert!((base_bits(1_000_000) - 18.0).abs() < 0.1, "{}", base_bits(1_000_000));
        assert!((base_bits(10_000_000) - 18.0).abs() < 0.1, "no fewer than the paper's floor");
        assert!((1.52..1.53).contains(&reaching(100_000.0, 0.0)));
    }

    #[test]
    fn an_overlay_that_is_full_costs_half_as_much_again() {
        assert!((passes(1.0) / passes(0.0) - 1.5).abs() < 1e-9);
        assert_eq!(passes(7.0), passes(1.0));
        assert!(passes(f64::NAN).is_nan(), "nonsense stays visible");
    }

    #[test]
    fn a_bloom_filter_of_one_in_a_hundred_takes_ten_bits() {
        assert!((bloom_bits(0.01) - 9.585).abs() < 0.01);
    }
}

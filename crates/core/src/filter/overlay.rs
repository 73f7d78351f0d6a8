//! How does an overlay grow? By layers, each twice as large as the one before and twice as strict.
//!
//! It holds the keys that came after the list was made. It never forgets one: where no layer is left, it has them all.

use super::odds::OVERLAY_ODDS;

/// The part of the base from which on it is built anew: the first layer holds so many.
pub const SHARE: f64 = 0.05;
/// The smallest first layer.
const LEAST: u64 = 1_024;
/// Layers, at most: together fifteen times the first.
pub const MOST_LAYERS: u32 = 4;

/// One layer, before it is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    /// Keys that it is made for.
    pub keys: u64,
    /// So many of other keys pass it once it holds them.
    pub odds: f64,
}

/// The layer of this number over a base of so many keys; `None`: there is no such layer, and from there on every key
/// counts as one that may exist.
pub fn layer(number: u32, base: u64) -> Option<Layer> {
    if number >= MOST_LAYERS {
        return None;
    }
    let first = ((base as f64 * SHARE) as u64).max(LEAST);
    Some(Layer { keys: first << number, odds: OVERLAY_ODDS / f64::from(2_u32 << number) })
}

/// How far an overlay of so many keys has grown towards the part from which on the base is built anew: 1 and more.
pub fn grown(keys: u64, base: u64) -> f64 {
    layer(0, base).map_or(1.0, |first| keys as f64 / first.keys as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_layers_together_keep_the_odds_of_the_overlay() {
        let layers: Vec<Layer> = (0..).map_while(|number| layer(number, 1_000_000)).collect();
        assert_eq!(layers.len(), MOST_LAYERS as usize);
        assert_eq!(layers[0].keys, 50_000);
        assert!(layers.windows(2).all(|pair| pair[1].keys == 2 * pair[0].keys));
        assert!(layers.iter().map(|layer| layer.odds).sum::<f64>() < OVERLAY_ODDS);
    }

    #[test]
    fn a_small_base_has_room_for_what_is_new_all_the_same() {
        assert_eq!(layer(0, 0).map(|layer| layer.keys), Some(LEAST));
        assert_eq!(grown(512, 0), 0.5);
        assert_eq!(grown(50_000, 1_000_000), 1.0);
    }
}

//! How are the keys held? A static filter of the list, and layers of Bloom filters for what came after it.

use bellwether_core::filter::overlay::{Layer, layer};
use fastbloom::BloomFilter;
use xorf::{BinaryFuse16, Filter as _};

/// The keys of a list, by their hashes.
pub(crate) struct Base {
    /// `None`: there are no keys.
    fuse: Option<BinaryFuse16>,
    keys: u64,
}

impl Base {
    /// Sorts and builds: not for a thread that serves.
    ///
    /// # Errors
    /// It can't be built, with these hashes.
    pub(crate) fn of(mut hashes: Vec<u64>) -> Result<Base, &'static str> {
        hashes.sort_unstable();
        hashes.dedup();
        let fuse = if hashes.is_empty() { None } else { Some(BinaryFuse16::try_from(&hashes)?) };
        Ok(Base { fuse, keys: hashes.len() as u64 })
    }

    pub(super) fn has(&self, hash: u64) -> bool {
        self.fuse.as_ref().is_some_and(|fuse| fuse.contains(&hash))
    }

    pub(crate) fn keys(&self) -> u64 {
        self.keys
    }

    pub(super) fn bytes(&self) -> u64 {
        self.fuse.as_ref().map_or(0, |fuse| 2 * fuse.len() as u64)
    }
}

/// What came after the list.
pub(super) struct Overlay {
    layers: Vec<(Layer, BloomFilter)>,
    /// How many keys the list has that this is for.
    base: u64,
    /// Of all layers.
    keys: u64,
    /// Of the last one.
    newest: u64,
    /// No layer had room for a key: from then on it has all.
    full: bool,
}

impl Overlay {
    pub(super) fn over(base: u64) -> Overlay {
        Overlay { layers: Vec::new(), base, keys: 0, newest: 0, full: false }
    }

    pub(super) fn has(&self, hash: u64) -> bool {
        self.full || self.layers.iter().any(|(_, bloom)| bloom.contains_hash(hash))
    }

    pub(super) fn note(&mut self, hash: u64) {
        if self.has(hash) {
            return;
        }
        if self.layers.last().is_none_or(|(layer, _)| self.newest >= layer.keys) {
            let Some(layer) = layer(self.layers.len() as u32, self.base) else {
                self.full = true;
                return;
            };
            let room = usize::try_from(layer.keys).unwrap_or(usize::MAX);
            // Hashes come ready made: nothing is hashed by its seed.
            self.layers.push((layer, BloomFilter::with_false_pos(layer.odds).seed(&0).expected_items(room)));
            self.newest = 0;
        }
        if let Some((_, bloom)) = self.layers.last_mut() {
            bloom.insert_hash(hash);
        }
        self.newest += 1;
        self.keys += 1;
    }

    pub(super) fn keys(&self) -> u64 {
        self.keys
    }

    pub(super) fn bytes(&self) -> u64 {
        self.layers.iter().map(|(_, bloom)| bloom.num_bits() as u64 / 8).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_core::draw::Draw;
    use bellwether_core::filter::odds::{OVERLAY_ODDS, base_bits, passes};

    fn hashes(of: u64, count: u64) -> Vec<u64> {
        (0..count).map(|number| Draw(of).fork(number).0).collect()
    }

    #[test]
    fn a_base_has_every_key_of_its_list_and_about_one_in_65536_others() {
        const KEYS: u64 = 100_000;
        const OTHERS: u64 = 2_000_000;
        let own = hashes(1, KEYS);
        let base = Base::of([own.clone(), own[..10].to_vec()].concat()).expect("twice the same is once");
        assert_eq!(base.keys(), KEYS);
        assert!(own.iter().all(|hash| base.has(*hash)), "no key is forgotten");
        let passed = hashes(2, OTHERS).into_iter().filter(|hash| base.has(*hash)).count() as f64;
        let expected = OTHERS as f64 * passes(0.0);
        assert!((0.3 * expected..1.7 * expected).contains(&passed), "{passed} of {OTHERS}, expected {expected}");
        let bits = 8.0 * base.bytes() as f64 / KEYS as f64;
        assert!((bits / base_bits(KEYS) - 1.0).abs() < 0.1, "{bits} bits a key, by the paper {}", base_bits(KEYS));
    }

    #[test]
    fn a_list_may_be_short_or_empty() {
        for count in [0, 1, 2, 3, 5, 10, 100] {
            let own = hashes(3, count);
            let base = Base::of(own.clone()).expect("a base");
            assert!(own.iter().all(|hash| base.has(*hash)), "{count}");
            assert!(hashes(4, 100).into_iter().filter(|hash| base.has(*hash)).count() < 3, "{count}");
        }
    }

    #[test]
    fn an_overlay_forgets_nothing_however_much_comes_and_takes_bounded_memory() {
        let mut overlay = Overlay::over(0);
        let mut own = Vec::new();
        for (number, hash) in hashes(5, 1_000_000).into_iter().enumerate() {
            overlay.note(hash);
            if number % 997 == 0 {
                own.push(hash);
            }
        }
        assert!(own.iter().all(|hash| overlay.has(*hash)));
        assert!(overlay.full && overlay.keys() < 20_000 && overlay.bytes() < 100_000, "{}", overlay.bytes());
    }

    #[test]
    fn a_full_first_layer_keeps_the_odds() {
        let mut overlay = Overlay::over(1_000_000);
        hashes(6, 50_000).into_iter().for_each(|hash| overlay.note(hash));
        assert_eq!(overlay.layers.len(), 1);
        let passed = hashes(7, 1_000_000).into_iter().filter(|hash| overlay.has(*hash)).count() as f64;
        assert!(passed <= 1_000_000.0 * OVERLAY_ODDS * 2.0, "{passed} of a million");
        assert!(8 * overlay.bytes() < 2 * 1_000_000, "less than two bits for each key of the list");
    }
}

//! What is asked for? The same keys, values and popularity for every contender.

use bytes::Bytes;

/// Length of a key.
pub const KEY: usize = 64;
/// Length of a value.
pub const VALUE: usize = 1024;
/// The skew of popularity: about that of web caches.
pub const SKEW: f64 = 0.99;

/// The `n`-th key, 64 bytes.
pub fn key(n: usize) -> Box<[u8]> {
    format!("{n:0>KEY$}").into_bytes().into()
}

/// All keys.
pub fn keys(count: usize) -> Vec<Box<[u8]>> {
    (0..count).map(key).collect()
}

/// A value of 1 KiB in a block of its own. Cloned once: the first clone of such a value moves its
/// count to the heap, which would otherwise be measured as part of the first hit.
pub fn value(n: usize) -> Bytes {
    let value = Bytes::from(vec![n as u8; VALUE]);
    drop(value.clone());
    value
}

/// `draws` positions below `count`, Zipf-distributed, the same for the same seed. Which key is how
/// popular is shuffled, so that neighbours in memory are not neighbours in rank.
pub fn zipf(count: usize, draws: usize, seed: u64) -> Vec<u32> {
    let mut sums: Vec<f64> = Vec::with_capacity(count);
    let mut sum = 0.0;
    for rank in 1..=count {
        sum += (rank as f64).powf(-SKEW);
        sums.push(sum);
    }
    let mut at: Vec<u32> = (0..count as u32).collect();
    // Popularity itself does not depend on the seed: two threads fight over the same hot keys.
    fastrand::Rng::with_seed(1).shuffle(&mut at);
    let mut rng = fastrand::Rng::with_seed(seed);
    let draw = |_| {
        let drawn = rng.f64() * sum;
        at[sums.partition_point(|below| *below < drawn).min(count - 1)]
    };
    (0..draws).map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn popular_keys_are_popular() {
        let mut counts = vec![0usize; 1000];
        zipf(1000, 100_000, 7).iter().for_each(|at| counts[*at as usize] += 1);
        counts.sort_unstable();
        let top = counts[999] as f64 / 100_000.0;
        // 1 / (sum of k^-0.99 for k in 1..=1000) = 0.128.
        assert!((0.12..0.14).contains(&top), "{top}");
        assert_eq!(key(7).len(), KEY);
    }
}

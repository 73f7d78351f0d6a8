//! Which node has a key, so that a node that comes or goes moves only its own keys? The one with the highest score
//! (rendezvous hashing: Thaler and Ravishankar, 1996).
//!
//! The score of a node for a key is XXH3-64 of the key, seeded with XXH3-64 of the node's name (`host:port`). Whoever
//! has an XXH3 places as we do; vectors are in `crates/adapters/tests/vectors/rendezvous.tsv`.

/// The place of the highest score; of equal ones the first. `None` without any node.
pub fn owner(scores: impl IntoIterator<Item = u64>) -> Option<usize> {
    let mut best: Option<(u64, usize)> = None;
    for (place, score) in scores.into_iter().enumerate() {
        if best.is_none_or(|(highest, _)| score > highest) {
            best = Some((score, place));
        }
    }
    best.map(|(_, place)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_score_wins_and_of_equal_ones_the_first() {
        assert_eq!(owner([]), None);
        assert_eq!(owner([0]), Some(0));
        assert_eq!(owner([3, 9, 9, 1]), Some(1));
    }

    #[test]
    fn a_node_that_leaves_moves_its_own_keys_alone() {
        let score =
            |node: u64, key: u64| (key ^ node.wrapping_mul(0x9E37_79B9)).wrapping_mul(0xD6E8_FEB8_6659_FD93) >> 7;
        for key in 0..2_000 {
            let with = owner((0..4).map(|node| score(node, key)));
            let without = owner((0..3).map(|node| score(node, key)));
            assert!(with == Some(3) || with == without, "{key}");
        }
    }
}

//! Which hot keys is there room to react to?

/// Keys of one space that may be reacted to at once.
pub const MOST_OF_A_SPACE: usize = 64;
/// Keys of all spaces that may be.
pub const MOST_AT_ALL: usize = 256;

/// A key that wants to be reacted to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Its space.
    pub space: u32,
    /// How hot: [`Hot::share`](super::hot::Hot::share).
    pub share: f64,
    /// It is reacted to already, or was announced.
    pub settled: bool,
}

/// Whom there is room for, by position: the hottest, and of equally hot ones those who are there already. So a flood of
/// keys that seem hot costs a bounded amount and displaces none that is hotter.
pub fn admitted(candidates: &[Candidate]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(|one, other| {
        let (one, other) = (&candidates[*one], &candidates[*other]);
        other.share.total_cmp(&one.share).then(other.settled.cmp(&one.settled))
    });
    let mut of_space = std::collections::HashMap::<u32, usize>::new();
    let mut admitted = vec![false; candidates.len()];
    let mut room = MOST_AT_ALL;
    for at in order {
        let taken = of_space.entry(candidates[at].space).or_default();
        if room > 0 && *taken < MOST_OF_A_SPACE {
            (admitted[at], *taken, room) = (true, *taken + 1, room - 1);
        }
    }
    admitted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_keys_that_seem_hot_displaces_none_that_is_hotter_or_was_there() {
        let of = |space, share, settled| Candidate { space, share, settled };
        let mut all: Vec<Candidate> = (0..100_000).map(|_| of(1, 0.6, false)).collect();
        all.push(of(1, 0.6, true));
        all.push(of(1, 9.0, false));
        all.extend((0..10_000).map(|space| of(2 + space, 0.5, false)));
        let admitted = admitted(&all);
        assert!(admitted[100_000] && admitted[100_001]);
        assert_eq!(admitted[..100_002].iter().filter(|yes| **yes).count(), MOST_OF_A_SPACE);
        assert_eq!(admitted.iter().filter(|yes| **yes).count(), MOST_AT_ALL);
    }
}

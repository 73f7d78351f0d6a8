//! Who was pushed out a short while ago? Marks of hashes in a table, each with its turn.

/// Places in which a hash's ghost may be.
const WAYS: usize = 4;

/// The last of those that were pushed out, up to a number. Where too many fall together the oldest is forgotten a little
/// earlier; another key is taken for a ghost once in a thousand million times.
pub(super) struct Ghosts {
    /// Made when the first is pushed out.
    ways: Vec<[Ghost; WAYS]>,
    most: u32,
    /// How many were pushed out, and `most` more, round about 2^32.
    turn: u32,
}

/// Bits of a hash, and its turn.
#[derive(Clone, Copy, Default)]
struct Ghost {
    mark: u32,
    turn: u32,
}

impl Ghosts {
    pub(super) fn new(most: usize) -> Ghosts {
        let most = u32::try_from(most).unwrap_or(u32::MAX / 2);
        Ghosts { ways: Vec::new(), most, turn: most }
    }

    /// This one was pushed out.
    pub(super) fn add(&mut self, hash: u64) {
        if self.most == 0 {
            return;
        }
        if self.ways.is_empty() {
            // A third more than there are ghosts, so that few fall together.
            self.ways = vec![Default::default(); (self.most as usize).div_ceil(WAYS - 1)];
        }
        self.turn = self.turn.wrapping_add(1);
        let (turn, ghost) = (self.turn, Ghost { mark: hash as u32, turn: self.turn });
        if let Some(oldest) = self.of(hash).iter_mut().max_by_key(|ghost| turn.wrapping_sub(ghost.turn)) {
            *oldest = ghost;
        }
    }

    /// Whether it is among the last that were pushed out; it is no longer.
    pub(super) fn take(&mut self, hash: u64) -> bool {
        if self.ways.is_empty() {
            return false;
        }
        let (turn, most) = (self.turn, self.most);
        let is_it = |ghost: &&mut Ghost| ghost.mark == hash as u32 && turn.wrapping_sub(ghost.turn) < most;
        let Some(ghost) = self.of(hash).iter_mut().find(is_it) else { return false };
        ghost.turn = turn.wrapping_sub(most);
        true
    }

    fn of(&mut self, hash: u64) -> &mut [Ghost; WAYS] {
        let at = ((hash >> 32) * self.ways.len() as u64) >> 32;
        &mut self.ways[at as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> u64 {
        n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29).wrapping_mul(0xD6E8_FEB8_6659_FD93)
    }

    #[test]
    fn the_last_ones_are_known_and_nobody_else() {
        let mut ghosts = Ghosts::new(1_000);
        assert!(!ghosts.take(hash(0)), "nobody was pushed out");
        (0..10_000).for_each(|n| ghosts.add(hash(n)));
        let known = (9_000..10_000).filter(|n| ghosts.take(hash(*n))).count();
        assert!(known > 900, "{known} of the last thousand");
        assert_eq!((0..9_000).chain(10_000..20_000).filter(|n| ghosts.take(hash(*n))).count(), 0);
        assert_eq!((9_000..10_000).filter(|n| ghosts.take(hash(*n))).count(), 0, "each is known once");
        Ghosts::new(0).add(1);
        assert!(!Ghosts::new(0).take(1));
    }

    #[test]
    fn turns_go_round() {
        let mut ghosts = Ghosts { turn: u32::MAX - 5, ..Ghosts::new(100) };
        (0..50).for_each(|n| ghosts.add(hash(n)));
        assert!((0..50).filter(|n| ghosts.take(hash(*n))).count() > 45);
    }
}

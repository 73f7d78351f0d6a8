//! For which tags, made stale elsewhere, is memory still to be walked?

use std::collections::HashMap;

use bellwether_core::fence::Fence;
use parking_lot::Mutex;

/// Tags that wait for a walk. What carries one beyond these is served to its end.
const MOST_WAITING: usize = 1 << 12;

/// Tags that others made stale.
#[derive(Default)]
pub(crate) struct Stale(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// Each with the fence under which it was heard of: what was loaded later is not stale.
    tags: HashMap<u64, Fence>,
    walking: bool,
}

impl Stale {
    /// A tag was heard of. True: nobody walks yet, and the caller sees to that.
    pub(crate) fn hear(&self, tag: u64, fence: Fence) -> bool {
        let mut waiting = self.0.lock();
        if waiting.tags.len() < MOST_WAITING || waiting.tags.contains_key(&tag) {
            waiting.tags.insert(tag, fence);
        } else {
            tracing::debug!(tag, "too many tags are stale at once: what carries this one is served to its end");
        }
        !std::mem::replace(&mut waiting.walking, true)
    }

    /// The tags of the next walk; `None`: there is nothing to walk for, and the next who hears begins again.
    pub(crate) fn next(&self) -> Option<HashMap<u64, Fence>> {
        let mut waiting = self.0.lock();
        let tags = std::mem::take(&mut waiting.tags);
        waiting.walking = !tags.is_empty();
        waiting.walking.then_some(tags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_walk_at_a_time_for_all_that_was_heard_and_the_newest_word_counts() {
        let stale = Stale::default();
        assert!(stale.hear(1, Fence(10)), "the first who hears walks");
        assert!(!stale.hear(2, Fence(11)) && !stale.hear(1, Fence(12)));
        assert_eq!(stale.next(), Some(HashMap::from([(1, Fence(12)), (2, Fence(11))])));
        assert!(!stale.hear(3, Fence(13)), "heard while it walks: it walks once more");
        assert_eq!(stale.next(), Some(HashMap::from([(3, Fence(13))])));
        assert_eq!(stale.next(), None);
        assert!(stale.hear(4, Fence(14)));
        assert!((0..2 * MOST_WAITING as u64).all(|tag| !stale.hear(tag, Fence(15))), "a walk is owed already");
        assert_eq!(stale.next().map(|tags| tags.len()), Some(MOST_WAITING));
    }
}

//! Which invalidations are on their way to the file? What they cover is not handed out meanwhile.

use std::collections::HashMap;
use std::hash::Hash;

use bellwether::Fence;
use bellwether::disk::Scope;
use parking_lot::Mutex;

use super::floors::Seq;

/// Invalidations that may wait for the disk; past it they are refused: it does not answer.
const MOST: usize = 100_000;

/// Invalidations that were asked for and are not in the file yet.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    keys: Mutex<HashMap<i64, Waiting>>,
    scopes: Mutex<HashMap<Scope, Waiting>>,
}

/// Those of one key or scope.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    newest: Fence,
    orders: u32,
}

impl UnderWay {
    /// False if there are too many.
    pub(super) fn begin_key(&self, id: i64, fence: Fence) -> bool {
        begin(&self.keys, id, fence)
    }

    pub(super) fn begin_scope(&self, scope: Scope, fence: Fence) -> bool {
        begin(&self.scopes, scope, fence)
    }

    /// One is in the file, or was given up.
    pub(super) fn end_key(&self, id: i64) {
        end(&self.keys, id);
    }

    pub(super) fn end_scope(&self, scope: Scope) {
        end(&self.scopes, scope);
    }

    /// What covers the key. Ask before the row is read: what ends in between is seen there.
    pub(super) fn of_key(&self, id: i64) -> Option<Fence> {
        self.keys.lock().get(&id).map(|waiting| waiting.newest)
    }

    /// What covers any of these. Ask before the floors of the file are: what ends in between is seen there.
    pub(super) fn of_scopes(&self, space: u64, tags: &[u64]) -> Option<Fence> {
        let scopes = self.scopes.lock();
        if scopes.is_empty() {
            return None;
        }
        let all = std::iter::once(Scope::Space(space)).chain(tags.iter().map(|tag| Scope::Tag(*tag)));
        all.filter_map(|scope| scopes.get(&scope)).map(|waiting| waiting.newest).max()
    }
}

/// Whether something that waits under `fence` in the present life covers a row.
pub(super) fn covers(waiting: Option<Fence>, row: Seq, life: u64) -> bool {
    waiting.is_some_and(|fence| row <= Seq { life, fence: fence.0 })
}

fn begin<K: Eq + Hash>(all: &Mutex<HashMap<K, Waiting>>, key: K, fence: Fence) -> bool {
    let mut all = all.lock();
    if all.len() >= MOST && !all.contains_key(&key) {
        return false;
    }
    let waiting = all.entry(key).or_insert(Waiting { newest: fence, orders: 0 });
    waiting.newest = waiting.newest.max(fence);
    waiting.orders += 1;
    true
}

fn end<K: Eq + Hash>(all: &Mutex<HashMap<K, Waiting>>, key: K) {
    let mut all = all.lock();
    let Some(waiting) = all.get_mut(&key) else { return };
    waiting.orders -= 1;
    if waiting.orders == 0 {
        all.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_covers_what_was_made_before_it_until_the_last_of_its_kind_has_ended() {
        let under_way = UnderWay::default();
        assert!(under_way.begin_key(1, Fence(20)) && under_way.begin_key(1, Fence(10)));
        let row = |life, fence| Seq { life, fence };
        for (row, covered) in [(row(2, 20), true), (row(2, 21), false), (row(1, 99), true)] {
            assert_eq!(covers(under_way.of_key(1), row, 2), covered, "{row:?}");
        }
        under_way.end_key(1);
        assert_eq!(under_way.of_key(1), Some(Fence(20)));
        under_way.end_key(1);
        assert_eq!(under_way.of_key(1), None);
        under_way.end_key(1);

        assert!(under_way.begin_scope(Scope::Tag(7), Fence(5)));
        assert_eq!(under_way.of_scopes(7, &[1]), None, "a space of that number is another scope");
        assert_eq!(under_way.of_scopes(1, &[3, 7]), Some(Fence(5)));
    }

    #[test]
    fn past_the_bound_they_are_refused() {
        let under_way = UnderWay::default();
        assert!((0..MOST as i64).all(|id| under_way.begin_key(id, Fence(1))));
        assert!(!under_way.begin_key(-1, Fence(1)));
        assert!(under_way.begin_key(5, Fence(2)), "one that waits already may wait more");
    }
}

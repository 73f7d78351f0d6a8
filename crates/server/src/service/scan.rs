//! Which keys are resident? For SCAN and its like: a walk that a client makes in steps.
//!
//! A cursor is a place in the order of the keys' hashes, not in anybody's list. Whatever comes and
//! goes meanwhile, a key that is resident from the first step to the last is returned.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Service;

/// A list of keys is used for the next steps for so long, then made anew.
const LIST_AGE: Duration = Duration::from_secs(10);

/// Keys in the order of their hashes.
type List = Arc<[(u64, Box<[u8]>)]>;

/// The list that the last step used.
#[derive(Default)]
pub(super) struct Latest(Option<(Instant, List)>);

/// One step of a walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Where the next step begins; 0: there is no next.
    pub cursor: u64,
    /// Keys as clients know them.
    pub keys: Vec<Box<[u8]>>,
}

impl Service {
    /// A step from `cursor` on over about `count` keys, of which those that `wanted` accepts are
    /// returned. The first step, from 0, walks the whole memory tier: off a request's thread, please.
    pub fn scan(&self, cursor: u64, count: usize, wanted: impl Fn(&[u8]) -> bool) -> Page {
        let list = self.keys_by_hash(cursor == 0);
        let start = list.partition_point(|(hash, _)| *hash < cursor);
        let mut end = (start + count.max(1)).min(list.len());
        // Keys of one hash are never parted: the next step could not begin between them.
        while end < list.len() && list[end].0 == list[end - 1].0 {
            end += 1;
        }
        let keys = list[start..end].iter().map(|(_, key)| key);
        let resident = |key: &[u8]| self.peek(key).is_ok_and(|found| found.is_some());
        Page {
            cursor: list.get(end).map_or(0, |(hash, _)| *hash),
            keys: keys.filter(|key| wanted(key) && resident(key)).cloned().collect(),
        }
    }

    /// A resident key, any.
    pub fn random_key(&self) -> Option<Box<[u8]>> {
        let list = self.keys_by_hash(true);
        let at = usize::try_from(self.0.hasher.hash_one(Instant::now()) % list.len().max(1) as u64).unwrap_or_default();
        list.get(at).map(|(_, key)| key.clone())
    }

    fn keys_by_hash(&self, anew: bool) -> List {
        if !anew
            && let Some((made, list)) = &self.0.scan.lock().0
            && made.elapsed() < LIST_AGE
        {
            return list.clone();
        }
        let spaces = &self.0.spaces;
        let resident = self.0.cache.resident().into_iter().filter_map(|(name, stored)| {
            let key = spaces.iter().find(|served| *served.name == *name)?.unstored(&stored)?.into();
            // Never 0, which means the beginning and the end.
            Some((self.0.hasher.hash_one(&key).max(1), key))
        });
        let mut list: Vec<(u64, Box<[u8]>)> = resident.collect();
        list.sort_unstable();
        let list: List = list.into();
        self.0.scan.lock().0 = Some((Instant::now(), list.clone()));
        list
    }
}

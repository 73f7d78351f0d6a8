//! Which keys are resident? For SCAN and its like: a walk that a client makes in steps.
//!
//! A cursor is a place in the order of the keys' hashes, not in anybody's list. Whatever comes and
//! goes meanwhile, a key that is resident from the first step to the last is returned.

use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use super::Service;
use super::keylist::{Latest, List};
use super::serving::Belongs;

/// A step ends after so long, with fewer keys than were asked for: the next walker waits.
const STEP_TIME: Duration = Duration::from_millis(100);

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
    /// returned. `None` only if the process is about to end.
    pub async fn scan(
        &self,
        cursor: u64,
        count: usize,
        wanted: impl Fn(&[u8]) -> bool + Send + 'static,
    ) -> Option<Page> {
        let since = (cursor == 0).then(Instant::now);
        self.walk(move |service, latest| {
            let list = service.keys_by_hash(latest, since);
            service.step(&list, cursor, count, wanted)
        })
        .await
    }

    /// A resident key, any.
    pub async fn random_key(&self) -> Option<Box<[u8]>> {
        let since = Instant::now();
        self.walk(move |service, latest| {
            let list = service.keys_by_hash(latest, Some(since));
            let drawn = service.0.hasher.hash_one(Instant::now()) % list.len().max(1) as u64;
            list.get(usize::try_from(drawn).unwrap_or_default()).map(|(_, key)| key.clone())
        })
        .await
        .flatten()
    }

    /// Walks off the connections' threads, one walker at a time, in the order in which they came.
    async fn walk<T: Send + 'static>(
        &self,
        walk: impl FnOnce(&Service, &mut Latest) -> T + Send + 'static,
    ) -> Option<T> {
        let mut latest = self.0.scan.clone().lock_owned().await;
        let service = self.clone();
        self.0.loads.spawn_blocking(move || walk(&service, &mut latest)).await.ok()
    }

    fn step(&self, list: &List, cursor: u64, count: usize, wanted: impl Fn(&[u8]) -> bool) -> Page {
        let begun = Instant::now();
        let start = list.partition_point(|(hash, _)| *hash < cursor);
        let resident = |key: &[u8]| self.present(key).is_ok_and(|found| found.is_some());
        let mut page = Page::default();
        for (at, (hash, key)) in list.iter().enumerate().skip(start) {
            // Keys of one hash are never parted: the next step could not begin between them.
            let parts = at > start && list[at - 1].0 != *hash;
            if parts && (at - start >= count || begun.elapsed() >= STEP_TIME) {
                page.cursor = *hash;
                break;
            }
            if wanted(key) && resident(key) {
                page.keys.push(key.clone());
            }
        }
        page
    }

    /// The keys in the order of their hashes; a list begun since `since`, if one is asked for.
    fn keys_by_hash(&self, latest: &mut Latest, since: Option<Instant>) -> List {
        if let Some(list) = latest.recent(since) {
            return list;
        }
        let begun = Instant::now();
        let serving = self.serving_on();
        let resident = self.0.cache.resident().filter_map(|(name, stored)| {
            let served = serving.spaces.iter().find(|served| *served.name == *name)?;
            let key: Box<[u8]> = served.unstored(&stored)?.into();
            // What a space holds of keys that a reload gave to another is nobody's.
            let own = matches!(serving.belongs(&key), Belongs::To(of, _) if std::ptr::eq(of, served));
            let key = Some(key).filter(|_| own)?;
            // Never 0, which means the beginning and the end.
            Some((self.0.hasher.hash_one(&key).max(1), key))
        });
        let mut list: Vec<(u64, Box<[u8]>)> = resident.collect();
        list.sort_unstable();
        let list: List = list.into();
        latest.keep(begun, list.clone());
        list
    }
}

//! What does a process do by itself from its start on? It warms up, follows its hit rate, and remembers what is read most.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bellwether::{Snapshot, Why};
use bellwether_core::guard::ramp::{WARM_LIMIT, Window};
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Service;
use super::beginning::Readiness;
use super::hotlist::{self, Hot};
use super::serving::Belongs;

/// The hot list is written so often.
const KEEP_EVERY: Duration = Duration::from_secs(60);
/// The weight follows the hit rate of so long.
const WINDOW: Duration = Duration::from_secs(1);
/// Keys of the hot list that are loaded in one go: between two of them it is seen whether that is enough. The first are so
/// few because they are read most, each next go has twice as many, up to the most.
const FIRST_STEP: usize = 32;
const MOST_AT_ONCE: usize = 512;

fn hash(space: &str, key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, xxh3_64_with_seed(space.as_bytes(), 0))
}

/// A list in goes, each twice as long as the one before.
fn steps<T>(list: &[T]) -> impl Iterator<Item = &[T]> {
    let (mut left, mut next) = (list, FIRST_STEP);
    std::iter::from_fn(move || {
        let step;
        (step, left) = left.split_at(next.min(left.len()));
        next = (next * 2).min(MOST_AT_ONCE);
        Some(step).filter(|step| !step.is_empty())
    })
}

impl Service {
    /// Warms up, follows the hit rate and keeps the hot list, for as long as the runtime lives that runs it.
    pub async fn tend(self) {
        let list = std::mem::take(&mut *self.0.beginning.list.lock());
        let warming = async {
            if !list.is_empty() {
                self.remember(&list);
                self.warm_up(list).await;
            }
        };
        tokio::join!(
            warming,
            self.follow_hits(),
            self.keep_hot_lists(),
            self.keep_filters(),
            self.follow_surges(),
            self.follow_announcements()
        );
    }

    /// How far the process is.
    pub fn readiness(&self) -> Readiness {
        let ramp = self.0.beginning.ramp.lock();
        let warm = self.0.beginning.share.load(Ordering::Relaxed) as f64 / 1e6;
        Readiness { ready: ramp.is_ready(), weight: ramp.weight(self.now()), warm }
    }

    /// What was read most before the restart counts as known: a key that nobody has asked for yet is not forgotten by it.
    fn remember(&self, list: &[Hot]) {
        let serving = self.serving();
        let known = list.iter().filter_map(|hot| match serving.belongs(&hot.key) {
            Belongs::To(served, _) => Some((hash(&served.name, &served.stored(&hot.key)), hot.rate as f32)),
            _ => None,
        });
        *self.0.beginning.known.lock() = known.collect();
    }

    /// Loads the hot list, the most popular first, until enough is there or the time is over.
    async fn warm_up(&self, list: Vec<Hot>) {
        let begun = self.now();
        let (all, keys): (f64, usize) = (list.iter().map(|hot| hot.rate).sum(), list.len());
        let (mut done, mut tried) = (0.0, 0);
        for step in steps(&list) {
            let mut wanted: Vec<Bytes> = step.iter().map(|hot| Bytes::copy_from_slice(&hot.key)).collect();
            // Processes of a fleet that restart together have much the same list, and would all wait for the same loads.
            if self.0.fleet.is_some() {
                let first = fastrand::usize(..wanted.len());
                wanted.rotate_left(first);
            }
            let warmed = self.warm(wanted, begun + WARM_LIMIT).await;
            let mass: f64 = step.iter().map(|hot| hot.rate).sum();
            let there = 1.0 - (warmed.failed as usize + warmed.again.len()) as f64 / step.len() as f64;
            done += mass * there;
            tried += step.len();
            let share = if all > 0.0 { done / all } else { 1.0 };
            self.0.beginning.share.store((share * 1e6) as u64, Ordering::Relaxed);
            // Ready or not, the rest goes on in the background: the last keys are asked for so seldom that a fleet which waits
            // for that takes a fifth longer until nearly every read is a hit.
            self.0.beginning.ramp.lock().warmed(share, self.now());
            if self.now() >= begun + WARM_LIMIT {
                break;
            }
        }
        let now = self.now();
        // Whatever was there was tried.
        self.0.beginning.ramp.lock().end_warming(now);
        let (percent, took_ms) = (self.0.beginning.share.load(Ordering::Relaxed) / 10_000, now.since(begun).0);
        tracing::info!(keys, tried, percent, took_ms, "warm: what was read most before the restart");
    }

    async fn follow_hits(&self) {
        let mut before = (0, 0);
        loop {
            tokio::time::sleep(WINDOW).await;
            let snapshot = self.0.cache.snapshot();
            let (reads, hits) = self.reads(&snapshot);
            let slow = snapshot.origins.iter().any(|origin| origin.guard.slow);
            let window = Window { reads: reads.saturating_sub(before.0), hits: hits.saturating_sub(before.1), slow };
            before = (reads, hits);
            self.0.beginning.ramp.lock().observe(window, self.now());
        }
    }

    /// Reads of clients that an origin could have had to answer, and those of them that a tier answered.
    fn reads(&self, snapshot: &Snapshot) -> (u64, u64) {
        let serving = self.serving();
        let loads = |name: &str| serving.spaces.iter().any(|served| served.name == name && served.origin.is_some());
        let (mut reads, mut hits) = (0, 0);
        for space in snapshot.spaces.iter().filter(|space| loads(&space.name)) {
            let answered = [Why::Hit, Why::StaleRefreshing, Why::Suspect].map(|why| space.of(why));
            hits += answered.iter().sum::<u64>();
            // A row that does not exist says nothing of how warm the process is.
            reads += space.total() - space.of(Why::Negative);
        }
        (reads.saturating_sub(self.0.beginning.of_warming.load(Ordering::Relaxed)).max(hits), hits)
    }

    async fn keep_hot_lists(&self) {
        if self.0.beginning.path.is_none() {
            return;
        }
        loop {
            tokio::time::sleep(KEEP_EVERY).await;
            let service = self.clone();
            // Only a process that ends does not write it here: it writes it as it ends.
            let _ = self.0.loads.spawn_blocking(move || service.keep_hot_list()).await;
        }
    }

    /// What is read most, as a text. Walks memory: not for a thread that serves.
    pub(crate) fn hot_list(&self) -> String {
        let serving = self.serving_on();
        let served = |name: &str| serving.spaces.iter().find(|served| served.name == name && served.origin.is_some());
        let mut known = self.0.beginning.known.lock();
        let before = |space: &str, key: &[u8]| known.get(&hash(space, key)).copied().map(f64::from);
        let popular = self.0.cache.popular(hotlist::MOST_KEYS, |space| served(space).is_some(), before);
        *known = popular.iter().map(|popular| (hash(&popular.space, &popular.key), popular.rate as f32)).collect();
        drop(known);
        let hot = popular.into_iter().filter_map(|popular| {
            let key = served(&popular.space)?.unstored(&popular.key)?.to_vec();
            Some(Hot { rate: popular.rate, key })
        });
        hotlist::text(&hot.collect::<Vec<_>>())
    }

    /// Tells the fleet what this process alone knows, before it ends.
    pub(crate) async fn leave_fleet(&self) {
        if let Some(fleet) = &self.0.fleet {
            fleet.tier.leave().await;
        }
    }

    /// Writes the hot list for the next start, if it is kept. One that was just begun, or that was never asked for
    /// anything, leaves the list of its predecessor.
    pub(crate) fn keep_hot_list(&self) {
        let Some(path) = &self.0.beginning.path else { return };
        if !self.readiness().ready {
            return;
        }
        let text = self.hot_list();
        if hotlist::parse(text.as_bytes()).is_ok_and(|list| list.is_empty()) {
            return;
        }
        if let Err(error) = hotlist::write(path, &text) {
            tracing::warn!(path = %path.display(), %error, "the hot list can't be written: the next start will be cold");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_enough_is_there_is_seen_soon_and_then_less_often() {
        let lengths = |keys: usize| steps(&vec![0; keys]).map(<[_]>::len).collect::<Vec<_>>();
        assert_eq!(lengths(0), [0_usize; 0]);
        assert_eq!(lengths(7), [7]);
        assert_eq!(lengths(100), [32, 64, 4]);
        assert_eq!(lengths(2_000), [32, 64, 128, 256, 512, 512, 496]);
    }
}

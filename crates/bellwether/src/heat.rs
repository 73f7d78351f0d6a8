//! Which keys draw more than their share, and which values are large? What a program, or an operator, is told.

use std::collections::BinaryHeap;

use bellwether_core::heat::hot::{Rates, Stage};
use bellwether_core::heat::policy::HotPolicy;
use bellwether_core::time::Span;
use bellwether_core::time::Tick;

use crate::cache::Cache;
use crate::control::heat::sensible;
use crate::engine::Engine;
use crate::error::SetupError;
use crate::observe::explain::ExplainReaction;
use crate::state::heat::CapacitySource;

/// The most that [`Cache::big_keys`] tells.
const MOST_BIG: usize = 1_000;

/// A key that is hot or watched.
#[derive(Clone, Debug, PartialEq)]
pub struct HotKey {
    /// Its space.
    pub space: String,
    /// Its bytes within the space.
    pub key: Box<[u8]>,
    /// How hot it is.
    pub stage: Stage,
    /// What this process saw of it in the last second: per second.
    pub here: Rates,
    /// What the whole fleet saw, as far as it is known here: per second; at least `here`.
    pub fleet: Rates,
    /// The same, averaged over ten seconds.
    pub steady: Rates,
    /// The largest share of one node's capacity that `fleet` takes, of operations or of bytes: 1 is all of it.
    pub share: f64,
    /// For so long it is in this stage.
    pub since: Span,
    /// So much longer it stays in it at least.
    pub held_for: Span,
    /// Bytes of its value, as it was last seen.
    pub value_bytes: u32,
    /// What is done about it, and what that has saved and cost; `None`: nothing.
    pub reaction: Option<ExplainReaction>,
}

/// A value that is large.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BigKey {
    /// Bytes of the value.
    pub bytes: u32,
    /// Its space.
    pub space: String,
    /// The key's bytes within the space.
    pub key: Box<[u8]>,
    /// Times it was served since it was stored, nearly.
    pub hits: u32,
}

/// What the detector knows of itself. Counters, but for the first six.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeatCounts {
    /// Keys that are hot now.
    pub hot: usize,
    /// Keys that are watched now.
    pub watched: usize,
    /// Processes that tell each other what they see, this one included: an estimate.
    pub instances: u32,
    /// Operations a second that one node is taken to bear.
    pub capacity: f64,
    /// Where that comes from.
    pub capacity_source: CapacitySource,
    /// Bytes that detection takes: 256 KiB at most.
    pub bytes: usize,
    /// Windows that were judged.
    pub windows: u64,
    /// Keys that stood out and whose names could not be noted.
    pub dropped: u64,
    /// Keys that were not taken up, because those that are held are as hot.
    pub refused_full: u64,
    /// Times that a key was not hot because its space has as many hot keys as it may.
    pub refused_quota: u64,
}

/// A key of which somebody said that it will be hot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncedKey {
    /// The name of its space.
    pub space: String,
    /// Its bytes in that space.
    pub key: Box<[u8]>,
    /// From here on.
    pub from: Tick,
    /// Until here.
    pub until: Tick,
}

impl Cache {
    /// The keys that are hot or watched, the hottest first, at most `n` of them (256 at a time are known).
    ///
    /// A key is hot when it takes a good part of what one node bears: see [`HotPolicy`]. One access in eight is looked
    /// at, in windows of 100 ms, so rates are estimates.
    ///
    /// ```
    /// use bellwether::{Cache, HotPolicy};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = Cache::builder().hot(HotPolicy { capacity: Some(50_000.0), ..HotPolicy::default() }).build()?;
    /// for hot in cache.hot_keys(10) {
    ///     println!("{} {:?}: {:.0} reads/s, {:.0} % of a node", hot.space, hot.key, hot.fleet.reads, hot.share * 100.0);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn hot_keys(&self, n: usize) -> Vec<HotKey> {
        self.engine.hot_keys(n)
    }

    /// The largest values that are resident, the largest first, at most `n` of them and at most 1,000. Walks the whole
    /// memory tier: not for a request's path.
    ///
    /// ```
    /// use bellwether::{Cache, Loaded, Policy};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = Cache::builder().build()?;
    /// let page = cache.space::<str, String>("page", Policy::ttl("60s"));
    /// page.put("home", Loaded::value("x".repeat(100_000)));
    /// let big = cache.big_keys(1);
    /// assert!(&*big[0].key == b"home" && big[0].bytes >= 100_000);
    /// # Ok(()) }
    /// ```
    pub fn big_keys(&self, n: usize) -> Vec<BigKey> {
        let n = n.min(MOST_BIG);
        let spaces = self.engine.spaces_by_id();
        let mut largest = BinaryHeap::with_capacity(n + 1);
        for (space, key, entry) in self.engine.memory.entries() {
            let Some(space) = spaces.get(&space).filter(|space| self.engine.is_live(space, &entry)) else { continue };
            let bytes = entry.value_bytes(key.len());
            let full = largest.len() >= n;
            let least = largest.peek().map_or(0, |std::cmp::Reverse(BigKey { bytes, .. })| *bytes);
            if full && bytes <= least {
                continue;
            }
            largest.push(std::cmp::Reverse(BigKey { bytes, space: space.name.to_string(), key, hits: entry.hits() }));
            if full {
                largest.pop();
            }
        }
        largest.into_sorted_vec().into_iter().map(|std::cmp::Reverse(big)| big).take(n).collect()
    }

    /// Keys that were [announced](crate::Space::announce) and are not over, those that begin first in front.
    pub fn announced(&self) -> Vec<AnnouncedKey> {
        let spaces = self.engine.spaces_by_id();
        let announced = self.engine.plans.all_announced(self.engine.clock.now()).into_iter();
        let known = announced.filter_map(|announced| {
            let space = spaces.get(&announced.key.space)?.name.to_string();
            Some(AnnouncedKey {
                space,
                key: Box::from(&*announced.key.bytes),
                from: announced.from,
                until: announced.until,
            })
        });
        known.collect()
    }

    /// What the detector of hot keys knows of itself.
    pub fn heat(&self) -> HeatCounts {
        self.engine.heat_counts()
    }

    /// Other thresholds, from the next window on. Keys that are hot stay so until they are calm by the new ones.
    ///
    /// # Errors
    /// They contradict each other: nothing changes.
    pub fn set_hot(&self, policy: HotPolicy) -> Result<(), SetupError> {
        sensible(&policy)?;
        self.engine.heat.set_policy(policy);
        Ok(())
    }
}

impl Engine {
    fn hot_keys(&self, n: usize) -> Vec<HotKey> {
        let spaces = self.spaces_by_id();
        let (now, bars) = (self.clock.now(), self.heat.bars());
        let judged = self.heat.judged();
        let told = judged.board.hottest_first().into_iter().filter_map(|id| {
            let known = judged.known.get(&id)?;
            let space = spaces.get(&known.key.space)?;
            let (hot, (_, steady)) = (judged.board.hot(id, &bars)?, judged.board.steady(id)?);
            Some(HotKey {
                space: space.name.to_string(),
                key: (*known.key.bytes).into(),
                stage: hot.stage,
                here: hot.here,
                fleet: hot.fleet,
                steady,
                share: hot.share,
                since: now.since(hot.since),
                held_for: hot.hold_until.since(now),
                value_bytes: known.size,
                reaction: self.plans.of(&known.key, |planned| Some(ExplainReaction::of(planned, now))),
            })
        });
        told.take(n).collect()
    }

    fn heat_counts(&self) -> HeatCounts {
        let bytes = self.heat.bytes();
        let judged = self.heat.judged();
        let (hot, watched) = judged.board.sizes();
        let refused = judged.board.refused;
        HeatCounts {
            hot,
            watched,
            instances: judged.view.instances(self.clock.now()),
            capacity: self.heat.bars().capacity,
            capacity_source: self.heat.capacity_source(),
            bytes,
            windows: judged.windows,
            dropped: self.heat.dropped.load(std::sync::atomic::Ordering::Relaxed),
            refused_full: refused.full,
            refused_quota: refused.quota,
        }
    }
}

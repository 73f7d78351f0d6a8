//! What is done about which keys, right now? One snapshot, replaced as a whole, and what it has saved and cost so far.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bellwether_core::fence::Fence;
use bellwether_core::heat::hot::Hot;
use bellwether_core::heat::plan::{Estimate, Measure, Reaction};
use bellwether_core::heat::undone::Undone;
use bellwether_core::time::{Span, Tick};
use parking_lot::Mutex;

use crate::key::{ByCarriedHash, Key};
use crate::shared::Packed;

/// Keys that may be announced at once.
pub const MOST_ANNOUNCED: usize = 1_000;
const MEASURES: usize = Measure::ALL.len();

/// What detection says of one key, at the end of a window or within one.
#[derive(Clone)]
pub(crate) struct Verdict {
    pub(crate) key: Key,
    pub(crate) hot: Hot,
}

/// What is known of the fleet when a window ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    pub(crate) now: Tick,
    /// Operations a second that a node bears.
    pub(crate) capacity: f64,
    /// Processes, this one included.
    pub(crate) instances: u32,
    /// Freshness may be extended within the staleness budgets.
    pub(crate) extend_ttl: bool,
    /// For how long a key is held that is hot.
    pub(crate) hold: Span,
}

/// What is done about one key.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    /// What is in force: what was planned, less what is undone already.
    pub(crate) reaction: Reaction,
    pub(crate) undone: Undone,
    /// The last verdict; `None`: it is announced and was not hot yet.
    pub(crate) hot: Option<Hot>,
    /// Since when it is reacted to.
    pub(crate) since: Tick,
    pub(crate) estimate: Estimate,
    pub(crate) toll: Arc<Toll>,
}

/// What reactions to one key have saved and cost so far.
#[derive(Debug, Default)]
pub(crate) struct Toll {
    saved: AtomicU64,
    cost: AtomicU64,
    /// What compressing it spares the network, and takes.
    pub(crate) packed: Packed,
    /// The copy that memory holds of a promoted key, and since when.
    held: Mutex<Option<(Fence, Tick)>>,
}

impl Toll {
    pub(crate) fn hold(&self, copy: Fence, at: Tick) {
        *self.held.lock() = Some((copy, at));
    }

    /// Since when this copy is held, if it is.
    pub(crate) fn held_since(&self, copy: Fence) -> Option<Tick> {
        self.held.lock().filter(|(held, _)| *held == copy).map(|(_, since)| since)
    }

    pub(crate) fn saved(&self) -> u64 {
        self.saved.load(Ordering::Relaxed)
    }

    pub(crate) fn cost(&self) -> u64 {
        self.cost.load(Ordering::Relaxed)
    }
}

/// Everything that is done, by key.
#[derive(Clone, Default)]
pub(crate) struct Plan {
    pub(crate) by_key: HashMap<Key, Planned, ByCarriedHash>,
}

/// An announced key is prepared so long before it is hot.
const AHEAD: Span = Span::secs(30);

/// A key of which somebody said that it will be hot.
#[derive(Clone, Debug)]
pub(crate) struct Announced {
    pub(crate) key: Key,
    /// From here on it is hot; it is prepared [`AHEAD`] of it.
    pub(crate) from: Tick,
    pub(crate) until: Tick,
}

/// The plan in force, and what is counted of it.
#[derive(Default)]
pub(crate) struct Plans {
    current: ArcSwap<Plan>,
    /// Whether there is anything in it: what most reads of it need to know.
    any: AtomicBool,
    announced: Mutex<Vec<Announced>>,
    begun: [AtomicU64; MEASURES],
    saved: [AtomicU64; MEASURES],
    cost: [AtomicU64; MEASURES],
    packed: Packed,
}

impl Plans {
    /// The whole plan.
    pub(crate) fn snapshot(&self) -> Arc<Plan> {
        self.current.load_full()
    }

    /// What is done about `key`, as far as `of` asks.
    pub(crate) fn of<T>(&self, key: &Key, of: impl FnOnce(&Planned) -> Option<T>) -> Option<T> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        of(self.current.load().by_key.get(key)?)
    }

    /// What a reaction to one more key saves and costs.
    pub(crate) fn toll(&self) -> Arc<Toll> {
        Arc::new(Toll { packed: Packed::among(&self.packed), ..Toll::default() })
    }

    /// Puts another plan into force.
    pub(crate) fn replace(&self, plan: Plan) {
        let any = !plan.by_key.is_empty();
        let before = self.current.swap(Arc::new(plan));
        self.any.store(any, Ordering::Release);
        for (key, planned) in &self.current.load().by_key {
            let had = before.by_key.get(key).map(|planned| planned.reaction);
            for measure in planned.reaction.measures() {
                if !had.is_some_and(|had| had.has(measure)) {
                    self.begun[measure as usize].fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// A measure has saved so much.
    pub(crate) fn saved(&self, toll: &Toll, measure: Measure, n: u64) {
        toll.saved.fetch_add(n, Ordering::Relaxed);
        self.saved[measure as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// A measure has cost so much.
    pub(crate) fn cost(&self, toll: &Toll, measure: Measure, n: u64) {
        toll.cost.fetch_add(n, Ordering::Relaxed);
        self.cost[measure as usize].fetch_add(n, Ordering::Relaxed);
    }

    /// False: too many are announced already.
    pub(crate) fn announce(&self, announced: Announced, now: Tick) -> bool {
        let mut all = self.announced.lock();
        all.retain(|other| other.until > now && other.key != announced.key);
        if all.len() >= MOST_ANNOUNCED {
            return false;
        }
        all.push(announced);
        true
    }

    /// Announced keys that are to be prepared by now.
    pub(crate) fn announced(&self, now: Tick) -> Vec<Announced> {
        let mut all = self.announced.lock();
        all.retain(|announced| announced.until > now);
        all.iter().filter(|announced| announced.from - AHEAD <= now).cloned().collect()
    }

    /// All of them, those that begin later included, in the order of their beginning.
    pub(crate) fn all_announced(&self, now: Tick) -> Vec<Announced> {
        let mut all: Vec<Announced> = self.announced.lock().iter().filter(|of| of.until > now).cloned().collect();
        all.sort_by_key(|announced| (announced.from, announced.until));
        all
    }

    /// Takes an announcement back; false: there is none.
    pub(crate) fn withdraw(&self, key: &Key, now: Tick) -> bool {
        let mut all = self.announced.lock();
        all.retain(|announced| announced.until > now);
        let before = all.len();
        all.retain(|announced| announced.key != *key);
        all.len() < before
    }

    /// Counts by measure: came into force, saved, cost, and keys at which it is in force now.
    pub(crate) fn counts(&self) -> Vec<MeasureCounts> {
        let plan = self.current.load();
        let count = |counts: &[AtomicU64; MEASURES], measure: Measure| counts[measure as usize].load(Ordering::Relaxed);
        let of = |measure: Measure| MeasureCounts {
            measure,
            begun: count(&self.begun, measure),
            saved: count(&self.saved, measure),
            cost: count(&self.cost, measure),
            saved_bytes: if measure == Measure::Compress { self.packed.spared() } else { 0 },
            cpu_us: if measure == Measure::Compress { self.packed.took_us() } else { 0 },
            keys: plan.by_key.values().filter(|planned| planned.reaction.has(measure)).count() as u64,
        };
        Measure::ALL.into_iter().map(of).collect()
    }
}

/// What one kind of reaction to hot keys has done. `saved` and `cost` are counted where they happen: operations that the
/// store, the shared tier or a reader was spared, and operations more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasureCounts {
    /// Which.
    pub measure: Measure,
    /// Times that it came into force.
    pub begun: u64,
    /// What it saved: reads of the store (`own_copies`), reads of the shared tier (`promote`), reads that would have
    /// come upon a stale value (`worker`), writes to the tier (`coalesce_writes`), entries kept longer (`extend`).
    pub saved: u64,
    /// What it cost: references made, loads that nobody asked for, milliseconds that writes were held back.
    pub cost: u64,
    /// Bytes that did not travel to and from the shared tier (`compress`): what the value is shorter than it would be as
    /// others are, each time that it is written or read here.
    pub saved_bytes: u64,
    /// Microseconds that compressing took (`compress`).
    pub cpu_us: u64,
    /// Keys at which it is in force now.
    pub keys: u64,
}

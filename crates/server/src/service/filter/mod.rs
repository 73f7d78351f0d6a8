//! Which keys of a space exist, as far as its origin told? A filter at work, and the next one while it is made.
//!
//! What may be done with its "absent", and when it is made anew, is decided in `core::filter`; here are its bits.
//! Whatever is written or invalidated through us is in it at once: also in the next one, whose list of keys may have
//! been read past it by then.

mod bits;
mod known;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bellwether::{Since, Tick};
use bellwether_core::filter::overlay::grown;
use bellwether_core::filter::rebuild::Standing;
use parking_lot::RwLock;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::config::FilterConfig;
use bits::Overlay;

pub(super) use bits::Base;
pub(super) use known::Known;
pub use view::{FilterState, FilterView};

/// Keys that a filter holds, at most: 23 MB at work, and some 30 bytes a key while it is made.
pub(super) const MOST_KEYS: usize = 10_000_000;

/// The filter of one space, and how it is kept.
#[derive(Clone)]
pub(super) struct Filtered {
    pub(super) filter: Arc<Filter>,
    pub(super) config: FilterConfig,
}

/// The filter of one space: the same through reloads that leave its list of keys as it is.
pub(super) struct Filter {
    /// Nobody outside knows which keys share a hash.
    seed: u64,
    state: RwLock<State>,
    /// Something that was invalidated keeps it from answering.
    doubted: AtomicBool,
    counts: Counts,
}

#[derive(Default)]
struct State {
    built: Option<Built>,
    /// What is written while the next list of keys is read.
    next: Option<Overlay>,
    tried: Option<Tick>,
    /// Tries that failed since the last that did not.
    failures: u32,
    /// Of the last try, if it failed.
    trouble: Option<Trouble>,
}

/// A filter that is at work.
struct Built {
    base: Base,
    overlay: Overlay,
    age: Age,
}

/// Of which moment a list of keys is: before its first row was read.
#[derive(Clone, Copy)]
pub(super) struct Age {
    pub(super) began: Tick,
    pub(super) since: Since,
}

/// Why a filter could not be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The origin has more keys than a filter may hold: there is none then.
    TooMany,
    /// The origin failed or its guard turned the question away: what there was goes on.
    Failed(String),
}

#[derive(Default)]
struct Counts {
    builds: AtomicU64,
    failures: AtomicU64,
    lowered: AtomicU64,
    new_rows: AtomicU64,
    took_ms: AtomicU64,
}

/// A failure that only time helps against: the next try comes after a whole period.
const A_PERIOD: u32 = 30;

impl Filter {
    pub(super) fn new(seed: u64) -> Filter {
        Filter { seed, state: RwLock::default(), doubted: AtomicBool::new(false), counts: Counts::default() }
    }

    /// What stands for `key` in it.
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        xxh3_64_with_seed(key, self.seed)
    }

    /// Of which moment the filter is that does not have `key`; `None`: it has it, or there is no filter.
    pub(super) fn lacks(&self, key: &[u8]) -> Option<Age> {
        let hash = self.hash(key);
        let state = self.state.read();
        let built = state.built.as_ref()?;
        (!built.base.has(hash) && !built.overlay.has(hash)).then_some(built.age)
    }

    /// From now on `key` counts as one that may exist.
    pub(super) fn note(&self, key: &[u8]) {
        let hash = self.hash(key);
        let mut state = self.state.write();
        if let Some(built) = state.built.as_mut().filter(|built| !built.base.has(hash)) {
            built.overlay.note(hash);
        }
        // Whatever the present one says: the next may lack it.
        if let Some(next) = &mut state.next {
            next.note(hash);
        }
    }

    /// It would have answered, but for something that was invalidated.
    pub(super) fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }

    /// A load was put behind all others.
    pub(super) fn lowered(&self) {
        self.counts.lowered.fetch_add(1, Ordering::Relaxed);
    }

    /// Such a load found a row: it was inserted past us.
    pub(super) fn found(&self, key: &[u8]) {
        self.counts.new_rows.fetch_add(1, Ordering::Relaxed);
        self.note(key);
    }

    /// A list of keys is about to be read.
    pub(super) fn begin(&self, now: Tick) {
        let mut state = self.state.write();
        let base = state.built.as_ref().map_or(0, |built| built.base.keys());
        state.next = Some(Overlay::over(base));
        state.tried = Some(now);
        self.doubted.store(false, Ordering::Relaxed);
    }

    /// The list was read, or not.
    pub(super) fn end(&self, built: Result<(Base, Age), Trouble>, now: Tick) {
        let mut state = self.state.write();
        let overlay = state.next.take();
        match built.and_then(|built| overlay.map(|overlay| (built, overlay)).ok_or_else(Trouble::unbegun)) {
            Ok(((base, age), overlay)) => {
                self.counts.builds.fetch_add(1, Ordering::Relaxed);
                self.counts.took_ms.store(now.since(age.began).0, Ordering::Relaxed);
                // Named one by one: the old one's memory goes back only once the lock is free.
                let old = state.built.replace(Built { base, overlay, age });
                (state.failures, state.trouble) = (0, None);
                drop(state);
                drop(old);
            }
            Err(trouble) => {
                self.counts.failures.fetch_add(1, Ordering::Relaxed);
                if trouble == Trouble::TooMany {
                    state.built = None;
                    state.failures = A_PERIOD;
                } else {
                    state.failures = state.failures.saturating_add(1);
                }
                state.trouble = Some(trouble);
            }
        }
    }

    /// Why it could not be made the last time.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.state.read().trouble.clone()
    }

    /// Whether it is due is decided by this.
    pub(super) fn standing(&self, now: Tick) -> Standing {
        let state = self.state.read();
        let built = state.built.as_ref();
        Standing {
            age: built.map(|built| now.since(built.age.began)),
            tried: state.tried.map(|tried| now.since(tried)),
            failures: state.failures,
            grown: built.map_or(0.0, |built| grown(built.overlay.keys(), built.base.keys())),
            doubted: self.doubted.load(Ordering::Relaxed),
        }
    }
}

impl Trouble {
    fn unbegun() -> Trouble {
        Trouble::Failed("the list was never begun".to_owned())
    }

    /// In words.
    fn words(&self) -> String {
        match self {
            Trouble::TooMany => {
                format!("more than {} keys: put a LIMIT into `keys`, or remove `filter`", MOST_KEYS)
            }
            Trouble::Failed(words) => words.clone(),
        }
    }
}

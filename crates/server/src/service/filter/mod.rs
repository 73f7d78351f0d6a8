//! Which keys of a space exist, as far as its origin told? A filter at work, and the next one while it is made.
//!
//! What may be done with its "absent", and when it is made anew, is decided in `core::filter`; here are its bits.
//! Whatever is written or invalidated through us is in it at once: also in the next one, whose list of keys may have
//! been read past it by then.

mod bits;
mod known;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// Since when something that was invalidated keeps it from answering; 0: nothing does.
    doubted: AtomicU64,
    counts: Counts,
}

struct State {
    /// Since when it is kept.
    kept: Tick,
    /// Where among the processes of a fleet this one comes with its next try: see [`Standing::place`].
    place: f64,
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
    pub(super) fn new(seed: u64, now: Tick) -> Filter {
        let (built, next, tried, failures, trouble) = (None, None, None, 0, None);
        let state = State { kept: now, place: fastrand::f64(), built, next, tried, failures, trouble };
        Filter { seed, state: RwLock::new(state), doubted: AtomicU64::new(0), counts: Counts::default() }
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
    pub(super) fn doubt(&self, now: Tick) {
        if self.doubted.load(Ordering::Relaxed) == 0 {
            self.doubted.store(now.0.max(1), Ordering::Relaxed);
        }
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
        state.place = fastrand::f64();
        self.doubted.store(0, Ordering::Relaxed);
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

    /// Whether it is due is decided by this. `in_fleet`: other processes ask the same origin.
    pub(super) fn standing(&self, in_fleet: bool, now: Tick) -> Standing {
        let state = self.state.read();
        let built = state.built.as_ref();
        Standing {
            age: built.map(|built| now.since(built.age.began)),
            tried: state.tried.map(|tried| now.since(tried)),
            failures: state.failures,
            grown: built.map_or(0.0, |built| grown(built.overlay.keys(), built.base.keys())),
            doubted: match self.doubted.load(Ordering::Relaxed) {
                0 => None,
                since => Some(now.since(Tick(since))),
            },
            kept: now.since(state.kept),
            place: in_fleet.then_some(state.place),
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

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether::{Cache, Policy, Space, Span};
    use bellwether_core::filter::rebuild::due;

    const EVERY: Span = Span::secs(600);

    /// A filter of these keys, whose list began to be read at `now`.
    fn built(filter: &Filter, keys: &[&[u8]], now: Tick) -> (Base, Age) {
        let cache = Cache::builder().build().expect("a cache");
        let space: Space<[u8], u64> = cache.space("s", Policy::ttl(Span::secs(60)));
        let base = Base::of(keys.iter().map(|key| filter.hash(key)).collect()).expect("a base");
        (base, Age { began: now, since: space.since() })
    }

    #[tokio::test]
    async fn what_is_written_while_a_list_is_read_is_in_the_filter_before_and_after() {
        let now = Tick(1_000);
        let filter = Filter::new(7, now);
        assert!(filter.lacks(b"a").is_none(), "no filter, no absence");
        filter.begin(now);
        filter.end(Ok(built(&filter, &[b"a"], now)), now);
        assert!(filter.lacks(b"a").is_none() && filter.lacks(b"b").is_some() && filter.lacks(b"c").is_some());
        filter.note(b"b");
        assert!(filter.lacks(b"b").is_none());
        filter.begin(now + EVERY);
        // `a` is in the list at work; the next one may have been read past it.
        for key in [b"a", b"c"] {
            filter.note(key);
            assert!(filter.lacks(key).is_none(), "at once");
        }
        filter.end(Ok(built(&filter, &[], now + EVERY)), now + EVERY);
        assert!(filter.lacks(b"a").is_none() && filter.lacks(b"c").is_none(), "and in the next one");
        assert!(filter.lacks(b"b").is_some(), "control: what was noted before its list began is for the list to say");
    }

    #[tokio::test]
    async fn too_many_keys_turn_it_off_for_a_period_and_a_failure_leaves_it_as_it_was() {
        let now = Tick(1_000);
        let filter = Filter::new(7, now);
        filter.begin(now);
        filter.end(Ok(built(&filter, &[b"a"], now)), now);
        let failed = |words: &str| Err(Trouble::Failed(words.to_owned()));
        let later = now + EVERY;
        filter.begin(later);
        filter.end(failed("the origin is away"), later);
        assert!(filter.lacks(b"b").is_some(), "the last one goes on");
        assert_eq!(due(&filter.standing(false, later + Span::ms(999)), EVERY), None);
        assert!(due(&filter.standing(false, later + Span::secs(1)), EVERY).is_some(), "soon again");
        let again = later + Span::secs(1);
        filter.begin(again);
        filter.end(Err(Trouble::TooMany), again);
        assert!(filter.lacks(b"b").is_none(), "there is none: nothing is absent");
        assert_eq!(due(&filter.standing(false, again + Span::secs(599)), EVERY), None);
        assert!(due(&filter.standing(false, again + EVERY), EVERY).is_some(), "and after a period");
        assert!(filter.trouble().is_some_and(|trouble| trouble.words().contains("10000000 keys: put a LIMIT")));
    }
}

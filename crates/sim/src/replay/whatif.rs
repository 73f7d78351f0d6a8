//! How would the memory tier have done? The library itself, on a clock that the trace drives.
//!
//! A miss and the refresh of a stale value load at once: this measures what stays in memory and how long
//! it may be used, not how loads are coalesced. Neither jitter nor early refresh, for the same reason.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bellwether::{Cache, Clock, Early, Eviction, Policy, SetupError, Space, Span, Weigh, Why};

use super::trace::{Op, Request, Trace};

/// Expired entries are swept out this often, as the engine's own timer does it.
const SWEEP_EVERY: u64 = 250;
/// Turns given to the sweep each time: a batch each.
const SWEEP_TURNS: usize = 64;
/// Requests between two looks at the resident bytes.
const LOOK_EVERY: usize = 1024;
/// What an entry costs beyond key and value, at most: for a limit that nothing reaches.
const OVERHEAD: u64 = 512;

/// One cell of the "what if" table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setup {
    /// The limit in bytes; `None`: as much as everything needs.
    pub memory: Option<u64>,
    /// Fresh for so long.
    pub ttl: Span,
    /// Stale for so long after.
    pub grace: Span,
    /// Who goes first when memory is full.
    pub eviction: Eviction,
    /// Requests a second, where the trace has no times.
    pub rate: f64,
    /// Bytes of a value, where the trace has no sizes.
    pub size: u32,
    /// Decides how keys are spread over the store's parts.
    pub seed: u64,
}

/// What came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Reads = hits + stale + misses.
    pub reads: u64,
    /// Served fresh.
    pub hits: u64,
    /// Served stale, while a load refreshed them.
    pub stale: u64,
    /// Loaded because nothing was there.
    pub misses: u64,
    /// Bytes of the values loaded, refreshes included.
    pub loaded_bytes: u64,
    /// Writes and removals of the trace.
    pub writes: u64,
    /// Pushed out by others.
    pub evicted: u64,
    /// Of those, while still fresh.
    pub evicted_fresh: u64,
    /// Not kept because they were too large.
    pub too_large: u64,
    /// The most bytes resident.
    pub peak_bytes: u64,
}

impl Figures {
    /// Calls of the origin.
    pub fn loads(&self) -> u64 {
        self.misses + self.stale
    }

    /// Share of the reads that were answered from memory, fresh or stale.
    pub fn hit_ratio(&self) -> f64 {
        (self.hits + self.stale) as f64 / self.reads.max(1) as f64
    }
}

/// A value of which only the size is known.
struct Sized(u32);
impl Weigh for Sized {
    fn weight(&self) -> usize {
        self.0 as usize
    }
}

/// Replays `trace` in every setup, two at a time; figures in the order of the setups.
///
/// # Errors
/// The library refuses a setup.
pub fn run_all(trace: &Trace, setups: &[Setup]) -> Result<Vec<Figures>, SetupError> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(vec![None; setups.len()]));
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(setups.len());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((at, setup)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    setups.get(at).map(|setup| (at, setup))
                } {
                    let figures = run(trace, setup);
                    if let Ok(mut done) = done.lock() {
                        done[at] = Some(figures);
                    }
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_default();
    done.into_iter().flatten().collect()
}

/// Replays `trace` in one setup.
///
/// # Errors
/// The library refuses the setup.
pub fn run(trace: &Trace, setup: &Setup) -> Result<Figures, SetupError> {
    Replay::new(trace, setup)?.run(trace)
}

/// What came of the requests of one stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Watched {
    /// Reads of the keys that are watched.
    pub(crate) reads: u64,
    /// Of those, answered from memory.
    pub(crate) hits: u64,
    /// Misses of all other keys.
    pub(crate) other_misses: u64,
}

/// Replays a timed `trace`, watching the first `keys` of its keys, second by second.
///
/// # Errors
/// The library refuses the setup.
pub(crate) fn watched(trace: &Trace, setup: &Setup, seconds: usize, keys: u32) -> Result<Vec<Watched>, SetupError> {
    let mut replay = Replay::new(trace, setup)?;
    let mut bins = vec![Watched::default(); seconds.max(1)];
    for request in &trace.requests {
        replay.advance(request.at);
        let before = replay.figures.hits;
        replay.ask(&trace.keys[request.key as usize], request);
        let hit = replay.figures.hits - before;
        let bin = &mut bins[((request.at / 1000) as usize).min(seconds.max(1) - 1)];
        if request.key < keys {
            (bin.reads, bin.hits) = (bin.reads + 1, bin.hits + hit);
        } else {
            bin.other_misses += 1 - hit;
        }
    }
    Ok(bins)
}

struct Replay {
    setup: Setup,
    clock: Clock,
    cache: Cache,
    space: Space<[u8], Sized>,
    /// Of one thread, and run only between requests: the same trace gives the same figures.
    runtime: tokio::runtime::Runtime,
    figures: Figures,
    /// Milliseconds since the first request, and of the last sweep.
    now: u64,
    swept: u64,
}

impl Replay {
    fn new(trace: &Trace, setup: &Setup) -> Result<Replay, SetupError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| SetupError::Runtime(error.to_string()))?;
        let clock = Clock::manual();
        let largest = trace.requests.iter().map(|request| request.size.unwrap_or(setup.size)).max().unwrap_or(0);
        let everything = || {
            let keys: u64 = trace.keys.iter().map(|key| key.len() as u64 + OVERHEAD).sum();
            // Four times, because keys do not spread evenly over the store's parts.
            4 * (trace.distinct_bytes(setup.size) + keys + 4 * u64::from(largest)).max(1 << 20)
        };
        let cache = Cache::builder()
            .memory_bytes(setup.memory.unwrap_or_else(everything))
            .largest_value(u64::from(largest).max(1))
            .eviction(setup.eviction)
            .clock(clock.clone())
            .runtime(runtime.handle().clone())
            .hash_seed(setup.seed)
            .build()?;
        let policy = Policy::ttl(setup.ttl).grace(setup.grace).jitter(0.0).early(Early::Off);
        let space = cache.space_on(&cache.default_origin(), "trace", policy)?;
        Ok(Replay { setup: *setup, clock, cache, space, runtime, figures: Figures::default(), now: 0, swept: 0 })
    }

    fn run(mut self, trace: &Trace) -> Result<Figures, SetupError> {
        for (number, request) in trace.requests.iter().enumerate() {
            let at = if trace.timed { request.at } else { (number as f64 * 1000.0 / self.setup.rate) as u64 };
            self.advance(at);
            self.ask(&trace.keys[request.key as usize], request);
            if number % LOOK_EVERY == 0 {
                self.look();
            }
        }
        self.look();
        let memory = self.cache.snapshot().memory;
        Ok(Figures {
            evicted: memory.evicted,
            evicted_fresh: memory.evicted_fresh,
            too_large: memory.too_large,
            ..self.figures
        })
    }

    fn advance(&mut self, at: u64) {
        self.clock.advance(Span(at.saturating_sub(self.now)));
        self.now = self.now.max(at);
        if self.now - self.swept >= SWEEP_EVERY {
            self.swept = self.now;
            self.runtime.block_on(async {
                for _ in 0..SWEEP_TURNS {
                    tokio::task::yield_now().await;
                }
            });
        }
    }

    fn ask(&mut self, key: &[u8], request: &Request) {
        let size = request.size.unwrap_or(self.setup.size);
        match request.op {
            Op::Get => {
                self.figures.reads += 1;
                match self.space.get(key).if_cached().map(|cached| cached.why()) {
                    Ok(Why::StaleRefreshing) => {
                        self.figures.stale += 1;
                        self.load(key, size);
                    }
                    Ok(_) => self.figures.hits += 1,
                    Err(_) => {
                        self.figures.misses += 1;
                        self.load(key, size);
                    }
                }
            }
            Op::Set => {
                self.figures.writes += 1;
                self.space.put(key, Sized(size));
            }
            Op::Delete => {
                self.figures.writes += 1;
                drop(self.space.remove(key));
            }
        }
    }

    fn load(&mut self, key: &[u8], size: u32) {
        self.figures.loaded_bytes += u64::from(size);
        self.space.put(key, Sized(size));
    }

    fn look(&mut self) {
        self.figures.peak_bytes = self.figures.peak_bytes.max(self.cache.snapshot().memory.bytes);
    }
}

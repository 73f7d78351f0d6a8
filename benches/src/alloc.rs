//! How many bytes does a program hold, and how often does it ask for more? An allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Sizes up to this many bytes have a count of their own.
const SIZES: usize = 4096;

/// The system's allocator with counters, off until [`start`]: off it costs one load per call.
/// Bytes are those asked for, without the allocator's own overhead.
pub struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);
static BY_SIZE: [AtomicI64; SIZES] = [const { AtomicI64::new(0) }; SIZES];

thread_local! {
    /// Of this thread alone, since it began.
    static OWN: Cell<u64> = const { Cell::new(0) };
}

/// Allocations by this thread so far, while counting was on.
pub fn own_calls() -> u64 {
    OWN.get()
}

/// What was counted since [`start`].
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Allocations; a growing block counts once each time.
    pub calls: u64,
    /// Bytes held now, beyond those held at the start.
    pub live: i64,
    /// The most that was held.
    pub peak: i64,
}

/// Starts to count from zero.
pub fn start() {
    CALLS.store(0, Ordering::SeqCst);
    LIVE.store(0, Ordering::SeqCst);
    PEAK.store(0, Ordering::SeqCst);
    BY_SIZE.iter().for_each(|count| count.store(0, Ordering::SeqCst));
    ON.store(true, Ordering::SeqCst);
}

/// Stops counting; the counts as they stand.
pub fn stop() -> Counts {
    ON.store(false, Ordering::SeqCst);
    now()
}

/// The counts as they stand.
pub fn now() -> Counts {
    Counts { calls: CALLS.load(Ordering::SeqCst), live: LIVE.load(Ordering::SeqCst), peak: PEAK.load(Ordering::SeqCst) }
}

/// Block sizes by how many of them live, those of at least `least` blocks.
pub fn blocks(least: i64) -> Vec<(usize, i64)> {
    let counts = BY_SIZE.iter().enumerate().map(|(size, count)| (size, count.load(Ordering::SeqCst)));
    counts.filter(|(_, count)| *count >= least).collect()
}

fn took(size: usize) {
    let live = LIVE.fetch_add(size as i64, Ordering::Relaxed) + size as i64;
    PEAK.fetch_max(live, Ordering::Relaxed);
    CALLS.fetch_add(1, Ordering::Relaxed);
    OWN.set(OWN.get() + 1);
    if let Some(count) = BY_SIZE.get(size) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn gave(size: usize) {
    LIVE.fetch_sub(size as i64, Ordering::Relaxed);
    if let Some(count) = BY_SIZE.get(size) {
        count.fetch_sub(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed to the system's allocator as it came; the counters touch no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if ON.load(Ordering::Relaxed) {
            took(layout.size());
        }
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if ON.load(Ordering::Relaxed) {
            gave(layout.size());
        }
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if ON.load(Ordering::Relaxed) {
            gave(layout.size());
            took(size);
        }
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }
}

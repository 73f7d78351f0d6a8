//! What time is it, and wake me when? One clock per cache, real or driven by hand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bellwether_core::time::{Span, Tick};
use futures_util::future::{BoxFuture, Either};
use tokio::sync::Notify;

/// How far the coarse clock may lag while its thread runs.
const COARSE_STEP: Duration = Duration::from_millis(2);

/// A cache's clock: cheap to clone, all clones tell the same time.
///
/// The real one counts suspended time (CLOCK_BOOTTIME), so that a laptop's lid or a paused
/// machine can't make a value younger than it is (G10).
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    /// The last reading of the system's clock, kept current by a thread that ends with this clock:
    /// so a hit costs one load instead of a system call. The time itself, if driven by hand.
    coarse: AtomicU64,
    /// Told of each move, if driven by hand.
    moved: Option<Notify>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        let inner = Arc::new(Inner { coarse: AtomicU64::new(boottime_ms()), moved: None });
        let weak = Arc::downgrade(&inner);
        let started = std::thread::Builder::new().name("bellwether-clock".into()).spawn(move || keep_current(&weak));
        if let Err(error) = started {
            // Every miss and every batch of a server reads the precise clock too, so the coarse
            // one still moves; only a program of pure hits would see it stand.
            tracing::error!(%error, "no thread for the coarse clock: ages are only exact after a miss");
        }
        Clock(inner)
    }

    /// A clock that moves only by [`Clock::advance`]: for tests of programs that use this library.
    ///
    /// ```
    /// use bellwether::{Clock, Span};
    /// let clock = Clock::manual();
    /// let before = clock.now();
    /// clock.advance(Span::secs(60));
    /// assert_eq!(clock.now().since(before), Span::secs(60));
    /// ```
    pub fn manual() -> Clock {
        // Not zero: moments before the start must be expressible.
        Clock(Arc::new(Inner { coarse: AtomicU64::new(1_000_000), moved: Some(Notify::new()) }))
    }

    /// Moves a manual clock; those who sleep until then wake up. The system's clock is not ours to move.
    pub fn advance(&self, by: Span) {
        if let Some(moved) = &self.0.moved {
            self.0.coarse.fetch_add(by.0, Ordering::SeqCst);
            moved.notify_waiters();
        }
    }

    /// Whether it is driven by hand.
    pub(crate) fn is_manual(&self) -> bool {
        self.0.moved.is_some()
    }

    /// The precise time.
    pub fn now(&self) -> Tick {
        match &self.0.moved {
            None => {
                let now = boottime_ms();
                self.0.coarse.fetch_max(now, Ordering::Relaxed);
                Tick(now)
            }
            Some(_) => Tick(self.0.coarse.load(Ordering::SeqCst)),
        }
    }

    /// The precise time in microseconds: to measure what is shorter than a [`Tick`].
    pub(crate) fn now_us(&self) -> u64 {
        match &self.0.moved {
            None => boottime_us(),
            Some(_) => self.0.coarse.load(Ordering::SeqCst) * 1000,
        }
    }

    /// The time as of at most a few milliseconds ago, for the price of one load.
    #[inline]
    pub(crate) fn coarse(&self) -> Tick {
        // The strongest order of a load: a test that moved the clock wants it moved. Free on x86.
        Tick(self.0.coarse.load(Ordering::SeqCst))
    }

    /// Microseconds since 1970 of the wall clock: only ever a lower bound for the next fence.
    pub(crate) fn wall_us(&self) -> u64 {
        match &self.0.moved {
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
            }
            Some(_) => self.0.coarse.load(Ordering::SeqCst) * 1000,
        }
    }

    /// Returns once `until` is reached. Call it inside a runtime. Small, because every caller that
    /// waits holds one: the manual clock's is boxed.
    pub(crate) fn sleep_until(&self, until: Tick) -> Either<tokio::time::Sleep, BoxFuture<'static, ()>> {
        if self.0.moved.is_none() {
            return Either::Left(tokio::time::sleep(until.since(self.now()).into()));
        }
        let inner = self.0.clone();
        Either::Right(Box::pin(async move {
            while let Some(moved) = &inner.moved {
                let moved = moved.notified();
                tokio::pin!(moved);
                moved.as_mut().enable();
                if inner.coarse.load(Ordering::SeqCst) >= until.0 {
                    return;
                }
                moved.await;
            }
        }))
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.0.moved.is_none() { "system" } else { "manual" };
        write!(f, "Clock({kind}, {})", self.now().0)
    }
}

fn keep_current(clock: &Weak<Inner>) {
    while let Some(clock) = clock.upgrade() {
        clock.coarse.fetch_max(boottime_ms(), Ordering::Relaxed);
        drop(clock);
        std::thread::sleep(COARSE_STEP);
    }
}

fn boottime_ms() -> u64 {
    boottime_us() / 1000
}

fn boottime_us() -> u64 {
    #[cfg(target_os = "linux")]
    let id = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let id = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(id);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
    seconds * 1_000_000 + nanos / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_clock_follows_by_itself() {
        let clock = Clock::system();
        let before = clock.coarse();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while clock.coarse() == before {
            assert!(std::time::Instant::now() < deadline, "the coarse clock stands still");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn microseconds_are_measured_and_not_made_of_milliseconds() {
        let clock = Clock::system();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while clock.now_us().is_multiple_of(1000) {
            assert!(std::time::Instant::now() < deadline, "always whole milliseconds");
        }
        let (before, now, after) = (clock.now_us(), clock.now(), clock.now_us());
        assert!((before / 1000..=after / 1000).contains(&now.0), "the same clock");
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_its_sleepers() {
        let clock = Clock::manual();
        let until = clock.now() + Span::secs(3600);
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(until).await }
        });
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Span::secs(3600));
        tokio::time::timeout(Duration::from_secs(10), sleeper).await.expect("woken").expect("no panic");
    }
}

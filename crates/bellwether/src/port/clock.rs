//! What time is it, and wake me when? One clock per cache, real or driven by hand.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bellwether_core::time::{Span, Tick};
use futures_util::future::{BoxFuture, Either};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// How far the coarse clock may lag while its thread runs.
const COARSE_STEP: Duration = Duration::from_millis(2);
/// So long without any reading of the clock, and the process stood still: a busy machine keeps one of its threads waiting
/// for so long, not all of them.
const PAUSE: Span = Span::ms(250);
/// From such a pause on nothing is proven any more of what others have told.
pub(crate) const LEAP: Span = Span::secs(1);

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
    /// Nobody keeps it current but those who read it.
    unattended: AtomicBool,
    /// Pauses of at least [`PAUSE`].
    pauses: AtomicU64,
    /// Pauses of at least [`LEAP`].
    leaps: AtomicU64,
    /// Called after each pause, before anybody can see here what time it is.
    minders: Mutex<Vec<Minder>>,
}

/// Told how long the process stood still, and until when. False: whoever wanted to know is gone.
pub(crate) type Minder = Box<dyn Fn(Span, Tick) -> bool + Send + Sync>;

/// Something whose length is measured.
pub(crate) struct Timing {
    began_us: u64,
    pauses: u64,
}

/// How long something took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Took {
    pub(crate) us: u64,
    /// This process stood still meanwhile: it says nothing of the pace of whoever was asked.
    pub(crate) stood_still: bool,
}

impl Inner {
    fn starting(at: u64, moved: Option<Notify>) -> Inner {
        let (coarse, pauses, leaps) = (AtomicU64::new(at), AtomicU64::new(0), AtomicU64::new(0));
        Inner { coarse, moved, unattended: AtomicBool::new(false), pauses, leaps, minders: Mutex::default() }
    }

    /// It is `now`. Whoever reads the time from here on has been told of a pause that ended with it.
    fn arrive(&self, now: u64) {
        let before = self.coarse.load(Ordering::SeqCst);
        // As most of the time: who only looks does not hold up others who do.
        if now <= before {
            return;
        }
        let pause = Span(now - before);
        if pause >= PAUSE {
            self.mind(pause, now);
        }
        self.coarse.fetch_max(now, Ordering::SeqCst);
    }

    #[cold]
    fn mind(&self, pause: Span, now: u64) {
        self.pauses.fetch_add(1, Ordering::SeqCst);
        if pause >= LEAP {
            self.leaps.fetch_add(1, Ordering::SeqCst);
        }
        self.minders.lock().retain(|minder| minder(pause, Tick(now)));
    }
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        let inner = Arc::new(Inner::starting(boottime_ms(), None));
        let weak = Arc::downgrade(&inner);
        let started = std::thread::Builder::new().name("bellwether-clock".into()).spawn(move || keep_current(&weak));
        if let Err(error) = started {
            // Every batch of a server and every reading of the precise clock move it too; only a program of pure
            // hits would see it stand.
            tracing::error!(%error, "no thread for the coarse clock: ages are only exact after a miss");
            inner.unattended.store(true, Ordering::Relaxed);
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
        Clock(Arc::new(Inner::starting(1_000_000, Some(Notify::new()))))
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

    /// Moves a manual clock as if the process had stood still meanwhile: stopped, suspended, or starved.
    pub fn stand_still(&self, pause: Span) {
        if let Some(moved) = &self.0.moved {
            self.0.arrive(self.0.coarse.load(Ordering::SeqCst) + pause.0);
            moved.notify_waiters();
        }
    }

    /// The precise time.
    pub fn now(&self) -> Tick {
        match &self.0.moved {
            None => {
                let now = boottime_ms();
                // After a pause those who mind it come first: see [`Clock::catch_up`].
                let pause = now.saturating_sub(self.0.coarse.load(Ordering::Relaxed)) >= PAUSE.0;
                if !pause || self.0.unattended.load(Ordering::Relaxed) {
                    self.0.coarse.fetch_max(now, Ordering::Relaxed);
                }
                Tick(now)
            }
            Some(_) => Tick(self.0.coarse.load(Ordering::SeqCst)),
        }
    }

    /// The precise time, for whoever was idle until now and is about to look at memory: if the process stood still,
    /// copies have been taken for suspect by the time this returns. Not to be called with anything locked.
    pub fn catch_up(&self) -> Tick {
        if self.0.moved.is_none() {
            let now = boottime_ms();
            self.0.arrive(now);
            return Tick(now);
        }
        self.now()
    }

    /// From now on `minder` is called after each pause, before anybody sees here that time has passed.
    pub(crate) fn on_pause(&self, minder: Minder) {
        self.0.minders.lock().push(minder);
    }

    /// How often the process stood still for so long that nothing is proven any more of what others have told.
    pub(crate) fn leaps(&self) -> u64 {
        self.0.leaps.load(Ordering::SeqCst)
    }

    /// From now on somebody's pace is measured.
    pub(crate) fn time(&self) -> Timing {
        Timing { began_us: self.now_us(), pauses: self.0.pauses.load(Ordering::SeqCst) }
    }

    /// How long it took that began with `timing`. Not to be called with anything locked.
    pub(crate) fn took(&self, timing: &Timing) -> Took {
        // Whoever runs first after a pause may be the one who measures.
        self.catch_up();
        let us = self.now_us().saturating_sub(timing.began_us);
        Took { us, stood_still: self.0.pauses.load(Ordering::SeqCst) != timing.pauses }
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
        clock.arrive(boottime_ms());
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

    #[test]
    fn g10_whoever_minds_a_pause_is_told_before_anybody_sees_the_time_after_it() {
        let clock = Clock::manual();
        let (told, alive) = (Arc::new(Mutex::new(Vec::new())), Arc::new(()));
        let (seen, heard, weak) = (clock.clone(), told.clone(), Arc::downgrade(&alive));
        let before = clock.coarse();
        clock.on_pause(Box::new(move |pause, now| {
            assert_eq!(seen.coarse(), before, "nobody sees it yet");
            heard.lock().push((pause, now));
            weak.upgrade().is_some()
        }));
        clock.advance(Span(0));
        clock.stand_still(Span(PAUSE.0 - 1));
        assert!(told.lock().is_empty(), "a short one is the machine's");
        // Back to where the minder expects it.
        clock.0.coarse.store(before.0, Ordering::SeqCst);
        clock.stand_still(LEAP);
        assert_eq!(*told.lock(), [(LEAP, before + LEAP)]);
        assert_eq!((clock.leaps(), clock.coarse()), (1, before + LEAP));
        // Control: time that passes in steps is no pause.
        clock.advance(Span::secs(60));
        assert_eq!(told.lock().len(), 1);
        drop(alive);
        clock.0.coarse.store(before.0, Ordering::SeqCst);
        clock.stand_still(PAUSE);
        clock.0.coarse.store(before.0, Ordering::SeqCst);
        clock.stand_still(PAUSE);
        assert_eq!(told.lock().len(), 2, "who is gone is asked once more, and never again");
        assert_eq!(clock.leaps(), 1);
    }

    #[test]
    fn g10_a_reading_of_the_clock_hides_no_pause() {
        let clock = Clock::system();
        let times = Arc::new(AtomicU64::new(0));
        let counted = times.clone();
        clock.on_pause(Box::new(move |_, _| counted.fetch_add(1, Ordering::SeqCst) < u64::MAX));
        // As if nobody had run for a while. The clock's own thread may be the first to notice.
        clock.0.coarse.store(boottime_ms() - 2 * PAUSE.0, Ordering::SeqCst);
        clock.now();
        clock.catch_up();
        assert!(times.load(Ordering::SeqCst) >= 1);
        assert!(clock.coarse().0 + COARSE_STEP.as_millis() as u64 * 100 > boottime_ms());
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

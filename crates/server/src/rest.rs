//! How does a serving thread let requests come together before it sleeps? [`bellwether_core::rest`] says for how long.
//!
//! What is there already never waits for it: a thread that has nothing to do asks the kernel once more, without
//! waiting, and rests only if that brought nothing.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::Duration;

use bellwether_core::rest::rest;
use bellwether_core::time::Tick;

/// Requests are counted over so long, in ticks.
const WINDOW: u64 = 4;

thread_local! {
    static HERE: RefCell<Here> = const { RefCell::new(Here::new()) };
}

/// When a connection asked last: each counts once in a window.
#[derive(Default)]
pub(crate) struct Seen(u64);

/// What a thread knows of those who ask it.
struct Here {
    window: u64,
    clients: u32,
    requests: u32,
    /// Of `requests`, those that were known when it last had nothing to do.
    known: u32,
    rest: Duration,
    step: Step,
    /// Makes the runtime ask the kernel without waiting.
    awake: Option<Waker>,
}

/// What a thread did when it last had nothing to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Looked,
    Rested,
}

impl Default for Here {
    fn default() -> Here {
        Here::new()
    }
}

impl Here {
    const fn new() -> Here {
        Here { window: 0, clients: 0, requests: 0, known: 0, rest: Duration::ZERO, step: Step::Rested, awake: None }
    }

    fn asked(&mut self, now: Tick, seen: &mut Seen) {
        let window = now.0 / WINDOW;
        if window != self.window {
            self.turn(window);
        }
        self.requests += 1;
        if seen.0 != window {
            seen.0 = window;
            self.clients += 1;
        }
    }

    /// Another window begins. What is known of one that is long over says nothing.
    fn turn(&mut self, window: u64) {
        let follows = window == self.window + 1;
        let time = Duration::from_millis(WINDOW);
        self.rest = if follows { rest(self.clients, self.requests, time) } else { Duration::ZERO };
        (self.window, self.clients, self.requests, self.known) = (window, 0, 0, 0);
    }

    /// The thread has nothing to do: how long it rests.
    fn idle(&mut self) -> Duration {
        if self.rest.is_zero() {
            return Duration::ZERO;
        }
        let Some(awake) = &self.awake else { return Duration::ZERO };
        if self.known != self.requests {
            (self.known, self.step) = (self.requests, Step::Looked);
            awake.wake_by_ref();
            return Duration::ZERO;
        }
        match self.step {
            Step::Looked => self.step = Step::Rested,
            // In vain: nobody asks any more.
            Step::Rested => self.rest = Duration::ZERO,
        }
        self.rest
    }
}

/// A connection of this thread has sent something.
#[inline]
pub(crate) fn asked(now: Tick, seen: &mut Seen) {
    HERE.with_borrow_mut(|here| here.asked(now, seen));
}

/// To be called by the runtime of a serving thread before it sleeps.
pub(crate) fn before_sleep() {
    let rest = HERE.with_borrow_mut(Here::idle);
    if !rest.is_zero() {
        std::thread::sleep(rest);
    }
}

/// To be spawned on a serving thread: being woken it has nothing to do, but the runtime does not sleep before.
pub(crate) async fn awake() {
    poll_fn(|cx| {
        HERE.with_borrow_mut(|here| here.awake = Some(cx.waker().clone()));
        Poll::<()>::Pending
    })
    .await;
}

/// Makes this thread's rests as short as they are meant: otherwise the kernel may add 50 us.
pub(crate) fn precisely() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::set_current_timer_slack(std::num::NonZero::new(1)) {
        tracing::debug!(%error, "rests of a serving thread may take longer");
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicU32);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Makes this thread as busy as `clients` make it that ask five times in a window.
    pub(crate) fn be_busy(clients: u32) {
        let here = Here { awake: HERE.take().awake, ..busy(clients, 5).0 };
        HERE.set(here);
    }

    /// Whether this thread was busy, looked, found nothing and rested.
    pub(crate) fn has_rested() -> bool {
        HERE.with_borrow(|here| here.requests > 0 && here.known == here.requests && here.step == Step::Rested)
    }

    /// A thread in whose last window each of `clients` asked so many times, and how often it was made to look.
    fn busy(clients: u32, times: u32) -> (Here, Arc<Woken>) {
        let woken = Arc::new(Woken::default());
        let mut here = Here { awake: Some(woken.clone().into()), ..Here::new() };
        let mut all: Vec<Seen> = (0..clients).map(|_| Seen::default()).collect();
        for now in [1000 * WINDOW, 1001 * WINDOW] {
            (0..times).for_each(|_| all.iter_mut().for_each(|seen| here.asked(Tick(now), seen)));
        }
        (here, woken)
    }

    #[test]
    fn a_busy_thread_looks_then_rests_once_then_sleeps() {
        let (mut here, woken) = busy(64, 5);
        assert_eq!(here.idle(), Duration::ZERO, "first it looks");
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        let rest = here.idle();
        assert!(rest > Duration::ZERO, "nothing was there");
        assert_eq!(here.idle(), Duration::ZERO, "nothing came meanwhile: it sleeps");
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        here.asked(Tick(1001 * WINDOW + 1), &mut Seen::default());
        assert_eq!((here.idle(), here.idle()), (Duration::ZERO, Duration::ZERO), "until the next window");
    }

    #[test]
    fn whoever_finds_something_looks_again_before_it_rests() {
        let (mut here, woken) = busy(64, 5);
        for n in 1..5 {
            assert_eq!(here.idle(), Duration::ZERO);
            assert_eq!(woken.0.load(Ordering::Relaxed), n);
            here.asked(Tick(1001 * WINDOW + 1), &mut Seen::default());
        }
        assert_eq!(here.idle(), Duration::ZERO);
        assert!(here.idle() > Duration::ZERO);
    }

    #[test]
    fn few_clients_and_a_pause_make_no_rest() {
        let (mut here, woken) = busy(8, 40);
        assert_eq!((here.idle(), here.idle()), (Duration::ZERO, Duration::ZERO));
        let (mut paused, _) = busy(64, 5);
        assert!(!paused.rest.is_zero());
        paused.asked(Tick(1003 * WINDOW), &mut Seen::default());
        assert_eq!((paused.idle(), paused.idle()), (Duration::ZERO, Duration::ZERO));
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    }
}

//! Is it time to stop, and what is still in progress? First a time in which everything is served as ever but
//! clients are told to go elsewhere, then a flag that everybody watches; and a count of what must be finished.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// Told to everyone who must stop in order. Cheap to clone.
#[derive(Clone)]
pub struct Shutdown(Arc<Inner>);

struct Inner {
    leaving: AtomicBool,
    requested: watch::Sender<bool>,
    /// The same for those who look often. Set first: whoever is woken finds it set.
    flag: AtomicBool,
    in_flight: watch::Sender<usize>,
}

/// Something that must end before the process does; ends when dropped.
#[must_use = "dropping it says that the work is finished"]
pub struct Guard(Arc<Inner>);

impl Shutdown {
    /// Nobody has asked to stop.
    pub fn new() -> Shutdown {
        Shutdown(Arc::new(Inner {
            leaving: AtomicBool::new(false),
            requested: watch::Sender::new(false),
            flag: AtomicBool::new(false),
            in_flight: watch::Sender::new(0),
        }))
    }

    /// Says that a stop will be asked for soon: who looks after clients can send them elsewhere.
    pub fn leave(&self) {
        self.0.leaving.store(true, Ordering::Release);
    }

    /// Whether a stop was asked for, or will be soon.
    pub fn is_leaving(&self) -> bool {
        self.0.leaving.load(Ordering::Acquire)
    }

    /// Asks everyone to stop. For good: there is no way back.
    pub fn trigger(&self) {
        self.leave();
        self.0.flag.store(true, Ordering::Release);
        self.0.requested.send_replace(true);
    }

    /// Whether it was asked for.
    pub fn is_requested(&self) -> bool {
        self.0.flag.load(Ordering::Acquire)
    }

    /// Resolves once it is asked for; at once if it was already.
    pub async fn requested(&self) {
        let mut watched = self.0.requested.subscribe();
        // An error would mean that the sender is gone, and `self` holds it.
        let _ = watched.wait_for(|requested| *requested).await;
    }

    /// Counts something that [`Shutdown::drained`] waits for.
    pub fn guard(&self) -> Guard {
        self.0.in_flight.send_modify(|n| *n += 1);
        Guard(self.0.clone())
    }

    /// Guards that are held now.
    pub fn in_flight(&self) -> usize {
        *self.0.in_flight.borrow()
    }

    /// Waits until no guard is held, at most so long. False if some still are.
    pub async fn drained(&self, timeout: Duration) -> bool {
        let mut watched = self.0.in_flight.subscribe();
        tokio::time::timeout(timeout, watched.wait_for(|n| *n == 0)).await.is_ok()
    }
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown::new()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.in_flight.send_modify(|n| *n -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn everyone_hears_of_it_before_and_after() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.is_requested());
        assert!(tokio::time::timeout(SOON, shutdown.requested()).await.is_err(), "control: not yet");
        let early = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.requested().await }
        });
        shutdown.trigger();
        tokio::time::timeout(LIMIT, early).await.expect("woken").expect("no panic");
        tokio::time::timeout(LIMIT, shutdown.requested()).await.expect("at once");
        assert!(shutdown.is_requested() && shutdown.is_leaving());
    }

    #[tokio::test]
    async fn to_leave_stops_nobody_yet() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.is_leaving());
        shutdown.leave();
        assert!(shutdown.is_leaving() && !shutdown.is_requested());
        assert!(tokio::time::timeout(SOON, shutdown.requested()).await.is_err());
    }

    #[tokio::test]
    async fn the_drain_waits_for_every_guard_and_no_longer_than_allowed() {
        let shutdown = Shutdown::new();
        let (first, second) = (shutdown.guard(), shutdown.guard());
        assert!(!shutdown.drained(SOON).await);
        drop(first);
        assert_eq!(shutdown.in_flight(), 1);
        let drain = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.drained(LIMIT).await }
        });
        drop(second);
        assert!(drain.await.expect("no panic"));
    }
}

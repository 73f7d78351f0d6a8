//! How long may an answer take, in time that this process ran?
//!
//! A timer that ends late says nothing of who was asked: this process was stopped, or got no processor, and so did those of its
//! tasks that hand answers on. So a limit is waited for in parts, each of which begins when this process runs; and whoever is
//! about to give up looks once more after everybody else had a turn. A timer that ends in time says no more than that its own
//! thread ran: the one that read the answer may still wait for a processor.

use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::port::threads::Threads;

/// A limit has so many parts, if they are not too short then.
const PARTS: u32 = 4;
/// A thread that is stuck is waited for so long, in parts: with sixteen runnable ones for two processors it was up to 110 ms.
const STUCK: Duration = Duration::from_millis(250);
/// A shorter part is no longer than what timers are late by on a busy machine.
const SHORTEST: Duration = Duration::from_millis(5);

/// A limit on one wait. It takes as long as it says, and longer only by what this process stood still meanwhile, or by a
/// quarter of a second while one of its threads does.
#[derive(Debug)]
pub struct Limit {
    part: Duration,
    /// Parts that are left.
    parts: u32,
    /// As long as it says.
    whole: Duration,
    /// In parts that are over.
    used: Duration,
    /// When the part began that runs.
    began: Option<Instant>,
    late: bool,
    hands: Option<Handle>,
}

impl Limit {
    /// A wait of at most so long, for what the threads of the current runtime hand on.
    pub fn new(limit: Duration) -> Limit {
        let parts = u32::try_from(limit.as_millis() / SHORTEST.as_millis()).unwrap_or(PARTS).clamp(1, PARTS);
        let (used, whole) = (Duration::ZERO, limit);
        Limit { part: limit / parts, parts, whole, used, began: None, late: false, hands: None }
    }

    /// The same where `runtime` reads the answers.
    #[must_use]
    pub fn read_by(self, runtime: &Handle) -> Limit {
        Limit { hands: Some(runtime.clone()), ..self }
    }

    /// What `call` answers; `None`: not in time.
    pub async fn wait<T>(&mut self, call: impl Future<Output = T>) -> Option<T> {
        let mut call = pin!(call);
        let (mut again, mut stuck) = (true, Duration::ZERO);
        while self.parts > 0 {
            let began = Instant::now();
            self.began = Some(began);
            // Only the last part is looked at: most answers come long before.
            let before = (self.parts == 1).then(|| self.threads());
            tokio::select! {
                biased;
                answer = &mut call => {
                    self.used = self.used();
                    self.began = None;
                    return Some(answer);
                }
                () = sleep(self.part) => {}
            }
            let late = began.elapsed() > self.part + self.part.max(SHORTEST) / 2;
            self.late |= late;
            self.parts -= 1;
            self.used = (self.used + self.part).min(self.whole);
            self.began = None;
            // What came while this process stood still was handed on by nobody.
            if self.parts == 0 && late && std::mem::take(&mut again) {
                self.parts = 1;
            } else if before.is_some_and(|before| stuck < STUCK && self.threads().is_stuck_since(&before)) {
                self.late = true;
                (self.parts, stuck) = (1, stuck + self.part.max(SHORTEST));
            }
        }
        tokio::select! {
            biased;
            answer = &mut call => Some(answer),
            () = yield_now() => None,
        }
    }

    /// How much of it was used so far. What this process stood still is not counted.
    pub fn used(&self) -> Duration {
        let running = self.began.map_or(Duration::ZERO, |began| began.elapsed().min(self.part));
        (self.used + running).min(self.whole)
    }

    /// Whether this process or a thread of it stood still meanwhile, as far as could be seen.
    pub fn was_late(&self) -> bool {
        self.late
    }

    fn threads(&self) -> Threads {
        let current = || Handle::try_current().ok();
        self.hands.clone().or_else(current).map_or_else(Threads::default, |runtime| Threads::of(&runtime))
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// As a process that is stopped: nothing of it runs.
    fn stand_still(millis: u64) {
        std::thread::sleep(Duration::from_millis(millis));
    }

    #[tokio::test]
    async fn it_takes_as_long_as_it_says() {
        for limit in [0, 1, 4, 20, 83].map(Duration::from_millis) {
            let began = Instant::now();
            let mut waited = Limit::new(limit);
            assert_eq!(waited.wait(pending::<()>()).await, None);
            assert!(began.elapsed() >= limit, "{limit:?}");
            assert!(waited.used() >= limit && waited.used() <= limit * 2, "{limit:?}: {:?}", waited.used());
        }
        let mut waited = Limit::new(Duration::from_secs(3600));
        assert_eq!(waited.wait(async { 7 }).await, Some(7));
        assert!(waited.used() < Duration::from_secs(10));
    }

    /// One short turn after the other.
    async fn turns() {
        loop {
            yield_now().await;
        }
    }

    /// What was told by a thread of the runtime that stands still for so long before it hands the answer on; and how long that
    /// took. All others run.
    fn told_by_a_stuck_thread(stuck: u64, limit: Duration) -> (Option<Option<i32>>, Limit, Duration) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (tell, mut told) = tokio::sync::mpsc::channel(1);
            tokio::spawn(async move {
                sleep(Duration::from_millis(2)).await;
                stand_still(stuck);
                // Nobody is there any more where it was given up.
                let _ = tell.send(7).await;
            });
            let waiting = tokio::spawn(async move {
                let (mut waited, began) = (Limit::new(limit), Instant::now());
                (waited.wait(told.recv()).await, waited, began.elapsed())
            });
            // Somebody looks after timers: they end in time.
            let busy = tokio::spawn(turns());
            let waited = waiting.await.unwrap();
            busy.abort();
            waited
        })
    }

    #[test]
    fn an_answer_that_a_thread_has_which_is_stuck_is_waited_for_and_not_for_ever() {
        let limit = Duration::from_millis(120);
        let (answer, waited, took) = told_by_a_stuck_thread(300, limit);
        assert_eq!(answer, Some(Some(7)), "{took:?}");
        assert!(waited.was_late() && waited.used() == limit && took >= limit, "it is not counted: {:?}", waited.used());
        // Not for ever.
        let (answer, waited, took) = told_by_a_stuck_thread(2000, limit);
        assert!(answer.is_none() && took >= limit + STUCK && took < limit * 10, "{took:?}");
        assert_eq!(waited.used(), limit);
    }

    #[test]
    fn nobody_is_waited_for_where_all_threads_run() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let limit = Duration::from_millis(120);
        // The least of some: others use this machine as well.
        let took = (0..5).map(|_| {
            let waiting = runtime.spawn(async move {
                let began = Instant::now();
                assert_eq!(Limit::new(limit).wait(pending::<()>()).await, None);
                began.elapsed()
            });
            // Busy, but by short turns.
            let busy = runtime.spawn(async {
                loop {
                    yield_now().await
                }
            });
            let took = runtime.block_on(waiting).unwrap();
            busy.abort();
            took
        });
        let least = took.min().unwrap();
        assert!(least >= limit && least < limit + limit / 4, "{least:?}");
    }

    #[tokio::test]
    async fn an_answer_that_came_while_this_process_stood_still_is_taken() {
        for parts_before in 0..4 {
            let (tell, mut told) = tokio::sync::mpsc::channel(1);
            let limit = Duration::from_millis(200);
            // Who hands the answer on stands still as well: all of this is one thread.
            tokio::spawn(async move {
                sleep(limit / 8 + limit / 4 * parts_before).await;
                stand_still(700);
                sleep(Duration::from_millis(2)).await;
                let _ = tell.send(7).await;
            });
            let mut waited = Limit::new(limit);
            assert_eq!(waited.wait(told.recv()).await, Some(Some(7)), "stopped in part {parts_before}");
            assert!(waited.used() <= limit + limit / 4, "and it is not counted: {:?}", waited.used());
            assert!(waited.was_late());
        }
        // Control: a timer alone takes the pause for silence.
        let (tell, mut told) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            sleep(Duration::from_millis(20)).await;
            stand_still(700);
            sleep(Duration::from_millis(2)).await;
            let _ = tell.send(7).await;
        });
        assert!(tokio::time::timeout(Duration::from_millis(200), told.recv()).await.is_err());
    }
}

//! How long may an answer take, in time that this process ran?
//!
//! A timer that ends late says nothing of who was asked: this process was stopped, or got no processor, and so did those of its
//! tasks that hand answers on. So a limit is waited for in parts, each of which begins when this process runs; and whoever is
//! about to give up looks once more after everybody else had a turn.

use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::task::yield_now;
use tokio::time::sleep;

/// A limit has so many parts, if they are not too short then.
const PARTS: u32 = 4;
/// A shorter part is no longer than what timers are late by on a busy machine.
const SHORTEST: Duration = Duration::from_millis(5);

/// A limit on one wait. It takes as long as it says, and longer only by what this process stood still meanwhile.
#[derive(Debug)]
pub struct Limit {
    part: Duration,
    /// Parts that are left.
    parts: u32,
    /// In parts that are over.
    used: Duration,
    /// When the part began that runs.
    began: Option<Instant>,
    late: bool,
}

impl Limit {
    /// A wait of at most so long.
    pub fn new(limit: Duration) -> Limit {
        let parts = u32::try_from(limit.as_millis() / SHORTEST.as_millis()).unwrap_or(PARTS).clamp(1, PARTS);
        Limit { part: limit / parts, parts, used: Duration::ZERO, began: None, late: false }
    }

    /// What `call` answers; `None`: not in time.
    pub async fn wait<T>(&mut self, call: impl Future<Output = T>) -> Option<T> {
        let mut call = pin!(call);
        let mut again = true;
        while self.parts > 0 {
            let began = Instant::now();
            self.began = Some(began);
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
            self.used += self.part;
            self.began = None;
            // What came while this process stood still was handed on by nobody.
            if self.parts == 0 && late && std::mem::take(&mut again) {
                self.parts = 1;
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
        self.used + self.began.map_or(Duration::ZERO, |began| began.elapsed().min(self.part))
    }

    /// Whether this process stood still meanwhile, as far as could be seen.
    pub fn was_late(&self) -> bool {
        self.late
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

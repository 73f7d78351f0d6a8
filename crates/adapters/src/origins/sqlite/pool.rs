//! Who runs the statements? At most `max_concurrency` threads, each with a connection of its own,
//! started when first needed.
//!
//! A job costs one wake-up of a worker and one of the waiting task, as `spawn_blocking` would,
//! but a worker keeps its connection and its prepared statements, a slow database can't occupy
//! the runtime's own threads, and there are never more than the configured number.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bellwether::{FailClass, LoadError};
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::session::{File, Session, Trouble};

/// Jobs that may wait per connection. The engine's guard lets only `max_concurrency` loads pass,
/// so that jobs wait here only until a dropped one has stopped; the bound is for other callers.
const WAITING_PER_CONNECTION: usize = 64;

/// The workers of one origin. They end when the pool is dropped.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    file: File,
    timeout: Duration,
    most: usize,
    state: Mutex<State>,
    wake: Condvar,
    queries: Arc<AtomicU64>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    workers: usize,
    /// Workers that wait for a job.
    idle: usize,
    closed: bool,
}

struct Job {
    abandoned: Arc<AtomicBool>,
    work: Box<dyn FnOnce(&mut Session) + Send>,
}

impl Pool {
    pub(super) fn new(file: File, most: usize, timeout: Duration) -> Pool {
        let (state, wake, queries) = (Mutex::default(), Condvar::new(), Arc::default());
        Pool { shared: Arc::new(Shared { file, timeout, most, state, wake, queries }) }
    }

    pub(super) fn queries(&self) -> u64 {
        self.shared.queries.load(Ordering::Relaxed)
    }

    /// Runs a job on a worker. Dropping the future stops the job or, if it has not begun, takes
    /// it out of the queue.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection, &AtomicU64) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, LoadError> {
        let abandoned = Arc::new(AtomicBool::new(false));
        let (reply, answer) = oneshot::channel();
        let flag = Arc::clone(&abandoned);
        let work = Box::new(move |session: &mut Session| {
            // Nobody may wait any more, and that is fine.
            let _ = reply.send(session.run(flag, job));
        });
        let mut waiting = Waiting { shared: &self.shared, abandoned, answered: false };
        Shared::submit(&self.shared, Job { abandoned: Arc::clone(&waiting.abandoned), work })?;
        let answer = answer.await;
        waiting.answered = true;
        answer.unwrap_or_else(|_| Err(LoadError::new(FailClass::Failed, "the database worker ended unexpectedly")))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Futures borrow the pool, so all of them are gone and every running job is stopping.
        self.shared.state.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("file", &self.shared.file).field("most", &self.shared.most).finish()
    }
}

/// A caller that waits; gone before the answer = the job is abandoned.
struct Waiting<'a> {
    shared: &'a Shared,
    abandoned: Arc<AtomicBool>,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.abandoned.store(true, Ordering::Relaxed);
            self.shared.state.lock().jobs.retain(|job| !Arc::ptr_eq(&job.abandoned, &self.abandoned));
        }
    }
}

impl Shared {
    fn submit(shared: &Arc<Shared>, job: Job) -> Result<(), LoadError> {
        let mut state = shared.state.lock();
        if state.jobs.len() >= shared.most * WAITING_PER_CONNECTION {
            return Err(LoadError::new(FailClass::Overloaded, "too many loads wait for a database connection"));
        }
        state.jobs.push_back(job);
        if state.jobs.len() <= state.idle {
            shared.wake.notify_one();
        } else if state.workers < shared.most {
            let own = Arc::clone(shared);
            let thread = thread::Builder::new().name("bw-sqlite".to_owned());
            match thread.spawn(move || own.serve()) {
                Ok(_) => state.workers += 1,
                // With workers at hand the job only waits longer.
                Err(_) if state.workers > 0 => {}
                Err(_) => {
                    state.jobs.pop_back();
                    return Err(LoadError::new(FailClass::Failed, "no thread could be started for the database"));
                }
            }
        }
        Ok(())
    }

    /// The life of a worker.
    fn serve(&self) {
        let session = || Session::new(self.file.clone(), self.timeout, Arc::clone(&self.queries));
        let mut own = session();
        while let Some(job) = self.next() {
            // A panic drops the reply, which its caller sees; the connection is not trusted again.
            if catch_unwind(AssertUnwindSafe(|| (job.work)(&mut own))).is_err() {
                own = session();
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            state.idle += 1;
            self.wake.wait(&mut state);
            state.idle -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::{BoxFuture, poll_immediate};

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    fn pool(most: usize) -> (tempfile::TempDir, Pool) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("empty.db");
        std::fs::write(&path, b"").expect("an empty file is an empty database");
        (dir, Pool::new(File { path, on_connect: Default::default() }, most, Duration::from_secs(5)))
    }

    #[test]
    fn a_panic_reaches_its_caller_and_the_worker_lives_on() {
        let (_dir, pool) = pool(1);
        runtime().block_on(async {
            let outcome: Result<(), LoadError> = pool.run(|_, _| panic!("on purpose")).await;
            assert_eq!(outcome.map_err(|e| e.class()), Err(FailClass::Failed));
            assert_eq!(pool.run(|_, _| Ok(7)).await.ok(), Some(7));
        });
    }

    #[test]
    fn the_queue_is_bounded_and_dropped_jobs_leave_it() {
        let (_dir, pool) = pool(1);
        let (open, gate) = std::sync::mpsc::channel::<()>();
        runtime().block_on(async {
            let mut jobs: Vec<BoxFuture<'_, Result<(), LoadError>>> = vec![
                pool.run(move |_, _| {
                    // Ends when the test lets go of the other half.
                    let _ = gate.recv();
                    Ok(())
                })
                .boxed(),
            ];
            assert!(poll_immediate(&mut jobs[0]).await.is_none());
            while !pool.shared.state.lock().jobs.is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            for _ in 0..WAITING_PER_CONNECTION {
                let mut job = pool.run(|_, _| Ok(())).boxed();
                assert!(poll_immediate(&mut job).await.is_none());
                jobs.push(job);
            }
            let refused = pool.run(|_, _| Ok(())).await;
            assert_eq!(refused.map_err(|e| e.class()), Err(FailClass::Overloaded));
            jobs.truncate(1);
            assert_eq!(pool.shared.state.lock().jobs.len(), 0, "dropped jobs leave the queue");
            drop(open);
            for job in jobs {
                assert!(job.await.is_ok());
            }
            assert!(pool.run(|_, _| Ok(())).await.is_ok());
        });
    }

    #[test]
    fn workers_end_with_their_pool() {
        let (_dir, pool) = pool(2);
        runtime().block_on(async { assert!(pool.run(|_, _| Ok(())).await.is_ok()) });
        let shared = Arc::downgrade(&pool.shared);
        drop(pool);
        let end = std::time::Instant::now() + Duration::from_secs(5);
        while shared.strong_count() > 0 {
            assert!(std::time::Instant::now() < end, "a worker outlives its pool");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

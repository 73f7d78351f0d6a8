//! Which threads serve connections? One single-threaded runtime per core.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

use crate::face::redis;
use crate::rest;

/// Threads that were told to end are waited for so long.
const END: Duration = Duration::from_secs(2);

/// The threads that serve connections.
pub(super) struct Cores {
    handles: Vec<Handle>,
    threads: Vec<JoinHandle<()>>,
    ended: watch::Sender<bool>,
}

impl Cores {
    /// As many as the machine has cores.
    pub(super) fn start() -> io::Result<Cores> {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let mut cores = Cores { handles: Vec::new(), threads: Vec::new(), ended: watch::Sender::new(false) };
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().on_thread_park(rest::before_sleep).build()?;
            cores.handles.push(runtime.handle().clone());
            runtime.spawn(rest::awake());
            runtime.spawn(redis::keep_company());
            let ended = cores.ended();
            let thread = thread::Builder::new().name(format!("bw-core-{number}"));
            cores.threads.push(thread.spawn(move || {
                rest::precisely();
                runtime.block_on(ended);
            })?);
        }
        Ok(cores)
    }

    /// Where to spawn connections.
    pub(super) fn handles(&self) -> Vec<Handle> {
        self.handles.clone()
    }

    /// Runs `task` on a thread and a runtime of its own, at most until the cores end.
    pub(super) fn aside(
        &mut self,
        name: &str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let ended = self.ended();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = task => {}
                    () = ended => {}
                }
            });
        })
    }

    /// Resolves when the threads are to end.
    fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut watched = self.ended.subscribe();
        async move {
            // An error: the sender is gone, and with it every reason to go on.
            let _ = watched.wait_for(|ended| *ended).await;
        }
    }

    /// Ends all threads; what still runs there is dropped.
    pub(super) fn end(&mut self) {
        self.ended.send_replace(true);
        join(self.threads.drain(..).collect());
    }
}

/// Waits for threads that were told to end, all of them at most [`END`]: one may stand in a call of the system, such as a
/// look-up of a name, that nobody can end. It goes with the process.
pub(super) fn join(threads: Vec<JoinHandle<()>>) {
    let until = Instant::now() + END;
    for thread in threads {
        while !thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
        if thread.is_finished() {
            // A panic there was told by the panic hook; there is nothing left to do about it.
            let _ = thread.join();
        } else {
            tracing::warn!(thread = thread.thread().name(), "stopping: a thread does not end, and is left behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a serving thread that `clients` keep busy has rested when it comes back from a sleep.
    fn rests(clients: u32) -> bool {
        let mut cores = Cores::start().expect("threads");
        let (tell, told) = std::sync::mpsc::channel();
        cores.handles()[0].spawn(async move {
            rest::tests::be_busy(clients);
            tokio::time::sleep(Duration::from_millis(20)).await;
            tell.send(rest::tests::has_rested()).expect("it is awaited");
        });
        let rested = told.recv_timeout(Duration::from_secs(30)).expect("it wakes up");
        cores.end();
        rested
    }

    #[test]
    fn a_serving_thread_that_many_ask_rests_before_it_sleeps() {
        assert!(rests(64));
        assert!(!rests(8), "control: few ask it");
    }
}

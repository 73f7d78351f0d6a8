//! Was a process silent, or did it only not get a processor? The kernel counts how long each thread was ready to run
//! and did not.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// How long each thread of some processes has waited for a processor so far.
#[derive(Clone, Debug, Default)]
pub struct Waited(BTreeMap<u32, Duration>);

impl Waited {
    /// Of these processes, by id. Nothing where the kernel does not tell: nobody is excused there.
    pub fn of(processes: &[u32]) -> Waited {
        Waited(processes.iter().flat_map(|process| threads(*process)).collect())
    }

    /// How long one of the threads waited from `before` until now, at the most.
    pub fn longest_since(&self, before: &Waited) -> Duration {
        let since =
            |(thread, now): (&u32, &Duration)| now.saturating_sub(before.0.get(thread).copied().unwrap_or_default());
        self.0.iter().map(since).max().unwrap_or_default()
    }
}

fn threads(process: u32) -> Vec<(u32, Duration)> {
    let Ok(all) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    // One that has ended meanwhile waits for nothing.
    all.filter_map(|thread| {
        let thread = thread.ok()?;
        let counts = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        // Time on a processor, time spent waiting for one (in ns), and how often.
        let waited = counts.split_whitespace().nth(1)?.parse().ok()?;
        Some((thread.file_name().to_str()?.parse().ok()?, Duration::from_nanos(waited)))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Instant;

    use super::*;

    #[test]
    fn who_wants_a_processor_that_others_have_is_seen_to_wait() {
        let us = [std::process::id()];
        let before = Waited::of(&us);
        if before.0.is_empty() {
            // A kernel that does not count.
            return;
        }
        let busy = 4 * thread::available_parallelism().map_or(1, usize::from);
        let stop = AtomicBool::new(false);
        let longest = thread::scope(|scope| {
            for _ in 0..busy {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let begun = Instant::now();
            let mut longest = Duration::ZERO;
            while longest < Duration::from_millis(100) && begun.elapsed() < Duration::from_secs(20) {
                thread::sleep(Duration::from_millis(20));
                longest = Waited::of(&us).longest_since(&before);
            }
            stop.store(true, Ordering::Relaxed);
            longest
        });
        assert!(longest >= Duration::from_millis(100), "{busy} threads that all want to run: {longest:?}");
        assert_eq!(Waited::of(&[]).longest_since(&before), Duration::ZERO);
    }
}

//! What did it cost? CPU time of this thread, of this process, and of another one.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// CPU time of this thread so far.
pub fn thread() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// CPU time of all threads of this process so far.
pub fn process() -> Duration {
    read(ClockId::ProcessCPUTime)
}

/// CPU time of another process and of its children so far, user and system: to the nanosecond for threads
/// that live, where the kernel tells; else to 10 ms. `None`: there is no such process.
pub fn of(pid: u32) -> Option<Duration> {
    let own = one(pid)?;
    Some(children(pid).into_iter().filter_map(one).fold(own, |sum, child| sum + child))
}

fn one(pid: u32) -> Option<Duration> {
    by_thread(pid).or_else(|| Some(Duration::from_millis(stat(pid)?.ticks * 10)))
}

/// The sum over its threads of what the scheduler counted.
fn by_thread(pid: u32) -> Option<Duration> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let mut sum = Duration::ZERO;
    for task in tasks {
        // A thread that has just ended has no file any more.
        let Ok(text) = fs::read_to_string(task.ok()?.path().join("schedstat")) else { continue };
        sum += Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?);
    }
    (sum > Duration::ZERO).then_some(sum)
}

/// The processes that `pid` has started itself.
fn children(pid: u32) -> Vec<u32> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|child| stat(*child).is_some_and(|stat| stat.parent == pid)).collect()
}

struct Stat {
    parent: u32,
    ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and parentheses; the numbers follow the last one.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    let mut times = fields.skip(9);
    let (user, system): (u64, u64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    Some(Stat { parent, ticks: user + system })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_process_that_works_is_seen_to_work_and_one_that_sleeps_is_not() {
        let before = (of(std::process::id()), process());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(100) {
            std::hint::black_box(begun.elapsed());
        }
        let (Some(first), Some(last)) = (before.0, of(std::process::id())) else { panic!("no /proc") };
        // Other tests of this process may run beside this one.
        assert!(last - first > Duration::from_millis(10), "{:?}", last - first);
        assert!(process() > before.1);
        let mut sleeper = std::process::Command::new("sleep").arg("10").spawn().expect("sleep");
        let slept = of(sleeper.id()).expect("it lives");
        std::thread::sleep(Duration::from_millis(50));
        let more = of(sleeper.id()).expect("it lives") - slept;
        assert!(children(std::process::id()).contains(&sleeper.id()));
        sleeper.kill().and_then(|()| sleeper.wait()).expect("it ends");
        assert!(more < Duration::from_millis(50), "{more:?}");
    }
}

//! How far is it, how fast, and how long will it take? A line on a terminal.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::words::counted;

/// The progress is shown so often.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// How far a run is.
#[derive(Clone, Copy, Default)]
pub(super) struct Far {
    /// Keys that are through, those of earlier runs included.
    pub(super) done: u64,
    /// Keys that were answered in this run.
    pub(super) here: u64,
    /// All of them, if that is known.
    pub(super) total: Option<u64>,
}

/// A line on a terminal; nothing elsewhere.
pub(super) struct Progress {
    begun: Instant,
    shown: Option<Instant>,
    on: bool,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { begun: Instant::now(), shown: None, on: std::io::stderr().is_terminal() }
    }

    /// The rate counts from here.
    pub(super) fn begin(&mut self) {
        self.begun = Instant::now();
    }

    pub(super) fn show(&mut self, far: Far) {
        let took = self.begun.elapsed();
        self.draw(|| line(far, took));
    }

    /// So many keys were found so far.
    pub(super) fn found(&mut self, keys: u64) {
        self.draw(|| format!("{} found", counted(keys, "key")));
    }

    fn draw(&mut self, line: impl FnOnce() -> String) {
        if !self.on || self.shown.is_some_and(|at| at.elapsed() < SHOW_EVERY) {
            return;
        }
        self.shown = Some(Instant::now());
        // Whoever closed the terminal does not read it.
        let _ = write!(std::io::stderr(), "\r\x1b[2K{}", line());
        let _ = std::io::stderr().flush();
    }

    pub(super) fn clear(&self) {
        if self.on && self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}

/// `[##########          ]  50 %  500 of 1000 keys  100/s  5 s left`
fn line(far: Far, took: Duration) -> String {
    const WIDTH: u64 = 20;
    let rate = far.here as f64 / took.as_secs_f64().max(0.001);
    let done = far.done;
    let Some(total) = far.total.filter(|total| *total > 0) else {
        return format!("{}  {rate:.0}/s", counted(done, "key"));
    };
    let full = (done.min(total) * WIDTH / total) as usize;
    let left = match rate > 0.0 {
        true => left((total.saturating_sub(done) as f64 / rate).ceil() as u64),
        false => "…".to_owned(),
    };
    let bar = format!("{}{}", "#".repeat(full), " ".repeat(WIDTH as usize - full));
    format!("[{bar}] {:3} %  {} of {}  {rate:.0}/s  {left}", done.min(total) * 100 / total, done, counted(total, "key"))
}

fn left(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s left"),
        120..7_200 => format!("{} min left", seconds / 60),
        _ => format!("{} h {} min left", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_how_far_how_fast_and_how_long() {
        let far = |done, here, total| Far { done, here, total };
        let shown = line(far(500, 500, Some(1000)), Duration::from_secs(5));
        assert_eq!(shown, "[##########          ]  50 %  500 of 1000 keys  100/s  5 s left");
        let resumed = line(far(900, 100, Some(1000)), Duration::from_secs(1));
        assert!(resumed.ends_with("900 of 1000 keys  100/s  1 s left"), "what earlier runs did is no rate: {resumed}");
        assert_eq!(line(far(7, 7, None), Duration::from_secs(1)), "7 keys  7/s");
        assert!(line(far(2000, 10, Some(1000)), Duration::ZERO).contains("100 %"), "more keys than were counted");
        for (keys, words) in [(60_000, "10 min left"), (1_000_000, "2 h 46 min left")] {
            let shown = line(far(0, 100, Some(keys)), Duration::from_secs(1));
            assert!(shown.ends_with(words) && shown.chars().count() <= 79, "fits into a terminal: {shown}");
        }
    }
}

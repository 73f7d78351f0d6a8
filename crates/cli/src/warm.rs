//! How is a server warmed up before its readers come? Keys from a list, a peer or another Redis, batch by batch, in the
//! background class of its guard.

mod redis;
mod source;
mod state;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin;
use crate::failure::Failure;
use crate::output::{complain, printable, say};
use source::Source;
use state::State;

/// Keys of one batch: after each it is seen how far it is, and whether to stop.
const BATCH: usize = 500;
/// The server works on a batch for 10 s at most.
const LIMIT: Duration = Duration::from_secs(30);
/// If nothing got through for so long, it is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// The progress is shown so often.
const SHOW_EVERY: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Keys, one a line (percent-encoded where they are no plain text), or a hot list; - reads stdin
    #[arg(value_name = "FILE", required_unless_present_any = ["from", "space"])]
    file: Option<PathBuf>,
    /// Take the keys that the space's `keys` statement names, in its order
    #[arg(long, value_name = "NAME", conflicts_with_all = ["file", "from"])]
    space: Option<String>,
    /// Take the keys from a peer's hot list (http://peer:9090) or from another Redis (redis://host:6379)
    #[arg(long, value_name = "URL", conflicts_with = "file")]
    from: Option<String>,
    /// Of another Redis: the keys that begin so; what stands in front of the key is left out
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    /// At most so many keys
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Remember there how far it is: the same command goes on from there
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The server's admin listener; its password, if any, is read from BELLWETHER_ADMIN_PASSWORD
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    admin: String,
}

/// What became of the keys so far.
#[derive(Default)]
struct Counts {
    done: u64,
    loaded: u64,
    present: u64,
    missing: u64,
    failed: u64,
    refused: u64,
    error: Option<String>,
}

impl Counts {
    fn add(&mut self, told: &Value) {
        let of = |name: &str| told[name].as_u64().unwrap_or_default();
        self.loaded += of("loaded");
        self.present += of("present");
        self.missing += of("missing");
        self.failed += of("failed");
        self.refused += of("refused");
        if self.error.is_none() {
            self.error = told["error"].as_str().map(str::to_owned);
        }
    }

    fn answered(&self) -> u64 {
        self.loaded + self.present + self.missing + self.failed + self.refused
    }

    fn words(&self) -> String {
        format!(
            "{} loaded, {} there already, {} without a row, {} failed, {} of no space that loads",
            self.loaded, self.present, self.missing, self.failed, self.refused
        )
    }
}

pub(crate) fn warm(arguments: &Arguments) -> Result<(), Failure> {
    let mut source = match &arguments.space {
        Some(space) => Source::of_space(&arguments.admin, space)?,
        None => Source::open(arguments.file.as_deref(), arguments.from.as_deref(), &arguments.prefix)?,
    };
    let mut state = State::open(arguments.state.as_deref(), &source)?;
    let stop = stop_on_signals();
    let mut progress = Progress::new(source.total().map(|total| total.min(arguments.limit.unwrap_or(u64::MAX))));
    let mut counts = Counts { done: state.done(), ..Counts::default() };
    source.skip(state.done())?;
    loop {
        let room = arguments.limit.map_or(BATCH as u64, |limit| limit.saturating_sub(counts.done).min(BATCH as u64));
        let batch = source.next(usize::try_from(room).unwrap_or(BATCH))?;
        if batch.is_empty() {
            break;
        }
        let keys = batch.len() as u64;
        load(&arguments.admin, batch, &mut counts, &stop, &mut progress)?;
        counts.done += keys;
        state.keep(counts.done)?;
        progress.show(&counts);
        if stop.load(Ordering::Relaxed) {
            progress.clear();
            let go_on =
                if state.is_kept() { "the same command goes on from there" } else { "--state FILE would let it go on" };
            return Err(Failure::Run(format!("stopped after {} keys ({}); {go_on}", counts.done, counts.words())));
        }
    }
    progress.clear();
    state.end();
    say(&format!("{} keys: {}", counts.done, counts.words()));
    match (&counts.error, counts.failed) {
        (Some(error), failed @ 1..) => {
            Err(Failure::Run(format!("{failed} loads failed; the first: {}", printable(error))))
        }
        _ => Ok(()),
    }
}

/// Sends a batch, and again what the guard turned away.
fn load(
    url: &str,
    mut keys: Vec<String>,
    counts: &mut Counts,
    stop: &AtomicBool,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let mut moved = Instant::now();
    while !keys.is_empty() {
        let answer = admin::send(url, "/api/warm", &keys.join("\n"), LIMIT)?;
        let told: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        match answer.status {
            200 => {}
            401 => return Err(Failure::Run(admin::needs_password())),
            status => {
                let words = told["error"].as_str().map_or_else(|| format!("the server answered {status}"), printable);
                return Err(Failure::Run(words));
            }
        }
        let before = counts.answered();
        counts.add(&told);
        if counts.answered() > before {
            moved = Instant::now();
        } else if moved.elapsed() > PATIENCE {
            return Err(Failure::Run(format!("the origin's guard let nothing through for {} s", PATIENCE.as_secs())));
        }
        progress.show(counts);
        let again = told["again"].as_array().map(Vec::as_slice).unwrap_or_default();
        keys = again.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect();
        if stop.load(Ordering::Relaxed) && !keys.is_empty() {
            return Err(Failure::Run(format!("stopped in the middle of a batch ({})", counts.words())));
        }
    }
    Ok(())
}

/// A line on a terminal.
struct Progress {
    begun: Instant,
    shown: Option<Instant>,
    total: Option<u64>,
    on: bool,
}

impl Progress {
    fn new(total: Option<u64>) -> Progress {
        Progress { begun: Instant::now(), shown: None, total, on: std::io::stderr().is_terminal() }
    }

    fn show(&mut self, counts: &Counts) {
        if !self.on || self.shown.is_some_and(|at| at.elapsed() < SHOW_EVERY) {
            return;
        }
        self.shown = Some(Instant::now());
        let line = line(counts.done.max(counts.answered()), counts.answered(), self.total, self.begun.elapsed());
        // Whoever closed the terminal does not read it.
        let _ = write!(std::io::stderr(), "\r\x1b[2K{line}");
        let _ = std::io::stderr().flush();
    }

    fn clear(&self) {
        if self.on {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
    }
}

/// `[#####     ]  50 %  500 of 1000 keys  100/s  5 s left`
fn line(done: u64, in_this_run: u64, total: Option<u64>, took: Duration) -> String {
    const WIDTH: u64 = 30;
    let rate = in_this_run as f64 / took.as_secs_f64().max(0.001);
    let Some(total) = total.filter(|total| *total > 0) else { return format!("{done} keys  {rate:.0}/s") };
    let full = (done.min(total) * WIDTH / total) as usize;
    let left =
        if rate > 0.0 { format!("{:.0} s left", total.saturating_sub(done) as f64 / rate) } else { "…".to_owned() };
    let bar = format!("{}{}", "#".repeat(full), " ".repeat(WIDTH as usize - full));
    format!("[{bar}] {:3} %  {done} of {total} keys  {rate:.0}/s  {left}", done.min(total) * 100 / total)
}

/// Set once somebody asked it to end: it ends after the batch under way, and knows how far it came.
fn stop_on_signals() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = stop.clone();
    let waits = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
            let [Ok(mut interrupt), Ok(mut terminate)] = kinds.map(signal) else { return };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            told.store(true, Ordering::Relaxed);
            // A second one does not wait.
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(130);
        });
    };
    if let Err(error) = std::thread::Builder::new().name("signals".to_owned()).spawn(waits) {
        complain(&format!(
            "bellwether: no thread for signals ({error}): an interrupt ends it in the middle of a batch"
        ));
    }
    stop
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_how_far_how_fast_and_how_long() {
        let shown = line(500, 500, Some(1000), Duration::from_secs(5));
        assert_eq!(shown, "[###############               ]  50 %  500 of 1000 keys  100/s  5 s left");
        assert_eq!(line(7, 7, None, Duration::from_secs(1)), "7 keys  7/s");
        assert!(line(2000, 10, Some(1000), Duration::ZERO).contains("100 %"), "more keys than were counted");
    }
}

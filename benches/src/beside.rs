//! How are two servers measured beside each other under a loader of other people? Rounds, ratios, bars.
//!
//! The servers, the cores and the clocks are those of `bellwether bench`; the loader is a program that neither knows:
//! what the two report must agree, or one of them measures itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bellwether_bench::server::Server;
use bellwether_bench::{Contender, Cores, Stop};

use crate::report::Bar;
use crate::stats::Spread;

/// One run of a loader.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// CPU of the server per request, in us.
    pub cpu_us: f64,
    /// Requests a second.
    pub rate: f64,
    /// Latency, 99th percentile, in ms.
    pub p99_ms: f64,
}

/// What a loader says of one of its runs.
pub struct Said {
    /// Requests that were answered.
    pub requests: f64,
    /// Requests a second.
    pub rate: f64,
    /// Latency, 99th percentile, in ms.
    pub p99_ms: f64,
}

/// Any failure of a bench, in words.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What else runs on the server's core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    /// Nothing: then the loader is what is slowest, and a server goes to sleep between two requests.
    ToItself,
    /// A loop without an end, which takes its half: then the server is what is slowest, and requests wait for it.
    Shared,
}

/// The loop, until it is dropped.
struct Busy {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Busy {
    /// Where servers run: a thread stays where it was started.
    fn start(cores: &Cores) -> std::io::Result<Busy> {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = ended.clone();
        let work = move || {
            while !seen.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        };
        let thread = Some(cores.serving(|| std::thread::spawn(work))?);
        Ok(Busy { ended, thread })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It can't panic, and nothing is left to do if it did.
            let _ = thread.join();
        }
    }
}

/// All runs, a list per contender.
pub struct Runs(Vec<(Contender, Vec<Run>)>);

/// Where a contender's executable is: ours lies beside this one.
fn program(contender: Contender) -> Result<PathBuf> {
    if contender == Contender::Bellwether {
        return Ok(std::env::current_exe()?.with_file_name("bellwether"));
    }
    let missing = || format!("{} is not installed: apt-get install {}", contender.program(), contender.package());
    Ok(contender.installed().ok_or_else(missing)?)
}

/// `rounds` rounds after one to warm up; a fresh server each time, another one first each round.
///
/// # Errors
/// A server or the loader fails.
pub fn rounds(
    rounds: usize,
    all: &[Contender],
    core: Core,
    load: impl Fn(&Server, bool) -> Result<Said>,
) -> Result<Runs> {
    let (cores, stop) = (Cores::split()?, Stop::default());
    let mut runs = Runs(all.iter().map(|contender| (*contender, Vec::new())).collect());
    for round in 0..=rounds {
        for step in 0..all.len() {
            let which = (round + step) % all.len();
            let server = Server::start(all[which], &program(all[which])?, &cores, &stop)?;
            load(&server, true)?;
            let _busy = (core == Core::Shared).then(|| Busy::start(&cores)).transpose()?;
            let before = server.cpu()?;
            let said = load(&server, false)?;
            let spent = server.cpu()?.saturating_sub(before);
            let cpu_us = spent.as_secs_f64() * 1e6 / said.requests;
            if round > 0 {
                runs.0[which].1.push(Run { cpu_us, rate: said.rate, p99_ms: said.p99_ms });
            }
        }
    }
    Ok(runs)
}

impl Runs {
    /// The spread of one figure of one contender.
    pub fn spread(&self, contender: Contender, of: fn(&Run) -> f64) -> Spread {
        Spread::of(&self.of(contender).iter().map(of).collect::<Vec<_>>())
    }

    fn of(&self, contender: Contender) -> &[Run] {
        self.0.iter().find(|(known, _)| *known == contender).map_or(&[], |(_, runs)| runs)
    }

    fn ratio(&self, other: Contender, of: fn(&Run) -> f64) -> f64 {
        let pairs = self.of(Contender::Bellwether).iter().zip(self.of(other));
        Spread::of(&pairs.map(|(ours, theirs)| of(ours) / of(theirs)).collect::<Vec<_>>()).median
    }

    /// Rows for a table, a contender each: CPU, thousand requests a second, p99.
    pub fn rows(&self, first: &str) -> Vec<Vec<String>> {
        let row = |(contender, _): &(Contender, Vec<Run>)| {
            vec![
                first.to_owned(),
                contender.name().to_owned(),
                self.spread(*contender, |run| run.cpu_us).to_string(),
                self.spread(*contender, |run| run.rate / 1000.0).to_string(),
                self.spread(*contender, |run| run.p99_ms).to_string(),
            ]
        };
        self.0.iter().map(row).collect()
    }

    /// Ours beside `other`, figure by figure, where we aim at something.
    pub fn bars(&self, other: Contender, depth: usize) -> Vec<Bar> {
        let aims = other.aims(depth);
        let what = |figure: &str| format!("depth {depth}: {figure} / {}", other.name());
        let cpu = aims.cpu.map(|aim| Bar::at_most(what("CPU per GET"), self.ratio(other, |run| run.cpu_us), aim));
        let rate = aims.rate.map(|aim| Bar::at_least(what("throughput"), self.ratio(other, |run| run.rate), aim));
        let p99 = aims.p99.map(|aim| Bar::at_most(what("p99"), self.ratio(other, |run| run.p99_ms), aim));
        [cpu, rate, p99].into_iter().flatten().collect()
    }
}

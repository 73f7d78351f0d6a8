//! How does a process of the fleet take part? It is told a key, asks for it with all its callers, and says what came.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures_util::future::join_all;

use crate::contender::{self, Loads, Who};

/// Callers in each process that ask at once.
pub(crate) const CALLERS: usize = 50;

/// A process, as its parent sees it. It ends with its input.
pub(crate) struct Child {
    process: std::process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What its callers got.
pub(crate) struct Answer {
    pub(crate) loads: u64,
    pub(crate) slowest_ms: f64,
    pub(crate) failed: u64,
}

impl Child {
    pub(crate) fn start(who: Who, url: &str) -> Child {
        let own = std::env::current_exe().expect("a path of our own");
        let mut command = Command::new(own);
        command.args(["--child", &who.word(), url]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("another process");
        let input = process.stdin.take().expect("piped");
        let mut output = BufReader::new(process.stdout.take().expect("piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), "ready", "{} did not start", who.name());
        Child { process, input, output }
    }

    pub(crate) fn go(&mut self, key: &str) {
        writeln!(self.input, "{key}").expect("it listens");
    }

    pub(crate) fn answer(&mut self) -> Answer {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [loads, slowest_ms, failed] = numbers[..] else { panic!("three numbers, not '{line}'") };
        Answer { loads: loads as u64, slowest_ms, failed: failed as u64 }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Gone already is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The process itself.
#[tokio::main(worker_threads = 2)]
pub(crate) async fn child(who: Who, url: &str) {
    let loads = Loads::default();
    let contender = contender::open(who, url, loads.clone()).await;
    println!("ready");
    let (lines, mut keys) = tokio::sync::mpsc::channel::<String>(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(key) = keys.recv().await {
        let key: Arc<str> = key.into();
        let (before, began) = (loads.load(Ordering::Relaxed), Instant::now());
        let callers = (0..CALLERS).map(|_| {
            let (contender, key) = (contender.clone(), key.clone());
            tokio::spawn(async move { (contender.get(&key).await, began.elapsed()) })
        });
        let answers: Vec<_> = join_all(callers).await.into_iter().map_while(Result::ok).collect();
        let slowest = answers.iter().map(|(_, took)| took.as_secs_f64() * 1000.0).fold(0.0, f64::max);
        let failed = CALLERS - answers.iter().filter(|(came, _)| *came).count();
        println!("{} {slowest:.2} {failed}", loads.load(Ordering::Relaxed) - before);
    }
}

//! How is a child process started, listened to, and surely ended?

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at something that is awaited.
const PAUSE: Duration = Duration::from_millis(5);

/// Lines kept of each of a child's outputs; older ones are dropped.
const MAX_LINES: usize = 5_000;

/// Polls `look` until it answers; panics with `what` once `limit` has passed.
#[track_caller]
pub fn until<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain for {what}");
        thread::sleep(PAUSE);
    }
}

/// A child with both outputs collected; killed by its own id when dropped.
pub struct Process {
    child: Child,
    stdout: Arc<Mutex<Lines>>,
    stderr: Arc<Mutex<Lines>>,
}

#[derive(Default)]
struct Lines {
    kept: VecDeque<String>,
    ended: bool,
}

impl Process {
    /// Starts `command` with nothing on its stdin.
    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let stdout = collect(child.stdout.take().expect("stdout is piped"));
        let stderr = collect(child.stderr.take().expect("stderr is piped"));
        Self { child, stdout, stderr }
    }

    /// The operating system's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What came on stdout so far.
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// What came on stderr so far.
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// The exit status, if it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for the end and for all output; the child is killed if it outlives `limit`.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("the end of process {}; stderr:\n{}", self.id(), self.stderr());
        let status = until(limit, &what, || self.exited());
        until(limit, "its last output", || (lock(&self.stdout).ended && lock(&self.stderr).ended).then_some(()));
        status
    }

    /// Sends a signal by name (`TERM`, `STOP`, `CONT`, `HUP`).
    pub fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.id());
        let sent = Command::new("sh").args(["-c", &command]).status().is_ok_and(|status| status.success());
        assert!(sent, "{command} failed");
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let file = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file}: {e}"));
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a live process has a VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("VmRSS is a number of KiB") * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("stderr of process {}:\n{}", self.id(), self.stderr());
        }
    }
}

fn collect(pipe: impl Read + Send + 'static) -> Arc<Mutex<Lines>> {
    let lines = Arc::new(Mutex::new(Lines::default()));
    let shared = Arc::clone(&lines);
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let mut lines = lock(&shared);
            if lines.kept.len() == MAX_LINES {
                lines.kept.pop_front();
            }
            lines.kept.push_back(String::from_utf8_lossy(&line).into_owned());
            line.clear();
        }
        lock(&shared).ended = true;
    });
    lines
}

fn text(lines: &Mutex<Lines>) -> String {
    lock(lines).kept.iter().map(String::as_str).collect()
}

fn lock(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

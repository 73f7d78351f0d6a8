//! How is a server's process started, watched and surely ended?

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Between two looks at something that is awaited: start-up is told in ms.
const LOOK: Duration = Duration::from_micros(500);
/// What is asked to end has so long before it is made to.
const POLITE: Duration = Duration::from_secs(2);
/// Characters of its last words that are shown.
const WORDS: usize = 200;

/// A process in a directory of its own; ends with this value.
pub(crate) struct Process {
    child: Child,
    home: TempDir,
    pub(crate) started: Instant,
}

impl Process {
    /// Starts `command` with both outputs in files of `home`.
    pub(crate) fn start(mut command: Command, home: TempDir) -> io::Result<Process> {
        command.current_dir(home.path()).stdin(Stdio::null());
        command.stdout(File::create(out(home.path()))?).stderr(File::create(err(home.path()))?);
        let started = Instant::now();
        Ok(Process { child: command.spawn()?, home, started })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it said on stdout so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(out(self.home.path())).unwrap_or_default()
    }

    /// Looks again and again until `look` finds something, `limit` has passed or the process has ended.
    pub(crate) fn until<T>(
        &mut self,
        limit: Duration,
        mut look: impl FnMut(&Process) -> Option<T>,
    ) -> Result<T, String> {
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended at its start ({status}){}", self.last_words()));
            }
            if self.started.elapsed() > limit {
                return Err(format!("it did not answer within {limit:?}{}", self.last_words()));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The end of what it complained of.
    fn last_words(&self) -> String {
        let complained = fs::read(err(self.home.path())).unwrap_or_default();
        let both = String::from_utf8_lossy(&complained).into_owned() + &self.said();
        match both.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => format!(": {}", line.trim().chars().take(WORDS).collect::<String>()),
            None => String::new(),
        }
    }
}

fn out(home: &Path) -> PathBuf {
    home.join("stdout")
}

fn err(home: &Path) -> PathBuf {
    home.join("stderr")
}

impl Drop for Process {
    fn drop(&mut self) {
        // Politely first: who has processes of its own ends them, too.
        if let Some(pid) = i32::try_from(self.id()).ok().and_then(Pid::from_raw) {
            // Already ended is as good as told.
            let _ = kill_process(pid, Signal::TERM);
        }
        let told = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && told.elapsed() < POLITE {
            std::thread::sleep(LOOK);
        }
        // Both fail only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

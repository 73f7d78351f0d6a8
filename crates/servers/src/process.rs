//! How is a child process started, signalled and surely ended?

use std::fs::{self, File};
use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Whoever is asked to end gets so long before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// Between two looks at a process that was asked to end.
const PAUSE: Duration = Duration::from_millis(5);

/// A child, killed with its process group when dropped.
pub(crate) struct Process {
    child: Child,
    /// Asked to end by this before it is killed.
    farewell: Option<Signal>,
    /// A child is killed by the kernel when the thread that started it ends, so that thread stays. It ends when this
    /// is dropped.
    _keeper: SyncSender<()>,
}

impl Process {
    /// Starts `command`; everything it says goes to `log`.
    pub(crate) fn spawn(mut command: Command, log: File, farewell: Option<Signal>) -> io::Result<Process> {
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let (tell, told) = sync_channel(1);
        let (keeper, kept) = sync_channel::<()>(1);
        thread::Builder::new().name("keeps a server".into()).spawn(move || {
            // Nobody listens only if this process is about to end.
            let _ = tell.send(command.spawn());
            // An error is what is waited for: the other end has been dropped.
            let _ = kept.recv();
        })?;
        let child = told.recv().map_err(io::Error::other)??;
        Ok(Process { child, farewell, _keeper: keeper })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// False once it has ended.
    pub(crate) fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal to the process itself.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(self.pid()?, signal)?)
    }

    /// Sends a signal to the process and to its children, each of which may do the work.
    pub(crate) fn signal_all(&self, signal: Signal) -> io::Result<()> {
        let id = self.child.id();
        // None where the kernel does not tell: then the process is all that can be reached.
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        self.signal(signal)?;
        for child in children.split_whitespace().filter_map(|word| word.parse().ok()).filter_map(Pid::from_raw) {
            // Fails for one that has ended meanwhile.
            let _ = kill_process(child, signal);
        }
        Ok(())
    }

    fn pid(&self) -> io::Result<Pid> {
        let raw = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        raw.ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Asks it to end, and waits for that as long as it is bearable.
    pub(crate) fn ask_to_end(&mut self, signal: Signal) {
        let begun = Instant::now();
        if self.signal(signal).is_ok() {
            while self.alive() && begun.elapsed() < GRACE {
                thread::sleep(PAUSE);
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.alive() {
            return;
        }
        if let Some(signal) = self.farewell {
            self.ask_to_end(signal);
        }
        // Each fails only if there is nobody left to be killed.
        if let Ok(pid) = self.pid() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! Where are the files, and whose are they? One directory, one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::trouble::Trouble;
use crate::SetupError;

/// The entries.
const FILE: &str = "entries.sqlite";
/// Held as long as a process uses the directory; says which.
const LOCK: &str = "lock";
/// So long a directory may still be held by who is about to let it go.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// Between two looks.
const LOCK_STEP: Duration = Duration::from_millis(20);
/// In the name of a damaged file that was set aside.
const ASIDE: &str = "entries.sqlite.corrupt-";
/// What SQLite adds to a name: its log, and the log's index.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// The tier's directory.
#[derive(Clone, Debug)]
pub(super) struct Place {
    directory: PathBuf,
}

/// The directory is this process's as long as this lives.
#[derive(Debug)]
pub(super) struct Held {
    _lock: File,
}

impl Place {
    pub(super) fn new(directory: PathBuf) -> Place {
        Place { directory }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn file(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    fn companion(&self, suffix: &str) -> PathBuf {
        self.directory.join(format!("{FILE}{suffix}"))
    }

    /// Makes the directory if there is none, for its owner alone, and takes it.
    pub(super) fn take(&self) -> Result<Held, Trouble> {
        if self.directory.exists() && !self.directory.is_dir() {
            let problem = format!("{} is not a directory", self.directory.display());
            return Err(Trouble::Refused(SetupError::new(problem, "name a directory of the tier's own")));
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&self.directory).map_err(|error| Trouble::io("creating", &self.directory, &error))?;
        self.lock()
    }

    /// A lock of the kernel's: gone with the process, however it ends.
    fn lock(&self) -> Result<Held, Trouble> {
        let path = self.directory.join(LOCK);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = options.open(&path).map_err(|error| Trouble::io("opening", &path, &error))?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                // A process that ends, or a child that was begun and is not yet another program, holds it a moment longer.
                Err(TryLockError::WouldBlock) if began.elapsed() < LOCK_WAIT => std::thread::sleep(LOCK_STEP),
                Err(TryLockError::WouldBlock) => return Err(Trouble::Refused(self.in_use(&mut lock))),
                Err(TryLockError::Error(error)) => return Err(Trouble::io("locking", &path, &error)),
            }
        }
        // Whom to ask about it: a help for people, of no use to us, so a failure does not matter.
        let _ = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
        Ok(Held { _lock: lock })
    }

    fn in_use(&self, lock: &mut File) -> SetupError {
        let mut text = String::new();
        // What can't be read is not named.
        let _ = lock.rewind().and_then(|()| lock.take(16).read_to_string(&mut text));
        let whose =
            text.trim().parse::<u32>().map_or_else(|_| "another process".to_owned(), |pid| format!("process {pid}"));
        SetupError::new(
            format!("{} is in use by {whose}", self.directory.display()),
            "give each process a directory of its own, or stop the other one",
        )
    }

    /// The entries' file, empty if it is new; for its owner alone, as SQLite makes the others like it.
    pub(super) fn touch(&self) -> Result<(), Trouble> {
        let path = self.file();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.open(&path).map(drop).map_err(|error| Trouble::io("opening", &path, &error))
    }

    /// Bytes that the log takes now.
    pub(super) fn log_bytes(&self) -> u64 {
        // Not there: nothing was written yet.
        fs::metadata(self.companion("-wal")).map_or(0, |log| log.len())
    }

    /// Deletes the entries, and with them all that was to be removed.
    pub(super) fn wipe(&self) -> Result<(), Trouble> {
        // The log first: a file without its log holds less, a log without its file nothing.
        let paths = COMPANIONS.iter().map(|suffix| self.companion(suffix));
        for path in std::iter::once(self.file()).chain(paths) {
            delete(&path)?;
        }
        Ok(())
    }

    /// Sets a damaged file aside, under a name with `stamp` in it; only the newest such file is kept, so that damage
    /// can't fill the disk. Says where it is.
    pub(super) fn set_aside(&self, stamp: u64) -> Result<PathBuf, Trouble> {
        for old in self.aside() {
            delete(&old)?;
        }
        let aside = self.directory.join(format!("{ASIDE}{stamp}"));
        let file = self.file();
        fs::rename(&file, &aside).map_err(|error| Trouble::io("setting aside", &file, &error))?;
        let log = self.companion(COMPANIONS[0]);
        match fs::rename(&log, self.directory.join(format!("{ASIDE}{stamp}-wal"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Trouble::io("setting aside", &log, &error));
            }
            Ok(()) | Err(_) => {}
        }
        delete(&self.companion(COMPANIONS[1]))?;
        Ok(aside)
    }

    /// Files that were set aside, log included.
    pub(super) fn aside(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return Vec::new() };
        let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(ASIDE));
        entries.flatten().map(|entry| entry.path()).filter(named).collect()
    }
}

fn delete(path: &Path) -> Result<(), Trouble> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Trouble::io("deleting", path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

//! Where are the files, and whose are they? One directory, one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};
use xxhash_rust::xxh3::xxh3_64;

use super::schema;
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
/// Outlives a machine's start, and everybody may write there.
const EVERYBODYS: &str = "/var/tmp";
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

    /// Whether the entries' file is there. That nobody may say is no "no".
    pub(super) fn has_file(&self) -> Result<bool, Trouble> {
        let path = self.file();
        match fs::exists(&path) {
            // Below a file there are no files.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
            there => there.map_err(|error| Trouble::io("looking for", &path, &error)),
        }
    }

    /// Which file that is: another one under its name is not it.
    pub(super) fn identity(&self) -> Result<(u64, u64), Trouble> {
        let path = self.file();
        let about = fs::metadata(&path).map_err(|error| Trouble::io("looking for", &path, &error))?;
        Ok((about.dev(), about.ino()))
    }

    /// Something was removed that may still be in the file, and this process can neither note that in it nor delete
    /// it: whoever opens it next must be told, by a note outside. False: it could be left nowhere.
    pub(super) fn distrust(&self) -> bool {
        self.notes().iter().any(|note| {
            // Not through a link that somebody has laid there.
            let made = OpenOptions::new().write(true).create_new(true).mode(0o644).open(note);
            made.is_ok() || note.exists()
        })
    }

    /// Whether such a note lies anywhere.
    pub(super) fn is_distrusted(&self) -> bool {
        self.notes().iter().any(|note| note.exists())
    }

    /// What was not to be trusted is gone.
    pub(super) fn trust(&self) {
        for note in self.notes().iter().filter(|note| note.exists()) {
            if let Err(error) = fs::remove_file(note) {
                tracing::warn!(note = %note.display(), %error, "delete it: as long as it is there the disk tier begins anew at each start");
            }
        }
    }

    /// Where notes may lie: beside the directory, and where everybody can write.
    fn notes(&self) -> Vec<PathBuf> {
        // By whatever way it is named.
        let whole = fs::canonicalize(&self.directory).or_else(|_| std::path::absolute(&self.directory));
        let whole = whole.unwrap_or_else(|_| self.directory.clone());
        let mut notes = Vec::new();
        if let (Some(parent), Some(name)) = (whole.parent(), whole.file_name()) {
            notes.push(parent.join(format!(".{}.distrusted", name.to_string_lossy())));
        }
        let name = format!("bellwether-distrusted-{:016x}", xxh3_64(whole.as_os_str().as_encoded_bytes()));
        notes.extend([Path::new(EVERYBODYS).join(&name), std::env::temp_dir().join(&name)]);
        notes
    }

    /// Whether a tier could be here, touching nothing.
    pub(super) fn look(&self) -> Result<(), SetupError> {
        let problem =
            |said: String| Err(SetupError::new(said, "name a directory of the tier's own that this user may write"));
        let shown = self.directory.display();
        if fs::exists(&self.directory).is_ok_and(|there| there) && !self.directory.is_dir() {
            return problem(format!("{shown} is not a directory"));
        }
        // What is not there yet is made in the nearest that is.
        let whole = std::path::absolute(&self.directory).unwrap_or_else(|_| self.directory.clone());
        let Some(nearest) = whole.ancestors().find(|path| fs::exists(path).is_ok_and(|there| there)) else {
            return problem(format!("{shown} can't be looked at"));
        };
        if !nearest.is_dir() {
            return problem(format!("{} is not a directory", nearest.display()));
        }
        let rights = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        let files = [self.file(), self.directory.join(LOCK)];
        let existing = files.iter().filter(|path| fs::exists(path).is_ok_and(|there| there));
        for (path, rights) in
            existing.map(|path| (path.as_path(), Access::READ_OK | Access::WRITE_OK)).chain([(nearest, rights)])
        {
            if let Err(error) = access(path, rights) {
                return problem(format!("{} can't be written: {error}", path.display()));
            }
        }
        if fs::metadata(self.file()).is_ok_and(|file| file.len() > 0) { schema::look(&self.file()) } else { Ok(()) }
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

//! How does one worker talk to the database? A read-only connection, opened when first needed,
//! that stops in the middle of a statement when nobody waits for it any more.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bellwether::{FailClass, LoadError};
use parking_lot::Mutex;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use super::fault;
use super::on_connect::OnConnect;

/// Virtual machine steps between two looks at the watch: some tens of microseconds of work.
const STEPS_BETWEEN_LOOKS: i32 = 1_000;
/// The longest nap while a writer holds the lock; it also bounds how late a drop is noticed then.
const LONGEST_NAP: Duration = Duration::from_millis(10);
/// Statements kept prepared per connection: two per space, for many more spaces than usual.
const PREPARED: usize = 256;
/// The longest text, blob or row that SQLite itself may build; bodies have their own, lower cap.
/// A batch's key list (500 keys of 4 KiB, escaped) must fit as well.
const LONGEST_VALUE: i32 = 64 << 20;

/// Why a step of a load failed. Unlike `LoadError` this has no blanket conversion, which would
/// put SQLite's own words, with SQL in them, into replies.
#[derive(Debug)]
pub(super) enum Trouble {
    Sqlite(rusqlite::Error),
    Load(LoadError),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        Trouble::Sqlite(error)
    }
}

impl From<LoadError> for Trouble {
    fn from(error: LoadError) -> Trouble {
        Trouble::Load(error)
    }
}

impl Trouble {
    pub(super) fn rejected(text: impl Into<String>) -> Trouble {
        Trouble::Load(LoadError::rejected(text.into()))
    }

    pub(super) fn failed(text: &'static str) -> Trouble {
        Trouble::Load(LoadError::new(FailClass::Failed, text))
    }
}

/// The file of an origin, and which file that was: a database replaced by rename keeps its path,
/// and a connection would show the old one for ever.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Absolute: a name such as `:memory:` or `file:x?mode=rwc` means nothing special then.
    pub(super) path: PathBuf,
    /// Done to each connection once it is open.
    pub(super) on_connect: OnConnect,
}

impl File {
    fn identity(&self) -> std::io::Result<(u64, u64)> {
        fs::metadata(&self.path).map(|file| (file.dev(), file.ino()))
    }

    /// Opens the file read-only. Nothing here can write, even where the process may.
    pub(super) fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = connect(&self.path)?;
        self.on_connect.apply(&connection)?;
        Ok(connection)
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // No mutex: a connection never leaves its worker.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_VALUE)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(connection)
}

/// Who waits for the running statement, and until when.
#[derive(Debug)]
struct Watch {
    abandoned: Arc<AtomicBool>,
    /// From here on a lock that a writer holds is no longer waited for.
    patience: Instant,
    deadline: Instant,
}

/// Shared with the handlers inside the connection. Each job brings its own flag, so a late drop
/// can't stop the job after it, as a late `sqlite3_interrupt` could. The progress handler looks
/// at the very places where SQLite looks for interrupts, and misses none that come before the
/// first step.
type Watched = Arc<Mutex<Option<Watch>>>;

fn must_stop(watched: &Watched) -> bool {
    let watch = watched.lock();
    watch.as_ref().is_some_and(|w| w.abandoned.load(Ordering::Relaxed) || Instant::now() >= w.deadline)
}

fn is_patient(watched: &Watched) -> bool {
    let watch = watched.lock();
    watch.as_ref().is_some_and(|w| !w.abandoned.load(Ordering::Relaxed) && Instant::now() < w.patience)
}

/// A worker's connection.
pub(super) struct Session {
    file: File,
    open: Option<(Connection, (u64, u64))>,
    watched: Watched,
    timeout: Duration,
    queries: Arc<AtomicU64>,
}

impl Session {
    pub(super) fn new(file: File, timeout: Duration, queries: Arc<AtomicU64>) -> Session {
        Session { file, open: None, watched: Watched::default(), timeout, queries }
    }

    /// Runs one job; `abandoned` stops it wherever it is.
    pub(super) fn run<T>(
        &mut self,
        abandoned: Arc<AtomicBool>,
        job: impl FnOnce(&Connection, &AtomicU64) -> Result<T, Trouble>,
    ) -> Result<T, LoadError> {
        let begun = Instant::now();
        let (patience, deadline) = (begun + self.timeout / 2, begun + self.timeout);
        *self.watched.lock() = Some(Watch { abandoned, patience, deadline });
        let queries = Arc::clone(&self.queries);
        let outcome = self.connection().and_then(|connection| job(connection, &queries));
        *self.watched.lock() = None;
        outcome.map_err(|trouble| match trouble {
            Trouble::Load(error) => error,
            Trouble::Sqlite(error) => fault::load_error(&error),
        })
    }

    fn connection(&mut self) -> Result<&Connection, Trouble> {
        let identity = self
            .file
            .identity()
            .map_err(|_| Trouble::Load(LoadError::refused("the database file is gone or can't be reached")))?;
        let open = match self.open.take() {
            Some(open) if open.1 == identity => open,
            _ => (self.connect()?, identity),
        };
        Ok(&self.open.insert(open).0)
    }

    fn connect(&self) -> Result<Connection, Trouble> {
        let mut connection = self.file.connect()?;
        let watched = Arc::clone(&self.watched);
        connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || must_stop(&watched)))?;
        let watched = Arc::clone(&self.watched);
        connection.busy_handler(Some(move |tries: i32| {
            let nap = Duration::from_millis(1 << tries.clamp(0, 4)).min(LONGEST_NAP);
            let patient = is_patient(&watched);
            if patient {
                thread::sleep(nap);
            }
            patient
        }))?;
        Ok(connection)
    }
}

//! Where are invalidations kept that the shared tier could not be told? One SQLite file, written by one thread.
//!
//! A row is in the write-ahead log before whoever asked goes on: it survives `kill -9`, and costs no fsync. What comes
//! together is written together.

use std::collections::HashMap;
use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bellwether::Invalidation;
use bellwether::events::{Debt, Ledger};
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use crate::SetupError;

/// Rows that are read at start; a cache owes no more keys than that.
const MOST_ROWS: i64 = 100_000;
/// The writer looks at least so often whether anybody still needs it.
const LOOK: Duration = Duration::from_millis(250);
/// So long a locked file is waited for.
const LOCKED: Duration = Duration::from_secs(1);

/// Debts in an SQLite file. One process writes it.
pub struct SqliteLedger {
    desk: Arc<Desk>,
    found: Mutex<Vec<Debt>>,
}

/// What the writer is given.
#[derive(Default)]
struct Desk {
    work: Mutex<Work>,
    more: Condvar,
    lost: AtomicU64,
}

/// What is to be written: the newest change of each key, and who waits for it.
#[derive(Default)]
struct Work {
    /// `None`: paid.
    changes: HashMap<Vec<u8>, Option<Debt>>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl SqliteLedger {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// The directory or file can't be written, or the file is no database.
    pub fn open(path: &Path) -> Result<SqliteLedger, SetupError> {
        let opened = open(path).and_then(|db| Ok((read(&db)?, db)));
        let (found, db) = opened.map_err(|error| {
            SetupError::new(
                format!("the file {} of invalidations that are owed can't be used: {error}", path.display()),
                "name a file in a directory that this process may write, or move this one away",
            )
        })?;
        let desk = Arc::new(Desk::default());
        let weak = Arc::downgrade(&desk);
        let started = std::thread::Builder::new().name("bellwether-ledger".into()).spawn(move || write(&weak, db));
        started.map_err(|error| SetupError::new(format!("no thread for the ledger: {error}"), "raise the limit"))?;
        Ok(SqliteLedger { desk, found: Mutex::new(found) })
    }

    /// Debts that could not be kept: they live in this process alone.
    pub fn lost(&self) -> u64 {
        self.desk.lost.load(Ordering::Relaxed)
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    private(path).map_err(|error| {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
        rusqlite::Error::SqliteFailure(code, Some(error.to_string()))
    })?;
    let db = Connection::open(path)?;
    db.busy_timeout(LOCKED)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "NORMAL")?;
    db.execute_batch(
        "CREATE TABLE IF NOT EXISTS debts (name BLOB PRIMARY KEY, verb INTEGER NOT NULL, tries INTEGER NOT NULL) WITHOUT ROWID",
    )?;
    Ok(db)
}

/// The file, for its owner alone: keys are in it. SQLite makes what lies beside it like it.
fn private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))
}

fn read(db: &Connection) -> rusqlite::Result<Vec<Debt>> {
    let mut rows = db.prepare("SELECT name, verb, tries FROM debts LIMIT ?")?;
    let debts = rows.query_map([MOST_ROWS], |row| {
        let verb = if row.get::<_, i64>(1)? == 0 { Invalidation::Remove } else { Invalidation::Expire };
        Ok(Debt { name: row.get(0)?, verb, tries: row.get(2)? })
    })?;
    debts.collect()
}

/// Writes what comes until nobody can give anything more and all of it is written.
fn write(desk: &Weak<Desk>, mut db: Connection) {
    loop {
        // Only as long as it is looked at: who waits for work must not keep the desk alive.
        let Some(held) = desk.upgrade() else { return };
        let mut work = held.work.lock();
        if work.changes.is_empty() {
            held.more.wait_for(&mut work, LOOK);
        }
        let Work { changes, waiting } = std::mem::take(&mut *work);
        drop(work);
        if !changes.is_empty()
            && let Err(error) = keep(&mut db, &changes)
        {
            held.lost.fetch_add(changes.len() as u64, Ordering::Relaxed);
            tracing::error!(%error, "invalidations that are owed can't be written down: a kill would forget them");
        }
        for waiter in waiting {
            // An error: whoever waited has gone.
            let _ = waiter.send(());
        }
    }
}

fn keep(db: &mut Connection, changes: &HashMap<Vec<u8>, Option<Debt>>) -> rusqlite::Result<()> {
    let all = db.transaction()?;
    {
        let mut owe = all.prepare_cached("INSERT OR REPLACE INTO debts VALUES (?, ?, ?)")?;
        let mut pay = all.prepare_cached("DELETE FROM debts WHERE name = ?")?;
        for (name, debt) in changes {
            match debt {
                Some(debt) => owe.execute(params![name, debt.verb == Invalidation::Expire, debt.tries])?,
                None => pay.execute(params![name])?,
            };
        }
    }
    all.commit()
}

impl Ledger for SqliteLedger {
    fn owe(&self, debt: Debt) -> BoxFuture<'_, ()> {
        let (kept, waiter) = oneshot::channel();
        {
            let mut work = self.desk.work.lock();
            work.changes.insert(debt.name.clone(), Some(debt));
            work.waiting.push(kept);
        }
        self.desk.more.notify_one();
        async move {
            // An error: the writer is gone with its cache.
            let _ = waiter.await;
        }
        .boxed()
    }

    fn paid(&self, name: &[u8]) {
        self.desk.work.lock().changes.insert(name.to_vec(), None);
        self.desk.more.notify_one();
    }

    fn debts(&self) -> Vec<Debt> {
        std::mem::take(&mut *self.found.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debt(name: &str, tries: u32) -> Debt {
        Debt { name: name.into(), verb: Invalidation::Expire, tries }
    }

    #[tokio::test]
    async fn what_is_owed_is_found_again_and_what_was_paid_is_not() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("owed.db");
        let ledger = SqliteLedger::open(&path).unwrap();
        assert_eq!(ledger.debts(), []);
        for name in ["owed.db", "owed.db-wal"] {
            let mode = std::fs::metadata(home.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}: for its owner alone");
        }
        ledger.owe(debt("a", 1)).await;
        ledger.owe(debt("b", 1)).await;
        ledger.owe(debt("a", 2)).await;
        ledger.paid(b"b");
        ledger.owe(debt("c", 7)).await;
        // As a kill leaves it: nothing is closed.
        let mut found = SqliteLedger::open(&path).unwrap().debts();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(found, [debt("a", 2), debt("c", 7)]);
        assert_eq!(ledger.lost(), 0);
    }

    #[tokio::test]
    async fn a_file_that_is_no_ledger_is_refused_with_a_way_out() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("owed.db");
        std::fs::write(&path, "this is a shopping list, and no database at all").unwrap();
        let error = SqliteLedger::open(&path).err().unwrap().to_string();
        assert!(error.contains("owed.db") && error.contains("move this one away"), "{error}");
        let nowhere = SqliteLedger::open(&home.path().join("no/such/directory/owed.db")).err().unwrap().to_string();
        assert!(nowhere.contains("directory that this process may write"), "{nowhere}");
    }

    #[tokio::test]
    async fn ten_thousand_debts_at_once_are_written_together() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("owed.db");
        let ledger = SqliteLedger::open(&path).unwrap();
        let all = (0..10_000).map(|number| ledger.owe(debt(&number.to_string(), 1)));
        futures_util::future::join_all(all).await;
        assert_eq!(SqliteLedger::open(&path).unwrap().debts().len(), 10_000);
    }
}

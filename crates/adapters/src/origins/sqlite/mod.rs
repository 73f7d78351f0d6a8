//! How is a row loaded from SQLite? Read-only, by prepared statements, within caps.
//!
//! ```no_run
//! # use bellwether_adapters::{SqlQuery, SqliteOrigin};
//! # fn main() -> Result<(), bellwether_adapters::SetupError> {
//! let shop = SqliteOrigin::open("shop.db", 16, std::time::Duration::from_secs(2))?;
//! let product = shop.query(
//!     SqlQuery::new("SELECT id, name FROM products WHERE id = :id", ["id"])
//!         .many("SELECT id, name FROM products WHERE id IN (:ids)"),
//! )?;
//! # Ok(()) }
//! ```

mod fault;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod keys;
mod on_connect;
mod plan;
mod pool;
mod run;
mod session;
mod sql;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use rusqlite::Connection;

pub use self::keys::SqliteKeys;
pub use self::on_connect::OnConnect;

use self::plan::Plan;
use self::pool::Pool;
use self::session::{File, Trouble};
use super::sql::SqlQuery;
use super::{BatchFuture, CheckFuture, LoadFuture, Origin, SetupError};
use crate::{Captures, Payload};

/// An SQLite database. Cheap to clone: clones share their connections.
#[derive(Clone, Debug)]
pub struct SqliteOrigin {
    file: File,
    timeout: Duration,
    pool: Arc<Pool>,
}

impl SqliteOrigin {
    /// Opens a database read-only. At most `max_concurrency` statements run at once, each on a
    /// thread and a connection of its own, started when first needed. A statement ends after
    /// `timeout` even if its future lives on; for half of it a writer's lock is waited for.
    ///
    /// # Errors
    /// The file is missing, unreadable or no database.
    pub fn open(path: impl AsRef<Path>, max_concurrency: usize, timeout: Duration) -> Result<SqliteOrigin, SetupError> {
        SqliteOrigin::open_with(path, max_concurrency, timeout, OnConnect::default())
    }

    /// As [`SqliteOrigin::open`]; `on_connect` is done to each connection before its first statement, so that a
    /// query may call functions of the program's own.
    ///
    /// # Errors
    /// As [`SqliteOrigin::open`], or what `on_connect` says of the first connection.
    pub fn open_with(
        path: impl AsRef<Path>,
        max_concurrency: usize,
        timeout: Duration,
        on_connect: OnConnect,
    ) -> Result<SqliteOrigin, SetupError> {
        let path = path.as_ref();
        if max_concurrency == 0 {
            return Err(SetupError::new(
                "`max_concurrency` is 0, so nothing could ever be loaded",
                "set it to 1 or more",
            ));
        }
        let metadata = fs::metadata(path).map_err(|error| fault::no_file(path, &error))?;
        // Before opening: opening a named pipe would wait for its other end.
        if !metadata.is_file() {
            let what = if metadata.is_dir() { "a directory" } else { "no regular file" };
            return Err(SetupError::new(
                format!("{} is {what}, not a database file", path.display()),
                "point `sql` at the database file itself",
            ));
        }
        fs::File::open(path).map_err(|error| fault::no_file(path, &error))?;
        let path = fs::canonicalize(path).map_err(|error| fault::no_file(path, &error))?;
        let file = File { path, on_connect };
        probe(&connect(&file, timeout)?).map_err(|error| fault::no_database(&file.path, &error))?;
        let pool = Arc::new(Pool::new(file.clone(), max_concurrency, timeout));
        Ok(SqliteOrigin { file, timeout, pool })
    }

    /// Prepares a space's statements and checks them against the database and the template.
    ///
    /// # Errors
    /// What is wrong with the SQL, and what to write instead.
    pub fn query(&self, query: SqlQuery) -> Result<SqliteSpace, SetupError> {
        let plan = plan::plan(&connect(&self.file, self.timeout)?, query)?;
        Ok(SqliteSpace { plan: Arc::new(plan), pool: Arc::clone(&self.pool) })
    }

    /// The statement that names the keys of a space with these captures, checked against the database.
    ///
    /// # Errors
    /// What is wrong with the SQL, and what to write instead.
    pub fn keys(
        &self,
        text: &str,
        captures: impl IntoIterator<Item = impl Into<Arc<str>>>,
    ) -> Result<SqliteKeys, SetupError> {
        let captures: Vec<Arc<str>> = captures.into_iter().map(Into::into).collect();
        keys::keys(&self.file, &connect(&self.file, self.timeout)?, text, &captures)
    }

    /// Statements executed so far, over all spaces of this origin.
    pub fn queries(&self) -> u64 {
        self.pool.queries()
    }

    /// Can the database be read right now?
    pub fn check(&self) -> CheckFuture<'_> {
        check(&self.pool)
    }

    /// Creates a new database file from an SQL script, for samples and tests.
    ///
    /// # Errors
    /// The file exists already, can't be created, or the script fails; then no file is left.
    pub fn create_sample(path: impl AsRef<Path>, script: &str) -> Result<(), SetupError> {
        let path = path.as_ref();
        let failed = |words: String, hint: &str| {
            SetupError::new(format!("sample database {} can't be created: {words}", path.display()), hint)
        };
        fs::File::create_new(path).map_err(|error| failed(error.to_string(), "choose another path"))?;
        let written = fs::canonicalize(path)
            .map_err(|error| failed(error.to_string(), "choose another path"))
            .and_then(|path| {
                let connection = Connection::open(path).and_then(|open| open.execute_batch(script).map(|()| open));
                connection.map_err(|error| failed(fault::words(&error), "correct the script"))
            })
            .and_then(|open| open.close().map_err(|(_, error)| failed(fault::words(&error), "check the disk")));
        if written.is_err() {
            // The script's own error is the one to tell.
            let _ = fs::remove_file(path);
        }
        written
    }
}

fn connect(file: &File, timeout: Duration) -> Result<Connection, SetupError> {
    let connection = file.connect().map_err(|error| fault::no_database(&file.path, &error))?;
    connection.busy_timeout(timeout).map_err(|error| fault::no_database(&file.path, &error))?;
    Ok(connection)
}

/// Reads the first page, which opening alone does not.
fn probe(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}

fn check(pool: &Pool) -> CheckFuture<'_> {
    pool.run(|connection, _| probe(connection).map_err(Trouble::from)).boxed()
}

/// One space's view of an SQLite database.
#[derive(Clone, Debug)]
pub struct SqliteSpace {
    plan: Arc<Plan>,
    pool: Arc<Pool>,
}

impl Origin for SqliteSpace {
    /// `have` is not looked at: reading a row costs what comparing it would.
    fn load<'a>(&'a self, captures: Captures, _have: Option<&'a Payload>) -> LoadFuture<'a> {
        let plan = Arc::clone(&self.plan);
        self.pool.run(move |connection, queries| run::one(connection, &plan, &captures, queries)).boxed()
    }

    fn load_many(&self, captures: Vec<Captures>) -> Option<BatchFuture<'_>> {
        self.plan.many.as_ref()?;
        let plan = Arc::clone(&self.plan);
        Some(self.pool.run(move |connection, queries| run::many(connection, &plan, &captures, queries)).boxed())
    }

    fn check(&self) -> CheckFuture<'_> {
        check(&self.pool)
    }
}

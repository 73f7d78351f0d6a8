//! A real PostgreSQL for the tests beside this file: one process for all of them, a database for each.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bellwether_adapters::{
    Captures, NotReady, Origin, PostgresOrigin, PostgresSpace, PostgresUrl, SetupError, SqlQuery,
};
use bellwether_servers::Postgres;

use crate::within;

/// Longer than any statement of these tests takes that is not meant to take long.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// A database of one test.
pub(crate) struct Database {
    server: Arc<Postgres>,
    name: String,
}

/// The server that the tests which run now share; it ends with the last of them.
fn shared() -> Arc<Postgres> {
    static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Postgres::start().expect("PostgreSQL is installed"));
        *shared = Arc::downgrade(&server);
        server
    })
}

impl Database {
    /// A new database, filled by `script`.
    pub(crate) fn new(script: &str) -> Database {
        Database::on(shared(), script)
    }

    pub(crate) fn on(server: Arc<Postgres>, script: &str) -> Database {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        server.exec(&format!("CREATE DATABASE {name}")).expect("a new name");
        let database = Database { server, name };
        database.exec(script);
        database
    }

    pub(crate) fn server(&self) -> &Postgres {
        &self.server
    }

    pub(crate) fn exec(&self, sql: &str) -> String {
        self.server.exec(&format!("\\c {}\n{sql}", self.name)).expect("valid SQL")
    }

    /// As the server's own user; `parameters` begin with `?` or are empty.
    pub(crate) fn url(&self, parameters: &str) -> PostgresUrl {
        self.url_as("postgres", "localhost", parameters)
    }

    pub(crate) fn url_as(&self, user: &str, host: &str, parameters: &str) -> PostgresUrl {
        let port = self.server.address().port();
        parse(&format!("postgres://{user}@{host}:{port}/{}{parameters}", self.name))
    }

    pub(crate) fn open(&self) -> PostgresOrigin {
        self.open_with(16, TIMEOUT)
    }

    pub(crate) fn open_with(&self, most: usize, timeout: Duration) -> PostgresOrigin {
        PostgresOrigin::open(self.url_as("postgres", "127.0.0.1", "?sslmode=disable"), most, timeout)
            .expect("a valid origin")
    }

    /// A space that is ready.
    pub(crate) async fn space(&self, query: SqlQuery) -> PostgresSpace {
        let space = self.open().query(query).expect("valid SQL");
        ready(&space).await.expect("it can be prepared");
        space
    }

    /// Statements of this database's that are being worked on, the one that asks apart.
    pub(crate) fn active(&self) -> u32 {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
                   AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        self.exec(sql).parse().expect("a number")
    }
}

pub(crate) fn parse(url: &str) -> PostgresUrl {
    PostgresUrl::parse(url, Path::new("/")).expect("a valid URL")
}

pub(crate) async fn ready(space: &PostgresSpace) -> Result<(), NotReady> {
    within(space.ready().expect("there is something to prepare")).await
}

/// What is wrong with the SQL.
pub(crate) async fn wrong(database: &Database, query: SqlQuery) -> SetupError {
    let space = match database.open().query(query) {
        Ok(space) => space,
        Err(error) => return error,
    };
    match ready(&space).await {
        Err(NotReady::Space(error)) => error,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn id(id: impl Into<bellwether_adapters::Capture>) -> Captures {
    Captures::new().with("id", id)
}

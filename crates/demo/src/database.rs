//! How weak is the shop's database, and what did it see? Every query of either side goes through here.
//!
//! Each side's SQLite connections register the function `weak_database(id)`, which both sides' query calls. It sleeps,
//! so that neither side wins by the machine's speed; it counts, so that the verdict rests on what the database saw
//! and, but for hits, not on what a cache says of itself; and it fails when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bellwether_adapters::OnConnect;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

/// Connections that the database takes, on either side.
pub(crate) const POOL: u32 = 16;
/// What a query takes while the database is well.
pub(crate) const QUERY: Duration = Duration::from_millis(50);
/// What it takes when it is ten times slower.
pub(crate) const SLOW_QUERY: Duration = Duration::from_millis(500);

/// The statement that both sides run for a product's page.
pub(crate) const PAGE: &str =
    "SELECT id, name, price, stock, description, weak_database(id) AS read_at FROM products WHERE id = :id";

/// One side's database: its own counters, its own faults.
pub(crate) struct Database {
    begun: Instant,
    delay_ms: AtomicU64,
    failing: AtomicBool,
    /// The product that the incident is about.
    star: AtomicI64,
    all: Tally,
    of_star: Tally,
    failed: AtomicU64,
}

/// What was counted of some queries.
#[derive(Default)]
struct Tally {
    arrivals: AtomicU64,
    running: AtomicU64,
    peak: AtomicU64,
}

/// What the database saw since it was last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Queries that arrived.
    pub(crate) arrivals: u64,
    /// The most at once.
    pub(crate) peak: u64,
    /// Of those, for the incident's product.
    pub(crate) star_arrivals: u64,
    /// The most at once for it.
    pub(crate) star_peak: u64,
    /// Answered with an error.
    pub(crate) failed: u64,
}

/// What happens to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Every query ends in an error, after its usual time.
    Failing(bool),
    /// A query takes this long.
    Takes(Duration),
}

impl Database {
    pub(crate) fn new(star: i64) -> Arc<Database> {
        Arc::new(Database {
            begun: Instant::now(),
            delay_ms: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            star: AtomicI64::new(star),
            all: Tally::default(),
            of_star: Tally::default(),
            failed: AtomicU64::new(0),
        })
    }

    /// Milliseconds of this database's clock: what `read_at` is given in.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn suffer(&self, fault: Fault) {
        match fault {
            Fault::Failing(failing) => self.failing.store(failing, Ordering::Relaxed),
            Fault::Takes(delay) => {
                self.delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        }
    }

    /// Counts from zero again.
    pub(crate) fn reset(&self) {
        for tally in [&self.all, &self.of_star] {
            tally.arrivals.store(0, Ordering::Relaxed);
            tally.peak.store(tally.running.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.failed.store(0, Ordering::Relaxed);
    }

    pub(crate) fn seen(&self) -> Seen {
        Seen {
            arrivals: self.all.arrivals.load(Ordering::Relaxed),
            peak: self.all.peak.load(Ordering::Relaxed),
            star_arrivals: self.of_star.arrivals.load(Ordering::Relaxed),
            star_peak: self.of_star.peak.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// Queries that run now.
    pub(crate) fn running(&self) -> u64 {
        self.all.running.load(Ordering::Relaxed)
    }

    /// Makes `weak_database` known to a connection.
    pub(crate) fn register(self: &Arc<Self>, connection: &Connection) -> rusqlite::Result<()> {
        let own = Arc::clone(self);
        // Not deterministic: SQLite must call it for every query, not keep an answer.
        connection.create_scalar_function("weak_database", 1, FunctionFlags::SQLITE_UTF8, move |context| {
            own.query(context.get(0)?).map_err(|words| rusqlite::Error::UserFunctionError(words.into()))
        })
    }

    /// The same, for connections that Bellwether opens.
    pub(crate) fn on_connect(self: &Arc<Self>) -> OnConnect {
        let own = Arc::clone(self);
        OnConnect::new(move |connection| own.register(connection))
    }

    /// One query: when it began to read, in this database's milliseconds.
    fn query(&self, id: i64) -> Result<i64, &'static str> {
        let read_at = self.now_ms();
        let fails = self.failing.load(Ordering::Relaxed);
        let of_star = (id == self.star.load(Ordering::Relaxed)).then(|| self.of_star.arrive());
        let arrived = self.all.arrive();
        thread::sleep(Duration::from_millis(self.delay_ms.load(Ordering::Relaxed)));
        drop((of_star, arrived));
        if fails {
            self.failed.fetch_add(1, Ordering::Relaxed);
            return Err("the database is down");
        }
        Ok(i64::try_from(read_at).unwrap_or(i64::MAX))
    }
}

impl Tally {
    fn arrive(&self) -> Arrived<'_> {
        self.arrivals.fetch_add(1, Ordering::Relaxed);
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak.fetch_max(running, Ordering::Relaxed);
        Arrived(self)
    }
}

/// A query that runs.
struct Arrived<'a>(&'a Tally);

impl Drop for Arrived<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(database: &Arc<Database>, id: i64) -> rusqlite::Result<i64> {
        let connection = Connection::open_in_memory()?;
        database.register(&connection)?;
        connection.query_row("SELECT weak_database(?1)", [id], |row| row.get(0))
    }

    #[test]
    fn the_database_counts_each_query_and_how_many_run_at_once() {
        let database = Database::new(7);
        database.suffer(Fault::Takes(Duration::from_millis(200)));
        thread::scope(|scope| {
            for id in [7, 7, 8] {
                scope.spawn({
                    let database = database.clone();
                    move || asked(&database, id).expect("an answer")
                });
            }
        });
        let seen = database.seen();
        assert_eq!((seen.arrivals, seen.star_arrivals, seen.failed), (3, 2, 0));
        assert!(seen.peak >= 2 && seen.star_peak == 2, "{seen:?}");
        assert_eq!(database.running(), 0);
        database.reset();
        assert_eq!(database.seen(), Seen::default());
    }

    #[test]
    fn told_to_fail_it_fails_and_told_to_recover_it_answers() {
        let database = Database::new(1);
        database.suffer(Fault::Failing(true));
        assert!(asked(&database, 1).is_err());
        database.suffer(Fault::Failing(false));
        assert!(asked(&database, 1).is_ok());
        assert_eq!((database.seen().arrivals, database.seen().failed), (2, 1));
    }
}

//! What becomes of loads when something goes wrong: slow, stopped, restarted, changed, written?

use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether::FailClass;
use bellwether_adapters::{Origin, SqlQuery};
use bellwether_servers::Postgres;
use futures_util::future::join_all;

use crate::postgres_server::{Database, TIMEOUT, id};
use crate::{Outcome, PATIENCE, failed, outcome, value, within};

fn sleeps() -> SqlQuery {
    SqlQuery::new("SELECT 'slept' AS x FROM pg_sleep(:id::int / 1000.0)", ["id"])
}

/// Waits until so many statements are at work.
async fn until_active(database: &Database, wanted: impl Fn(u32) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !wanted(database.active()) {
        assert!(Instant::now() < end, "{} statements are at work", database.active());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_load_stops_at_the_server_and_its_connection_counts_until_then() {
    let database = Database::new("");
    let origin = database.open_with(2, Duration::from_secs(60));
    let space = origin.query(sleeps()).expect("valid SQL");
    let waits = |millis: i64| {
        tokio::spawn({
            let space = space.clone();
            async move { space.load(id(millis), None).await }
        })
    };
    let loads = [waits(60_000), waits(60_000)];
    until_active(&database, |n| n == 2).await;
    loads.iter().for_each(tokio::task::JoinHandle::abort);
    let begun = Instant::now();
    until_active(&database, |n| n == 0).await;
    assert!(begun.elapsed() < PATIENCE, "far less than the minute that they would have slept");
    assert_eq!(outcome(&within(space.load(id(0), None)).await), value(r#"{"x":"slept"}"#), "and the pool serves on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_a_load_that_is_not_dropped_holds_its_connection() {
    let database = Database::new("");
    let space = database.open_with(1, Duration::from_secs(60)).query(sleeps()).expect("valid SQL");
    let held = tokio::spawn({
        let space = space.clone();
        async move { space.load(id(3_000), None).await }
    });
    until_active(&database, |n| n == 1).await;
    let second = tokio::time::timeout(Duration::from_millis(300), space.load(id(0), None)).await;
    assert!(second.is_err(), "the only connection is taken");
    assert!(within(held).await.expect("no panic").is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_connections_are_never_more_whatever_is_dropped() {
    let database = Database::new("CREATE TABLE seen (n int)");
    let origin = database.open_with(16, Duration::from_secs(20));
    let space = origin.query(sleeps()).expect("valid SQL");
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let watch = std::thread::spawn({
        let (stop, url) = (stop.clone(), database.server().url());
        let name = database.exec("SELECT current_database()");
        let server_exec = move |sql: &str| std::process::Command::new("psql").args(["-XAtc", sql, &url]).output();
        move || {
            let mut most = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'");
                let out = server_exec(&sql).expect("psql");
                most = most.max(String::from_utf8_lossy(&out.stdout).trim().parse::<u32>().expect("a number"));
            }
            most
        }
    });
    for round in 0..4 {
        let loads = (0..60).map(|n| {
            let space = &space;
            async move {
                // A third gives up half-way.
                let patience = if n % 3 == 0 { Duration::from_millis(40) } else { PATIENCE };
                tokio::time::timeout(patience, space.load(id(80 + round), None)).await.is_ok()
            }
        });
        let done = within(join_all(loads)).await;
        assert!(done.iter().filter(|done| **done).count() >= 40);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let most = watch.join().expect("it counts");
    assert!((9..=16).contains(&most), "{most} connections at once");
}

#[tokio::test]
async fn the_server_ends_a_statement_that_takes_too_long() {
    let database = Database::new("");
    let space = database.open_with(1, Duration::from_millis(300)).query(sleeps()).expect("valid SQL");
    let error = within(space.load(id(60_000), None)).await.expect_err("too slow");
    assert_eq!(failed(&error), FailClass::Timeout);
    assert_eq!(database.active(), 0);
    assert_eq!(outcome(&within(space.load(id(0), None)).await), value(r#"{"x":"slept"}"#));
}

#[tokio::test]
async fn nothing_can_be_written() {
    let database = Database::new(
        "CREATE TABLE t (id int); CREATE SEQUENCE s;
         CREATE FUNCTION writes(int) RETURNS int LANGUAGE sql VOLATILE AS 'INSERT INTO t VALUES ($1) RETURNING id';
         CREATE FUNCTION sneaks(int) RETURNS text LANGUAGE sql AS $$SELECT set_config('transaction_read_only', 'off', true)$$",
    );
    for sql in [
        "SELECT writes(:id::int) AS x",
        "SELECT nextval('s') + :id::int AS x",
        "SELECT id FROM t WHERE id = :id FOR UPDATE",
        "SELECT sneaks(:id::int) || writes(1) AS x",
        "SELECT set_config('transaction_read_only', 'off', true) || writes(:id::int) AS x",
    ] {
        let space = database.open().query(SqlQuery::new(sql, ["id"])).expect("valid SQL");
        assert_eq!(outcome(&within(space.load(id(1), None)).await), Outcome::Failed(FailClass::Failed), "{sql}");
    }
    let with = SqlQuery::new("WITH w AS (INSERT INTO t VALUES (:id) RETURNING id) SELECT id FROM w", ["id"]);
    let space = database.open().query(with).expect("valid text");
    assert!(within(space.load(id(1), None)).await.is_err());
    assert_eq!(database.exec("SELECT count(*) FROM t"), "0");
}

#[tokio::test]
async fn a_restarted_server_is_served_from_again() {
    let server = Arc::new(Postgres::start().expect("PostgreSQL is installed"));
    let database = Database::on(server, "CREATE TABLE t (id int); INSERT INTO t VALUES (1)");
    // Of what was written just now a server that is killed forgets a part.
    database.exec("CHECKPOINT");
    let origin = database.open_with(4, TIMEOUT);
    let query = SqlQuery::new("SELECT id FROM t WHERE id = :id", ["id"]);
    let space = origin.query(query.many("SELECT id FROM t WHERE id IN (:ids)")).expect("valid SQL");
    let loads = || join_all((0..4).map(|_| space.load(id(1), None)));
    for found in within(loads()).await {
        assert_eq!(outcome(&found), value(r#"{"id":1}"#));
    }
    database.server().kill().expect("it ran");
    let error = within(space.load(id(1), None)).await.expect_err("it is gone");
    assert_eq!(failed(&error), FailClass::Refused);
    // A server process that outlives the one that is killed may still answer, for a moment.
    let killed = Instant::now();
    while within(origin.check()).await.is_ok() {
        assert!(killed.elapsed() < PATIENCE, "it still answers");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    database.server().restart().expect("it starts again");
    for found in within(loads()).await {
        assert_eq!(outcome(&found), value(r#"{"id":1}"#), "on new connections, prepared anew");
    }
    assert_eq!(within(space.load_many(vec![id(1)]).expect("a batch query")).await.expect("a row").len(), 1);
    assert!(within(origin.check()).await.is_ok());
}

#[tokio::test]
async fn a_connection_that_the_server_ended_is_replaced_within_the_load() {
    let database = Database::new("");
    let space = database.open_with(1, TIMEOUT).query(SqlQuery::new("SELECT :id::int AS n", ["id"])).expect("valid SQL");
    for n in 0..5 {
        assert_eq!(outcome(&within(space.load(id(n), None)).await), value(&format!("{{\"n\":{n}}}")));
        database.exec(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }
}

#[tokio::test]
async fn a_changed_schema_is_noticed_and_healed() {
    let database = Database::new("CREATE TABLE t (id int, a int); INSERT INTO t VALUES (1, 7)");
    let origin = database.open_with(2, TIMEOUT);
    let query = SqlQuery::new("SELECT * FROM t WHERE id = :id", ["id"]);
    let space = origin.query(query.clone().many("SELECT * FROM t WHERE id = ANY (:ids)")).expect("valid SQL");
    let raw = origin.query(query.column("a")).expect("valid SQL");
    let load = async || outcome(&within(space.load(id(1), None)).await);
    let batch = async || {
        let found = within(space.load_many(vec![id(1)]).expect("a batch query")).await.expect("a row");
        value(&crate::text(&found[0].1))
    };
    assert_eq!((load().await, batch().await), (value(r#"{"id":1,"a":7}"#), value(r#"{"id":1,"a":7}"#)));
    assert_eq!(outcome(&within(raw.load(id(1), None)).await), value("7"));
    // Another type: the value follows.
    database.exec("ALTER TABLE t ALTER a TYPE text USING 'x' || a");
    assert_eq!((load().await, batch().await), (value(r#"{"id":1,"a":"x7"}"#), value(r#"{"id":1,"a":"x7"}"#)));
    // Bytes are served as bytes at once, where a text would be served by its digits.
    database.exec("ALTER TABLE t ALTER a TYPE bytea USING '\\x4142'");
    assert_eq!(outcome(&within(raw.load(id(1), None)).await), value("AB"));
    // A column less, and one more.
    database.exec("ALTER TABLE t DROP a; ALTER TABLE t ADD b int DEFAULT 8");
    assert_eq!((load().await, batch().await), (value(r#"{"id":1,"b":8}"#), value(r#"{"id":1,"b":8}"#)));
    // Another table of the same name.
    database.exec("DROP TABLE t; CREATE TABLE t (id bigint, c int); INSERT INTO t VALUES (1, 9)");
    assert_eq!((load().await, batch().await), (value(r#"{"id":1,"c":9}"#), value(r#"{"id":1,"c":9}"#)));
    database.exec("DROP TABLE t");
    assert!(matches!(within(space.load(id(1), None)).await, Err(error) if error.class() == FailClass::Failed));
    database.exec("CREATE TABLE t (id int); INSERT INTO t VALUES (1)");
    assert_eq!(load().await, value(r#"{"id":1}"#), "it comes back with its table");
}

#[tokio::test]
async fn too_many_connections_are_overload() {
    let database = Database::new("CREATE ROLE few LOGIN CONNECTION LIMIT 1");
    let url = || database.url_as("few", "127.0.0.1", "");
    let open = || bellwether_adapters::PostgresOrigin::open(url(), 4, TIMEOUT).expect("valid");
    let (first, second) = (open(), open());
    let taken = first.query(SqlQuery::new("SELECT :id::int AS n", ["id"])).expect("valid SQL");
    assert!(within(taken.load(id(1), None)).await.is_ok());
    let error =
        within(second.query(SqlQuery::new("SELECT :id::int AS n", ["id"])).expect("valid SQL").load(id(1), None)).await;
    assert_eq!(failed(&error.expect_err("one is all")), FailClass::Overloaded);
    drop((first, taken));
    let end = Instant::now() + PATIENCE;
    while database.exec("SELECT count(*) FROM pg_stat_activity WHERE usename = 'few'") != "0" {
        assert!(Instant::now() < end, "a connection outlives its origin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    database.exec("DROP ROLE few");
}

#[tokio::test]
async fn rows_that_nobody_reads_are_not_waited_for() {
    let database = Database::new("");
    let slow = SqlQuery::new(
        "SELECT repeat('x', 600) AS b FROM generate_series(1, 100) i, pg_sleep(i / 10.0) WHERE :id = 1",
        ["id"],
    );
    let space = database
        .open_with(1, Duration::from_secs(60))
        .query(slow.rows(bellwether_adapters::Rows::All).max_bytes(1_000));
    let space = space.expect("valid SQL");
    let begun = Instant::now();
    assert_eq!(outcome(&within(space.load(id(1), None)).await), Outcome::Failed(FailClass::Rejected));
    assert!(begun.elapsed() < PATIENCE);
    until_active(&database, |n| n == 0).await;
}

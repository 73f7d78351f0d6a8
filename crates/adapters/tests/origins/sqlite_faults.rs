//! Does a load that nobody waits for stop, and do locks, lost files and changed schemas end well?

use std::time::{Duration, Instant};

use bellwether::FailClass;
use bellwether_adapters::{Captures, Origin, SqlQuery, SqliteOrigin, SqliteSpace};

use crate::sqlite_values::{SHOP, load, shop};
use crate::{Outcome, PATIENCE, failed, value, within};

/// Minutes of work.
const HEAVY: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000000000)
                     SELECT max(i) AS m FROM n";
const LIGHT: &str = "SELECT name FROM products WHERE id = :id";
/// How soon a dropped load must have stopped.
const SOON: Duration = Duration::from_millis(200);

fn space(origin: &SqliteOrigin, query: &str) -> SqliteSpace {
    origin.query(SqlQuery::new(query, ["id"])).expect("a query")
}

fn one() -> Captures {
    Captures::new().with("id", 1)
}

fn kettle() -> Outcome {
    value(r#"{"name":"Kettle"}"#)
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_dropped_load_stops_and_its_connection_serves_on() {
    let (_dir, origin) = shop(1);
    let (heavy, light) = (space(&origin, HEAVY), space(&origin, LIGHT));
    for round in 1..=20 {
        let load_heavy = heavy.load(Captures::new(), None);
        let cut = tokio::time::timeout(Duration::from_millis(round), load_heavy).await;
        assert!(cut.is_err(), "it takes minutes");
        let dropped = Instant::now();
        assert_eq!(load(&light, one()).await, kettle());
        assert!(dropped.elapsed() < SOON, "round {round}: {:?} after the drop", dropped.elapsed());
    }
}

#[tokio::test]
async fn control_a_load_that_is_not_dropped_holds_its_connection() {
    let (_dir, origin) = shop(1);
    let (heavy, light) = (space(&origin, HEAVY), space(&origin, LIGHT));
    let mut held = heavy.load(Captures::new(), None);
    assert!(tokio::time::timeout(Duration::from_millis(10), &mut held).await.is_err());
    assert!(tokio::time::timeout(SOON * 2, light.load(one(), None)).await.is_err(), "the only connection is busy");
    drop(held);
    assert_eq!(load(&light, one()).await, kettle());
}

#[tokio::test]
async fn a_dropped_batch_stops_too() {
    let (_dir, origin) = shop(1);
    let light = space(&origin, LIGHT);
    let query = SqlQuery::new("SELECT name FROM products WHERE id = :id", ["id"]);
    let many = format!("WITH x AS ({HEAVY}) SELECT id, name FROM products, x WHERE id IN (:ids)");
    let heavy = origin.query(query.many(many)).expect("a query");
    let batch = heavy.load_many(vec![one()]).expect("a batch");
    assert!(tokio::time::timeout(Duration::from_millis(20), batch).await.is_err());
    let dropped = Instant::now();
    assert_eq!(load(&light, one()).await, kettle());
    assert!(dropped.elapsed() < SOON, "{:?}", dropped.elapsed());
}

#[tokio::test]
async fn a_dropped_load_that_never_began_asks_nothing() {
    let (_dir, origin) = shop(1);
    let (heavy, light) = (space(&origin, HEAVY), space(&origin, LIGHT));
    let mut held = heavy.load(Captures::new(), None);
    assert!(futures_util::future::poll_immediate(&mut held).await.is_none());
    until("the heavy load runs", || origin.queries() == 1).await;
    for _ in 0..50 {
        assert!(futures_util::future::poll_immediate(light.load(one(), None)).await.is_none());
    }
    drop(held);
    assert_eq!(load(&light, one()).await, kettle());
    assert_eq!(origin.queries(), 2);
}

#[tokio::test]
async fn a_pool_of_four_runs_four_at_once_and_never_five() {
    let (_dir, origin) = shop(4);
    let (heavy, light) = (space(&origin, HEAVY), space(&origin, LIGHT));
    let mut loads: Vec<_> = (0..8).map(|_| heavy.load(Captures::new(), None)).collect();
    for load in &mut loads {
        assert!(futures_util::future::poll_immediate(load).await.is_none());
    }
    until("four statements run", || origin.queries() >= 4).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(origin.queries(), 4, "none of the four can have ended, so a fifth would run beside them");
    // The first four go, the next four come.
    loads.drain(..4);
    until("the others run", || origin.queries() == 8).await;
    drop(loads);
    assert_eq!(load(&light, one()).await, kettle());
}

#[tokio::test]
async fn the_origins_timeout_ends_a_statement_that_nobody_drops() {
    let (dir, _) = shop(1);
    let origin = SqliteOrigin::open(dir.path().join("shop.db"), 1, Duration::from_millis(100)).expect("a database");
    let begun = Instant::now();
    assert_eq!(load(&space(&origin, HEAVY), Captures::new()).await, Outcome::Failed(FailClass::Timeout));
    assert!(begun.elapsed() >= Duration::from_millis(100));
    assert_eq!(load(&space(&origin, LIGHT), one()).await, kettle());
}

#[tokio::test]
async fn a_writers_lock_is_waited_for_and_then_overload() {
    let (dir, _) = shop(1);
    let path = dir.path().join("shop.db");
    let origin = SqliteOrigin::open(&path, 1, Duration::from_millis(400)).expect("a database");
    let light = space(&origin, LIGHT);
    let writer = rusqlite::Connection::open(&path).expect("a writer");
    writer.execute_batch("BEGIN EXCLUSIVE").expect("a lock");
    let begun = Instant::now();
    assert_eq!(load(&light, one()).await, Outcome::Failed(FailClass::Overloaded));
    assert!(begun.elapsed() >= Duration::from_millis(200), "half of the timeout is waited");
    let mut waiting = light.load(one(), None);
    assert!(tokio::time::timeout(Duration::from_millis(60), &mut waiting).await.is_err());
    writer.execute_batch("ROLLBACK").expect("unlocked");
    assert!(within(waiting).await.is_ok(), "a lock that goes in time is no failure");
}

#[tokio::test]
async fn a_dropped_load_stops_waiting_for_a_writers_lock() {
    let (dir, origin) = shop(1);
    let (light, free) = (space(&origin, LIGHT), space(&origin, "SELECT 1 AS one"));
    assert_eq!(load(&light, one()).await, kettle());
    let writer = rusqlite::Connection::open(dir.path().join("shop.db")).expect("a writer");
    writer.execute_batch("BEGIN EXCLUSIVE").expect("a lock");
    assert!(tokio::time::timeout(Duration::from_millis(20), light.load(one(), None)).await.is_err());
    let dropped = Instant::now();
    assert_eq!(load(&free, one()).await, value(r#"{"one":1}"#), "this one needs no lock, only the connection");
    assert!(dropped.elapsed() < SOON, "{:?}", dropped.elapsed());
}

#[tokio::test]
async fn readers_see_committed_writes_only_and_wal_does_not_block() {
    let (dir, origin) = shop(2);
    let writer = rusqlite::Connection::open(dir.path().join("shop.db")).expect("a writer");
    writer
        .execute_batch("PRAGMA journal_mode = WAL; BEGIN; UPDATE products SET name = 'New' WHERE id = 1")
        .expect("a write");
    let light = space(&origin, LIGHT);
    assert_eq!(load(&light, one()).await, kettle());
    writer.execute_batch("COMMIT").expect("a commit");
    assert_eq!(load(&light, one()).await, value(r#"{"name":"New"}"#));
}

#[tokio::test]
async fn a_replaced_file_is_noticed_and_a_lost_one_refused() {
    let (dir, origin) = shop(1);
    let light = space(&origin, LIGHT);
    assert_eq!(load(&light, one()).await, kettle());
    let (path, next) = (dir.path().join("shop.db"), dir.path().join("next.db"));
    SqliteOrigin::create_sample(&next, &SHOP.replace("Kettle", "Pot")).expect("a sample");
    std::fs::rename(&next, &path).expect("a rename");
    assert_eq!(load(&light, one()).await, value(r#"{"name":"Pot"}"#));

    std::fs::rename(&path, &next).expect("a rename");
    assert_eq!(load(&light, one()).await, Outcome::Failed(FailClass::Refused));
    assert_eq!(within(light.check()).await.map_err(|e| failed(&e)), Err(FailClass::Refused));
    std::fs::rename(&next, &path).expect("a rename");
    assert_eq!(load(&light, one()).await, value(r#"{"name":"Pot"}"#));
    assert!(within(origin.check()).await.is_ok());
}

#[tokio::test]
async fn a_damaged_file_fails_and_a_healed_one_serves() {
    let (dir, origin) = shop(1);
    let path = dir.path().join("shop.db");
    let light = space(&origin, LIGHT);
    assert_eq!(load(&light, one()).await, kettle());
    let good = std::fs::read(&path).expect("a file");
    std::fs::write(&path, vec![0x55; good.len()]).expect("damage");
    assert_eq!(load(&light, one()).await, Outcome::Failed(FailClass::Failed));
    assert!(within(light.check()).await.is_err());
    std::fs::write(&path, good).expect("healing");
    assert_eq!(load(&light, one()).await, kettle());
}

#[tokio::test]
async fn a_changed_schema_never_mixes_columns_up() {
    let (dir, origin) = shop(1);
    let star = space(&origin, "SELECT * FROM odd WHERE id = :id");
    let light = space(&origin, LIGHT);
    let five = || Captures::new().with("id", 5);
    assert_eq!(load(&star, five()).await, value(r#"{"id":5,"value":null}"#));
    let writer = rusqlite::Connection::open(dir.path().join("shop.db")).expect("a writer");
    for change in ["ALTER TABLE odd ADD COLUMN more", "ALTER TABLE odd DROP COLUMN value", "DROP TABLE odd"] {
        writer.execute_batch(change).expect(change);
        assert_eq!(load(&star, five()).await, Outcome::Failed(FailClass::Failed), "{change}");
    }
    assert_eq!(load(&light, one()).await, kettle(), "other statements go on");
}

#[tokio::test]
async fn nothing_can_be_written() {
    let (dir, origin) = shop(1);
    let before = std::fs::read(dir.path().join("shop.db")).expect("a file");
    for sql in ["WITH x AS (SELECT 1) UPDATE products SET name = 'x'", "INSERT INTO products VALUES (9)"] {
        assert!(origin.query(SqlQuery::new(sql, ["id"])).is_err(), "{sql}");
    }
    assert_eq!(load(&space(&origin, LIGHT), one()).await, kettle());
    assert_eq!(std::fs::read(dir.path().join("shop.db")).expect("a file"), before);
}

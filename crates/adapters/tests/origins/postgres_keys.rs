//! Which keys does a PostgreSQL name: in which order, how many at a time, and what if it breaks off?

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bellwether::{FailClass, LoadError};
use bellwether_adapters::{KeySink, Keys as _, PostgresOrigin};

use crate::postgres_server::Database;
use crate::{PATIENCE, failed, within};

const PRODUCTS: &str = "CREATE TABLE products (id int, shop text); INSERT INTO products SELECT i, 's' || i % 3 FROM \
    generate_series(1, 1000) i; INSERT INTO products VALUES (NULL, 's1')";

/// What was named before `most` keys were, or it ended.
async fn named(
    origin: &PostgresOrigin,
    sql: &str,
    captures: &[&str],
    most: usize,
) -> (Vec<Vec<String>>, Result<(), LoadError>) {
    let keys = origin.keys(sql, captures.iter().copied()).expect("valid SQL");
    let told: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
    let sink: KeySink = {
        let told = told.clone();
        Box::new(move |captures| {
            let mut told = told.lock().expect("nobody panics");
            told.push(captures);
            told.len() < most
        })
    };
    let result = within(keys.each(sink)).await;
    let told = std::mem::take(&mut *told.lock().expect("nobody panics"));
    (told, result)
}

/// Statements of this database that run for longer than a look takes.
fn running(database: &Database) -> String {
    database.exec(
        "\\pset format unaligned\n\\pset tuples_only on\nSELECT 'runs ' || count(*) FROM pg_stat_activity WHERE \
         datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()",
    )
}

#[tokio::test]
async fn keys_come_in_the_order_of_the_statement_a_column_for_each_capture() {
    let database = Database::new(PRODUCTS);
    let origin = database.open();
    let (keys, result) = named(&origin, "SELECT id FROM products ORDER BY id DESC", &["id"], usize::MAX).await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!((keys.len(), &keys[0], &keys[999]), (1000, &vec!["1000".to_owned()], &vec!["1".to_owned()]));
    let both = "SELECT shop, id, 'x' AS other FROM products WHERE id < 3 ORDER BY id";
    let (keys, _) = named(&origin, both, &["id", "shop"], usize::MAX).await;
    assert_eq!(keys, [["1", "s1"], ["2", "s2"]], "by name, whatever else there is");
    let (keys, result) = named(&origin, "SELECT shop FROM products", &["id", "shop"], usize::MAX).await;
    assert_eq!((keys.len(), result.map_err(|error| failed(&error))), (0, Err(FailClass::Failed)), "no such column");
}

#[tokio::test]
async fn a_statement_that_fails_half_way_is_a_failure_however_many_keys_it_named() {
    let database = Database::new(PRODUCTS);
    let origin = database.open();
    let sql = "SELECT 1000000 / (900 - id) FROM (SELECT generate_series(1, 2000) AS id) AS ids";
    let (keys, result) = named(&origin, sql, &["id"], usize::MAX).await;
    assert!(result.is_err(), "{} keys", keys.len());
    assert!((1..2000).contains(&keys.len()), "some came before: {}", keys.len());
    let (keys, result) = named(&origin, "SELECT id FROM products WHERE id <= 5", &["id"], usize::MAX).await;
    assert_eq!((keys.len(), result.is_ok()), (5, true), "the origin is as good as before");
}

#[tokio::test]
async fn a_billion_keys_are_named_one_by_one_and_stopped_when_it_is_enough() {
    let database = Database::new(PRODUCTS);
    let origin = database.open();
    let begun = Instant::now();
    let (keys, result) = named(&origin, "SELECT generate_series(1, 1000000000) AS id", &["id"], 50_000).await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!((keys.len(), &*keys[49_999][0]), (50_000, "50000"));
    assert!(begun.elapsed() < PATIENCE, "nobody waits for the rest");
    // What nobody listens to is stopped in the database too.
    let begun = Instant::now();
    while !running(&database).contains("runs 0") {
        assert!(begun.elapsed() < PATIENCE, "{}", running(&database));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

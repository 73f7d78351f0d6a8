//! Does a server begin where the last one ended? Hot lists over restarts, and when it says ready.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bellwether::Tick;
use bellwether_server::config::{self, Config};
use bellwether_server::run::Server;
use bellwether_server::service::{Outcome, Terms};
use bytes::Bytes;

const LIMIT: Duration = Duration::from_secs(20);

fn configured(home: &Path) -> Config {
    let text = r#"
        [listen]
        redis = "127.0.0.1:0"
        http = "127.0.0.1:0"
        admin = "127.0.0.1:0"
        [disk]
        path = "data"
        [origin.shop]
        sql = "sqlite://shop.db"
        [[space]]
        match = "product:{id:int}"
        origin = "shop"
        query = "SELECT id, name FROM products WHERE id = :id"
        many = "SELECT id, name FROM products WHERE id IN (:ids)"
        ttl = "1h"
        grace = "1h"
        [[space]]
        match = "note:{id}"
        ttl = "1h"
    "#;
    config::parse(text, "cold.toml", home, [], false).expect("a configuration")
}

fn shop(home: &Path) {
    let database = rusqlite::Connection::open(home.join("shop.db")).expect("a database");
    let script = "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
        INSERT INTO products SELECT i, 'product ' || i FROM n;";
    database.execute_batch(script).expect("filled");
}

fn read(server: &Server, runtime: &tokio::runtime::Runtime, key: &str) {
    let terms = Terms::asked(server.service().now());
    let outcome = runtime.block_on(server.service().read(Bytes::copy_from_slice(key.as_bytes()), terms));
    assert!(matches!(outcome, Outcome::Value(_)), "{key}: {outcome:?}");
}

/// Whether memory has it, without asking for it.
fn is_resident(server: &Server, key: &str) -> bool {
    server.service().explain(key.as_bytes()).is_some_and(|explain| explain.entry.is_some())
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "{what} never came");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_was_read_most_is_there_before_anybody_asks_again() {
    let home = tempfile::tempdir().expect("a directory");
    shop(home.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let list = home.path().join("data/hot.list");

    let first = Server::start(configured(home.path())).expect("it starts");
    assert!(first.service().readiness().ready, "without a hot list there is no warm phase");
    for round in 0..4 {
        for id in 1..=200 {
            // The last are read once: that makes no key popular.
            if id <= 100 || round < 2 && id <= 150 || round == 0 {
                read(&first, &runtime, &format!("product:{id}"));
            }
        }
    }
    assert!(first.stop());
    let text = fs::read_to_string(&list).expect("the hot list was written");
    assert_eq!(text.lines().count(), 152, "{text}");
    let (popular, rest) = (text.find(" product:7\n"), text.find(" product:120\n"));
    assert!(popular.is_some() && popular < rest, "the most popular first");

    // Without what the disk has: every value has to be loaded anew.
    for file in fs::read_dir(home.path().join("data")).expect("the directory").flatten() {
        if !file.file_name().to_string_lossy().starts_with("hot.list") {
            fs::remove_file(file.path()).expect("removed");
        }
    }
    let second = Server::start(configured(home.path())).expect("it starts again");
    until("ready", || second.service().readiness().ready);
    until("the end of the warm phase", || second.service().readiness().warm > 0.99);
    assert!((1..=150).all(|id| is_resident(&second, &format!("product:{id}"))));
    assert!(!is_resident(&second, "product:160"), "and nothing else");
    assert!(second.service().readiness().weight > 0.9, "{:?}", second.service().readiness());
    let loads: u64 = second.service().snapshot().spaces.iter().map(|space| space.loads_succeeded).sum();
    assert!(loads <= 5, "{loads} queries for 150 keys: the batch query was used");
    // Of those nobody has asked yet: the list of before still counts for them.
    for _ in 0..2 {
        read(&second, &runtime, "product:160");
    }
    assert!(second.stop());
    let text = fs::read_to_string(&list).expect("a list");
    for key in [" product:160\n", " product:7\n", " product:120\n"] {
        assert!(text.contains(key), "{key}: {text}");
    }
}

#[test]
fn a_list_of_another_version_or_a_damaged_one_is_ignored_and_replaced() {
    let home = tempfile::tempdir().expect("a directory");
    shop(home.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    fs::create_dir(home.path().join("data")).expect("a directory");
    let list = home.path().join("data/hot.list");
    for damaged in ["bellwether hot list 9\n1 product:1\nend 1 0\n", "\u{0}\u{1}", ""] {
        fs::write(&list, damaged).expect("written");
        let server = Server::start(configured(home.path())).expect("it starts all the same");
        assert!(server.service().readiness().ready && server.service().now() > Tick(0));
        assert!(server.stop());
        assert_eq!(fs::read_to_string(&list).expect("it is there"), damaged, "who was asked nothing replaces nothing");
    }
    let server = Server::start(configured(home.path())).expect("it starts");
    read(&server, &runtime, "product:1");
    read(&server, &runtime, "product:1");
    assert!(server.stop());
    assert!(fs::read_to_string(&list).expect("a list").starts_with("bellwether hot list 1\n"));
}

//! Does a service that is reloaded over and over stay as large as it was?

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bellwether_adapters::{OnConnect, SqliteOrigin};
use bellwether_server::config::{self, Config, SpaceChange};
use bellwether_server::service::{Outcome, Reload, Service, Terms};
use bytes::Bytes;

fn configured(home: &Path, n: usize) -> Config {
    let text = format!(
        "[origin.shop{}]\nsql = \"sqlite://shop.db\"\nmax_concurrency = {}\n\
         [[space]]\nmatch = \"product:{{id:int}}\"\norigin = \"shop{}\"\nttl = \"{}s\"\n\
         query = \"SELECT {n} AS n FROM products WHERE id = :id\"\n\
         [[space]]\nmatch = \"kv{}:{{k}}\"\nttl = \"1m\"\n[[space]]\nmatch = \"kv:{{k}}\"\nttl = \"1m\"\n",
        n % 2,
        1 + n % 3,
        n % 2,
        60 + n % 7,
        n % 5,
    );
    config::parse(&text, "test.toml", home, [], false).unwrap_or_else(|problems| panic!("{problems:?}"))
}

#[test]
fn a_thousand_reloads_leave_no_space_origin_thread_or_entry_behind() {
    let home = tempfile::tempdir().expect("a directory");
    let script = "CREATE TABLE products (id INTEGER PRIMARY KEY); INSERT INTO products VALUES (1);";
    SqliteOrigin::create_sample(home.path().join("shop.db"), script).expect("a database");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let handle = runtime.handle().clone();
    let service = runtime.block_on(Service::start(configured(home.path(), 0), handle)).expect("a service");
    let workers = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
        tasks
            .filter(|t| std::fs::read_to_string(t.path().join("comm")).is_ok_and(|n| n.starts_with("bw-sqlite")))
            .count()
    };
    service.write(b"kv:stays", b"v", Default::default()).expect("a plain space");
    for n in 1..=1_000 {
        let changes = service.reload(configured(home.path(), n)).expect("it is right");
        assert!(matches!(changes.space("product"), SpaceChange::Renewed(reasons) if reasons.contains(&"query")));
        let read = service.read(Bytes::from_static(b"product:1"), Terms::asked(service.now()));
        let Outcome::Value(value) = runtime.block_on(read) else { panic!("a row") };
        assert_eq!(value.body, format!("{{\"n\":{n}}}"));
    }
    let snapshot = service.snapshot();
    let named: Vec<&str> = snapshot.spaces.iter().map(|space| space.name.as_str()).collect();
    assert_eq!(named, ["kv", "kv0", "product"]);
    let origins: Vec<&str> = snapshot.origins.iter().map(|origin| origin.name.as_str()).collect();
    assert_eq!(origins, ["shop0"]);
    assert_eq!(snapshot.spaces[2].total(), 1_000, "counters go on");
    assert_eq!(service.entries(), 2, "the last product, and what a space that went on kept");
    assert_eq!((service.reloads().ended(Reload::Applied), service.reloads().ended(Reload::Refused)), (1_000, 0));
    // Workers end once they have noticed that their pool is gone.
    let begun = std::time::Instant::now();
    while workers() > 3 && begun.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(workers() <= 3, "{} database workers", workers());
}

#[test]
fn g2_a_removal_beside_a_reload_is_not_undone_by_it() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("shop.db");
    let script = "PRAGMA journal_mode = WAL; CREATE TABLE products (id INTEGER PRIMARY KEY, v); INSERT INTO products VALUES (1, 0);";
    SqliteOrigin::create_sample(&path, script).expect("a database");
    let writer = rusqlite::Connection::open(&path).expect("a database");
    writer.busy_timeout(Duration::from_secs(5)).expect("set");
    let configured = |n: usize| {
        let text = format!(
            "[origin.shop]\nsql = \"sqlite://shop.db\"\n[[space]]\nmatch = \"product:{{id:int}}\"\norigin = \"shop\"\n\
             query = \"SELECT v FROM products WHERE id = :id\"\nttl = \"1h\"\ngeneration = \"{n}\"\ntimeout = \"10s\"\n"
        );
        config::parse(&text, "test.toml", home.path(), [], false).unwrap_or_else(|problems| panic!("{problems:?}"))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let service = runtime.block_on(Service::start(configured(0), runtime.handle().clone())).expect("a service");
    let read = || {
        let Outcome::Value(value) =
            runtime.block_on(service.read(Bytes::from_static(b"product:1"), Terms::asked(service.now())))
        else {
            panic!("a row")
        };
        let body: serde_json::Value = serde_json::from_slice(&value.body).expect("JSON");
        body["v"].as_u64().expect("a number")
    };
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1.. {
                if done.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                service.reload(configured(n)).expect("it is right");
            }
        });
        for v in 1..=300u64 {
            writer.execute("UPDATE products SET v = ?1", [i64::try_from(v).expect("small")]).expect("written");
            service.remove(b"product:1").expect("a space");
            let found = read();
            done.store(found < v || v == 300, std::sync::atomic::Ordering::Relaxed);
            assert!(found >= v, "{found} was read after the removal of what came before {v}");
            // Now and then the next removal finds nothing: what is loaded beside it must not stay either.
            if v % 3 == 0 {
                service.remove(b"product:1").expect("a space");
            }
        }
    });
    assert!(service.reloads().ended(Reload::Applied) > 10, "control: reloads came in between");
}

#[test]
fn what_a_program_does_to_its_connections_outlives_a_reload() {
    let home = tempfile::tempdir().expect("a directory");
    let script = "CREATE TABLE products (id INTEGER PRIMARY KEY); INSERT INTO products VALUES (1);";
    SqliteOrigin::create_sample(home.path().join("shop.db"), script).expect("a database");
    let configured = |n: usize| {
        let text = format!(
            "[origin.shop]\nsql = \"sqlite://shop.db\"\nmax_concurrency = {n}\n[[space]]\nmatch = \"product:{{id:int}}\"\n\
             origin = \"shop\"\nttl = \"60s\"\nquery = \"SELECT {n} AS n FROM products WHERE id = :id\"\n"
        );
        config::parse(&text, "test.toml", home.path(), [], false).unwrap_or_else(|problems| panic!("{problems:?}"))
    };
    let calls = Arc::new(AtomicUsize::new(0));
    let own = calls.clone();
    let mut first = configured(1);
    first.origins[0].on_connect = OnConnect::new(move |_| {
        own.fetch_add(1, SeqCst);
        Ok(())
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let handle = runtime.handle().clone();
    let service = runtime.block_on(Service::start(first, handle)).expect("a service");
    for n in 2..5 {
        let before = calls.load(SeqCst);
        service.reload(configured(n)).expect("it is right");
        let read = service.read(Bytes::from_static(b"product:1"), Terms::asked(service.now()));
        assert!(matches!(runtime.block_on(read), Outcome::Value(value) if value.body == format!("{{\"n\":{n}}}")));
        assert!(calls.load(SeqCst) > before, "reload {n}: its new connections are the program's as well");
    }
}

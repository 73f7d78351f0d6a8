//! Does `serve` do for a PostgreSQL what it promises? Counted by the database's own log.

use std::process::Output;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use bellwether_servers::Postgres;
use bellwether_system::{Bellwether, Value, config, until};

/// Callers at once.
const HERD: usize = 200;
const LIMIT: Duration = Duration::from_secs(20);

const SHOP: &str = "CREATE TABLE products (id int PRIMARY KEY, name text NOT NULL, price numeric(10, 2));
    INSERT INTO products SELECT i, 'product ' || i, i * 1.25 FROM generate_series(1, 1000) i;
    CREATE ROLE shop LOGIN; GRANT SELECT ON products TO shop; ALTER ROLE shop SET log_statement = 'all'; CHECKPOINT;";

/// The comments are found in the database's log.
fn spaces(port: u16) -> String {
    format!(
        r#"
[origin.shop]
sql = "postgres://shop:hunter2@127.0.0.1:{port}/postgres"
timeout = "10s"

[[space]]
match = "product:{{id}}"
origin = "shop"
query = "SELECT id, name, price, pg_sleep(0.2) IS NULL AS slow /* one product */ FROM products WHERE id = :id"
many = "SELECT id, name, price, false AS slow /* many products */ FROM products WHERE id = ANY (:ids)"
ttl = "60s"
timeout = "10s"

[[space]]
match = "named:{{name*}}"
origin = "shop"
query = "SELECT id /* by name */ FROM products WHERE name = :name"
ttl = "60s"
timeout = "10s"
"#
    )
}

fn shop() -> Postgres {
    let postgres = Postgres::start().expect("PostgreSQL is installed");
    postgres.exec(SHOP).expect("valid SQL");
    postgres
}

/// Statements of a kind that the database has run.
fn ran(postgres: &Postgres, kind: &str) -> usize {
    let comment = format!("/* {kind} */");
    let log = postgres.log();
    // A line for each that ran, with its first line of SQL, and none for what was only prepared.
    let runs =
        log.split("execute ").skip(1).filter(|run| run.split("LOG:").next().is_some_and(|run| run.contains(&comment)));
    runs.filter(|run| !run.split_once(": ").is_some_and(|(_, sql)| sql.starts_with("EXPLAIN"))).count()
}

fn checked(home: &std::path::Path, text: &str) -> Output {
    let file = Bellwether::write(home, text);
    let mut command = Bellwether::command(&["check", "--connect"]);
    command.arg(file).output().expect("it runs")
}

#[test]
fn a_herd_of_200_on_a_cold_key_is_one_query() {
    let postgres = shop();
    let server = Bellwether::start(Some(&config("", &spaces(postgres.address().port()))));
    let before = ran(&postgres, "one product");
    let together = Arc::new(Barrier::new(HERD));
    let callers: Vec<_> = (0..HERD)
        .map(|_| {
            let (mut db, together) = (server.connect(), together.clone());
            thread::spawn(move || {
                together.wait();
                db.call(&["GET", "product:42"]).text()
            })
        })
        .collect();
    for caller in callers {
        let answer = caller.join().expect("every caller is answered");
        assert_eq!(answer, r#"{"id":42,"name":"product 42","price":52.50,"slow":false}"#);
    }
    assert_eq!(ran(&postgres, "one product") - before, 1);
    // Control: the count counts.
    let mut db = server.connect();
    db.call(&["DEL", "product:42"]);
    db.call(&["GET", "product:42"]);
    assert_eq!(ran(&postgres, "one product") - before, 2);
}

#[test]
fn many_keys_are_one_query_and_no_key_is_sql() {
    let postgres = shop();
    let server = Bellwether::start(Some(&config("", &spaces(postgres.address().port()))));
    let mut db = server.connect();
    let before = (ran(&postgres, "one product"), ran(&postgres, "many products"));
    let keys: Vec<String> = (1..=50).map(|id| format!("product:{id}")).collect();
    let mut words = vec!["MGET", "product:7", "product:5000", "product:abc"];
    words.extend(keys.iter().map(String::as_str));
    let answers = db.call(&words);
    let answers = answers.items();
    assert_eq!(answers[0].json()["name"], "product 7");
    assert_eq!((&answers[1], &answers[2]), (&Value::Nil, &Value::Nil));
    for (id, answer) in (1..=50).zip(&answers[3..]) {
        assert_eq!(answer.json()["id"], id);
    }
    assert_eq!((ran(&postgres, "one product"), ran(&postgres, "many products")), (before.0, before.1 + 1));
    // Alone they have been cached now, and what can't be a number is asked of nobody.
    for key in ["product:7", "product:50", "product:abc", "product:042", "product:99999999999"] {
        db.call(&["GET", key]);
    }
    assert_eq!(ran(&postgres, "one product"), before.0);

    assert_eq!(db.call(&["GET", "named:product 3"]).json()["id"], 3);
    for attempt in ["named:'; DROP TABLE products; --", "named:x' OR '1'='1", "product:1; DROP TABLE products"] {
        assert_eq!(db.call(&["GET", attempt]), Value::Nil, "{attempt}");
    }
    assert_eq!(postgres.exec("SELECT count(*) FROM products").expect("it is there"), "1000");
}

#[test]
fn a_database_that_is_away_at_start_is_served_from_when_it_comes() {
    let postgres = shop();
    postgres.kill().expect("it ran");
    let text = config("", &spaces(postgres.address().port()));
    let server = Bellwether::start(Some(&text));
    let mut db = server.connect();
    let refused = db.call(&["GET", "product:42"]);
    assert!(refused.error().is_some_and(|error| error.starts_with("BWORIGIN refused")), "{refused:?}");
    assert!(server.process.stderr().contains("'shop' can't be asked yet"), "{}", server.process.stderr());
    let home = tempfile::tempdir().expect("a directory");
    let output = checked(home.path(), &text);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("can't be reached"), "{said}");
    postgres.restart().expect("it starts again");
    let answer = until(LIMIT, "the database to be served from", || {
        let answer = db.call(&["GET", "product:42"]);
        answer.error().is_none().then_some(answer)
    });
    assert_eq!(answer.json()["name"], "product 42");
    assert!(!server.process.stderr().contains("hunter2"));
}

#[test]
fn check_connect_tells_what_the_database_knows_to_be_wrong_and_where() {
    let postgres = shop();
    postgres.exec("CREATE TABLE secrets (id int)").expect("valid SQL");
    let right = spaces(postgres.address().port());
    let home = tempfile::tempdir().expect("a directory");
    let output = checked(home.path(), &right);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("all reached"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let line_of = |text: &str, word: &str| 1 + text.lines().take_while(|line| !line.contains(word)).count();
    for (from, to, knob, words) in [
        ("/* one product */ FROM products", "/* one product */ FROM productz", "query =", "products"),
        (
            "/* by name */ FROM products WHERE name",
            "/* by name */ FROM secrets WHERE id::text",
            "by name",
            "GRANT SELECT",
        ),
        ("false AS slow", "1 AS quick", "many =", "slow"),
        ("/postgres\"", "/nosuch\"", "sql =", "nosuch"),
        ("shop:hunter2@", "nobody:hunter2@", "sql =", "nobody"),
    ] {
        let wrong = right.replace(from, to);
        assert_ne!(wrong, right, "{from}");
        let output = checked(home.path(), &wrong);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let place = format!("bellwether.toml:{}:", line_of(&wrong, knob));
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.lines().count() == 1 && said.contains(&place) && said.contains(words), "{place} {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    // A server that should start with one of them tells the same.
    let wrong = config("", &right.replace("/postgres\"", "/nosuch\""));
    let file = Bellwether::write(home.path(), &wrong);
    let output = Bellwether::command(&["serve", "--config"]).arg(file).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("nosuch"), "{said}");
}

//! Is a wrong database or a wrong statement told at start, in words that help?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bellwether_adapters::{MAX_BATCH, OnConnect, Rows, SetupError, SqlQuery, SqliteOrigin};

use crate::sqlite_values::{SHOP, shop};
use crate::within;

const TIMEOUT: Duration = Duration::from_secs(2);

#[test]
fn a_missing_database_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("nowhere.db");
    let error = SqliteOrigin::open(&path, 1, TIMEOUT).expect_err("no file");
    assert!(error.problem().contains(path.to_str().expect("UTF-8")), "{error}");
    assert!(error.problem().contains("does not exist") && error.hint().contains("`sql`"), "{error}");
    assert!(!path.exists(), "opening never creates a database");
}

#[test]
fn special_names_mean_nothing_special() {
    for name in [":memory:", "", "file::memory:", "file:x.db?mode=rwc"] {
        let error = SqliteOrigin::open(name, 1, TIMEOUT).expect_err(name);
        assert!(error.problem().contains("does not exist"), "{name}: {error}");
    }
}

#[test]
fn what_is_no_file_is_refused_without_waiting() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = SqliteOrigin::open(dir.path(), 1, TIMEOUT).expect_err("a directory");
    assert!(error.problem().contains("is a directory"), "{error}");
    let error = SqliteOrigin::open("/dev/null", 1, TIMEOUT).expect_err("a device");
    assert!(error.problem().contains("no regular file"), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("text.db");
    std::fs::write(&path, "this is no database, whatever its name says\n".repeat(100)).expect("a file");
    let error = SqliteOrigin::open(&path, 1, TIMEOUT).expect_err("text");
    assert!(error.problem().contains("not an SQLite database"), "{error}");
}

#[cfg(unix)]
#[test]
fn an_unreadable_database_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, _) = shop(1);
    let path = dir.path().join("shop.db");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).expect("permissions");
    if std::fs::File::open(&path).is_ok() {
        return as_nobody("sqlite_setup::an_unreadable_database_is_refused", dir.path());
    }
    let error = SqliteOrigin::open(&path, 1, TIMEOUT).expect_err("nobody may read it");
    assert!(error.problem().contains("may not be read"), "{error}");
}

/// Runs one test of this program as nobody: root reads everything.
#[cfg(unix)]
fn as_nobody(test: &str, home: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65_534;
    let program = home.join("tests");
    // By another program: were it written here, a child that another test starts meanwhile would hold it open, and a
    // program that is open for writing can't be run.
    let this = std::env::current_exe().expect("a program knows where it lies");
    let copied = std::process::Command::new("cp").args([&this, &program]).status().expect("cp runs");
    assert!(copied.success(), "a copy");
    for path in [home, &program] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    }
    let mut command = std::process::Command::new(program);
    command.args(["--exact", test]).current_dir("/").env_remove("TMPDIR").uid(NOBODY).gid(NOBODY);
    let output = command.output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn no_concurrency_is_refused() {
    let (dir, _) = shop(1);
    let error = SqliteOrigin::open(dir.path().join("shop.db"), 0, TIMEOUT).expect_err("nothing could be loaded");
    assert!(error.problem().contains("max_concurrency"), "{error}");
}

#[test]
fn a_locked_database_is_told_at_start() {
    let (dir, _) = shop(1);
    let path = dir.path().join("shop.db");
    let writer = rusqlite::Connection::open(&path).expect("a writer");
    writer.execute_batch("BEGIN EXCLUSIVE").expect("a lock");
    let error = SqliteOrigin::open(&path, 1, Duration::from_millis(50)).expect_err("locked");
    assert!(error.problem().contains("locked by a writer"), "{error}");
}

#[test]
fn a_sample_is_created_once_and_wholly_or_not_at_all() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("sample.db");
    let error = SqliteOrigin::create_sample(&path, "CREATE TABLE a (x); CREATE NONSENSE").expect_err("no SQL");
    assert!(error.problem().contains("syntax error") && !path.exists(), "{error}");
    SqliteOrigin::create_sample(&path, SHOP).expect("a sample");
    SqliteOrigin::open(&path, 1, TIMEOUT).expect("a database");
    let error = SqliteOrigin::create_sample(&path, SHOP).expect_err("it exists");
    assert!(error.problem().contains("can't be created") && path.exists(), "{error}");
}

fn refused(query: SqlQuery) -> SetupError {
    let (_dir, origin) = shop(1);
    origin.query(query).map(|_| ()).expect_err("a wrong query")
}

#[test]
fn wrong_queries_are_refused_with_a_hint() {
    let cases: &[(&str, &str, &str)] = &[
        ("", "no query", "SELECT"),
        ("-- nothing", "no query", "SELECT"),
        ("SELEC 1", "no query", "SELECT"),
        ("PRAGMA user_version", "no query", "SELECT"),
        ("EXPLAIN SELECT 1", "no query", "SELECT"),
        ("ATTACH 'x.db' AS x", "no query", "SELECT"),
        ("DELETE FROM products", "no query", "SELECT"),
        ("WITH p AS (SELECT 1) DELETE FROM products", "writes", "only reads"),
        ("SELECT 1; DELETE FROM products", "more than one statement", "first one"),
        ("SELECT 1; SELECT 2", "more than one statement", "first one"),
        ("SELECT * FROM product", "no such table: product", "products"),
        ("SELECT nam FROM products", "no such column: nam", "schema"),
        ("SELECT FROM products", "syntax error", "schema"),
        ("SELECT name FROM products WHERE id = :ib", ":ib", "captures :id"),
        ("SELECT name FROM products WHERE id = ?", "placeholder ?", ":id"),
        ("SELECT name FROM products WHERE id = ?1", "placeholder ?1", ":id"),
        ("SELECT name FROM products WHERE id = @id", "placeholder @id", ":id"),
        ("SELECT name FROM products WHERE id = $id", "placeholder $id", ":id"),
        ("SELECT name FROM products WHERE id = '{id}'", "'{id}'", "bound"),
        ("SELECT name, price AS name FROM products", "two columns named \"name\"", "AS"),
    ];
    for (query, problem, hint) in cases {
        let error = refused(SqlQuery::new(*query, ["id"]));
        assert!(error.problem().contains(problem) && error.hint().contains(hint), "{query}: {error}");
    }
}

#[test]
fn right_queries_pass() {
    let (_dir, origin) = shop(1);
    for query in [
        "SELECT name FROM products WHERE id = :id",
        "SELECT name FROM products WHERE id = :id;  -- the end",
        " /* why */ with p AS (SELECT * FROM products) SELECT name FROM p WHERE id = :id OR id = :id",
        "VALUES (:id)",
        "SELECT 1 AS one",
        "SELECT ':nobody' AS text, '{\"id\":1}' AS json",
    ] {
        origin.query(SqlQuery::new(query, ["id"])).map(|_| ()).expect(query);
    }
}

#[test]
fn a_column_must_be_in_the_result() {
    let error = refused(SqlQuery::new("SELECT name, price FROM products", ["id"]).column("bdy"));
    assert!(error.problem().contains("\"bdy\"") && error.hint().contains("name, price"), "{error}");
    let error = refused(SqlQuery::new("SELECT name FROM products", ["id"]).column("name").rows(Rows::All));
    assert!(error.problem().contains("`rows` is \"all\""), "{error}");
}

#[test]
fn a_batch_query_must_fit_its_query() {
    let one = "SELECT id, name FROM products WHERE id = :id";
    let cases: &[(&str, &str, &str)] = &[
        (one, "SELECT id, name FROM products WHERE id = :ids", "outside of an IN list"),
        (one, "SELECT id, name FROM products WHERE id IN (:id)", "must have :ids"),
        (one, "SELECT id, name FROM products WHERE id IN (:keys)", "must have :ids"),
        (one, "SELECT id, name FROM products", "must have :ids"),
        (one, "SELECT id, name FROM products WHERE id IN (:ids) OR price = :p", "must have :ids"),
        (one, "SELECT name FROM products WHERE id IN (:ids)", "no column named \"id\""),
        (one, "SELECT id FROM products WHERE id IN (:ids)", "lacks the column \"name\""),
        (one, "SELECT id, name, price FROM products WHERE id IN (:ids)", "returns the column \"price\""),
        (one, "SELECT id, name FROM product WHERE id IN (:ids)", "no such table"),
        (one, "DELETE FROM products WHERE id IN (:ids)", "no query"),
        ("SELECT name FROM products", "SELECT id, name FROM products WHERE id IN (:ids)", "exactly one placeholder"),
        (
            "SELECT name FROM products WHERE id = :id AND price = :price",
            "SELECT id, name FROM products WHERE id IN (:ids)",
            "exactly one placeholder",
        ),
    ];
    for (query, many, problem) in cases {
        let error = refused(SqlQuery::new(*query, ["id", "price"]).many(*many));
        assert!(error.problem().contains(problem) && !error.hint().is_empty(), "{many}: {error}");
        let of_query = *problem == "exactly one placeholder" && error.knob().is_none();
        assert!(of_query || error.knob() == Some("many"), "{many}: {:?}", error.knob());
    }
    assert_eq!(MAX_BATCH, 500);
}

#[tokio::test]
async fn what_a_program_wants_done_is_done_to_each_connection_and_its_error_is_told() {
    let (dir, _) = shop(1);
    let path = dir.path().join("shop.db");
    let done = Arc::new(AtomicU64::new(0));
    let counting = OnConnect::new({
        let done = done.clone();
        move |_| {
            done.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    });
    let origin = SqliteOrigin::open_with(&path, 1, TIMEOUT, counting).expect("opened");
    let opened = done.load(Ordering::Relaxed);
    assert!(opened >= 1, "the connection that looks at the file");
    within(origin.check()).await.expect("reachable");
    assert!(done.load(Ordering::Relaxed) > opened, "a worker's connection");
    let refusing = OnConnect::new(|_| Err(rusqlite::Error::InvalidQuery));
    assert!(SqliteOrigin::open_with(&path, 1, TIMEOUT, refusing).is_err());
}

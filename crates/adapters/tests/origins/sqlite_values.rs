//! Does a row come out as the contract says, and is everything else an error?

use std::time::Duration;

use bellwether::{FailClass, Weigh};
use bellwether_adapters::{Captures, Origin, Rows, SqlQuery, SqliteOrigin, SqliteSpace};

use crate::{Outcome, outcome, value, within};

pub(crate) const SHOP: &str = "
    CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, price REAL, stock INTEGER, secret TEXT);
    INSERT INTO products VALUES
        (1, 'Kettle', 24.5, 7, 's'), (2, 'Tea \"Earl Grey\"\n', 3.0, NULL, 's'),
        (42, 'größe 🙂', -0.25, -9223372036854775808, 's'), (-7, 'below zero', 1e300, 9223372036854775807, 's');
    CREATE TABLE odd (id INTEGER PRIMARY KEY, value);
    INSERT INTO odd VALUES
        (1, x'00ff'), (2, 9e999), (3, -9e999), (4, CAST(x'ff00' AS TEXT)), (5, NULL), (6, 'a' || char(0) || 'b'),
        (7, 1.5), (8, -3), (9, ''), (10, x'');
    CREATE TABLE pages (path TEXT PRIMARY KEY, body BLOB);
    INSERT INTO pages VALUES ('a/b', x'0001ff'), ('text', 'plain'), ('nothing', NULL);
    CREATE TABLE lines (page TEXT, nr INTEGER);
    INSERT INTO lines VALUES ('a', 1), ('b', 1), ('a', 2), ('a', 3);
";

pub(crate) fn shop(connections: usize) -> (tempfile::TempDir, SqliteOrigin) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("shop.db");
    SqliteOrigin::create_sample(&path, SHOP).expect("a sample");
    let origin = SqliteOrigin::open(&path, connections, Duration::from_secs(10)).expect("a database");
    (dir, origin)
}

pub(crate) async fn load(space: &SqliteSpace, captures: Captures) -> Outcome {
    outcome(&within(space.load(captures, None)).await)
}

fn id(id: i64) -> Captures {
    Captures::new().with("id", id)
}

fn space(origin: &SqliteOrigin, query: SqlQuery) -> SqliteSpace {
    origin.query(query).expect("a query")
}

#[tokio::test]
async fn one_row_is_an_object_in_column_order() {
    let (_dir, origin) = shop(1);
    let space = space(&origin, SqlQuery::new("SELECT stock, id, name, price FROM products WHERE id = :id", ["id"]));
    let cases = [
        (1, r#"{"stock":7,"id":1,"name":"Kettle","price":24.5}"#),
        (2, "{\"stock\":null,\"id\":2,\"name\":\"Tea \\\"Earl Grey\\\"\\n\",\"price\":3.0}"),
        (42, r#"{"stock":-9223372036854775808,"id":42,"name":"größe 🙂","price":-0.25}"#),
        (-7, r#"{"stock":9223372036854775807,"id":-7,"name":"below zero","price":1e+300}"#),
    ];
    for (key, body) in cases {
        let loaded = within(space.load(id(key), None)).await;
        assert_eq!(outcome(&loaded), value(body));
        let parsed: serde_json::Value = serde_json::from_str(body).expect("it is JSON");
        assert_eq!(parsed["id"], key);
        let loaded = loaded.expect("a value");
        let payload = loaded.as_value().expect("a value");
        assert_eq!(payload.content_type.as_deref(), Some("application/json"));
        assert_eq!(payload.weight(), body.len(), "a body owns its own length and no more");
    }
    assert_eq!(load(&space, id(3)).await, Outcome::Missing);
    assert_eq!(origin.queries(), 5, "one statement a load");
}

#[tokio::test]
async fn column_names_are_escaped() {
    let (_dir, origin) = shop(1);
    let space = space(&origin, SqlQuery::new("SELECT 1 AS \"a\"\"\\\", 2 AS \"ö\"", ["id"]));
    assert_eq!(load(&space, id(1)).await, value(r#"{"a\"\\":1,"ö":2}"#));
}

#[tokio::test]
async fn captures_are_bound_and_never_become_sql() {
    let (_dir, origin) = shop(1);
    let space = space(&origin, SqlQuery::new("SELECT id FROM products WHERE name = :name", ["name"]));
    for text in ["' OR 1=1 --", "Kettle'; DROP TABLE products; --", "\0", ":name", "%"] {
        assert_eq!(load(&space, Captures::new().with("name", text)).await, Outcome::Missing, "{text:?}");
    }
    assert_eq!(load(&space, Captures::new().with("name", "Kettle")).await, value(r#"{"id":1}"#));
    assert_eq!(load(&space, Captures::new()).await, Outcome::Failed(FailClass::Failed), "a missing capture");
}

#[tokio::test]
async fn all_rows_are_an_array_and_none_is_an_empty_one() {
    let (_dir, origin) = shop(1);
    let query = SqlQuery::new("SELECT nr FROM lines WHERE page = :page ORDER BY nr", ["page"]).rows(Rows::All);
    let space = space(&origin, query);
    let page = |name| Captures::new().with("page", name);
    assert_eq!(load(&space, page("a")).await, value(r#"[{"nr":1},{"nr":2},{"nr":3}]"#));
    assert_eq!(load(&space, page("b")).await, value(r#"[{"nr":1}]"#));
    assert_eq!(load(&space, page("c")).await, value("[]"));
}

#[tokio::test]
async fn what_json_cannot_say_is_rejected() {
    let (_dir, origin) = shop(1);
    let space = space(&origin, SqlQuery::new("SELECT value FROM odd WHERE id = :id", ["id"]));
    for (key, what) in [(1, "a BLOB"), (2, "infinity"), (3, "its negative"), (4, "no UTF-8"), (10, "an empty BLOB")] {
        assert_eq!(load(&space, id(key)).await, Outcome::Failed(FailClass::Rejected), "{what}");
    }
    assert_eq!(load(&space, id(5)).await, value(r#"{"value":null}"#));
    assert_eq!(load(&space, id(6)).await, value(r#"{"value":"a\u0000b"}"#));
}

#[tokio::test]
async fn nan_is_null_in_sqlite_itself() {
    let (_dir, origin) = shop(1);
    let space = space(&origin, SqlQuery::new("SELECT 9e999 - 9e999 AS nan", ["id"]));
    assert_eq!(load(&space, id(1)).await, value(r#"{"nan":null}"#));
}

#[tokio::test]
async fn a_column_is_served_raw_and_null_is_missing() {
    let (_dir, origin) = shop(1);
    let pages =
        space(&origin, SqlQuery::new("SELECT path, body FROM pages WHERE path = :path", ["path"]).column("body"));
    let page = |name| Captures::new().with("path", name);
    let loaded = within(pages.load(page("a/b"), None)).await.expect("a value");
    let payload = loaded.as_value().expect("a value");
    assert_eq!((&payload.body[..], &payload.content_type), (&[0, 1, 255][..], &None));
    assert_eq!(load(&pages, page("text")).await, value("plain"));
    assert_eq!(load(&pages, page("nothing")).await, Outcome::Missing);
    assert_eq!(load(&pages, page("nowhere")).await, Outcome::Missing);
    let odd = space(&origin, SqlQuery::new("SELECT value FROM odd WHERE id = :id", ["id"]).column("value"));
    assert_eq!(load(&odd, id(7)).await, value("1.5"));
    assert_eq!(load(&odd, id(8)).await, value("-3"));
    assert_eq!(load(&odd, id(9)).await, value(""), "an empty text is a value");
}

#[tokio::test]
async fn two_rows_for_one_are_rejected() {
    let (_dir, origin) = shop(1);
    let space = space(&origin, SqlQuery::new("SELECT nr FROM lines WHERE page = :page", ["page"]));
    assert_eq!(load(&space, Captures::new().with("page", "a")).await, Outcome::Failed(FailClass::Rejected));
    assert_eq!(load(&space, Captures::new().with("page", "b")).await, value(r#"{"nr":1}"#));
}

const COUNT: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :id) SELECT i FROM n";

#[tokio::test]
async fn rows_are_capped() {
    let (_dir, origin) = shop(1);
    let default = space(&origin, SqlQuery::new(COUNT, ["id"]).rows(Rows::All));
    assert!(matches!(load(&default, id(10_000)).await, Outcome::Value(_)));
    assert_eq!(load(&default, id(10_001)).await, Outcome::Failed(FailClass::Rejected));
    let two = space(&origin, SqlQuery::new(COUNT, ["id"]).rows(Rows::All).max_rows(2));
    assert_eq!(load(&two, id(2)).await, value(r#"[{"i":1},{"i":2}]"#));
    let error = within(two.load(id(3), None)).await.expect_err("three rows");
    assert!(error.to_string().contains("more than 2 rows"), "{error}");
}

#[tokio::test]
async fn bytes_are_capped() {
    let (_dir, origin) = shop(1);
    let query = || SqlQuery::new("SELECT hex(zeroblob(:id)) AS x", ["id"]);
    let small = space(&origin, query().max_bytes(28));
    assert!(matches!(load(&small, id(10)).await, Outcome::Value(text) if text.len() == 28));
    let error = within(small.load(id(11), None)).await.expect_err("30 bytes");
    assert!(error.to_string().contains("more than 28 bytes"), "{error}");
    let default = space(&origin, query());
    assert!(matches!(load(&default, id(4_000_000)).await, Outcome::Value(_)));
    assert_eq!(load(&default, id(4_194_304)).await, Outcome::Failed(FailClass::Rejected));
    let raw = space(&origin, SqlQuery::new("SELECT zeroblob(:id) AS x", ["id"]).column("x").max_bytes(10));
    assert_eq!(load(&raw, id(11)).await, Outcome::Failed(FailClass::Rejected));
    assert!(matches!(load(&raw, id(10)).await, Outcome::Value(_)));
}

#[tokio::test]
async fn sqlite_itself_may_not_build_giants() {
    let (_dir, origin) = shop(1);
    let space = space(&origin, SqlQuery::new("SELECT length(hex(zeroblob(:id))) AS x", ["id"]));
    assert_eq!(load(&space, id(400_000_000)).await, Outcome::Failed(FailClass::Rejected));
    assert_eq!(load(&space, id(1)).await, value(r#"{"x":2}"#));
}

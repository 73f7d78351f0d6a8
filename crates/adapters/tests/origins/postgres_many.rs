//! Does a batch say what single loads say, in one round trip?

use bellwether::FailClass;
use bellwether_adapters::{Captures, MAX_BATCH, Origin, PostgresSpace, Rows, SqlQuery};

use crate::postgres_server::{Database, id};
use crate::{Outcome, failed, outcome, text, value, within};

const PRODUCTS: &str = "CREATE TABLE products (id int PRIMARY KEY, name text); INSERT INTO products SELECT i, 'p' || i FROM generate_series(1, 1000) i";

fn products() -> SqlQuery {
    SqlQuery::new("SELECT id, name FROM products WHERE id = :id", ["id"])
        .many("SELECT name, id FROM products WHERE id = ANY (:ids) ORDER BY id DESC")
}

async fn many(space: &PostgresSpace, keys: Vec<Captures>) -> Vec<(usize, String)> {
    let found = within(space.load_many(keys).expect("a batch query")).await.expect("an answer");
    let mut found: Vec<_> = found.iter().map(|(at, loaded)| (*at, text(loaded))).collect();
    found.sort();
    found
}

#[tokio::test]
async fn a_batch_is_one_statement_with_duplicates_and_missing_rows() {
    let database = Database::new(PRODUCTS);
    let origin = database.open();
    let space = origin.query(products()).expect("valid SQL");
    assert_eq!(
        many(&space, vec![id(3), id(9999), id(1), id(3), id("abc")]).await,
        [
            (0, r#"{"id":3,"name":"p3"}"#.to_owned()),
            (2, r#"{"id":1,"name":"p1"}"#.to_owned()),
            (3, r#"{"id":3,"name":"p3"}"#.to_owned()),
        ]
    );
    assert_eq!(origin.queries(), 1);
    let alone = within(space.load(id(3), None)).await;
    assert_eq!(
        outcome(&alone),
        value(r#"{"id":3,"name":"p3"}"#),
        "the same bytes, though the columns come in another order"
    );
    assert_eq!(many(&space, vec![]).await, []);
    assert_eq!(many(&space, vec![id("abc"), id(1_i64 << 40)]).await, []);
    assert_eq!(origin.queries(), 2, "nobody is asked for what can't be");
}

#[tokio::test]
async fn five_hundred_keys_are_one_statement_and_more_are_refused() {
    let database = Database::new(PRODUCTS);
    let origin = database.open();
    let in_list = SqlQuery::new("SELECT name FROM products WHERE id = :id", ["id"])
        .many("SELECT id, name FROM products WHERE id IN (:ids)");
    let space = origin.query(in_list).expect("valid SQL");
    let found = many(&space, (1..=MAX_BATCH as i64).map(id).collect()).await;
    assert_eq!((found.len(), origin.queries()), (MAX_BATCH, 1));
    assert_eq!(found[41], (41, r#"{"name":"p42"}"#.to_owned()), "the key's column is not part of the value");
    let more = (0..=MAX_BATCH as i64).map(id).collect();
    let error = within(space.load_many(more).expect("a batch query")).await.expect_err("too many");
    assert_eq!(failed(&error), FailClass::Rejected);
}

#[tokio::test]
async fn a_batch_of_arrays_groups_rows_by_key_and_keeps_their_order() {
    let database = Database::new(
        "CREATE TABLE l (owner bigint, n int); INSERT INTO l SELECT i % 3, i FROM generate_series(1, 30) i ORDER BY random()",
    );
    let lines = SqlQuery::new("SELECT n FROM l WHERE owner = :owner ORDER BY n DESC", ["owner"])
        .many("SELECT owner, n FROM l WHERE owner IN (:ids) ORDER BY n DESC")
        .rows(Rows::All);
    let space = database.space(lines).await;
    let owner = |owner: i64| Captures::new().with("owner", owner);
    let found = many(&space, vec![owner(0), owner(7), owner(2)]).await;
    for (at, body) in &found {
        let alone = within(space.load(owner([0, 7, 2][*at]), None)).await.expect("rows");
        assert_eq!(body, &text(&alone));
    }
    assert_eq!(found.len(), 3);
    assert_eq!(found[1].1, "[]", "nobody's rows are an empty array, which is a value");
}

#[tokio::test]
async fn a_looser_equality_never_makes_a_row_missing() {
    let database = Database::new(
        "CREATE TABLE c (id char(4), v int); INSERT INTO c VALUES ('ab', 1);
         CREATE TABLE n (id numeric(10, 2), v int); INSERT INTO n VALUES (1.5, 2);
         CREATE TABLE t (id timestamptz, v int); INSERT INTO t VALUES ('2026-01-01 00:00:00+00', 3);
         CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE TABLE i (id text COLLATE nocase, v int); INSERT INTO i VALUES ('Ab', 4)",
    );
    for (table, keys) in [
        ("c", vec!["ab", "ab  "]),
        ("n", vec!["1.5", "1.50", "1.500"]),
        ("t", vec!["2026-01-01T00:00:00Z", "2026-01-01 00:00:00+00"]),
        ("i", vec!["Ab", "ab", "AB"]),
    ] {
        let query = SqlQuery::new(format!("SELECT v FROM {table} WHERE id = :id"), ["id"]);
        let space = database.space(query.many(format!("SELECT id, v FROM {table} WHERE id = ANY (:ids)"))).await;
        let found = many(&space, keys.iter().map(|key| id(*key)).collect()).await;
        assert_eq!(found.len(), keys.len(), "{table}: {found:?}");
        for key in keys {
            assert_eq!(outcome(&within(space.load(id(key), None)).await), value(&found[0].1), "{table}: {key}");
        }
    }
}

#[tokio::test]
async fn texts_with_the_signs_of_arrays_are_found() {
    let odd = ["{}", "NULL", "a,b", "\"", "\\", "a\"b\\c", " x ", "'", "é", "", "{\"a\"}", "\n"];
    let rows: Vec<String> = odd.iter().map(|text| format!("('{}')", text.replace('\'', "''"))).collect();
    let database = Database::new(&format!("CREATE TABLE t (id text); INSERT INTO t VALUES {}", rows.join(", ")));
    let query = SqlQuery::new("SELECT id FROM t WHERE id = :id", ["id"]).many("SELECT id FROM t WHERE id = ANY (:ids)");
    let space = database.space(query).await;
    let found = many(&space, odd.iter().map(|text| id(*text)).collect()).await;
    let expected: Vec<(usize, String)> = odd
        .iter()
        .enumerate()
        .map(|(at, text)| (at, format!("{{\"id\":{}}}", serde_json::Value::from(*text))))
        .collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn one_bad_row_fails_its_batch_and_raw_columns_work() {
    let database = Database::new(
        "CREATE TABLE t (id int, f float8, b bytea); INSERT INTO t VALUES (1, 1, '\\x01'), (2, 'NaN', NULL)",
    );
    let query = SqlQuery::new("SELECT f FROM t WHERE id = :id", ["id"]).many("SELECT id, f FROM t WHERE id IN (:ids)");
    let space = database.space(query).await;
    let error = within(space.load_many(vec![id(1), id(2)]).expect("a batch query")).await.expect_err("NaN");
    assert_eq!(failed(&error), FailClass::Rejected);
    assert_eq!(many(&space, vec![id(1)]).await, [(0, r#"{"f":1}"#.to_owned())]);
    let query = SqlQuery::new("SELECT b FROM t WHERE id = :id", ["id"]).many("SELECT b, id FROM t WHERE id IN (:ids)");
    let raw = database.space(query.column("b")).await;
    assert_eq!(many(&raw, vec![id(1), id(2)]).await, [(0, "\u{1}".to_owned())], "NULL is missing");
}

#[tokio::test]
async fn a_space_without_a_batch_query_has_no_batches() {
    let database = Database::new(PRODUCTS);
    let space = database.space(SqlQuery::new("SELECT id FROM products WHERE id = :id", ["id"])).await;
    assert!(space.load_many(vec![id(1)]).is_none());
    assert_eq!(outcome(&within(space.load(id(1), None)).await), value(r#"{"id":1}"#));
    assert_eq!(outcome(&within(space.load(id(0), None)).await), Outcome::Missing);
}

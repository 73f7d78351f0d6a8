//! Is a row served as what it says, and does a key find the row that it names, and none else?

use bellwether::FailClass;
use bellwether_adapters::{Capture, Captures, Origin, Rows, SqlQuery};

use crate::postgres_server::{Database, id};
use crate::{Outcome, outcome, text, value, within};

const PRODUCTS: &str = "CREATE TABLE products (id int PRIMARY KEY, name text, price numeric(12, 2), stock bigint);
    INSERT INTO products VALUES (1, 'one', 1.50, 9223372036854775807), (2, NULL, NULL, NULL),
    (3, E'\"three\" é \\\\ \\n <>', -0.01, -1)";

fn by_id() -> SqlQuery {
    SqlQuery::new("SELECT id, name, price, stock FROM products WHERE id = :id", ["id"])
}

#[tokio::test]
async fn a_row_is_an_object_in_column_order_and_exact() {
    let database = Database::new(PRODUCTS);
    let products = database.space(by_id()).await;
    let load = async |key: i64| outcome(&within(products.load(id(key), None)).await);
    assert_eq!(load(1).await, value(r#"{"id":1,"name":"one","price":1.50,"stock":9223372036854775807}"#));
    assert_eq!(load(2).await, value(r#"{"id":2,"name":null,"price":null,"stock":null}"#), "NULL is null");
    assert_eq!(load(3).await, value(r#"{"id":3,"name":"\"three\" é \\ \n <>","price":-0.01,"stock":-1}"#));
    assert_eq!(load(4).await, Outcome::Missing);
    let payload = within(products.load(id(1), None)).await.expect("a row");
    assert_eq!(payload.as_value().and_then(|p| p.content_type.as_deref()), Some("application/json"));
}

#[tokio::test]
async fn types_are_written_the_same_whatever_the_servers_defaults_are() {
    let database = Database::new("");
    let sql = "SELECT 0.1::float8 AS f, 1e-7::float8 AS small, 123456789012345678901234567890.10::numeric AS n, true AS b, \
               '2026-02-28'::date AS d, '2026-02-28 12:00:00+02'::timestamptz AS tz, '2026-02-28 12:00'::timestamp AS ts, \
               'e4eaaaf2-d142-11e1-b3e4-080027620cdd'::uuid AS u, '{\"a\": [1, 2]}'::jsonb AS j, ARRAY[1, 2] AS a, \
               '1 day 2 hours'::interval AS i, 'o' AS o, 'bw' AS bw, 1 AS \"x\"\"y\"";
    database.exec(&format!(
        "ALTER DATABASE {} SET timezone = 'Asia/Tokyo'; ALTER DATABASE {} SET datestyle = 'German'",
        database.exec("SELECT current_database()"),
        database.exec("SELECT current_database()"),
    ));
    let space = database.space(SqlQuery::new(sql, ["id"])).await;
    let loaded = within(space.load(id(1), None)).await.expect("a row");
    assert_eq!(
        text(&loaded),
        r#"{"f":0.1,"small":1e-07,"n":123456789012345678901234567890.10,"b":true,"d":"2026-02-28","tz":"2026-02-28T10:00:00+00:00","ts":"2026-02-28T12:00:00","u":"e4eaaaf2-d142-11e1-b3e4-080027620cdd","j":{"a": [1, 2]},"a":[1,2],"i":"1 day 02:00:00","o":"o","bw":"bw","x\"y":1}"#
    );
}

#[tokio::test]
async fn a_row_of_nulls_and_columns_named_as_our_own_are_served() {
    let database =
        Database::new("CREATE TABLE t (bw int, o int, w int, j int, n int, k int); INSERT INTO t VALUES (NULL)");
    let all = database.space(SqlQuery::new("SELECT * FROM t", ["id"])).await;
    let loaded = within(all.load(id(1), None)).await.expect("a row");
    assert_eq!(text(&loaded), r#"{"bw":null,"o":null,"w":null,"j":null,"n":null,"k":null}"#);
}

#[tokio::test]
async fn all_rows_are_an_array_in_their_order_and_none_is_an_empty_one() {
    let database = Database::new(
        "CREATE TABLE l (owner int, n int); INSERT INTO l SELECT 1, i FROM generate_series(1, 500) i ORDER BY random()",
    );
    let lines = SqlQuery::new("SELECT n FROM l WHERE owner = :id ORDER BY n DESC", ["id"]).rows(Rows::All);
    let space = database.space(lines.clone()).await;
    let expected: Vec<String> = (1..=500).rev().map(|n| format!("{{\"n\":{n}}}")).collect();
    let loaded = within(space.load(id(1), None)).await.expect("rows");
    assert_eq!(text(&loaded), format!("[{}]", expected.join(",")));
    assert_eq!(outcome(&within(space.load(id(2), None)).await), value("[]"), "an empty array is a value");
    let capped = database.space(lines.clone().max_rows(499)).await;
    assert_eq!(outcome(&within(capped.load(id(1), None)).await), Outcome::Failed(FailClass::Rejected));
    let enough = database.space(lines.max_rows(500)).await;
    assert!(within(enough.load(id(1), None)).await.is_ok());
}

#[tokio::test]
async fn two_rows_for_one_are_rejected() {
    let database = Database::new(PRODUCTS);
    let space = database.space(SqlQuery::new("SELECT id FROM products WHERE id >= :id", ["id"])).await;
    assert_eq!(outcome(&within(space.load(id(2), None)).await), Outcome::Failed(FailClass::Rejected));
    assert_eq!(outcome(&within(space.load(id(3), None)).await), value(r#"{"id":3}"#), "its connection serves on");
}

#[tokio::test]
async fn a_column_is_served_raw_and_null_is_missing() {
    let database = Database::new(
        "CREATE TABLE f (id int, body bytea, t text, n numeric); \
         INSERT INTO f VALUES (1, '\\x00ff22', 'a\"b', 1.50), (2, NULL, NULL, NULL), (3, '', '', 0)",
    );
    let all = |column: &str| SqlQuery::new("SELECT * FROM f WHERE id = :id", ["id"]).column(column);
    let bytes = database.space(all("body")).await;
    let loaded = within(bytes.load(id(1), None)).await.expect("a row");
    let payload = loaded.as_value().expect("bytes");
    assert_eq!((&payload.body[..], payload.content_type.as_deref()), (&b"\x00\xff\""[..], None));
    assert_eq!(outcome(&within(bytes.load(id(2), None)).await), Outcome::Missing);
    assert_eq!(outcome(&within(bytes.load(id(3), None)).await), value(""), "an empty text is a value");
    let texts = database.space(all("t")).await;
    assert_eq!(outcome(&within(texts.load(id(1), None)).await), value("a\"b"));
    let numbers = database.space(all("n")).await;
    assert_eq!(outcome(&within(numbers.load(id(1), None)).await), value("1.50"));
}

#[tokio::test]
async fn what_json_cannot_say_is_rejected() {
    let database = Database::new(
        "CREATE DOMAIN share AS float8; CREATE TABLE t (id int, f float8, r float4, n numeric, d share, a float8[], s text);
         INSERT INTO t VALUES (1, 1, 1, 1, 1, '{1,NULL}', 'NaN');
         INSERT INTO t (id, f) VALUES (2, 'NaN'), (3, 'Infinity'), (4, '-Infinity');
         INSERT INTO t (id, r) VALUES (5, 'NaN'); INSERT INTO t (id, n) VALUES (6, 'NaN');
         INSERT INTO t (id, d) VALUES (7, 'NaN'); INSERT INTO t (id, a) VALUES (8, '{1,-Infinity}')",
    );
    let query = || SqlQuery::new("SELECT * FROM t WHERE id = :id", ["id"]);
    let (one, all) = (database.space(query()).await, database.space(query().rows(Rows::All)).await);
    assert_eq!(
        outcome(&within(one.load(id(1), None)).await),
        value(r#"{"id":1,"f":1,"r":1,"n":1,"d":1,"a":[1,null],"s":"NaN"}"#),
        "a text may say NaN"
    );
    for key in 2..=8 {
        for space in [&one, &all] {
            assert_eq!(
                outcome(&within(space.load(id(key), None)).await),
                Outcome::Failed(FailClass::Rejected),
                "{key}"
            );
        }
    }
}

#[tokio::test]
async fn bytes_are_capped_before_they_cross_the_wire() {
    let database = Database::new("");
    let sized = || SqlQuery::new("SELECT repeat('x', :id::int) AS body", ["id"]);
    // Of the JSON around it 11 bytes.
    let (json, raw) =
        (database.space(sized().max_bytes(1_011)).await, database.space(sized().column("body").max_bytes(1_000)).await);
    for space in [&json, &raw] {
        assert!(within(space.load(id(1_000), None)).await.is_ok());
        assert_eq!(outcome(&within(space.load(id(1_001), None)).await), Outcome::Failed(FailClass::Rejected));
    }
    let rows = SqlQuery::new("SELECT repeat('x', 100) AS b FROM generate_series(1, :id::int)", ["id"]);
    let all = database.space(rows.rows(Rows::All).max_bytes(1_000)).await;
    assert!(within(all.load(id(10), None)).await.is_err(), "together they are too large");
    assert!(within(all.load(id(9), None)).await.is_ok());
    assert!(within(all.load(id(1_000), None)).await.is_err());
}

/// A type, keys that name its row, and keys that can't name any.
const TYPES: [(&str, &str, &[&str], &[&str]); 11] = [
    ("int2", "7", &["7"], &["07", "+7", "32768", "-32769", "x", "7.0", ""]),
    ("int4", "7", &["7"], &["7 ", "2147483648", "-2147483649", "x", "7e0"]),
    ("int8", "9223372036854775807", &["9223372036854775807"], &["9223372036854775808", "0x7"]),
    (
        "uuid",
        "e4eaaaf2-d142-11e1-b3e4-080027620cdd",
        &["e4eaaaf2-d142-11e1-b3e4-080027620cdd"],
        &["E4EAAAF2-D142-11E1-B3E4-080027620CDD", "x"],
    ),
    ("text", "a'b\"c\\", &["a'b\"c\\"], &["a\0b"]),
    ("varchar(3)", "abc", &["abc"], &["a\0b"]),
    ("date", "2026-02-28", &["2026-02-28"], &["2026-02-29", "today", "28.02.2026", "2026-2-28"]),
    (
        "timestamptz",
        "2026-02-28 12:00:00.5+00",
        &["2026-02-28 12:00:00.5+00", "2026-02-28T14:00:00.5+02:00", "2026-02-28T12:00:00.5Z", "2026-02-28T12:00:00.5"],
        &["now", "2026-02-28", "2026-02-30T00:00:00Z"],
    ),
    ("numeric", "1.50", &["1.50", "1.5"], &["NaN", "1,5", "Infinity", "1e0"]),
    ("bool", "true", &["true"], &["t", "1", "yes", "TRUE"]),
    ("mood", "sad", &["sad"], &["Sad", "angry", ""]),
];

#[tokio::test]
async fn the_parameters_type_reads_the_capture() {
    let mut script = "CREATE TYPE mood AS ENUM ('sad', 'ok');".to_owned();
    for (at, (ty, row, ..)) in TYPES.iter().enumerate() {
        script += &format!("CREATE TABLE t{at} (id {ty}); INSERT INTO t{at} VALUES ('{}');\n", row.replace('\'', "''"));
    }
    let database = Database::new(&script);
    let origin = database.open();
    for (at, (ty, _, right, wrong)) in TYPES.iter().enumerate() {
        let query = format!("SELECT 1 AS found FROM t{at} WHERE id = :id");
        let space = origin.query(SqlQuery::new(query, ["id"])).expect("valid SQL");
        assert!(!space.never(&id(wrong[0])), "nothing is known yet");
        crate::postgres_server::ready(&space).await.expect(ty);
        for key in *right {
            assert!(!space.never(&id(*key)), "{ty}: {key}");
            assert_eq!(outcome(&within(space.load(id(*key), None)).await), value(r#"{"found":1}"#), "{ty}: {key}");
        }
        let before = origin.queries();
        for key in *wrong {
            assert!(space.never(&id(*key)), "{ty}: {key:?}");
            assert_eq!(outcome(&within(space.load(id(*key), None)).await), Outcome::Missing, "{ty}: {key:?}");
        }
        assert_eq!(origin.queries(), before, "{ty}: nothing was asked");
    }
}

#[tokio::test]
async fn an_integer_of_the_template_is_compared_as_what_the_column_is() {
    let database = Database::new("CREATE TABLE t (id text); INSERT INTO t VALUES ('42')");
    let space = database.space(SqlQuery::new("SELECT id FROM t WHERE id = :id", ["id"])).await;
    assert_eq!(outcome(&within(space.load(id(42), None)).await), value(r#"{"id":"42"}"#));
    let database = Database::new("CREATE TABLE t (id int); INSERT INTO t VALUES (42)");
    let space = database.space(SqlQuery::new("SELECT id FROM t WHERE id = :id", ["id"])).await;
    assert!(space.never(&id(i64::from(i32::MAX) + 1)), "no int4 is as large");
    assert_eq!(outcome(&within(space.load(id(42), None)).await), value(r#"{"id":42}"#));
}

#[tokio::test]
async fn captures_are_data_whatever_they_say() {
    let database = Database::new("CREATE TABLE t (id text, n int); INSERT INTO t VALUES ('x', 1)");
    let query = SqlQuery::new("SELECT n FROM t WHERE id = :id OR ':id' = :other", ["id", "other"]);
    let space = database.space(query).await;
    let attempts = [
        "'; DROP TABLE t; --",
        "x' OR '1'='1",
        "\\'; DROP TABLE t; --",
        "$1",
        "$$",
        "{}",
        "NULL",
        "x\u{2019}",
        ":id",
        "\"",
        "x\n",
    ];
    for attempt in attempts {
        let captures = Captures::new().with("id", attempt).with("other", attempt);
        // Only the literal text ':id' equals itself.
        let expected = if attempt == ":id" { value(r#"{"n":1}"#) } else { Outcome::Missing };
        assert_eq!(outcome(&within(space.load(captures, None)).await), expected, "{attempt}");
    }
    let many = SqlQuery::new("SELECT n FROM t WHERE id = :id", ["id"]).many("SELECT id, n FROM t WHERE id IN (:ids)");
    let space = database.space(many).await;
    let keys: Vec<Captures> = attempts.iter().map(|attempt| id(*attempt)).chain([id("x")]).collect();
    let found = within(space.load_many(keys).expect("a batch query")).await.expect("data");
    let found: Vec<(usize, String)> = found.iter().map(|(at, loaded)| (*at, text(loaded))).collect();
    assert_eq!(found, [(attempts.len(), r#"{"n":1}"#.to_owned())]);
    assert_eq!(database.exec("SELECT count(*) FROM t"), "1");
}

#[tokio::test]
async fn a_placeholder_without_a_capture_is_a_failure() {
    let database = Database::new(PRODUCTS);
    let space = database.space(by_id()).await;
    let outcome = outcome(&within(space.load(Captures::new().with("other", Capture::Int(1)), None)).await);
    assert_eq!(outcome, Outcome::Failed(FailClass::Failed));
}

#[tokio::test]
async fn an_index_stays_in_use() {
    let database = Database::new(
        "CREATE TABLE big (id int PRIMARY KEY, name text); INSERT INTO big SELECT i, 'n' FROM generate_series(1, 20000) i; ANALYZE big",
    );
    let query = SqlQuery::new("SELECT * FROM big WHERE id = :id", ["id"]);
    let space = database.space(query.many("SELECT * FROM big WHERE id = ANY (:ids)")).await;
    let scans = |of: &str| database.exec(&format!("SELECT {of} FROM pg_stat_user_tables WHERE relname = 'big'"));
    let before = scans("seq_scan");
    for key in 1..=20 {
        assert!(within(space.load(id(key), None)).await.is_ok());
    }
    let keys = (1..=20).map(id).collect();
    assert_eq!(within(space.load_many(keys).expect("a batch query")).await.expect("rows").len(), 20);
    // A backend tells what it did when it is idle for a moment.
    drop(space);
    let end = std::time::Instant::now() + crate::PATIENCE;
    while scans("idx_scan") == "0" {
        assert!(std::time::Instant::now() < end, "no index was used");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(scans("seq_scan"), before);
}

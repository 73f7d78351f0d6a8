//! Does a batch say the same as its keys alone, in one statement?

use bellwether::FailClass;
use bellwether_adapters::{Capture, Captures, MAX_BATCH, Origin, Rows, SqlQuery, SqliteOrigin, SqliteSpace};

use crate::sqlite_values::{load, shop};
use crate::{Outcome, failed, text, value, within};

/// Answers by index: `None` is missing.
async fn many(space: &SqliteSpace, keys: Vec<Captures>) -> Vec<Option<String>> {
    let mut answers = vec![None; keys.len()];
    let batch = space.load_many(keys).expect("a batch query");
    for (index, loaded) in within(batch).await.expect("a batch") {
        assert_eq!(answers[index].replace(text(&loaded)), None, "index {index} twice");
    }
    answers
}

/// The batch, and each key alone: they must agree.
async fn agree(space: &SqliteSpace, name: &str, keys: Vec<Capture>) -> Vec<Option<String>> {
    let captures: Vec<_> = keys.into_iter().map(|key| Captures::from_iter([(name.into(), key)])).collect();
    let answers = many(space, captures.clone()).await;
    for (captures, answer) in captures.into_iter().zip(&answers) {
        let alone = load(space, captures.clone()).await;
        assert_eq!(alone, answer.as_deref().map_or(Outcome::Missing, value), "{captures:?}");
    }
    answers
}

fn products(origin: &SqliteOrigin) -> SqliteSpace {
    let query = SqlQuery::new("SELECT name, id FROM products WHERE id = :id", ["id"]);
    origin.query(query.many("SELECT id, name FROM products WHERE id IN (:ids)")).expect("a query")
}

fn with_table(script: &str) -> (tempfile::TempDir, SqliteOrigin) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("many.db");
    SqliteOrigin::create_sample(&path, script).expect("a sample");
    let origin = SqliteOrigin::open(&path, 1, std::time::Duration::from_secs(10)).expect("a database");
    (dir, origin)
}

#[tokio::test]
async fn a_space_without_a_batch_query_has_no_batches() {
    let (_dir, origin) = shop(1);
    let space = origin.query(SqlQuery::new("SELECT name FROM products WHERE id = :id", ["id"])).expect("a query");
    assert!(space.load_many(vec![Captures::new().with("id", 1)]).is_none());
}

#[tokio::test]
async fn a_batch_is_one_statement_with_duplicates_and_missing_rows() {
    let (_dir, origin) = shop(1);
    let space = products(&origin);
    let keys = [1, 99, 42, 1, 98, -7].map(|id| Captures::new().with("id", id)).to_vec();
    let answers = many(&space, keys).await;
    assert_eq!(origin.queries(), 1);
    let kettle = Some(r#"{"name":"Kettle","id":1}"#.to_owned());
    assert_eq!(answers[0], kettle, "in the query's column order, not the batch's");
    assert_eq!(answers[3], kettle);
    assert_eq!((&answers[1], &answers[4]), (&None, &None));
    assert!(answers[2].is_some() && answers[5].is_some());
    agree(&space, "id", [1, 2, 3, 42, -7, i64::MIN, i64::MAX].map(Capture::Int).to_vec()).await;
}

#[tokio::test]
async fn five_hundred_keys_are_one_statement_and_more_are_refused() {
    let rows: String = (0..400).map(|id| format!("INSERT INTO t VALUES ({id}, 'v{id}');")).collect();
    let (_dir, origin) = with_table(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); BEGIN; {rows} COMMIT"));
    let query = SqlQuery::new("SELECT v FROM t WHERE id = :id", ["id"]).many("SELECT id, v FROM t WHERE id IN (:ids)");
    let space = origin.query(query).expect("a query");
    // Every fifth key is a duplicate, and a fifth of the rest has no row.
    let id = |index: i64| if index % 5 == 0 { 0 } else { index };
    let keys: Vec<_> = (0..500).map(|index| Captures::new().with("id", id(index))).collect();
    let answers = many(&space, keys.clone()).await;
    assert_eq!(origin.queries(), 1);
    for (index, answer) in answers.iter().enumerate() {
        let id = id(i64::try_from(index).expect("small"));
        let expected = (id < 400).then(|| format!(r#"{{"v":"v{id}"}}"#));
        assert_eq!(answer, &expected, "index {index}");
    }
    let error = within(space.load_many(vec![keys[0].clone(); MAX_BATCH + 1]).expect("a batch")).await;
    assert_eq!(error.map_err(|e| failed(&e)).map(|_| ()), Err(FailClass::Rejected));
    assert!(many(&space, Vec::new()).await.is_empty());
    assert_eq!(origin.queries(), 1, "neither asked anything");
}

#[tokio::test]
async fn texts_stay_texts_and_integers_stay_integers() {
    let (_dir, origin) = with_table(
        "CREATE TABLE t (k, v TEXT);
         INSERT INTO t VALUES (42, 'integer'), ('042', 'padded'), ('x', 'letter'), ('it''s \"quoted\" \\ ü', 'odd'), ('', 'empty')",
    );
    let query = SqlQuery::new("SELECT v FROM t WHERE k = :k", ["k"]).many("SELECT k, v FROM t WHERE k IN (:ids)");
    let space = origin.query(query).expect("a query");
    let texts = ["42", "042", "x", "it's \"quoted\" \\ ü", "", "none"];
    let answers = agree(&space, "k", texts.iter().map(|text| Capture::from(*text)).collect()).await;
    assert_eq!(answers[0], None, "the text '42' is not the integer 42 in an untyped column");
    assert!(answers[1].is_some() && answers[3].is_some() && answers[4].is_some());
    let answers = agree(&space, "k", [42, 41].map(Capture::Int).to_vec()).await;
    assert!(answers[0].is_some() && answers[1].is_none());
}

#[tokio::test]
async fn a_looser_equality_never_makes_a_row_missing() {
    let (_dir, origin) = with_table(
        "CREATE TABLE n (k TEXT COLLATE NOCASE, v TEXT); INSERT INTO n VALUES ('Ada', 'a');
         CREATE TABLE r (k TEXT COLLATE RTRIM, v TEXT); INSERT INTO r VALUES ('Ada', 'a');
         CREATE TABLE i (k INTEGER PRIMARY KEY, v TEXT); INSERT INTO i VALUES (42, 'a'), (7, 'b');
         CREATE TABLE f (k REAL, v TEXT); INSERT INTO f VALUES (42.0, 'a'), (1.5, 'b');
         CREATE TABLE z (k TEXT, v TEXT); INSERT INTO z VALUES ('a', 'a'), ('a' || char(0) || 'b', 'nul')",
    );
    for (table, keys) in [
        ("n", vec!["ada", "Ada", "ADA", "bob"]),
        ("n", vec!["ada"]),
        ("r", vec!["Ada", "Ada  ", "ada"]),
        ("i", vec!["42", "042", " 42", "42.0", "4.2e1", "x", "7"]),
        ("i", vec!["042"]),
        ("f", vec!["42", "42.0", "1.5", "1.50", "2"]),
        ("z", vec!["a", "a\0b", "a\0c"]),
    ] {
        let query = SqlQuery::new(format!("SELECT v FROM {table} WHERE k = :k"), ["k"]);
        let many = format!("SELECT k, v FROM {table} WHERE k IN (:ids)");
        let space = origin.query(query.many(many)).expect("a query");
        let answers = agree(&space, "k", keys.iter().map(|text| Capture::from(*text)).collect()).await;
        assert!(answers.iter().any(Option::is_some), "{table} {keys:?} finds something");
    }
}

#[tokio::test]
async fn a_batch_of_arrays_groups_rows_by_key() {
    let (_dir, origin) = shop(1);
    let query = SqlQuery::new("SELECT nr FROM lines WHERE page = :page ORDER BY nr", ["page"]).rows(Rows::All);
    let query = query.many("SELECT nr, page FROM lines WHERE page IN (:ids) ORDER BY nr, page");
    let space = origin.query(query).expect("a query");
    let answers = agree(&space, "page", ["a", "b", "none"].map(Capture::from).to_vec()).await;
    assert_eq!(answers[0].as_deref(), Some(r#"[{"nr":1},{"nr":2},{"nr":3}]"#));
    assert_eq!(answers[2].as_deref(), Some("[]"), "no rows are an empty array, which is a value");
}

#[tokio::test]
async fn raw_columns_work_in_batches() {
    let (_dir, origin) = shop(1);
    let query = SqlQuery::new("SELECT body FROM pages WHERE path = :path", ["path"]).column("body");
    let query = query.many("SELECT path, body FROM pages WHERE path IN (:ids)");
    let space = origin.query(query).expect("a query");
    let answers = agree(&space, "path", ["text", "nothing", "nowhere"].map(Capture::from).to_vec()).await;
    assert_eq!(answers, [Some("plain".to_owned()), None, None]);
}

#[tokio::test]
async fn one_bad_row_fails_its_batch() {
    let (_dir, origin) = shop(1);
    let query = SqlQuery::new("SELECT value FROM odd WHERE id = :id", ["id"]);
    let space = origin.query(query.many("SELECT id, value FROM odd WHERE id IN (:ids)")).expect("a query");
    let keys = |ids: &[i64]| ids.iter().map(|id| Captures::new().with("id", *id)).collect::<Vec<_>>();
    let result = within(space.load_many(keys(&[5, 1])).expect("a batch")).await;
    assert_eq!(result.map(|_| ()).map_err(|e| failed(&e)), Err(FailClass::Rejected), "row 1 is a BLOB");
    assert_eq!(many(&space, keys(&[5, 7])).await.len(), 2);

    let query = SqlQuery::new("SELECT nr FROM lines WHERE page = :page", ["page"]);
    let space = origin.query(query.many("SELECT page, nr FROM lines WHERE page IN (:ids)")).expect("a query");
    let pages = ["a", "b"].map(|page| Captures::new().with("page", page)).to_vec();
    let result = within(space.load_many(pages).expect("a batch")).await;
    assert_eq!(result.map(|_| ()).map_err(|e| failed(&e)), Err(FailClass::Rejected), "two rows of page a");
}

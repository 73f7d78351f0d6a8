//! What is told before the first load, and is it enough to mend it?

use bellwether::FailClass;
use bellwether_adapters::{NotReady, Origin, PostgresOrigin, PostgresUrl, SqlQuery};

use crate::postgres_server::{Database, TIMEOUT, id, parse, ready, wrong};
use crate::{outcome, value, within};

const SCHEMA: &str = "CREATE TABLE products (id int PRIMARY KEY, name text, blob bytea, addr inet);
    CREATE TABLE orders (id bigint); INSERT INTO products VALUES (1, 'one')";

#[tokio::test]
async fn wrong_queries_are_refused_with_a_hint() {
    let database = Database::new(SCHEMA);
    let query = |sql: &str| SqlQuery::new(sql, ["id"]);
    for (sql, problem, hint) in [
        ("DELETE FROM products", "is no query", "SELECT"),
        ("SELECT 1; DROP TABLE products", "more than one statement", "first one"),
        ("SELECT * FROM products WHERE id = '{id}'", "template inside a string", "without quotes"),
        ("SELECT * FROM products WHERE id = $1", "placeholder $1", ":id"),
        ("SELECT * FROM products WHERE id = :sku", "uses :sku", ":id"),
        ("SELECT id FROM productz WHERE id = :id", "\"productz\" does not exist", "orders, products"),
        ("SELECT idd FROM products WHERE id = :id", "\"idd\" does not exist", "products.id"),
        ("SELECT id FROM products WHERE id = :id AND", "syntax error", "schema"),
        ("SELECT id, id FROM products WHERE id = :id", "two columns named \"id\"", "AS"),
        ("SELECT FROM products WHERE id = :id", "no column", "select"),
        ("SELECT :id IS NULL AS x", "parameter :id", ":id::int"),
        ("SELECT id FROM products WHERE addr = :id", "type inet", "CAST("),
        ("SELECT id, blob FROM products WHERE id = :id", "bytea", "encode(blob"),
        ("SELECT id FROM products WHERE id = :id::int AND id = 'x'", "invalid input syntax", "schema"),
    ] {
        let error = wrong(&database, query(sql)).await;
        assert!(error.problem().contains(problem) && error.hint().contains(hint), "{sql}: {error}");
        assert_eq!(error.knob(), None, "{sql}");
    }
    let error = wrong(&database, query("SELECT name FROM products WHERE id = :id").column("nam")).await;
    assert!(error.knob() == Some("column") && error.hint().contains("name"), "{error}");
}

#[tokio::test]
async fn a_batch_query_must_fit_its_query() {
    let database = Database::new(SCHEMA);
    let query = || SqlQuery::new("SELECT id, name FROM products WHERE id = :id", ["id"]);
    for (many, problem) in [
        ("SELECT id, name FROM products WHERE id = :ids", "outside of an IN list"),
        ("SELECT id, name FROM products", ":ids as its only placeholder"),
        ("SELECT id, name FROM products WHERE id = ANY (:ids) AND name = :id", ":ids as its only placeholder"),
        ("SELECT name FROM products WHERE id = ANY (:ids)", "no column named \"id\""),
        ("SELECT id FROM products WHERE id = ANY (:ids)", "lacks the column \"name\""),
        ("SELECT id, name, 1 AS x FROM products WHERE id = ANY (:ids)", "\"x\" that `query` does not"),
        ("SELECT id, name FROM productz WHERE id = ANY (:ids)", "does not exist"),
        ("SELECT id, name FROM products WHERE id = ANY (:ids::bigint[])", "another type"),
        ("UPDATE products SET id = 1", "is no query"),
    ] {
        let error = wrong(&database, query().many(many)).await;
        assert!(error.knob() == Some("many") && error.problem().contains(problem), "{many}: {error}");
    }
    let two = SqlQuery::new("SELECT id FROM products WHERE id = :id AND name = :name", ["id", "name"]);
    let error = wrong(&database, two.many("SELECT id FROM products WHERE id = ANY (:ids)")).await;
    assert!(error.problem().contains("exactly one placeholder"), "{error}");
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_told_from_one_that_is_away() {
    let database = Database::new(SCHEMA);
    database.exec("CREATE ROLE setup_narrow LOGIN; GRANT SELECT ON products TO setup_narrow");
    let at = |url: PostgresUrl| {
        let origin = PostgresOrigin::open(url, 2, TIMEOUT).expect("a valid origin");
        origin.query(SqlQuery::new("SELECT id FROM orders WHERE id = :id", ["id"])).expect("valid SQL")
    };
    let port = database.server().address().port();
    let nowhere = ready(&at(parse(&format!("postgres://postgres@127.0.0.1:{port}/nosuch")))).await;
    assert!(matches!(&nowhere, Err(NotReady::Origin(error)) if error.problem().contains("nosuch")), "{nowhere:?}");
    let nobody = ready(&at(database.url_as("nobody_there", "127.0.0.1", ""))).await;
    assert!(matches!(&nobody, Err(NotReady::Origin(error)) if error.hint().contains("pg_hba")), "{nobody:?}");
    let narrow = ready(&at(database.url_as("setup_narrow", "127.0.0.1", ""))).await;
    assert!(matches!(&narrow, Err(NotReady::Space(error)) if error.hint().contains("GRANT SELECT")), "{narrow:?}");
    // Nobody listens on a port that was just free.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let away = ready(&at(parse(&format!("postgres://postgres@127.0.0.1:{free}/x")))).await;
    assert!(matches!(&away, Err(NotReady::Later(error)) if error.class() == FailClass::Refused), "{away:?}");
    database.exec("DROP OWNED BY setup_narrow; DROP ROLE setup_narrow");
}

#[tokio::test]
async fn a_wrong_password_is_told_without_the_password() {
    let server = std::sync::Arc::new(bellwether_servers::Postgres::start().expect("PostgreSQL is installed"));
    let database =
        Database::on(server, "SET password_encryption = 'scram-sha-256'; CREATE ROLE app LOGIN PASSWORD 'hunter2'");
    database.exec("GRANT pg_read_all_data TO app");
    let hba = database.server().home().join("data/pg_hba.conf");
    std::fs::write(&hba, "host all postgres 127.0.0.1/32 trust\nhost all app 127.0.0.1/32 scram-sha-256\n")
        .expect("written");
    database.exec("SELECT pg_reload_conf()");
    let space = |password: &str| {
        let origin = PostgresOrigin::open(database.url_as(&format!("app{password}"), "127.0.0.1", ""), 2, TIMEOUT);
        origin.and_then(|origin| origin.query(SqlQuery::new("SELECT :id::int AS n", ["id"]))).expect("valid")
    };
    let right = space(":hunter2");
    // The server has read its new rules a moment after it was told to.
    let end = std::time::Instant::now() + crate::PATIENCE;
    loop {
        match ready(&space(":hunter3")).await {
            Err(NotReady::Origin(error)) => {
                assert!(!error.to_string().contains("hunter3") && error.hint().contains("password"), "{error}");
                break;
            }
            other => assert!(std::time::Instant::now() < end, "{other:?}"),
        }
    }
    let none = ready(&space("")).await;
    assert!(matches!(&none, Err(NotReady::Origin(error)) if error.hint().contains("${PASSWORD}")), "{none:?}");
    ready(&right).await.expect("the right password");
    assert_eq!(outcome(&within(right.load(id(7), None)).await), value(r#"{"n":7}"#));
    let error = within(space(":hunter3").load(id(7), None)).await.expect_err("refused");
    assert_eq!(crate::failed(&error), FailClass::Refused);
    assert!(!error.to_string().contains("hunter") && !format!("{right:?}").contains("hunter"));
}

#[tokio::test]
async fn what_is_away_at_start_is_ready_with_its_first_load() {
    let database = Database::new(SCHEMA);
    let origin = database.open();
    let space = origin.query(SqlQuery::new("SELECT name FROM products WHERE id = :id", ["id"])).expect("valid SQL");
    // Never readied, as if it had been away.
    assert!(!space.never(&id("abc")), "nothing is known yet");
    assert_eq!(outcome(&within(space.load(id("abc"), None)).await), crate::Outcome::Missing);
    assert_eq!(origin.queries(), 0, "the type was asked for, the row was not");
    assert_eq!(outcome(&within(space.load(id(1), None)).await), value(r#"{"name":"one"}"#));
    assert!(space.never(&id("abc")));
    let wrong = origin.query(SqlQuery::new("SELECT name FROM productz WHERE id = :id", ["id"])).expect("valid SQL");
    let error = within(wrong.load(id(1), None)).await.expect_err("no such table");
    assert_eq!(crate::failed(&error), FailClass::Failed);
}

#[tokio::test]
async fn tls_is_what_sslmode_says() {
    let server = std::sync::Arc::new(bellwether_servers::Postgres::start_with_tls().expect("PostgreSQL is installed"));
    let authority = server.certificates().expect("it has some").authority.display().to_string();
    let database = Database::on(server, "");
    let plain = Database::new("");
    let query = || SqlQuery::new("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND :id = '1'", ["id"]);
    let at =
        |url: PostgresUrl| PostgresOrigin::open(url, 1, TIMEOUT).expect("valid").query(query()).expect("valid SQL");
    let full = format!("?sslmode=verify-full&sslrootcert={authority}");
    for (host, parameters, encrypted) in [
        ("127.0.0.1", "?sslmode=disable", false),
        ("127.0.0.1", "?sslmode=prefer", true),
        ("127.0.0.1", "", true),
        ("127.0.0.1", "?sslmode=require", true),
        ("127.0.0.1", &full, true),
        ("localhost", &full, true),
    ] {
        let space = at(database.url_as("postgres", host, parameters));
        let expected = value(&format!("{{\"ssl\":{encrypted}}}"));
        assert_eq!(outcome(&within(space.load(id("1"), None)).await), expected, "{host}{parameters}");
    }
    let refused = [
        // Whom the system trusts did not sign it.
        database.url_as("postgres", "127.0.0.1", "?sslmode=verify-full"),
        // It has no TLS at all.
        plain.url_as("postgres", "127.0.0.1", "?sslmode=require"),
    ];
    for url in refused {
        let space = at(url);
        let told = ready(&space).await;
        assert!(matches!(&told, Err(NotReady::Origin(error)) if error.problem().contains("TLS")), "{told:?}");
        let error = within(space.load(id("1"), None)).await.expect_err("refused");
        assert_eq!(crate::failed(&error), FailClass::Refused);
    }
    let prefer = at(plain.url_as("postgres", "127.0.0.1", "?sslmode=prefer"));
    assert_eq!(outcome(&within(prefer.load(id("1"), None)).await), value("{\"ssl\":false}"));
    for (path, words) in [("/nonexistent.pem", "can't be read"), ("/etc/hostname", "no certificate")] {
        let url = database.url(&format!("?sslmode=verify-full&sslrootcert={path}"));
        let error = PostgresOrigin::open(url, 1, TIMEOUT).expect_err(path);
        assert!(error.problem().contains(path) && error.problem().contains(words), "{error}");
    }
}

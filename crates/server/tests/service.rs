//! Does a configuration that is right also open, and is what is wrong with it named where it is written?

use std::net::TcpListener;
use std::path::Path;

use bellwether::{Cache, Why};
use bellwether_adapters::SqliteOrigin;
use bellwether_server::config::{self, Problem};
use bellwether_server::service::{Outcome, Service, Terms};
use bytes::Bytes;
use tokio::runtime::Handle;

const SHOP: &str = "CREATE TABLE users (name TEXT PRIMARY KEY, age INTEGER);
    INSERT INTO users VALUES ('ada', 36), ('bob', 41), ('cy', 7);";

/// What comes of `text` beside a database `shop.db`.
async fn started(text: &str) -> Result<(Service, tempfile::TempDir), Vec<Problem>> {
    let home = tempfile::tempdir().expect("a directory");
    SqliteOrigin::create_sample(home.path().join("shop.db"), SHOP).expect("a database");
    let config = config::parse(text, "b.toml", home.path(), [], false)?;
    Ok((Service::start(config, Handle::current()).await?, home))
}

async fn service(text: &str) -> (Service, tempfile::TempDir) {
    started(text).await.unwrap_or_else(|problems| panic!("{problems:?}"))
}

async fn problems(text: &str) -> Vec<String> {
    let problems = started(text).await.err().expect("it can't be opened");
    problems.iter().map(ToString::to_string).collect()
}

fn text(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Value(value) => Some(String::from_utf8_lossy(&value.body).into_owned()),
        Outcome::Missing(_) => None,
        failed => panic!("{failed:?}"),
    }
}

fn space(knobs: &str) -> String {
    format!(
        "[origin.shop]\nsql = \"sqlite://shop.db\"\n[[space]]\nmatch = \"user:{{name}}\"\norigin = \"shop\"\nttl = \"60s\"\n{knobs}"
    )
}

const QUERY: &str = "query = \"SELECT name, age FROM users WHERE name = :name\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_is_the_list_of_many_whatever_the_capture_is_called() {
    let many = "many = \"SELECT name, age FROM users WHERE name IN (:ids)\"\n";
    let (service, _home) = service(&space(&format!("{QUERY}{many}"))).await;
    let keys = ["user:bob", "user:nobody", "user:ada", "user:cy"].map(|key| Bytes::from_static(key.as_bytes()));
    let outcomes = service.read_many(keys.to_vec(), Terms::asked(service.now())).await;
    let row = |name: &str, age: u8| Some(format!("{{\"name\":\"{name}\",\"age\":{age}}}"));
    assert_eq!(outcomes.iter().map(text).collect::<Vec<_>>(), [row("bob", 41), None, row("ada", 36), row("cy", 7)]);
    assert_eq!(service.snapshot().spaces[0].loads(), 1, "one statement for all four");

    // The capture's own name in the list is wrong by either check, with the same word to write.
    let named = space(&format!("{QUERY}many = \"SELECT name, age FROM users WHERE name IN (:names)\"\n"));
    let said = problems(&named).await;
    assert!(said.iter().all(|words| words.starts_with("b.toml:8:8:")) && said[0].contains(":ids"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_with_dots_or_an_empty_part_is_nil_without_a_load() {
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let text = format!(
        "[origin.api]\nhttp = \"http://{nobody}\"\n[[space]]\nmatch = \"page:{{path*}}\"\norigin = \"api\"\nget = \"/p/{{path}}\"\nttl = \"60s\"\n"
    );
    let (service, _home) = service(&text).await;
    let odd = [".", "..", "a/../b", "a//b", "/a", "%2e%2E", "a/.", "a\\..\\b"];
    let read = |path: &str| {
        let (service, key) = (service.clone(), Bytes::from(format!("page:{path}")));
        async move { service.read(key, Terms::asked(service.now())).await }
    };
    for path in odd {
        assert!(matches!(read(path).await, Outcome::Missing(Why::NegativeType)), "{path}");
    }
    let keys = odd.map(|path| Bytes::from(format!("page:{path}"))).to_vec();
    let many = service.read_many(keys, Terms::asked(service.now())).await;
    assert!(many.iter().all(|outcome| matches!(outcome, Outcome::Missing(Why::NegativeType))), "{many:?}");
    let counts = &service.snapshot().spaces[0];
    assert_eq!((counts.loads(), counts.of(Why::NegativeType), counts.total()), (0, 16, 16));
    assert!(matches!(read("a").await, Outcome::Failed(_)), "control: a plain path is asked for");
    assert_eq!(service.snapshot().spaces[0].loads(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_origin_has_counts_of_its_own_and_plain_spaces_have_none() {
    let plain = "[[space]]\nmatch = \"kv:{k}\"\nttl = \"1m\"\n";
    let names = |service: &Service| service.snapshot().origins.iter().map(|o| o.name.clone()).collect::<Vec<_>>();
    let (with, _home) =
        service(&format!("{plain}{}", space(QUERY).replace("shop]", "default]").replace("\"shop\"", "\"default\"")))
            .await;
    assert_eq!(names(&with), ["default"], "a name like any other");
    let (without, _home) = service(plain).await;
    assert!(names(&without).is_empty(), "what never loads is no origin");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_database_knows_is_told_at_the_line_that_says_it() {
    for (knobs, line, words) in [
        (QUERY.replace("age", "colour"), "b.toml:7:9:", "colour"),
        (format!("{QUERY}column = \"colour\"\n"), "b.toml:8:10:", "colour"),
        (format!("{QUERY}many = \"SELECT age FROM users WHERE name IN (:ids)\"\n"), "b.toml:8:8:", "`many`"),
    ] {
        let said = problems(&space(&knobs)).await;
        assert!(said.len() == 1 && said[0].starts_with(line) && said[0].contains(words), "{knobs}: {said:?}");
    }
    let missing = problems(&space(QUERY).replace("shop.db", "none.db")).await;
    assert!(missing.len() == 1 && missing[0].starts_with("b.toml:2:7: [origin.shop]: "), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_does_not_answer_is_told_once_at_the_line_of_its_address() {
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let of = |name: &str| {
        format!("[[space]]\nmatch = \"{name}:{{id}}\"\norigin = \"api\"\nget = \"/{{id}}\"\nttl = \"60s\"\n")
    };
    let (service, _home) = service(&format!("[origin.api]\nhttp = \"http://{nobody}\"\n{}{}", of("a"), of("b"))).await;
    let said: Vec<String> = service.unreachable().await.iter().map(ToString::to_string).collect();
    assert!(said.len() == 1 && said[0].starts_with(":2:8: [origin.api]: "), "{said:?}");
}

#[test]
fn check_refuses_the_limits_that_the_cache_refuses() {
    for bytes in [1_u64 << 10, (64 << 10) - 1, 64 << 10, 64 << 20] {
        let text = format!("[memory]\nlimit = \"{bytes} B\"\n[[space]]\nmatch = \"kv:{{k}}\"\nttl = \"1m\"\n");
        let checked = config::parse(&text, "b.toml", Path::new(""), [], false);
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        let built = Cache::builder().memory_bytes(bytes).runtime(runtime.handle().clone()).build();
        assert_eq!(checked.is_ok(), built.is_ok(), "{bytes}");
        if let Err(problems) = checked {
            let words = problems[0].to_string();
            assert!(words.starts_with("b.toml:2:9: [memory]: ") && words.contains("64 KiB"), "{words}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_refuses_the_paths_that_the_origin_refuses() {
    let of = |base: &str, get: &str| {
        format!(
            "[origin.api]\nhttp = \"http://h{base}\"\n[[space]]\nmatch = \"a:{{id}}\"\norigin = \"api\"\nget = \"{get}\"\nttl = \"60s\"\n"
        )
    };
    for (base, get, place) in [
        ("", "/a//{id}", "b.toml:6:7:"),
        ("", "/%2e%2E/{id}", "b.toml:6:7:"),
        ("/x//y", "/{id}", "b.toml:2:8:"),
        ("/../y", "/{id}", "b.toml:2:8:"),
    ] {
        let problems = config::parse(&of(base, get), "b.toml", Path::new(""), [], false).expect_err(get);
        assert!(problems.len() == 1 && problems[0].to_string().starts_with(place), "{problems:?}");
    }
    assert!(started(&of("/x/y/", "/a/{id}")).await.is_ok(), "control");
}

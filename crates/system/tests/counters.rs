//! Do the counters add up: requests = the sum over why, loads = what the origin itself counted?

use std::thread;
use std::time::Duration;

use bellwether_system::{Bellwether, Origin, config, until};

const LIMIT: Duration = Duration::from_secs(20);

/// Connections, each with pipelines of `BATCH`.
const CONNECTIONS: u64 = 8;
const BATCH: u64 = 100;
const REQUESTS: u64 = 100_000;

/// The n-th request of a mix that reaches hits, loads, negatives, wrong types, no space and plain entries.
fn key(n: u64) -> String {
    let id = n.wrapping_mul(2_654_435_761) % 700;
    match n % 10 {
        0..=5 => format!("v:{id}"),
        6 => format!("absent:{}", id % 50),
        7 => format!("nothing:{id}"),
        8 if id.is_multiple_of(2) => format!("typed:{id}x"),
        8 => format!("typed:{id}"),
        _ => format!("kv:{}", id % 100),
    }
}

fn spaces(origin: &Origin) -> String {
    let space = |template: &str, path: &str| {
        format!(
            "[[space]]\nmatch = \"{template}\"\norigin = \"api\"\nget = \"{path}\"\nttl = \"10m\"\nnegative_ttl = \"10m\"\n"
        )
    };
    let spaces =
        [space("v:{id}", "/v/{id}"), space("absent:{id}", "/absent/{id}"), space("typed:{id:int}", "/typed/{id}")];
    let plain = "[[space]]\nmatch = \"kv:{k}\"\nttl = \"10m\"\n";
    format!("[origin.api]\nhttp = \"{}\"\nmax_concurrency = 64\n{}{plain}", origin.url(), spaces.concat())
}

#[test]
fn a_hundred_thousand_mixed_requests_add_up() {
    let origin = Origin::start();
    origin.delay(Duration::from_millis(2));
    let server = Bellwether::start(Some(&config("", &spaces(&origin))));
    let mut db = server.connect();
    let sets: Vec<Vec<String>> = (0..50).map(|i| vec!["SET".into(), format!("kv:{i}"), "1".into()]).collect();
    db.pipeline(&sets);
    let total = "bellwether_requests_total";
    let before = server.metrics().sum(total, &[]);
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|worker| {
            let mut db = server.connect();
            thread::spawn(move || {
                for batch in (worker..REQUESTS / BATCH).step_by(CONNECTIONS as usize) {
                    let gets: Vec<Vec<String>> =
                        (0..BATCH).map(|i| vec!["GET".to_owned(), key(batch * BATCH + i)]).collect();
                    for (command, answer) in gets.iter().zip(db.pipeline(&gets)) {
                        let fails = command[1].starts_with("nothing:");
                        assert_eq!(answer.error().is_some(), fails, "{}: {answer}", command[1]);
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("every request is answered as it should be");
    }
    let metrics = until(LIMIT, "loads counted as the origin counts them", || {
        let metrics = server.metrics();
        (metrics.sum("bellwether_load_seconds_count", &[]) == origin.requests() as f64).then_some(metrics)
    });
    let shown = metrics.shown(total);
    assert_eq!(metrics.sum(total, &[]) - before, REQUESTS as f64, "{shown}");
    for why in ["hit", "loaded", "coalesced", "negative", "negative_type", "no_space"] {
        assert!(metrics.sum(total, &[&format!("why=\"{why}\"")]) > 0.0, "nothing was {why}:\n{shown}");
    }
    assert_eq!(metrics.sum(total, &["why=\"no_space\""]), REQUESTS as f64 / 10.0, "{shown}");
    // 700 values, 50 absent ones, 350 typed ones at most: the origin saw each key once.
    assert!(origin.requests() <= 1_100, "the origin saw {} requests", origin.requests());
    let info = db.call(&["INFO", "stats"]).text();
    let of = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    assert!(of("keyspace_hits:").is_some_and(|hits| hits > 50_000), "{info}");
    assert!(of("keyspace_misses:").is_some_and(|misses| misses > 0), "{info}");
}

#[test]
fn a_stampede_of_a_thousand_callers_is_one_load_and_is_counted_as_one() {
    let origin = Origin::start();
    origin.delay(Duration::from_millis(300));
    let server = Bellwether::start(Some(&config("", &spaces(&origin))));
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let mut db = server.connect();
            thread::spawn(move || db.pipeline(&vec![vec!["GET", "v:one"]; 20]))
        })
        .collect();
    for caller in callers {
        for answer in caller.join().unwrap() {
            assert_eq!(answer.text(), "{\"path\":\"/v/one\"}");
        }
    }
    assert_eq!(origin.requests(), 1);
    let metrics = server.metrics();
    assert_eq!(metrics.sum("bellwether_stampedes_total", &[]), 1.0, "{}", metrics.shown("bellwether_stampedes"));
    assert_eq!(metrics.sum("bellwether_requests_total", &["why=\"loaded\""]), 1.0);
    assert_eq!(metrics.sum("bellwether_requests_total", &["why=\"coalesced\""]), 999.0);
    assert!(metrics.sum("bellwether_load_seconds_sum", &[]) >= 0.3);
}

#[test]
fn the_origin_never_sees_more_than_its_concurrency() {
    let origin = Origin::start();
    origin.delay(Duration::from_millis(20));
    let text = spaces(&origin).replace("max_concurrency = 64", "max_concurrency = 4");
    let server = Bellwether::start(Some(&config("", &text)));
    let gets: Vec<Vec<String>> = (0..60).map(|i| vec!["GET".into(), format!("v:{i}")]).collect();
    server.connect().pipeline(&gets);
    assert_eq!(origin.peak(), 4, "G9: reached, and never exceeded");
}

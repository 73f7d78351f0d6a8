//! Do the counters add up: requests = the sum over why, loads = what the origin itself counted?

use std::thread;
use std::time::Duration;

use bellwether_system::{Bellwether, Http, Mode, Origin, Resp, config, until};

const LIMIT: Duration = Duration::from_secs(20);

/// Connections of either kind, each with rounds of `ROUND` requests.
const CONNECTIONS: u64 = 8;
const REQUESTS: u64 = 100_000;

/// One round: single reads in a pipeline, several keys at once, both over either protocol.
const GETS: u64 = 60;
const MGET: u64 = 10;
const EXISTS: u64 = 5;
const BW_GETS: u64 = 5;
const HTTP: u64 = 10;
const HTTP_MGET: u64 = 10;
const ROUND: u64 = GETS + MGET + EXISTS + BW_GETS + HTTP + HTTP_MGET;

/// The n-th key of a mix that reaches hits, loads, negatives, wrong types, paths that are never asked
/// for, an origin that fails, no space and plain entries.
fn key(n: u64) -> String {
    let id = n.wrapping_mul(2_654_435_761) % 700;
    match n % 10 {
        0..=5 => format!("v:{id}"),
        6 => format!("absent:{}", id % 50),
        7 => match n / 10 % 3 {
            0 => format!("nothing:{id}"),
            1 => format!("page:{}/../x", id % 20),
            _ => format!("broken:{}", id % 5),
        },
        8 if id.is_multiple_of(2) => format!("typed:{id}x"),
        8 => format!("typed:{id}"),
        _ => format!("kv:{}", id % 100),
    }
}

/// Whether a read of this key is an error whatever happened before.
fn fails(key: &str) -> bool {
    key.starts_with("nothing:") || key.starts_with("broken:")
}

fn spaces(origin: &Origin) -> String {
    let space = |template: &str, path: &str| {
        format!(
            "[[space]]\nmatch = \"{template}\"\norigin = \"api\"\nget = \"{path}\"\nttl = \"10m\"\nnegative_ttl = \"10m\"\ntimeout = \"20s\"\n"
        )
    };
    let spaces = [
        space("v:{id}", "/v/{id}"),
        space("absent:{id}", "/absent/{id}"),
        space("typed:{id:int}", "/typed/{id}"),
        space("page:{path*}", "/page/{path}"),
    ];
    let plain = "[[space]]\nmatch = \"kv:{k}\"\nttl = \"10m\"\n";
    format!("[origin.api]\nhttp = \"{}\"\nmax_concurrency = 64\n{}{plain}", origin.url(), spaces.concat())
}

/// A space whose origin always fails.
fn broken(origin: &Origin) -> String {
    let space = "[[space]]\nmatch = \"broken:{id}\"\norigin = \"ill\"\nget = \"/broken/{id}\"\nttl = \"10m\"\n";
    format!("[origin.ill]\nhttp = \"{}\"\n{space}", origin.url())
}

/// The requests of one round; how many of them no space matches.
fn round(db: &mut Resp, http: &mut Http, first: u64) -> u64 {
    let mut next = first..;
    let mut keys = |count: u64| next.by_ref().take(count as usize).map(key).collect::<Vec<String>>();
    let all: Vec<String> = (first..first + ROUND).map(key).collect();
    let command = |name: &str, keys: Vec<String>| std::iter::once(name.to_owned()).chain(keys).collect::<Vec<String>>();

    let mut commands: Vec<Vec<String>> = keys(GETS).into_iter().map(|key| command("GET", vec![key])).collect();
    commands.push(command("MGET", keys(MGET)));
    commands.push(command("EXISTS", keys(EXISTS)));
    // Without a wait: a token of a plain space is not given back.
    commands
        .extend(keys(BW_GETS).into_iter().map(|key| vec!["BW.GET".to_owned(), key, "WAIT".to_owned(), "0".to_owned()]));
    for (command, answer) in commands.iter().zip(db.pipeline(&commands)) {
        let named = if command[0] == "BW.GET" { &command[1..2] } else { &command[1..] };
        let failed = named.iter().any(|key| fails(key));
        assert_eq!(answer.error().is_some(), failed, "{command:?}: {answer}");
    }
    for key in keys(HTTP) {
        let answer = http.request("GET", &format!("/v1/{key}"), &[], b"");
        let fine = answer.status == 200 || answer.status == 404;
        assert_eq!(fine, !key.starts_with("broken:"), "{key}: {}", answer.status);
    }
    let many = serde_json::to_vec(&keys(HTTP_MGET)).expect("JSON");
    assert_eq!(http.request("POST", "/v1/_mget", &[], &many).status, 200);
    all.iter().filter(|key| key.starts_with("nothing:")).count() as u64
}

#[test]
fn a_hundred_thousand_mixed_requests_add_up() {
    let (origin, ill) = (Origin::start(), Origin::start());
    origin.delay(Duration::from_millis(2));
    ill.mode(Mode::Status(500));
    let server = Bellwether::start(Some(&config("", &format!("{}{}", spaces(&origin), broken(&ill)))));
    let mut db = server.connect();
    let sets: Vec<Vec<String>> = (0..50).map(|i| vec!["SET".into(), format!("kv:{i}"), "1".into()]).collect();
    db.pipeline(&sets);
    let total = "bellwether_requests_total";
    let before = server.metrics().sum(total, &[]);
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|worker| {
            let (mut db, mut http) = (server.connect(), Http::connect(server.http()));
            thread::spawn(move || {
                let rounds = (worker..REQUESTS / ROUND).step_by(CONNECTIONS as usize);
                rounds.map(|at| round(&mut db, &mut http, at * ROUND)).sum::<u64>()
            })
        })
        .collect();
    let answered = |worker: thread::JoinHandle<u64>| worker.join().expect("every request is answered as it should be");
    let nowhere: u64 = workers.into_iter().map(answered).sum();
    let asked = || (origin.requests() + ill.requests()) as f64;
    let metrics = until(LIMIT, "loads counted as the origins count them", || {
        let metrics = server.metrics();
        (metrics.sum("bellwether_load_seconds_count", &[]) == asked()).then_some(metrics)
    });
    let shown = metrics.shown(total);
    assert_eq!(metrics.sum(total, &[]) - before, REQUESTS as f64, "{shown}");
    assert_eq!(
        metrics.sum("bellwether_request_seconds_count", &[]) - before,
        REQUESTS as f64,
        "each is in the histogram"
    );
    let loads = |result: &str| metrics.sum("bellwether_loads_total", &[&format!("result=\"{result}\"")]);
    assert_eq!((loads("success"), loads("failure")), (origin.requests() as f64, ill.requests() as f64), "{shown}");
    let whys = [
        "hit",
        "loaded",
        "coalesced",
        "negative",
        "negative_type",
        "no_space",
        "not_cached",
        "origin_failed",
        "cooling",
    ];
    for why in whys {
        assert!(metrics.sum(total, &[&format!("why=\"{why}\"")]) > 0.0, "nothing was {why}:\n{shown}");
    }
    assert_eq!(metrics.sum(total, &["why=\"no_space\""]), nowhere as f64, "{shown}");
    // 700 values, 50 absent ones, 350 typed ones at most: the origin saw each key once, and no path with dots.
    assert!(origin.requests() <= 1_100, "the origin saw {} requests", origin.requests());
    assert_eq!(
        metrics.sum(total, &["space=\"page\"", "why=\"negative_type\""]),
        metrics.sum(total, &["space=\"page\""])
    );
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

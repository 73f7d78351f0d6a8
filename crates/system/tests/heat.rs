//! Is a hot key found, shown, defused and let go by a real server? And an announced one prepared?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bellwether_system::{Bellwether, Http, Origin, RedisServer, Resp, Value as RespValue, config, tool, until};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(20);
/// Reads of one burst: a few of them a window are more than the node of these tests bears.
const BURST: usize = 400;
/// Half of it in a window is 150 reads.
const HOT: &str = "[hot]\ncapacity = \"3000/s\"\nhold = \"1s\"\n";
const PLAIN: &str = "[[space]]\nmatch = \"kv:{k}\"\nttl = \"10m\"\n";

fn hot_keys(server: &Bellwether) -> Value {
    Http::get(server.admin(), "/api/hotkeys").json()
}

/// What is said of a key.
fn row(server: &Bellwether, key: &str) -> Option<Value> {
    hot_keys(server)["keys"].as_array().expect("a list").iter().find(|row| row["key"] == key).cloned()
}

/// What the binary said.
#[derive(Debug)]
struct Said {
    success: bool,
    stdout: String,
    stderr: String,
}

/// The binary beside a server, on its admin listener.
fn ask(server: &Bellwether, words: &[&str]) -> Said {
    let binary = Bellwether::command(&[]).get_program().to_owned();
    let admin = format!("http://{}", server.admin());
    let run = tool(&binary.to_string_lossy()).args(words.iter().copied().chain(["--admin", &admin])).run(LIMIT);
    Said { success: run.status.success(), stdout: run.stdout, stderr: run.stderr }
}

/// Reads keys in bursts until `seen` has something, with a pause between two bursts so that nothing is kept waiting.
fn load<T>(db: &mut Resp, key: &str, what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    until(LIMIT, what, || {
        db.pipeline(&vec![vec!["GET", key]; BURST]);
        seen()
    })
}

#[test]
fn a_hot_key_is_shown_with_what_is_done_about_it_in_every_view_and_let_go_when_it_is_calm() {
    let server = Bellwether::start(Some(&config("", &format!("{HOT}{PLAIN}"))));
    let mut db = server.connect();
    let big = "x".repeat(70_000);
    for (key, value) in [("kv:hot", "1"), ("kv:cold", "1"), ("kv:big", &big)] {
        db.call(&["SET", key, value]);
    }
    db.call(&["GET", "kv:cold"]);
    assert_eq!(hot_keys(&server)["keys"], serde_json::json!([]), "nobody asks for anything");
    let found = load(&mut db, "kv:hot", "a hot key that is reacted to", || {
        row(&server, "kv:hot").filter(|row| row["stage"] == "hot" && row["done"].is_array())
    });
    assert!(found["share"].as_f64() > Some(0.2) && found["fleet"]["reads_per_s"].as_u64() > Some(600), "{found}");
    assert_eq!((found["reason"].as_str(), found["undoing"].as_bool()), (Some("read_heavy"), Some(false)), "{found}");
    let done: Vec<&str> = found["done"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(done, ["extend"], "nobody loads here, there is no other node, and threads don't fight over it");
    assert!(found["saved"].is_u64() && found["cost"].is_u64() && row(&server, "kv:cold").is_none(), "{found}");
    assert_eq!(hot_keys(&server)["capacity_from"], "configured");

    // Whatever the views take, it is hot all the while.
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Resp::connect(server.redis()));
    let (until_then, mut reader) = (stop.clone(), asked);
    let load = std::thread::spawn(move || {
        let begun = Instant::now();
        while !until_then.load(Ordering::SeqCst) && begun.elapsed() < LIMIT {
            reader.pipeline(&vec![vec!["GET", "kv:hot"]; BURST]);
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let table = ask(&server, &["hotkeys", "--once"]);
    let line = table.stdout.lines().find(|line| line.starts_with("kv:hot ")).unwrap_or_else(|| panic!("{table:?}"));
    for word in ["kv", "hot", "here", "extend"] {
        assert!(line.contains(word), "{line}");
    }
    assert!(!table.stdout.contains("kv:cold"), "{}", table.stdout);
    let resp = db.call(&["BW.HOTKEYS", "1"]);
    assert_eq!(resp.items().len(), 1);
    let said = resp.items()[0].items();
    let of = |name: &str| said.iter().position(|word| *word == RespValue::bulk(name)).map(|at| &said[at + 1]);
    assert_eq!(of("key").map(RespValue::text).as_deref(), Some("kv:hot"), "{resp:?}");
    assert!(of("done").is_some_and(|done| done.items().contains(&RespValue::bulk("extend"))), "{resp:?}");
    assert_eq!(of("value_bytes"), Some(&RespValue::Int(1)), "a value is as large as it is long: {resp:?}");
    let big = ask(&server, &["bigkeys", "-n", "1"]);
    assert!(
        big.stdout.contains("\n     70,000 ") && big.stdout.contains("kv:big") && !big.stdout.contains("kv:hot"),
        "{big:?}"
    );
    let explained = ask(&server, &["explain", "kv:hot"]);
    assert!(explained.stdout.contains("extend") && explained.stdout.contains("read_heavy"), "{explained:?}");
    assert!(explained.stdout.contains("value, 1 bytes, "), "{explained:?}");
    let reacting = |kind: &str| server.metrics().sum("bellwether_hot_reacting", &[&format!("\"{kind}\"")]);
    assert_eq!((reacting("extend"), reacting("replicas")), (1.0, 0.0), "{}", server.metrics().shown("bellwether_hot"));

    stop.store(true, Ordering::SeqCst);
    load.join().expect("no panic");
    until(LIMIT, "calm", || row(&server, "kv:hot").is_none().then_some(()));
    until(LIMIT, "everything to be undone", || (reacting("extend") == 0.0).then_some(()));
    let undone = || !ask(&server, &["explain", "kv:hot"]).stdout.contains("read_heavy");
    until(LIMIT, "nothing to be said of it", || undone().then_some(()));
    assert_eq!(db.call(&["GET", "kv:hot"]).text(), "1");
}

#[test]
fn an_announced_key_is_loaded_before_anybody_reads_it_and_nonsense_is_refused() {
    let origin = Origin::start();
    let space = format!(
        "[origin.api]\nhttp = \"{}\"\n[[space]]\nmatch = \"v:{{id}}\"\norigin = \"api\"\nget = \"/v/{{id}}\"\nttl = \"10m\"\n",
        origin.url()
    );
    let server = Bellwether::start(Some(&config("", &format!("{HOT}{space}"))));
    let said = ask(&server, &["hot", "announce", "v:1", "--for", "10m"]);
    assert!(said.success && said.stdout.contains("v:1 is announced: "), "{said:?}");
    until(LIMIT, "the announced key", || (origin.requests_for("/v/1") > 0).then_some(()));
    let explained = until(LIMIT, "what is done about it", || {
        let explained = ask(&server, &["explain", "v:1"]).stdout;
        explained.contains("announced").then_some(explained)
    });
    assert!(explained.contains("worker"), "{explained}");
    // It is shown where hot keys are, though nobody asks for it, and so is who heard of it.
    assert!(said.stdout.contains("only to the process"), "{said:?}");
    let shown = row(&server, "v:1").expect("it is reacted to");
    assert_eq!((shown["stage"].as_str(), shown["announced"].as_bool()), (Some("announced"), Some(true)), "{shown}");
    let table = ask(&server, &["hotkeys", "--once"]).stdout;
    assert!(table.contains("1 announced") && table.lines().any(|line| line.starts_with("v:1 ")), "{table}");
    let mut db = server.connect();
    db.call(&["GET", "v:1"]);
    assert_eq!(origin.requests_for("/v/1"), 1, "its first reader finds it");
    for (words, says) in [
        (vec!["hot", "announce", "v:1", "--at", "2020-01-01T00:00:00Z", "--for", "1h"], "its time is over"),
        (vec!["hot", "announce", "nowhere", "--for", "1h"], "space"),
        (vec!["hot", "announce", "v:1", "--for", "soon"], "soon"),
        (vec!["hotkeys", "--once", "-n", "0"], "0"),
    ] {
        let refused = ask(&server, &words);
        assert!(!refused.success && refused.stderr.contains(says), "{words:?}: {refused:?}");
    }
    assert_eq!(origin.requests_for("/v/2"), 0, "the control: what nobody announced is not loaded");
}

#[test]
fn where_only_redis_holds_values_a_hot_key_is_promoted_and_others_are_not() {
    let redis = RedisServer::start(&[]);
    // Longer than a busy machine takes for an answer: what memory holds answers for a Redis that is taken for silent, and
    // then nobody is promoted who asks it.
    let url = format!("[shared]\nurl = \"redis://{}\"\ntimeout = \"5s\"\n", redis.address());
    // And it is not let go where two thousand reads take longer than they should.
    let hot = HOT.replace("\"1s\"", "\"60s\"");
    let server = Bellwether::start(Some(&config("", &format!("{hot}{url}{PLAIN}tiers = [\"shared\"]\n"))));
    let mut db = server.connect();
    for key in ["kv:hot", "kv:cold"] {
        assert_eq!(db.call(&["SET", key, "1"]).text(), "OK");
    }
    let reads = || {
        let text = redis.connect().call(&["INFO", "commandstats"]).text();
        let of = |line: &str| line.strip_prefix("cmdstat_getrange:calls=")?.split(',').next()?.parse::<u64>().ok();
        text.lines().find_map(of).unwrap_or(0)
    };
    let ask_one_by_one = |db: &mut Resp, key: &str, times: u64| {
        let (before, begun) = (reads(), Instant::now());
        for _ in 0..times {
            assert_eq!(db.call(&["GET", key]).text(), "1");
        }
        (reads() - before, begun.elapsed())
    };
    let (asked, _) = ask_one_by_one(&mut db, "kv:cold", 50);
    assert!(asked >= 50, "each read asks Redis: {asked}");
    let found = load(&mut db, "kv:hot", "a promoted key", || {
        let promoted = |row: &Value| row["done"].as_array().is_some_and(|done| done.iter().any(|one| one == "promote"));
        row(&server, "kv:hot").filter(promoted)
    });
    assert!(found["done"].as_array().expect("a list").iter().all(|one| one != "own_copies"), "{found}");
    let (asked, took) = ask_one_by_one(&mut db, "kv:hot", 2_000);
    // Once in 100 ms less up to a tenth of it.
    let most = u64::try_from(took.as_millis()).expect("short") / 90 + 2;
    assert!(asked <= most, "{asked} reads of Redis in {took:?}");
    let spared = row(&server, "kv:hot").expect("it is hot");
    assert!(spared["saved"].as_u64() > Some(1_000) && spared["cost"].as_u64() > Some(0), "{spared}");
    db.call(&["SET", "kv:hot", "2"]);
    assert_eq!(db.call(&["GET", "kv:hot"]).text(), "2", "G2");
}

//! What does `bellwether warm` do with what people give it: lists, databases, another Redis, and an interrupt?

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use bellwether_servers::{Postgres, Redis};
use bellwether_system::{Bellwether, Process, config, until};

const LIMIT: Duration = Duration::from_secs(20);

/// A shop of the given keys, each of which takes a moment where it is slow.
fn spaces(port: u16) -> String {
    format!(
        r#"
[origin.shop]
sql = "postgres://postgres@127.0.0.1:{port}/postgres"
timeout = "10s"
max_concurrency = 2

[[space]]
match = "product:{{id:int}}"
origin = "shop"
query = "SELECT id, name FROM products WHERE id = :id"
keys = "SELECT id FROM products ORDER BY id DESC"
ttl = "10m"

[[space]]
match = "slow:{{id:int}}"
origin = "shop"
query = "SELECT id, pg_sleep(0.004) IS NULL AS slept FROM products WHERE id = :id"
ttl = "10m"

[[space]]
match = "half:{{id:int}}"
origin = "shop"
query = "SELECT id FROM products WHERE id = :id"
keys = "SELECT 1000000 / (500 - id) AS id FROM products ORDER BY id"
ttl = "10m"

[[space]]
match = "note:{{id}}"
ttl = "1h"
"#
    )
}

struct Shop {
    server: Bellwether,
    /// Ends with it.
    _postgres: Postgres,
}

impl Shop {
    fn open() -> Shop {
        let postgres = Postgres::start().expect("PostgreSQL is installed");
        let rows = "CREATE TABLE products (id int PRIMARY KEY, name text); INSERT INTO products SELECT i, 'p' || i FROM \
            generate_series(1, 2000) i;";
        postgres.exec(rows).expect("valid SQL");
        let server = Bellwether::start(Some(&config("", &spaces(postgres.address().port()))));
        Shop { server, _postgres: postgres }
    }

    fn warm(&self, arguments: &[&str], stdin: &str) -> (Option<i32>, String) {
        warmed(self.server.home(), self.server.admin(), arguments, stdin)
    }

    /// How a read of the key would be answered, and how old its value is.
    fn entry(&self, key: &str) -> serde_json::Value {
        let path = format!("/api/explain/{key}");
        bellwether_system::Http::get(self.server.admin(), &path).json()["entry"].clone()
    }

    fn is_there(&self, key: &str) -> bool {
        !self.entry(key).is_null()
    }

    fn list(&self, name: &str, keys: impl Iterator<Item = String>) -> String {
        let file = self.server.home().join(name);
        fs::write(&file, keys.map(|key| key + "\n").collect::<String>()).expect("a file");
        name.to_owned()
    }
}

fn command(home: &Path, admin: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = Bellwether::command(&["warm", "--admin", &format!("http://{admin}")]);
    command.args(arguments).current_dir(home);
    command
}

/// The exit code, and all it said.
fn warmed(home: &Path, admin: SocketAddr, arguments: &[&str], stdin: &str) -> (Option<i32>, String) {
    let mut command = command(home, admin, arguments);
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.expect("the binary runs");
    let written = child.stdin.take().expect("piped").write_all(stdin.as_bytes());
    // It may have ended without reading it.
    let _ = written;
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

#[test]
fn a_line_that_is_no_key_is_named_with_its_place_in_the_file_and_nothing_is_loaded() {
    let shop = Shop::open();
    let bad = (1..=1200).map(|id| if id == 700 { "product:%zz".to_owned() } else { format!("product:{id}") });
    let (code, said) = shop.warm(&[&shop.list("keys.txt", bad)], "");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("keys.txt:700:") && said.contains("product:%zz"), "the file's line, no batch's: {said}");
    assert!(!shop.is_there("product:1"), "it was read whole before the first key was loaded");
    let (code, said) = shop.warm(&["-"], "product:1\nproduct:2\nbad%\n");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("stdin:3:"), "{said}");

    // The control: without that line all is well, and what has no row is no failure.
    let (code, said) = shop.warm(&["-"], "product:1\nproduct:2\nproduct:99999\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 loaded") && said.contains("1 without a row") && shop.is_there("product:2"), "{said}");

    // Nothing that could be loaded is bad input; some of it is told.
    for (keys, code) in [("nowhere:1\nnote:2\n", 2), ("nowhere:1\nproduct:3\n", 0), ("", 2)] {
        let (ended, said) = shop.warm(&["-"], keys);
        assert_eq!(ended, Some(code), "{keys:?}: {said}");
        assert!(keys.is_empty() || said.contains("'nowhere:1'"), "{said}");
    }
    for arguments in [
        &["--space", "nosuch"][..],
        &["--space", "note"],
        &["--from", "ftp://x"],
        &["no.txt"],
        &["."],
        &["keys.txt", "--prefix", "a"],
        &["keys.txt", "--limit", "0"],
    ]
    .into_iter()
    .chain([&["keys.txt", "--state", "no/such/state"][..]])
    {
        let (ended, said) = shop.warm(arguments, "");
        assert_eq!(ended, Some(2), "{arguments:?}: {said}");
    }
    let (ended, said) = shop.warm(&["--from", "http://127.0.0.1:1"], "");
    assert_eq!(ended, Some(1), "{said}");
    assert!(said.contains("--from") && !said.contains("--admin"), "the option that is wrong: {said}");
    let old = "bellwether hot list 9\n1.0 product:1\nend 1 0\n";
    let (ended, said) = shop.warm(&["-"], old);
    assert_eq!(ended, Some(2), "{said}");
    assert!(said.contains("format 9") && said.contains("format 1"), "{said}");
}

#[test]
fn an_interrupted_run_goes_on_where_it_was_and_another_list_is_told() {
    let shop = Shop::open();
    let list = shop.list("keys.txt", (1..=2000).map(|id| format!("slow:{id}")));
    let state = shop.server.home().join("state");
    let mut run = Process::spawn(command(shop.server.home(), shop.server.admin(), &[&list, "--state", "state"]));
    until(LIMIT, "a first batch", || state.exists().then_some(()));
    run.signal("INT");
    let status = run.wait(LIMIT);
    assert_eq!(status.code(), Some(1), "{}", run.stderr());
    assert!(run.stderr().contains("goes on from there"), "{}", run.stderr());
    let done = |text: &str| text.lines().nth(1).and_then(|line| line.parse::<u64>().ok()).expect("a count");
    let kept = fs::read_to_string(&state).expect("a state");
    assert!((1..2000).contains(&done(&kept)), "{kept}");

    // A shorter list, and one in another order: told, and the state is as it was.
    for (keys, word) in [((1..=10).collect::<Vec<_>>(), "another list"), ((1..=2000).rev().collect(), "changed")] {
        shop.list("keys.txt", keys.iter().map(|id| format!("slow:{id}")));
        let (code, said) = shop.warm(&[&list, "--state", "state"], "");
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(word) && said.contains("Remove the state"), "{said}");
        assert_eq!(fs::read_to_string(&state).expect("it stays"), kept);
    }
    shop.list("keys.txt", (1..=2000).map(|id| format!("slow:{id}")));
    let (code, said) = shop.warm(&[&list, "--state", "state"], "");
    assert_eq!(code, Some(0), "{said}");
    // Of the batch that was cut off, which is gone through again, some may be there already.
    let rest = format!("{} keys: ", 2000 - done(&kept));
    let all = [&rest, "0 without a row, 0 failed, 0 of no space", "2000 with those of earlier runs"];
    assert!(all.iter().all(|words| said.contains(words)), "{all:?}: {said}");
    assert!(!state.exists(), "there is nothing left to go on with");
}

#[test]
fn a_limit_is_of_one_run_and_the_state_stays_until_the_whole_list_is_through() {
    let shop = Shop::open();
    let list = shop.list("keys.txt", (1..=20).map(|id| format!("product:{id}")));
    for arguments in [&[&list[..]][..], &["--space", "product"]] {
        let all = if arguments.len() == 1 { 20 } else { 2000 };
        let step = all * 2 / 5;
        let (limit, state) = (step.to_string(), shop.server.home().join("state"));
        let warm = || shop.warm(&[arguments, &["--limit", &limit, "--state", "state"]].concat(), "");
        for run in 1..=2 {
            let (code, said) = warm();
            assert_eq!(code, Some(0), "{said}");
            let (this, far) = (format!("{step} keys: "), format!("{} of {all} are through", run * step));
            assert!(said.contains(&this) && said.contains(&far), "{this}, {far}: {said}");
            assert!(state.exists(), "the rest is not forgotten: {said}");
        }
        assert!(!shop.is_there("product:21"), "what is not through is not loaded");
        let (code, said) = warm();
        let (this, far) = (format!("{} keys: ", all - 2 * step), format!("{all} with those of earlier runs"));
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains(&this) && said.contains(&far), "{this}, {far}: {said}");
        assert!(!state.exists() && !shop.server.home().join("state.keys").exists(), "all of it is through");
    }
    assert!(shop.is_there("product:21"), "the control: the last run loaded it");
}

#[test]
fn the_keys_of_a_database_are_loaded_in_its_order_and_half_a_list_is_none() {
    let shop = Shop::open();
    let (code, said) = shop.warm(&["--space", "product", "--limit", "3"], "");
    assert_eq!(code, Some(0), "{said}");
    assert!((1998..=2000).all(|id| shop.is_there(&format!("product:{id}"))), "the first of the statement");
    assert!(!shop.is_there("product:1"));
    let (code, said) = shop.warm(&["--space", "half"], "");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("did not name its keys") && said.contains("after "), "{said}");
    assert!(!shop.is_there("half:2004"), "nothing of it was loaded");
}

#[test]
fn another_redis_over_tls_is_walked_the_most_popular_first() {
    let shop = Shop::open();
    let redis = Redis::start_with_tls(&["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lfu"]).expect("Redis");
    for id in 1..=300 {
        redis.call(&["SET", &format!("shop:product:{id}"), "x"]).expect("stored");
    }
    for (id, times) in [(7, 200), (70, 60)] {
        for _ in 0..times {
            redis.call(&["GET", &format!("shop:product:{id}")]).expect("read");
        }
    }
    let url = redis.tls_url().expect("it speaks TLS");
    let authority = redis.certificates().expect("certificates").authority.display().to_string();
    let from = ["--from", &url, "--ca", &authority, "--prefix", "shop:"];
    let (code, said) = shop.warm(&[&from[..], &["--limit", "2"]].concat(), "");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("OBJECT FREQ") && said.contains("298 least popular"), "{said}");
    assert!(shop.is_there("product:7") && shop.is_there("product:70") && !shop.is_there("product:1"));

    // Where it counts no reads: those that were asked for last.
    redis.call(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).expect("set");
    let (code, said) = shop.warm(&from, "");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("OBJECT IDLETIME") && said.contains("300 keys"), "{said}");

    // Whoever may not ask has no order, and is told so.
    redis.call(&["ACL", "SETUSER", "bob", "on", ">pw", "~*", "+scan"]).expect("set");
    let plain = redis.url().replace("redis://", "redis://bob:pw@");
    let (code, said) = shop.warm(&["--from", &plain, "--prefix", "shop:"], "");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("in no order") && said.contains("300 keys"), "{said}");

    // A certificate that nobody here trusts, and a password that is wrong.
    let (code, said) = shop.warm(&["--from", &url], "");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.to_lowercase().contains("certificate"), "{said}");
    // The same port without TLS.
    let (code, said) = shop.warm(&["--from", &url.replace("rediss://", "redis://")], "");
    assert!(code == Some(1) && said.contains("does it want TLS? Then write rediss://"), "{said}");
    let (code, said) = shop.warm(&["--from", &plain.replace(":pw@", ":wrong@")], "");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("WRONGPASS") && !said.contains("wrong@"), "{said}");

    // A walk can be gone on with: its list is held beside the state.
    let slow = redis.url();
    for id in 1..=1500 {
        redis.call(&["SET", &format!("s:slow:{id}"), "x"]).expect("stored");
    }
    let arguments = ["--from", &slow, "--prefix", "s:", "--state", "state"];
    let mut run = Process::spawn(command(shop.server.home(), shop.server.admin(), &arguments));
    let state = shop.server.home().join("state");
    until(LIMIT, "a first batch", || state.exists().then_some(()));
    run.signal("INT");
    assert_eq!(run.wait(LIMIT).code(), Some(1), "{}", run.stderr());
    redis.call(&["FLUSHALL"]).expect("emptied");
    let (code, said) = shop.warm(&arguments, "");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1500 with those of earlier runs"), "what was found then is loaded now: {said}");
    assert!(!state.exists() && !shop.server.home().join("state.keys").exists());
}

//! Is it seen from outside how the shared tier is? `/readyz`, metrics, the log, `bellwether dlq`: on a real Redis that
//! is full, a replica, or takes rights away.

use std::thread;
use std::time::Duration;

use bellwether_servers::{Memcached, Redis};
use bellwether_system::{Bellwether, Http, Process, Resp, Value, config, until};

const LIMIT: Duration = Duration::from_secs(20);

fn text(shared: &str) -> String {
    config("", &format!("[shared]\n{shared}\n[[space]]\nmatch = \"session:{{id}}\"\nttl = \"30m\"\n"))
}

fn redis() -> Redis {
    Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"))
}

fn call(redis: &Redis, words: &[&str]) -> Value {
    Resp::connect(redis.address()).call(words)
}

fn ready(server: &Bellwether) -> String {
    let answer = Http::get(server.admin(), "/readyz");
    assert_eq!(answer.status, 200, "it serves all the same: {}", answer.text());
    answer.text().trim().to_owned()
}

/// Waits until `/readyz` says so.
fn says(server: &Bellwether, wanted: &str) {
    until(LIMIT, wanted, || (ready(server) == wanted).then_some(()));
}

/// Lines on stderr with these words.
fn lines(server: &Bellwether, words: &[&str]) -> usize {
    server.process.stderr().lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
}

#[test]
fn a_tier_that_takes_no_writes_is_a_state_of_its_own_with_its_cause() {
    let (redis, primary) = (redis(), redis());
    call(&redis, &["ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all"]);
    let url = redis.url().replace("redis://", "redis://app:secret@");
    // The backplane apart: what becomes of it is not what is looked at.
    let server = Bellwether::start(Some(&text(&format!("url = \"{url}\"\nbackplane = \"{}\"", primary.url()))));
    says(&server, "ready");
    let port = primary.address().port().to_string();
    call(&redis, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let troubles: [(&str, &[&str], &[&str]); 3] = [
        ("full", &["CONFIG", "SET", "maxmemory", "1mb"], &["CONFIG", "SET", "maxmemory", "0"]),
        ("read_only", &["REPLICAOF", "127.0.0.1", &port], &["REPLICAOF", "NO", "ONE"]),
        ("denied", &["ACL", "SETUSER", "app", "-evalsha"], &["ACL", "SETUSER", "app", "+evalsha"]),
    ];
    for (cause, ill, well) in troubles {
        call(&redis, ill);
        if cause != "read_only" {
            // A caller finds out at once; where there is none the server does by itself.
            server.connect().call(&["SET", "session:first", cause]);
        }
        says(&server, &format!("ready, degraded: shared tier: {cause}"));
        let mut client = server.connect();
        assert_eq!(client.call(&["SET", "session:a", "1"]), Value::ok(), "{cause}: memory serves");
        assert_eq!(client.call(&["GET", "session:a"]), Value::bulk("1"), "{cause}");
        let metrics = server.metrics();
        let label = format!("cause=\"{cause}\"");
        assert_eq!(metrics.sum("bellwether_shared_unwritable", &[&label]), 1.0, "{cause}");
        assert_eq!(metrics.sum("bellwether_shared_unwritable", &[]), 1.0, "{cause}: no other one");
        assert_eq!(metrics.sum("bellwether_shared_degraded", &[]), 1.0, "{cause}");
        call(&redis, well);
        says(&server, "ready");
        assert_eq!(server.metrics().sum("bellwether_shared_unwritable", &[]), 0.0, "{cause}");
        // A line when it begins, a line when it ends: not one for each failure.
        let logged = |said: &str| lines(&server, &[said, cause]);
        assert_eq!((logged("takes no writes"), logged("takes writes again")), (1, 1), "{}", server.process.stderr());
    }
}

#[test]
fn g2_a_key_of_another_type_is_removed_and_written_over() {
    let redis = redis();
    let server = Bellwether::start(Some(&text(&format!("url = \"{}\"", redis.url()))));
    let other = Bellwether::start(Some(&text(&format!("url = \"{}\"", redis.url()))));
    let mut client = server.connect();
    call(&redis, &["LPUSH", "bw:session:a", "x"]);
    assert_eq!(client.call(&["GET", "session:a"]), Value::Nil, "nobody's value");
    assert_eq!(client.call(&["DEL", "session:a"]), Value::Int(1));
    assert_eq!(call(&redis, &["TYPE", "bw:session:a"]), Value::Simple("string".into()), "a tombstone");
    call(&redis, &["DEL", "bw:session:b"]);
    call(&redis, &["SADD", "bw:session:b", "x"]);
    assert_eq!(client.call(&["SET", "session:b", "written"]), Value::ok());
    assert_eq!(other.connect().call(&["GET", "session:b"]), Value::bulk("written"), "as SET replaces any type");
    let counted = server.metrics().sum("bellwether_shared_total", &["event=\"wrong_type\""]);
    assert!(counted >= 1.0, "{counted}");
}

#[test]
fn g2_a_value_too_long_for_memcached_takes_the_older_one_away_from_everybody() {
    let memcached = Memcached::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let redis = redis();
    let shared = format!("url = \"memcached://{}\"\nbackplane = \"{}\"", memcached.address(), redis.url());
    let fleet = [Bellwether::start(Some(&text(&shared))), Bellwether::start(Some(&text(&shared)))];
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    assert_eq!(one.call(&["SET", "session:a", "old"]), Value::ok());
    assert_eq!(two.call(&["GET", "session:a"]), Value::bulk("old"));
    // Nothing that could be packed into less than what an item may have.
    let long: String = (0..1_600_000u64).map(|n| char::from(b' ' + (xorshift(n + 1) % 90) as u8)).collect();
    assert_eq!(one.call(&["SET", "session:a", &long]), Value::ok());
    until(LIMIT, "the other process to give up the older value", || {
        (two.call(&["GET", "session:a"]) == Value::Nil).then_some(())
    });
    // On a busy machine the first try may take longer than a request's budget: then it is told again.
    until(LIMIT, "it to be counted", || {
        let counted = fleet[0].metrics().sum("bellwether_shared_total", &["event=\"too_large\""]);
        (counted >= 1.0).then_some(())
    });
}

fn xorshift(mut n: u64) -> u64 {
    n = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    n ^= n >> 29;
    n = n.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    n ^ (n >> 32)
}

fn dlq(server: &Bellwether, words: &[&str]) -> (i32, String, String) {
    let mut command = Bellwether::command(&["dlq"]);
    command.args(words).args(["--admin", &format!("http://{}", server.admin())]);
    let mut process = Process::spawn(command);
    let status = process.wait(LIMIT);
    (status.code().expect("it ends by itself"), process.stdout(), process.stderr())
}

#[test]
fn what_is_tried_again_says_what_came_of_it() {
    let (redis, backplane) = (redis(), redis());
    let server =
        Bellwether::start(Some(&text(&format!("url = \"{}\"\nbackplane = \"{}\"", redis.url(), backplane.url()))));
    let mut client = server.connect();
    client.call(&["SET", "session:a", "1"]);
    redis.freeze().expect("it is stopped");
    client.call(&["DEL", "session:a"]);
    let (code, out, err) = dlq(&server, &["retry"]);
    assert!(code == 1 && err.contains("1 still owed (unreachable)"), "{code} {out} {err}");
    let (_, out, _) = dlq(&server, &["list"]);
    assert!(out.contains("unreachable") && out.contains("session:a") && out.contains("retrying"), "{out}");
    redis.thaw().expect("it goes on");
    until(LIMIT, "it to be told", || {
        let (code, out, err) = dlq(&server, &["retry"]);
        // It may have been told before anybody asked.
        assert!(code == 1 || out.contains("1 told") || out.contains("0 told"), "{out}{err}");
        (code == 0).then_some(())
    });
    let (code, _, err) = dlq(&server, &["retry", "session:none"]);
    assert!(code == 1 && err.contains("nothing is owed for 'session:none'"), "{err}");
}

fn ends(verb: &[&str], text: &str) -> (i32, String, String) {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = Bellwether::command(verb);
    command.arg(Bellwether::write(home.path(), text)).current_dir(home.path());
    let mut process = Process::spawn(command);
    let status = process.wait(LIMIT);
    (status.code().expect("it ends by itself"), process.stdout(), process.stderr())
}

#[test]
fn a_server_that_hears_nothing_of_the_others_is_turned_away() {
    let (tier, ours, other) = (redis(), redis(), redis());
    let on = |backplane: &str| text(&format!("url = \"{}\"\nbackplane = \"{backplane}\"", tier.url()));
    let first = Bellwether::start(Some(&on(&ours.url())));
    let socket = format!("redis+unix://{}", ours.socket().display());
    let refused = |wrong: String| {
        let (text, shown) = (on(&wrong), ours.url());
        move || {
            let (code, out, err) = ends(&["serve", "--config"], &text);
            assert!(code != 0 && !out.contains("ready"), "{wrong}: {code} {out}{err}");
            for word in [&wrong, &shown, "[shared] backplane", ".toml:", "bw:@@backplane", "`prefix`"] {
                assert!(err.contains(word), "{wrong}: no {word:?}: {err}");
            }
        }
    };
    // Known to be another one at once; or, as long as it is empty, once those who run had time to give it its word.
    call(&other, &["SET", "{bw}:fleet", "another"]);
    refused(other.url())();
    let empty = thread::spawn(refused(tier.url()));
    // The same one by other names is no other one.
    for right in [socket, ours.url().replace("127.0.0.1", "localhost"), ours.url()] {
        let second = Bellwether::start(Some(&on(&right)));
        assert_eq!(second.connect().call(&["SET", "session:a", &right]), Value::ok());
        let mut client = first.connect();
        until(LIMIT, "the first to hear", || (client.call(&["GET", "session:a"]) == Value::bulk(&right)).then_some(()));
    }
    // What either side has lost it is given again by those who run.
    call(&ours, &["FLUSHALL"]);
    call(&tier, &["FLUSHALL"]);
    until(LIMIT, "both to know each other again", || {
        let there = call(&ours, &["EXISTS", "{bw}:fleet"]) == Value::Int(1);
        (there && call(&tier, &["EXISTS", "bw:@@backplane"]) == Value::Int(1)).then_some(())
    });
    refused(other.url())();
    says(&first, "ready");
    empty.join().expect("it was turned away");
    // One that is put in the place of the other under a running server is told of.
    call(&ours, &["SET", "{bw}:fleet", "somebody else's"]);
    says(&first, "ready, degraded: shared tier: other_fleet");
    assert_eq!(lines(&first, &["ERROR", "hear each other over another one"]), 1, "{}", first.process.stderr());
}

#[test]
fn a_backplane_is_tried_by_check_and_needed_by_who_is_strict() {
    let (tier, backplane) = (redis(), redis());
    call(&backplane, &["ACL", "SETUSER", "app", "on", ">hush", "~*", "&*", "+@all", "-xadd"]);
    let app = backplane.url().replace("redis://", "redis://app:hush@");
    let on = |url: &str| text(&format!("url = \"{}\"\nbackplane = \"{url}\"", tier.url()));
    for (url, word) in [("redis://127.0.0.1:1", "does it run, and without TLS?"), (app.as_str(), "+xadd")] {
        for (verb, text) in [
            (&["check", "--connect"][..], on(url)),
            (&["check", "--connect"], format!("strict = true\n{}", on(url))),
            (&["serve", "--config"], format!("strict = true\n{}", on(url))),
        ] {
            let (code, out, err) = ends(verb, &text);
            assert!(code != 0 && !out.contains("ready") && !out.contains("all reached"), "{url} {verb:?}: {out}{err}");
            assert!(
                err.contains(word) && err.contains("[shared] backplane") && !err.contains("hush"),
                "{verb:?}: {err}"
            );
        }
        // Who is not strict serves, and says what is missing.
        let server = Bellwether::start(Some(&on(url)));
        assert_eq!(server.connect().call(&["SET", "session:a", "1"]), Value::ok());
        assert!(lines(&server, &["[shared] backplane", "starting without it"]) == 1, "{}", server.process.stderr());
        says(&server, "ready, degraded: backplane: not live");
    }
    let right = backplane.url();
    let (code, out, err) = ends(&["check", "--connect"], &format!("strict = true\n{}", on(&right)));
    assert!(code == 0 && out.contains("all reached"), "control: {out}{err}");
    let server = Bellwether::start(Some(&format!("strict = true\n{}", on(&right))));
    says(&server, "ready");
}

#[test]
fn a_tier_that_was_silent_is_asked_by_itself_whether_it_still_is() {
    let (redis, memcached) = (redis(), Memcached::start(&[]).unwrap_or_else(|error| panic!("{error}")));
    let tiers: [(String, &bellwether_servers::Running); 2] =
        [(redis.url(), &redis), (format!("memcached://{}", memcached.address()), &memcached)];
    for (url, tier) in tiers {
        // Nothing is resident for others than those who ask the tier, and copies are compared once in ten minutes.
        let space = "[[space]]\nmatch = \"session:{id}\"\nttl = \"30m\"\ntiers = [\"shared\"]\n";
        let server =
            Bellwether::start(Some(&config("", &format!("[shared]\nurl = \"{url}\"\nresync = \"10m\"\n{space}"))));
        let mut client = server.connect();
        assert_eq!(client.call(&["SET", "session:k", "v"]), Value::ok());
        let suspect = || server.metrics().sum("bellwether_requests_total", &["why=\"suspect\""]);
        assert_eq!(
            (client.call(&["GET", "session:k"]), suspect()),
            (Value::bulk("v"), 0.0),
            "control: the tier answers"
        );
        tier.freeze().expect("it is stopped");
        // What is being stopped may answer once more.
        until(LIMIT, "the silence to be met", || {
            assert_eq!(client.call(&["GET", "session:k"]), Value::bulk("v"), "the first is answered as those after it");
            (suspect() > 0.0).then_some(())
        });
        for nth in 2..=4 {
            assert_eq!(client.call(&["GET", "session:k"]), Value::bulk("v"), "{url}");
            assert_eq!(suspect(), f64::from(nth), "{url}: labelled");
        }
        tier.thaw().expect("it goes on");
        until(LIMIT, "the tier to answer again", || {
            let before = suspect();
            assert_eq!(client.call(&["GET", "session:k"]), Value::bulk("v"));
            (suspect() == before).then_some(())
        });
    }
}

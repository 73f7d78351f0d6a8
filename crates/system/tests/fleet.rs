//! Do several processes behave like one? Real `bellwether serve`s on one real Redis.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use bellwether_servers::{Memcached, Redis};
use bellwether_system::{Bellwether, Http, Mode, Origin, Process, Resp, Value, config, until};

const LIMIT: Duration = Duration::from_secs(20);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What the origin says to a path that was not set.
fn path(path: &str) -> Value {
    Value::bulk(&format!("{{\"path\":\"{path}\"}}"))
}

/// What `redis` itself answers.
fn ask(redis: &Redis, words: &[&str]) -> Value {
    Resp::connect(redis.address()).call(words)
}

fn redis() -> Redis {
    Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"))
}

/// Spaces over `origin` behind the tier at `url`.
fn text(url: &str, shared: &str, origin: &Origin) -> String {
    let rest = format!(
        "[shared]\nurl = \"{url}\"\nresync = \"1s\"\n{shared}\n\
         [origin.api]\nhttp = \"{}\"\nmax_concurrency = 128\ntimeout = \"5s\"\n\
         [[space]]\nmatch = \"v:{{id}}\"\norigin = \"api\"\nget = \"/v/{{id}}\"\nttl = \"10m\"\ntimeout = \"5s\"\ntags = [\"all\"]\n\
         [[space]]\nmatch = \"session:{{id}}\"\nttl = \"30m\"\n\
         [[space]]\nmatch = \"near:{{id}}\"\nttl = \"30m\"\ntiers = [\"memory\"]\n",
        origin.url()
    );
    config("", &rest)
}

fn fleet(redis: &Redis, origin: &Origin, processes: usize) -> Vec<Bellwether> {
    (0..processes).map(|_| Bellwether::start(Some(&text(&redis.url(), "", origin)))).collect()
}

#[test]
fn g1_a_cold_fleet_loads_once() {
    let (redis, origin) = (redis(), Origin::start());
    // One load is promised while the tier answers in time: on a machine that is full, Redis itself waits longer for a processor
    // than a request waits for Redis unless told otherwise.
    let text = text(&redis.url(), "timeout = \"1s\"", &origin);
    let fleet: Vec<_> = (0..3).map(|_| Bellwether::start(Some(&text))).collect();
    origin.delay(ms(300));
    thread::scope(|scope| {
        for server in &fleet {
            for _ in 0..20 {
                scope.spawn(|| assert_eq!(server.connect().call(&["GET", "v:herd"]), path("/v/herd")));
            }
        }
    });
    let said: Vec<_> = fleet.iter().map(|server| server.metrics().shown("bellwether_shared_total")).collect();
    assert_eq!(origin.requests_for("/v/herd"), 1, "60 callers of three processes\n{}", said.join("--\n"));
    let near: Vec<_> =
        fleet.iter().map(|server| server.metrics().sum("bellwether_loads_total", &["result=\"success\""])).collect();
    assert_eq!(near.iter().sum::<f64>(), 1.0, "{near:?}");
    until(LIMIT, "the tier to have it", || (ask(&redis, &["EXISTS", "bw:v:herd"]) == Value::Int(1)).then_some(()));
    let stored = ask(&redis, &["GETRANGE", "bw:v:herd", "0", "3"]);
    assert_eq!(stored, Value::Bulk(b"\xb5BW1".to_vec()), "an envelope under the key as it is written");
    for server in &fleet {
        // Two of them took it over, and were told of hashes.
        let told = Http::get(server.admin(), "/api/explain/v:herd").json();
        assert_eq!(told["entry"]["tags"], serde_json::json!(["all"]), "{told}");
    }
}

#[test]
fn a_value_that_nobody_read_for_long_is_still_there_in_every_process() {
    let (redis, origin) = (redis(), Origin::start());
    let fleet = fleet(&redis, &origin, 2);
    assert_eq!(fleet[0].connect().call(&["SET", "session:quiet", "hello"]), Value::Simple("OK".into()));
    assert_eq!(fleet[1].connect().call(&["GET", "session:quiet"]), Value::bulk("hello"));
    // Past `resync` and its margin copies must be confirmed before they are served: that they are, not that they are gone.
    thread::sleep(ms(2500));
    for server in &fleet {
        assert_eq!(server.connect().call(&["GET", "session:quiet"]), Value::bulk("hello"));
        assert_eq!(server.connect().call(&["MGET", "session:quiet"]), Value::Array(vec![Value::bulk("hello")]));
    }
}

#[test]
fn g2_a_removal_is_seen_by_all_and_acknowledged_when_the_tier_knows() {
    let (redis, origin) = (redis(), Origin::start());
    let fleet = fleet(&redis, &origin, 2);
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    origin.set("/v/a", "old");
    assert_eq!((one.call(&["GET", "v:a"]), two.call(&["GET", "v:a"])), (Value::bulk("old"), Value::bulk("old")));
    origin.set("/v/a", "new");
    assert_eq!(one.call(&["DEL", "v:a"]), Value::Int(1));
    assert_eq!(one.call(&["GET", "v:a"]), Value::bulk("new"), "here at once");
    let since = Instant::now();
    until(LIMIT, "the other process to see it", || (two.call(&["GET", "v:a"]) == Value::bulk("new")).then_some(()));
    assert!(since.elapsed() < Duration::from_secs(3), "by `resync` at the latest: {:?}", since.elapsed());
    assert_eq!(origin.requests_for("/v/a"), 2);
    // What was resident elsewhere alone counts as well. A load beside a removal is not kept: it is asked for again.
    assert_eq!(two.call(&["DEL", "v:other"]), Value::Int(0));
    until(LIMIT, "the tier to have it", || {
        one.call(&["GET", "v:other"]);
        (ask(&redis, &["STRLEN", "bw:v:other"]).int() > 80).then_some(())
    });
    assert_eq!(two.call(&["DEL", "v:other"]), Value::Int(1));
}

#[test]
fn what_one_process_writes_to_a_plain_space_another_reads() {
    let (redis, origin) = (redis(), Origin::start());
    let fleet = fleet(&redis, &origin, 2);
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    assert_eq!(one.call(&["SET", "session:a", "1"]), Value::ok());
    assert_eq!(two.call(&["GET", "session:a"]), Value::bulk("1"));
    assert_eq!(two.call(&["MGET", "session:a", "session:none"]).items(), [Value::bulk("1"), Value::Nil]);
    assert_eq!(one.call(&["SET", "session:b", "2", "EX", "100"]), Value::ok());
    for (command, answer) in [
        (&["TTL", "session:b"][..], Value::Int(100)),
        (&["SET", "session:b", "3", "NX"], Value::Nil),
        (&["EXISTS", "session:b"], Value::Int(1)),
        (&["STRLEN", "session:b"], Value::Int(1)),
        (&["GETDEL", "session:b"], Value::bulk("2")),
    ] {
        assert_eq!(two.call(command), answer, "{command:?}");
    }
    until(LIMIT, "the first to see it", || (one.call(&["GET", "session:b"]) == Value::Nil).then_some(()));
    // A pipeline of one connection is in order, whatever has to be told meanwhile.
    let answers = one.pipeline(&[
        vec!["SET", "session:p", "1"],
        vec!["GET", "session:p"],
        vec!["DEL", "session:p"],
        vec!["GET", "session:p"],
    ]);
    assert_eq!(answers, [Value::ok(), Value::bulk("1"), Value::Int(1), Value::Nil]);
    let batch = one.pipeline(&[vec!["MULTI"], vec!["SET", "session:m", "1"], vec!["GET", "session:m"], vec!["EXEC"]]);
    assert_eq!(batch[3].items(), [Value::ok(), Value::bulk("1")]);
    // Control: what lives in memory alone stays there.
    assert_eq!(one.call(&["SET", "near:a", "1"]), Value::ok());
    assert_eq!(two.call(&["GET", "near:a"]), Value::Nil);
    assert_eq!(ask(&redis, &["EXISTS", "bw:near:a"]), Value::Int(0));
    assert_eq!(ask(&redis, &["EXISTS", "bw:session:a"]), Value::Int(1));
}

/// A wait with a limit far below `resync`, so that only the backplane can have told.
const TOLD: Duration = Duration::from_secs(5);

/// Two processes that compare once a minute.
fn slow_to_compare(redis: &Redis, origin: &Origin) -> Vec<Bellwether> {
    let text = text(&redis.url(), "", origin).replace("resync = \"1s\"", "resync = \"1m\"");
    (0..2).map(|_| Bellwether::start(Some(&text))).collect()
}

#[test]
fn g2_the_backplane_tells_of_keys_and_tags_long_before_anybody_compares() {
    let (redis, origin) = (redis(), Origin::start());
    let fleet = slow_to_compare(&redis, &origin);
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    for (key, change) in [("v:k", vec!["DEL", "v:k"]), ("v:t", vec!["BW.TAG.REMOVE", "all"])] {
        let at = format!("/v/{}", &key[2..]);
        origin.set(&at, "old");
        until(LIMIT, "both to have it", || {
            (one.call(&["GET", key]) == Value::bulk("old") && two.call(&["GET", key]) == Value::bulk("old"))
                .then_some(())
        });
        origin.set(&at, "new");
        one.call(&change);
        until(TOLD, "the other process to hear of it", || {
            (two.call(&["GET", key]) == Value::bulk("new")).then_some(())
        });
        assert_eq!(one.call(&["GET", key]), Value::bulk("new"));
    }
}

#[test]
fn a_clients_own_cache_hears_of_what_another_process_changed() {
    let (redis, origin) = (redis(), Origin::start());
    let fleet = slow_to_compare(&redis, &origin);
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    assert_eq!(one.call(&["SET", "session:a", "1"]), Value::ok());
    let subscribed = two.call(&["SUBSCRIBE", "bellwether:invalidate"]);
    assert_eq!(subscribed.items().len(), 3);
    two.read_limit(TOLD);
    assert_eq!(one.call(&["DEL", "session:a"]), Value::Int(1));
    let told = two.read().expect("it is told");
    assert_eq!(told.items()[2], Value::bulk("key session:a"));
}

#[test]
fn what_a_client_keeps_ends_with_resync_where_its_server_hears_of_nothing() {
    let told = |backplane: &str| {
        let (redis, origin) = (redis(), Origin::start());
        let server = Bellwether::start(Some(&text(&redis.url(), backplane, &origin)));
        let (mut ear, mut client) = (server.connect(), server.connect());
        let id = ear.call(&["CLIENT", "ID"]).text();
        assert_eq!(ear.call(&["SUBSCRIBE", "__redis__:invalidate"]).items().len(), 3);
        until(LIMIT, "the server to follow the backplane, if there is one", || {
            let live = server.metrics().sum("bellwether_backplane_live", &[]);
            (backplane.contains("off") || live == 1.0).then_some(())
        });
        assert_eq!(client.call(&["CLIENT", "TRACKING", "ON", "REDIRECT", &id]), Value::ok());
        assert_eq!(client.call(&["GET", "v:kept"]), path("/v/kept"));
        ear.read_limit(Duration::from_secs(3));
        ear.read().ok().map(|told| told.items()[2].clone())
    };
    assert_eq!(told("backplane = \"off\""), Some(Value::Array(vec![Value::bulk("v:kept")])), "after a second");
    assert_eq!(told(""), None, "control: with a backplane it is good for ten minutes");
}

#[test]
fn what_is_removed_while_a_client_reads_it_is_told_behind_the_reply_whoever_removed_it() {
    let (redis, origin) = (redis(), Origin::start());
    let fleet = fleet(&redis, &origin, 2);
    until(LIMIT, "the first to follow the backplane", || {
        (fleet[0].metrics().sum("bellwether_backplane_live", &[]) == 1.0).then_some(())
    });
    origin.delay(ms(700));
    for (key, remover) in [("here", &fleet[0]), ("there", &fleet[1])] {
        let mut reader = fleet[0].connect();
        let said = format!("HELLO 3\r\nCLIENT TRACKING ON\r\nGET v:{key}\r\n");
        reader.send_raw(said.as_bytes()).expect("it is sent");
        let under_way = format!("/v/{key}");
        until(LIMIT, "the load to begin", || (origin.requests_for(&under_way) == 1).then_some(()));
        remover.connect().call(&["DEL", &format!("v:{key}")]);
        // Long enough for the reply, and for what is told late.
        thread::sleep(ms(1500));
        reader.send_raw(b"QUIT\r\n").expect("it is sent");
        let heard = String::from_utf8(reader.read_to_close(10_000).expect("all of it")).expect("text");
        let body = format!("{{\"path\":\"/v/{key}\"}}");
        let reply = format!("${}\r\n{body}\r\n", body.len());
        let name = format!("v:{key}");
        let told = format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n${}\r\n{name}\r\n", name.len());
        let (before, after) = heard.split_once(&reply).unwrap_or_else(|| panic!("no reply: {heard:?}"));
        assert!(after.contains(&told), "removed {key}: {heard:?}");
        // That is what makes it hard: it was told before as well, when nothing could be thrown away yet.
        assert!(before.contains(&told), "control, removed {key}: {heard:?}");
    }
}

#[test]
fn a_memcached_fleet_is_a_shared_tier_too() {
    let memcached: Vec<Memcached> =
        (0..2).map(|_| Memcached::start(&[]).unwrap_or_else(|error| panic!("{error}"))).collect();
    let origin = Origin::start();
    let url = format!("memcached://{},{}", memcached[0].address(), memcached[1].address());
    let fleet: Vec<Bellwether> = (0..2).map(|_| Bellwether::start(Some(&text(&url, "", &origin)))).collect();
    origin.delay(ms(200));
    thread::scope(|scope| {
        for server in &fleet {
            for _ in 0..10 {
                scope.spawn(|| assert_eq!(server.connect().call(&["GET", "v:herd"]), path("/v/herd")));
            }
        }
    });
    assert_eq!(origin.requests_for("/v/herd"), 1);
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    for i in 0..20 {
        let key = format!("session:{i}");
        assert_eq!(one.call(&["SET", &key, "v"]), Value::ok());
        assert_eq!(two.call(&["GET", &key]), Value::bulk("v"), "{key}");
    }
    assert_eq!(two.call(&["DEL", "session:1"]), Value::Int(1));
    until(LIMIT, "the other process to see it", || (one.call(&["GET", "session:1"]) == Value::Nil).then_some(()));
}

#[test]
fn what_redis_cli_wrote_is_handed_out_unchanged() {
    let (redis, origin) = (redis(), Origin::start());
    let fleet = fleet(&redis, &origin, 1);
    ask(&redis, &["SET", "bw:session:foreign", "not ours", "EX", "100"]);
    ask(&redis, &["SET", "bw:v:foreign", "not ours"]);
    let mut client = fleet[0].connect();
    assert_eq!(client.call(&["GET", "session:foreign"]), Value::bulk("not ours"));
    assert_eq!(client.call(&["GET", "v:foreign"]), Value::bulk("not ours"));
    assert_eq!(origin.requests(), 0);
    // Its freshness is what it says there, not the time until somebody looks again.
    let left = client.call(&["TTL", "session:foreign"]).int();
    assert!((90..=100).contains(&left), "{left}");
    assert_eq!(ask(&redis, &["GET", "bw:v:foreign"]), Value::bulk("not ours"), "and never rewritten");
    // Nobody tells of what others write there: it is noticed all the same.
    ask(&redis, &["SET", "bw:session:foreign", "changed", "EX", "50"]);
    let since = Instant::now();
    until(LIMIT, "the change to be noticed", || {
        (client.call(&["GET", "session:foreign"]) == Value::bulk("changed")).then_some(())
    });
    assert!(since.elapsed() < Duration::from_secs(4), "by `resync` and a quarter: {:?}", since.elapsed());
    assert!((40..=50).contains(&client.call(&["TTL", "session:foreign"]).int()));
}

#[test]
fn a_frozen_tier_costs_its_budget_and_no_answer() {
    let (redis, origin) = (redis(), Origin::start());
    let fleet = fleet(&redis, &origin, 2);
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    one.call(&["GET", "v:warm"]);
    redis.freeze().expect("it is stopped");
    for i in 0..30 {
        let key = format!("v:{i}");
        assert_eq!(one.call(&["GET", &key]), path(&format!("/v/{i}")), "everybody is answered");
        assert_eq!(two.call(&["GET", &key]), path(&format!("/v/{i}")));
    }
    assert_eq!(one.call(&["SET", "session:a", "1"]), Value::ok());
    assert_eq!(one.call(&["GET", "session:a"]), Value::bulk("1"));
    assert_eq!(one.call(&["DEL", "v:warm"]), Value::Int(1), "it holds here");
    let queued = fleet[0].metrics().sum("bellwether_requests_total", &["why=\"invalidation_queued\""]);
    assert!(queued >= 1.0, "{queued}");
    let ready = Http::get(fleet[0].admin(), "/readyz");
    assert!(ready.status == 200 && ready.text().contains("degraded"), "{} {}", ready.status, ready.text());
    redis.thaw().expect("it goes on");
    until(LIMIT, "what was queued to be told", || {
        (fleet[0].metrics().sum("bellwether_shared_pending", &[]) == 0.0).then_some(())
    });
    assert_eq!(two.call(&["GET", "session:a"]), Value::bulk("1"), "written while it was frozen");
    until(LIMIT, "all to be well", || Http::get(fleet[0].admin(), "/readyz").text().eq("ready\n").then_some(()));
}

fn ends(command: Command) -> (i32, String, String) {
    let mut process = Process::spawn(command);
    let status = process.wait(LIMIT);
    (status.code().expect("it ends by itself"), process.stdout(), process.stderr())
}

fn run(verb: &[&str], text: &str) -> (i32, String, String) {
    let home = tempfile::tempdir().expect("a directory");
    let file = Bellwether::write(home.path(), text);
    let mut command = Bellwether::command(verb);
    command.arg(file).current_dir(home.path());
    ends(command)
}

#[test]
fn a_tier_that_is_not_there_keeps_the_server_from_starting_only_if_it_is_told_so() {
    let origin = Origin::start();
    let locked = Redis::start(&["--requirepass", "right"]).unwrap_or_else(|error| panic!("{error}"));
    let wrong = locked.url().replace("redis://", "redis://:wrong@");
    let nobody = "redis://127.0.0.1:1".to_owned();
    for (url, said) in [(&nobody, "[shared]"), (&wrong, "[shared]")] {
        let refuse = text(url, "on_start = \"refuse\"", &origin);
        for verb in [&["serve", "--config"][..], &["check", "--connect"]] {
            let (code, out, err) = run(verb, &refuse);
            assert!(code != 0 && !out.contains("ready"), "{url}: {code} {out}{err}");
            assert!(err.contains(said) && !err.contains("wrong@") && err.contains(".toml:"), "{err}");
        }
        // Not even degraded is a tier reached that is not there.
        let (code, _, err) = run(&["check", "--connect"], &text(url, "", &origin));
        assert!(code == 2 && err.contains(said), "{code} {err}");
        let server = Bellwether::start(Some(&text(url, "", &origin)));
        assert!(server.process.stderr().contains("starting without it"), "{}", server.process.stderr());
        assert_eq!(server.connect().call(&["GET", "v:a"]), path("/v/a"));
        assert_eq!(server.connect().call(&["SET", "session:a", "1"]), Value::ok());
        assert_eq!(server.connect().call(&["GET", "session:a"]), Value::bulk("1"));
    }
    let right = locked.url().replace("redis://", "redis://:right@");
    let (code, out, err) = run(&["check", "--connect"], &text(&right, "on_start = \"refuse\"", &origin));
    assert_eq!(code, 0, "control: {out}{err}");
    assert!(err.contains("warning:") && err.contains("maxmemory"), "what could be better is said: {err}");
}

#[test]
fn check_compares_with_the_fleet_and_leaves_nothing_behind() {
    let (redis, origin) = (redis(), Origin::start());
    let ours = text(&redis.url(), "", &origin);
    let (code, out, err) = run(&["check", "--connect"], &ours);
    assert!(code == 0 && out.contains("all reached"), "{out}{err}");
    // What was tried out ends by itself within a moment.
    let nothing = Value::Array(Vec::new());
    until(LIMIT, "nothing to be left", || (ask(&redis, &["KEYS", "*"]) == nothing).then_some(()));
    let _first = Bellwether::start(Some(&ours));
    thread::sleep(ms(1_500));
    assert_ne!(ask(&redis, &["KEYS", "bw:@@*"]), nothing, "control: who serves writes down whose it is");
    let (code, out, err) = run(&["check", "--connect"], &text(&redis.url(), "backplane = \"off\"", &origin));
    assert!(code == 2 && out.is_empty() && err.contains("another fleet with other settings"), "{out}{err}");
    let (code, out, err) = run(&["check", "--connect"], &ours);
    assert!(code == 0 && out.contains("all reached"), "{out}{err}");
}

#[test]
fn check_asks_an_http_origin_for_the_first_of_its_keys() {
    let origin = Origin::start();
    let text = |path: &str| {
        let space = "[[space]]\nmatch = \"v:{id}\"\norigin = \"api\"\nget = \"/v/{id}\"\nttl = \"10m\"\n";
        config("", &format!("[origin.api]\nhttp = \"{}\"\n{space}keys = \"{path}\"\n", origin.url()))
    };
    origin.set("/keys", "v:1\nv:2\n");
    let (code, out, err) = run(&["check", "--connect"], &text("/keys"));
    assert!(code == 0 && out.contains("all reached"), "{out}{err}");
    let (code, _, err) = run(&["check", "--connect"], &text("/absent/keys"));
    assert!(
        code == 2 && err.contains(".toml:") && err.contains("keys = \"/absent/keys\", which names no keys"),
        "{err}"
    );
}

#[test]
fn a_fleet_with_other_settings_is_turned_away() {
    let (redis, origin) = (redis(), Origin::start());
    let first = Bellwether::start(Some(&text(&redis.url(), "", &origin)));
    let other = text(&redis.url(), "backplane = \"off\"", &origin);
    let (code, out, err) = run(&["serve", "--config"], &other);
    assert!(code != 0 && !out.contains("ready"), "{code} {out}");
    for word in ["another fleet with other settings", "a `prefix` of its own", "bw:@@fleet", ".toml:"] {
        assert!(err.contains(word), "no {word:?}: {err}");
    }
    let apart = Bellwether::start(Some(&text(&redis.url(), "backplane = \"off\"\nprefix = \"other:\"", &origin)));
    assert_eq!(apart.connect().call(&["GET", "v:a"]), path("/v/a"));
    assert_eq!(first.connect().call(&["GET", "v:a"]), path("/v/a"));
    assert_eq!(origin.requests_for("/v/a"), 2, "two fleets");
}

#[test]
fn a_failing_origin_fails_once_for_the_fleet() {
    let (redis, origin) = (redis(), Origin::start());
    let fleet = fleet(&redis, &origin, 2);
    origin.mode(Mode::Status(500));
    let answers: Vec<Value> = fleet.iter().map(|server| server.connect().call(&["GET", "v:broken"])).collect();
    assert!(answers.iter().all(|answer| answer.error().is_some()), "{answers:?}");
    assert_eq!(origin.requests_for("/v/broken"), 1, "the others see that it failed: {answers:?}");
}

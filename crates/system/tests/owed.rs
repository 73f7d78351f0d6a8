//! Does what the shared tier could not be told hold all the same? A removal outlives the process that acknowledged it; a
//! write outlives what is heard of older ones.

use std::path::Path;
use std::time::Duration;

use bellwether_servers::{Memcached, Redis};
use bellwether_system::{Bellwether, Origin, Resp, Value, config, until};

const LIMIT: Duration = Duration::from_secs(20);

/// Processes that compare their copies once in ten minutes: whoever notices sooner was told.
fn text(redis: &Redis, origin: &Origin, disk: Option<&Path>) -> String {
    let disk = disk.map(|path| format!("[disk]\npath = \"{}\"\n", path.display())).unwrap_or_default();
    let rest = format!(
        "[shared]\nurl = \"{}\"\nresync = \"10m\"\n{disk}[origin.api]\nhttp = \"{}\"\n\
         [[space]]\nmatch = \"v:{{id}}\"\norigin = \"api\"\nget = \"/v/{{id}}\"\nttl = \"1h\"\n",
        redis.url(),
        origin.url()
    );
    config("", &rest)
}

/// A removal at a process with or without a disk, acknowledged while Redis stands still; then `kill -9`, and another
/// life. What the other process serves before that life and at the end, and whether Redis still has the old value.
fn removed_and_killed(remembers: bool) -> (Value, Value, bool) {
    let (redis, origin) = (Redis::start(&[]).unwrap_or_else(|error| panic!("{error}")), Origin::start());
    let home = tempfile::tempdir().expect("a directory");
    let disk = home.path().join("tier");
    let start = || Bellwether::start(Some(&text(&redis, &origin, remembers.then_some(disk.as_path()))));
    let other = Bellwether::start(Some(&text(&redis, &origin, None)));
    let mut hears = other.connect();
    origin.set("/v/k", "old");
    let first = start();
    let mut client = first.connect();
    for client in [&mut client, &mut hears] {
        assert_eq!(client.call(&["GET", "v:k"]), Value::bulk("old"));
    }
    until(LIMIT, "the tier to have it", || {
        (Resp::connect(redis.address()).call(&["STRLEN", "bw:v:k"]).int() > 80).then_some(())
    });
    redis.freeze().expect("it is stopped");
    // What is sent now is executed once it goes on: nothing more is sent to a server that is known to be silent.
    let begun = std::time::Instant::now();
    until(LIMIT, "the silence to be noticed", || {
        client.call(&["GET", &format!("v:{}", begun.elapsed().as_millis())]);
        (first.metrics().sum("bellwether_shared_degraded", &[]) == 1.0).then_some(())
    });
    origin.set("/v/k", "new");
    assert_eq!(client.call(&["DEL", "v:k"]), Value::Int(1), "acknowledged");
    let queued = first.metrics().sum("bellwether_requests_total", &["why=\"invalidation_queued\""]);
    assert!(queued >= 1.0, "and said to be queued");
    // `kill -9`, with nothing said to anybody.
    drop(first);
    redis.thaw().expect("it goes on");
    let before = hears.call(&["GET", "v:k"]);
    let second = start();
    let mut client = second.connect();
    let begun = std::time::Instant::now();
    let mut last = hears.call(&["GET", "v:k"]);
    while last != Value::bulk("new") && begun.elapsed() < Duration::from_secs(3) {
        std::thread::sleep(Duration::from_millis(20));
        last = hears.call(&["GET", "v:k"]);
    }
    if remembers {
        assert_eq!(client.call(&["GET", "v:k"]), Value::bulk("new"), "nor is it believed in the next life");
        assert_eq!(second.metrics().sum("bellwether_shared_pending", &[]), 0.0, "nothing is owed any more");
    }
    let mut resp = Resp::connect(redis.address());
    let stored = resp.call(&["GET", "bw:v:k"]);
    let is_old = matches!(&stored, Value::Bulk(bytes) if bytes.ends_with(b"old"));
    (before, last, is_old)
}

#[test]
fn g2_a_removal_that_was_queued_reaches_redis_and_the_others_after_a_kill() {
    let old = Value::bulk("old");
    assert_eq!(removed_and_killed(true), (old.clone(), Value::bulk("new"), false));
    // Control: without a disk it died with its process.
    assert_eq!(removed_and_killed(false), (old.clone(), old, true));
}

/// Two processes with a plain space behind one Redis.
fn plain_fleet(redis: &Redis, memory: &str) -> [Bellwether; 2] {
    plain_fleet_at(&redis.url(), memory, "10m")
}

fn plain_fleet_at(url: &str, memory: &str, resync: &str) -> [Bellwether; 2] {
    let rest = format!(
        "[memory]\nlimit = \"{memory}\"\neviction = \"lru\"\n[shared]\nurl = \"{url}\"\nresync = \"{resync}\"\n\
         [[space]]\nmatch = \"user:{{id}}\"\nttl = \"30m\"\n"
    );
    let text = config("", &rest);
    [(), ()].map(|()| Bellwether::start(Some(&text)))
}

fn told(fleet: &[Bellwether; 2]) {
    until(LIMIT, "the tier to be told", || {
        let owed = fleet.iter().map(|server| server.metrics().sum("bellwether_shared_pending", &[])).sum::<f64>();
        (owed == 0.0).then_some(())
    });
}

#[test]
fn a_write_that_is_owed_outlives_what_is_heard_of_older_ones() {
    let redis = Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let fleet = plain_fleet(&redis, "64 MiB");
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    // Both have heard of each other.
    for client in [&mut one, &mut two] {
        assert_eq!(client.call(&["SET", "user:first", "v"]), Value::ok());
    }
    for round in 0..10 {
        let key = format!("user:{round}");
        assert_eq!(one.call(&["SET", &key, "old"]), Value::ok());
        // On a busy machine it may be queued as well, and told after the newer one.
        told(&fleet);
        // The message of it is heard when Redis goes on.
        redis.freeze().expect("it is stopped");
        assert_eq!(two.call(&["SET", &key, "new"]), Value::ok());
        redis.thaw().expect("it goes on");
        told(&fleet);
        for client in [&mut one, &mut two] {
            until(LIMIT, "the newer one", || (client.call(&["GET", &key]) == Value::bulk("new")).then_some(()));
        }
        // Control: what is newer than the write replaces it, at both.
        assert_eq!(one.call(&["SET", &key, "newer"]), Value::ok());
        until(LIMIT, "the newest", || (two.call(&["GET", &key]) == Value::bulk("newer")).then_some(()));
        assert_eq!(two.call(&["DEL", &key]), Value::Int(1));
        until(LIMIT, "the removal", || (one.call(&["GET", &key]) == Value::Nil).then_some(()));
    }
}

#[test]
fn a_write_that_is_owed_outlives_its_place_in_memory() {
    let redis = Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let fleet = plain_fleet(&redis, "4 MiB");
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    assert_eq!(one.call(&["SET", "user:k", "old"]), Value::ok());
    redis.freeze().expect("it is stopped");
    assert_eq!(two.call(&["SET", "user:k", "new"]), Value::ok());
    // Pushed out of memory by others.
    let large = "x".repeat(200_000);
    let keys: Vec<String> = (0..60).map(|n| format!("user:large{n}")).collect();
    let commands: Vec<Vec<&str>> = keys.iter().map(|key| vec!["SET", key, &large]).collect();
    assert!(two.pipeline(&commands).iter().all(|answer| *answer == Value::ok()));
    assert_eq!(two.call(&["GET", "user:k"]), Value::bulk("new"), "it is served meanwhile");
    assert!(fleet[1].metrics().sum("bellwether_evictions_total", &[]) > 0.0, "control: memory was too small for all");
    redis.thaw().expect("it goes on");
    told(&fleet);
    for client in [&mut one, &mut two] {
        until(LIMIT, "the newer one", || (client.call(&["GET", "user:k"]) == Value::bulk("new")).then_some(()));
    }
}

/// What two processes end up with, under each key, that one of them removed or took while the tier stood still and of which
/// the other has set some as soon as it went on: `away` after.
fn set_after_a_queued_removal(
    url: &str,
    away: Duration,
    freeze: impl Fn(),
    thaw: impl Fn(),
) -> Vec<(String, bool, [Value; 2])> {
    let fleet = plain_fleet_at(url, "64 MiB", "10m");
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    let keys: Vec<(String, bool)> =
        (0..12).map(|n| (format!("user:{}{n}", ["del", "getdel", "unlink"][n % 3]), n % 4 != 0)).collect();
    for (key, _) in &keys {
        assert_eq!(one.call(&["SET", key, "old"]), Value::ok());
    }
    told(&fleet);
    freeze();
    // What is being stopped may answer for a moment yet.
    until(LIMIT, "the silence to be noticed", || {
        one.call(&["GET", "user:nothing"]);
        (fleet[0].metrics().sum("bellwether_shared_degraded", &[]) == 1.0).then_some(())
    });
    for (key, _) in &keys {
        let verb = key.trim_start_matches("user:").trim_end_matches(|digit: char| digit.is_ascii_digit());
        assert!(matches!(one.call(&[&verb.to_uppercase(), key]), Value::Int(1) | Value::Bulk(_)), "{key}");
    }
    assert!(fleet[0].metrics().sum("bellwether_shared_pending", &[]) >= 12.0, "control: the tier was told nothing");
    std::thread::sleep(away);
    thaw();
    for (key, _) in keys.iter().filter(|(_, set)| *set) {
        assert_eq!(two.call(&["SET", key, "new"]), Value::ok());
    }
    told(&fleet);
    let ends = |key: &str, one: &mut Resp, two: &mut Resp| [one, two].map(|client| client.call(&["GET", key]));
    keys.into_iter().map(|(key, set)| (key.clone(), set, ends(&key, &mut one, &mut two))).collect()
}

#[test]
fn g3_a_removal_that_was_queued_leaves_what_another_process_has_stored_since() {
    let redis = Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let memcached = Memcached::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let at_redis = set_after_a_queued_removal(
        &redis.url(),
        Duration::from_millis(400),
        || redis.freeze().expect("it is stopped"),
        || redis.thaw().expect("it goes on"),
    );
    // Memcached tells nobody the time: what came within two seconds of the removal may be older than it.
    let at_memcached = set_after_a_queued_removal(
        &format!("memcached://{}", memcached.address()),
        Duration::from_millis(3_500),
        || memcached.freeze().expect("it is stopped"),
        || {
            memcached.thaw().expect("it goes on");
            // Its seconds stood still with it, and go on in a moment.
            std::thread::sleep(Duration::from_millis(300));
        },
    );
    for (key, set, ends) in at_redis.into_iter().chain(at_memcached) {
        // Control: what was there before the removal is gone.
        let expected = if set { Value::bulk("new") } else { Value::Nil };
        assert_eq!(ends, [expected.clone(), expected], "{key}");
    }
}

#[test]
fn g3_of_two_writes_that_were_queued_the_earlier_one_is_never_left() {
    let redis = Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let fleet = plain_fleet_at(&redis.url(), "64 MiB", "300ms");
    let mut clients = [fleet[0].connect(), fleet[1].connect()];
    let keys: Vec<String> = (0..12).map(|n| format!("user:{n}")).collect();
    for key in &keys {
        assert_eq!(clients[0].call(&["SET", key, "old"]), Value::ok());
    }
    redis.freeze().expect("it is stopped");
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(clients[n % 2].call(&["SET", key, "earlier"]), Value::ok());
    }
    std::thread::sleep(Duration::from_millis(200));
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(clients[1 - n % 2].call(&["SET", key, "later"]), Value::ok());
    }
    redis.thaw().expect("it goes on");
    told(&fleet);
    std::thread::sleep(Duration::from_millis(700));
    let mut later = 0;
    for key in &keys {
        let [one, two] = clients.each_mut().map(|client| client.call(&["GET", key]));
        // What hears of the other's in time is given up, even if it was the later one: rather a miss than an older value.
        assert!(one == two && [Value::bulk("later"), Value::Nil].contains(&one), "{key}: {one:?} {two:?}");
        later += usize::from(one != Value::Nil);
    }
    assert!(later > 0, "control: writes that are owed reach the tier");
}

//! Does what is said to one process of a fleet hold in all of them? Keys that will be hot, and tags that are stale.

use std::time::Duration;

use bellwether_servers::Redis;
use bellwether_system::{Bellwether, Http, Origin, Resp, Value, config, tool, until};
use serde_json::Value as Json;

const LIMIT: Duration = Duration::from_secs(20);
/// Of processes that are told at once, and far below the time after which they look by themselves.
const TOLD: Duration = Duration::from_secs(8);

fn redis() -> Redis {
    Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"))
}

/// Two spaces over `origin`; nothing is compared with the tier while a test lasts.
fn process(redis: &Redis, origin: &Origin, more: &str) -> Bellwether {
    let rest = format!(
        "[shared]\nurl = \"{}\"\nresync = \"1m\"\n[origin.api]\nhttp = \"{}\"\n\
         [[space]]\nmatch = \"v:{{id}}\"\norigin = \"api\"\nget = \"/v/{{id}}\"\nttl = \"10m\"\ntags = [\"all\"]\n\
         [[space]]\nmatch = \"w:{{id}}\"\norigin = \"api\"\nget = \"/w/{{id}}\"\nttl = \"10m\"\n{more}",
        redis.url(),
        origin.url()
    );
    Bellwether::start(Some(&config("", &rest)))
}

/// What the binary says beside a server.
fn hot(server: &Bellwether, words: &[&str]) -> (bool, String) {
    let binary = Bellwether::command(&[]).get_program().to_owned();
    let admin = format!("http://{}", server.admin());
    let all = ["hot"].iter().chain(words).copied().chain(["--admin", &admin]);
    let run = tool(&binary.to_string_lossy()).args(all).run(LIMIT);
    (run.status.success(), run.stdout + &run.stderr)
}

fn announced(server: &Bellwether) -> Vec<String> {
    let json = Http::get(server.admin(), "/api/hot/announce").json();
    let rows = json["announced"].as_array().expect("a list").iter();
    rows.filter_map(|row| row["key"].as_str().map(str::to_owned)).collect()
}

fn until_announced(server: &Bellwether, keys: &[&str]) {
    let what = format!("{keys:?} to be announced");
    until(TOLD, &what, || {
        let mut all = announced(server);
        all.sort();
        (all == keys).then_some(())
    });
}

#[test]
fn what_is_announced_to_one_process_is_prepared_by_all_and_by_who_starts_later() {
    let (redis, origin) = (redis(), Origin::start());
    let (one, two) = (process(&redis, &origin, ""), process(&redis, &origin, ""));
    let (done, said) = hot(&one, &["announce", "v:1", "--for", "10m"]);
    assert!(done && said.contains("every process that uses the same backplane"), "{said}");
    until_announced(&two, &["v:1"]);
    // Each loads it before anybody reads, and together they ask the origin once.
    for server in [&one, &two] {
        until(LIMIT, "what is done about it", || {
            let json = Http::get(server.admin(), "/api/explain/v:1").json();
            json.to_string().contains("announced").then_some(())
        });
    }
    let held = |server: &Bellwether| Http::get(server.admin(), "/api/explain/v:1").json()["entry"] != Json::Null;
    until(LIMIT, "both to hold it", || (held(&one) && held(&two)).then_some(()));
    assert_eq!(origin.requests_for("/v/1"), 1, "one load for both");
    assert_eq!(origin.requests_for("/v/2"), 0, "control: what nobody announced is not loaded");

    let late = process(&redis, &origin, "");
    until_announced(&late, &["v:1"]);
    // A Redis that lost the table is given it again by those who know; another announcement makes them look.
    Resp::connect(redis.address()).call(&["DEL", "{bw}:announced"]);
    assert!(hot(&two, &["announce", "w:2", "--for", "10m"]).0);
    until_announced(&one, &["v:1", "w:2"]);
    let later_still = process(&redis, &origin, "");
    until_announced(&later_still, &["v:1", "w:2"]);
    let (_, list) = hot(&later_still, &["list"]);
    assert!(list.lines().filter(|line| line.ends_with("command, to the fleet")).count() == 2, "{list}");

    // Taken back by a process that was not there when it was announced.
    let (done, said) = hot(&late, &["withdraw", "v:1"]);
    assert!(done && said.contains("no more by any process of the fleet"), "{said}");
    for server in [&one, &two, &late, &later_still] {
        until_announced(server, &["w:2"]);
    }
    let (done, said) = hot(&one, &["withdraw", "v:1"]);
    assert!(!done && said.contains("is not announced"), "{said}");
    // Said again it holds again, also where it was taken back.
    assert!(hot(&one, &["announce", "v:1", "--for", "10m"]).0);
    for server in [&two, &late] {
        until_announced(server, &["v:1", "w:2"]);
    }
}

#[test]
fn what_ends_is_forgotten_and_what_all_read_in_their_files_is_taken_back_for_all() {
    let (redis, origin) = (redis(), Origin::start());
    let file = format!("[[hot.announce]]\nkey = \"v:7\"\nfrom = \"{}-01-01T00:00:00Z\"\nfor = \"9000h\"\n", year());
    let (one, two) = (process(&redis, &origin, &file), process(&redis, &origin, &file));
    for server in [&one, &two] {
        until_announced(server, &["v:7"]);
    }
    let (done, said) = hot(&one, &["withdraw", "v:7"]);
    assert!(done && said.contains("a reload takes it up again"), "{said}");
    until_announced(&two, &[]);
    let late = process(&redis, &origin, &file);
    until_announced(&late, &[]);
    assert!(hot(&one, &["announce", "v:1", "--for", "2s"]).0);
    until_announced(&two, &["v:1"]);
    until_announced(&two, &[]);
}

/// This one; 9,000 hours are longer.
fn year() -> u64 {
    1970 + std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs() / 31_556_952
}

#[test]
fn an_announcement_that_nobody_can_be_told_is_told_later() {
    let (redis, origin) = (redis(), Origin::start());
    let (one, two) = (process(&redis, &origin, ""), process(&redis, &origin, ""));
    redis.freeze().expect("a frozen Redis");
    let (done, said) = hot(&one, &["announce", "v:1", "--for", "10m"]);
    assert!(done && said.contains("the others are told once the backplane answers: "), "{said}");
    assert_eq!((announced(&one), announced(&two)), (vec!["v:1".to_owned()], vec![]));
    redis.thaw().expect("a Redis that goes on");
    until_announced(&two, &["v:1"]);
}

#[test]
fn a_tag_that_is_refreshed_in_one_process_is_stale_in_all_and_costs_one_load_a_key() {
    const KEYS: usize = 20;
    let (redis, origin) = (redis(), Origin::start());
    let (one, two) = (process(&redis, &origin, ""), process(&redis, &origin, ""));
    let (mut first, mut second) = (one.connect(), two.connect());
    let keys: Vec<String> = (0..KEYS).map(|at| format!("v:{at}")).chain(["w:0".to_owned()]).collect();
    let at = |key: &str| format!("/{}", key.replace(':', "/"));
    for key in &keys {
        origin.set(&at(key), "old");
        for db in [&mut first, &mut second] {
            assert_eq!(db.call(&["GET", key]), Value::bulk("old"));
        }
        origin.set(&at(key), "new");
    }
    assert_eq!(first.call(&["BW.TAG.REFRESH", "all"]), Value::Int(KEYS as i64), "in this process");
    let new = |db: &mut Resp| {
        // What is stale is served, never waited for.
        let read = keys[..KEYS].iter().map(|key| db.call(&["GET", key])).collect::<Vec<_>>();
        assert!(read.iter().all(|value| *value == Value::bulk("old") || *value == Value::bulk("new")), "{read:?}");
        read.iter().all(|value| *value == Value::bulk("new")).then_some(())
    };
    until(TOLD, "the other process to have it anew", || new(&mut second));
    until(TOLD, "this process to have it anew", || new(&mut first));
    for key in &keys[..KEYS] {
        assert_eq!(origin.requests_for(&at(key)), 2, "{key}: once in the beginning, once since, for both");
    }
    for db in [&mut first, &mut second] {
        assert_eq!(db.call(&["GET", "w:0"]), Value::bulk("old"), "control: without the tag nothing is refreshed");
    }
}

#[test]
fn a_row_that_nobody_can_read_is_left_alone_and_wakes_nobody() {
    let (redis, origin) = (redis(), Origin::start());
    let (one, two) = (process(&redis, &origin, ""), process(&redis, &origin, ""));
    assert!(hot(&one, &["announce", "v:1", "--for", "10m"]).0);
    until_announced(&two, &["v:1"]);
    let mut client = Resp::connect(redis.address());
    client.call(&["HSET", "{bw}:announced", "v:1", "words of a later version"]);
    let mut published = || {
        let Value::Bulk(text) = client.call(&["INFO", "commandstats"]) else { panic!("a text") };
        let text = String::from_utf8_lossy(&text).into_owned();
        let calls =
            text.lines().find_map(|line| line.strip_prefix("cmdstat_xadd:calls=")?.split(',').next()?.parse().ok());
        calls.unwrap_or(0u64)
    };
    let before = published();
    // All look at the table now.
    assert!(hot(&one, &["announce", "w:2", "--for", "10m"]).0);
    until_announced(&two, &["v:1", "w:2"]);
    std::thread::sleep(Duration::from_secs(1));
    let told = published() - before;
    assert!((1..20).contains(&told), "one word and heartbeats, not {told}");
}

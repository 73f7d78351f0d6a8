//! Does what is said to one process of a fleet hold in all of them? Keys that will be hot, and tags that are stale.

use std::time::Duration;

use bellwether_faults::{Faults, Proxy};
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
    process_at(&redis.url(), origin, more)
}

fn process_at(url: &str, origin: &Origin, more: &str) -> Bellwether {
    let rest = format!(
        "[shared]\nurl = \"{}\"\nresync = \"1m\"\n[origin.api]\nhttp = \"{}\"\n\
         [[space]]\nmatch = \"v:{{id}}\"\norigin = \"api\"\nget = \"/v/{{id}}\"\nttl = \"10m\"\ntags = [\"all\"]\n\
         [[space]]\nmatch = \"w:{{id}}\"\norigin = \"api\"\nget = \"/w/{{id}}\"\nttl = \"10m\"\n{more}",
        url,
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
    // Taken back at once by a process that can't have heard of it yet.
    for key in ["w:3", "w:4", "w:5"] {
        assert!(hot(&one, &["announce", key, "--for", "10m"]).0);
        let (done, said) = hot(&two, &["withdraw", key]);
        assert!(done && said.contains("no more by any process of the fleet"), "{key}: {said}");
    }
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

/// What stands in the fleet's table of `key`: `a` or `w`, or nothing.
fn written(client: &mut Resp, key: &str) -> Option<char> {
    match client.call(&["HGET", "{bw}:announced", key]) {
        Value::Bulk(row) => Some(char::from(row[0])),
        _ => None,
    }
}

#[test]
fn of_two_who_spoke_of_one_key_the_later_words_hold_also_when_one_of_them_was_cut_off() {
    let (redis, origin) = (redis(), Origin::start());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let wire = runtime.block_on(Proxy::start(redis.address(), 1)).expect("a proxy");
    let (one, two) = (process_at(&format!("redis://{}", wire.address()), &origin, ""), process(&redis, &origin, ""));
    for key in ["v:1", "v:2"] {
        assert!(hot(&two, &["announce", key, "--for", "10m"]).0);
    }
    until_announced(&one, &["v:1", "v:2"]);

    wire.set_both(Faults { dead: true, ..Faults::NONE });
    // Of v:1 the one that is cut off speaks first, of v:2 the other one.
    let (done, said) = hot(&one, &["announce", "v:1", "--for", "20m"]);
    assert!(done && said.contains("the others are told once the backplane answers: "), "{said}");
    assert!(hot(&two, &["withdraw", "v:1"]).0);
    assert!(hot(&two, &["announce", "v:2", "--for", "20m"]).0);
    let (done, said) = hot(&one, &["withdraw", "v:2"]);
    assert!(done && said.contains("by the others once the backplane answers"), "{said}");
    assert!(hot(&one, &["announce", "w:3", "--for", "20m"]).0);
    assert_eq!((announced(&one), announced(&two)), (vec!["v:1".into(), "w:3".into()], vec!["v:2".to_owned()]));

    // What it has sent before arrives now, and what it owes.
    wire.calm();
    let mut client = Resp::connect(redis.address());
    until(TOLD, "what is owed to be written", || (written(&mut client, "w:3") == Some('a')).then_some(()));
    until_announced(&one, &["w:3"]);
    until_announced(&two, &["w:3"]);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((announced(&one), announced(&two)), (vec!["w:3".to_owned()], vec!["w:3".to_owned()]));
    assert_eq!(["v:1", "v:2", "w:3"].map(|key| written(&mut client, key)), [Some('w'), Some('w'), Some('a')]);
}

#[test]
fn what_was_taken_back_stays_so_where_the_table_is_lost_and_a_process_that_was_stopped_writes_older_words() {
    let (redis, origin) = (redis(), Origin::start());
    let (one, two) = (process(&redis, &origin, ""), process(&redis, &origin, ""));
    assert!(hot(&one, &["announce", "v:1", "--for", "10m"]).0);
    until_announced(&two, &["v:1"]);
    two.process.signal("STOP");
    let (done, said) = hot(&one, &["withdraw", "v:1"]);
    assert!(done && said.contains("no more by any process of the fleet"), "{said}");
    one.process.signal("STOP");
    let mut client = Resp::connect(redis.address());
    client.call(&["FLUSHALL"]);
    // Who was stopped finds nothing there, and writes what it knows.
    two.process.signal("CONT");
    let early = Duration::from_secs(40);
    until(early, "the older words to be written", || (written(&mut client, "v:1") == Some('a')).then_some(()));
    one.process.signal("CONT");
    until(early, "the later words to be written", || (written(&mut client, "v:1") == Some('w')).then_some(()));
    until_announced(&two, &[]);
    assert_eq!((announced(&one), written(&mut client, "v:1")), (vec![], Some('w')));
}

/// Writes rows of so many keys `PREFIX:N` into the table, as a program that is none of ours would.
fn write_by_hand(redis: &Redis, kind: char, prefix: &str, count: usize) {
    let mut client = Resp::connect(redis.address());
    let far = 1_000 * std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs() + 600_000;
    for block in (0..count).collect::<Vec<_>>().chunks(500) {
        let rows = block.iter().flat_map(|n| [format!("{prefix}:{n}"), format!("{kind} 1 {far} {n:016x}")]);
        let words: Vec<String> = ["HSET", "{bw}:announced"].map(String::from).into_iter().chain(rows).collect();
        client.call(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn keys_that_were_taken_back_hold_no_place_of_those_that_are_announced() {
    let (redis, origin) = (redis(), Origin::start());
    write_by_hand(&redis, 'w', "w", 2_500);
    let one = process(&redis, &origin, "");
    let mut client = Resp::connect(redis.address());
    until(TOLD, "the oldest to be forgotten", || {
        (client.call(&["HLEN", "{bw}:announced"]) == Value::Int(2_000)).then_some(())
    });
    assert_eq!((written(&mut client, "w:0"), written(&mut client, "w:2499")), (None, Some('w')));
    let (done, said) = hot(&one, &["announce", "v:1", "--for", "10m"]);
    assert!(done && said.contains("every process that uses the same backplane"), "{said}");
    let two = process(&redis, &origin, "");
    until_announced(&two, &["v:1"]);
}

#[test]
fn a_table_that_is_too_long_is_read_as_far_as_it_fits_and_the_list_says_so() {
    let (redis, origin) = (redis(), Origin::start());
    let (one, two) = (process(&redis, &origin, ""), process(&redis, &origin, ""));
    assert!(hot(&one, &["announce", "v:1", "--for", "10m"]).0);
    until_announced(&two, &["v:1"]);
    assert!(!hot(&one, &["list"]).1.contains("too long"), "control: a table of ours is not");
    write_by_hand(&redis, 'a', "nobody", 20_000);
    // Both look at it now, know what they knew, and hear what is said since.
    let (done, said) = hot(&two, &["withdraw", "v:1"]);
    assert!(done && said.contains("by any process of the fleet"), "{said}");
    until(TOLD, "it to be taken back", || announced(&one).is_empty().then_some(()));
    until(TOLD, "the list to say what is wrong", || {
        let (done, said) = hot(&one, &["list"]);
        assert!(done, "{said}");
        said.contains("the fleet's table of announcements is too long: it has more than 8192 rows").then_some(())
    });
    assert!(one.process.stderr().contains("is too long"), "{}", one.process.stderr());
    Resp::connect(redis.address()).call(&["DEL", "{bw}:announced"]);
}

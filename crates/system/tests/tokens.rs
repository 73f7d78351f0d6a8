//! Are the tokens of `BW.GET` and the conditions of `SET` the fleet's? Real `bellwether serve`s on one real tier.

use std::thread;
use std::time::{Duration, Instant};

use bellwether_servers::{Memcached, Redis, Running, Waited};
use bellwether_system::{Bellwether, Resp, Value, config, until};

const LIMIT: Duration = Duration::from_secs(20);
/// Races that are run against Redis, and against Memcached.
const RACES: usize = 120;

/// What a server may wait for its tier.
const BUDGET: Duration = Duration::from_millis(500);
/// Races that are run again because somebody in them got no processor for most of that.
const MOST_AGAIN: usize = 60;

/// Plain spaces: one behind the tier at `url`, one in each process's memory alone.
fn text(url: &str) -> String {
    // A machine that is busy with other things must not look like a tier that is away.
    let budget = BUDGET.as_millis();
    let rest = format!(
        "[shared]\nurl = \"{url}\"\ntimeout = \"{budget}ms\"\n\
         [[space]]\nmatch = \"user:{{id}}\"\nttl = \"30m\"\ngrace = \"30m\"\ntags = [\"users\"]\n\
         [[space]]\nmatch = \"near:{{id}}\"\nttl = \"30m\"\ntiers = [\"memory\"]\n"
    );
    config("", &rest)
}

fn redis() -> Redis {
    Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"))
}

fn fleet(url: &str) -> [Bellwether; 2] {
    let fleet = [(), ()].map(|()| Bellwether::start(Some(&text(url))));
    // A server is ready before it has reached its tier: what it is told until then is queued.
    for (from, to) in [(0, 1), (1, 0)] {
        let (mut from, mut to) = (fleet[from].connect(), fleet[to].connect());
        until(LIMIT, "the tier to be there for both", || {
            assert_eq!(from.call(&["SET", "user:there", "v"]), Value::ok());
            (to.call(&["GETDEL", "user:there"]) == Value::bulk("v")).then_some(())
        });
    }
    fleet
}

/// The value, the reason and the token that `BW.GET` answers.
fn get(client: &mut Resp, words: &[&str]) -> (Value, String, Option<String>) {
    let asked: Vec<&str> = std::iter::once("BW.GET").chain(words.iter().copied()).collect();
    let answer = client.call(&asked);
    let text = |value: &Value| match value {
        Value::Bulk(bytes) => Some(String::from_utf8(bytes.clone()).expect("text")),
        _ => None,
    };
    let items = answer.items();
    (items[0].clone(), text(&items[1]).expect("a reason"), text(&items[3]))
}

fn token(client: &mut Resp, key: &str) -> String {
    let (value, why, token) = get(client, &[key, "LEASE", "20000", "WAIT", "10000"]);
    token.unwrap_or_else(|| panic!("a token for {key}, not {value:?} {why}"))
}

/// What the processes say of their tier: whether it was silent, for a message.
fn said(fleet: &[Bellwether; 2]) -> String {
    fleet.iter().map(|server| server.metrics().shown("bellwether_shared_total")).collect::<Vec<_>>().join("\n--\n")
}

/// How often a late `BW.SET` at the first process was stored, although the second had acknowledged a write of the key.
///
/// What is decided while the tier is silent is promised in one process alone. So a race that was lost is run again if
/// the kernel says that a thread of the tier or of a server was ready to run and got no processor for most of the time
/// that a server waits for its tier; and only then.
fn overwritten(fleet: &[Bellwether; 2], tier: &Running, space: &str, races: usize) -> usize {
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    let all: Vec<u32> = fleet.iter().map(|server| server.process.id()).chain(tier.pid()).collect();
    let mut lost = |race: usize, again: usize| {
        let key = format!("{space}:{race}-{again}");
        let token = token(&mut one, &key);
        // Acknowledged: whoever reads from now on must not get anything older.
        if race.is_multiple_of(2) {
            assert_eq!(two.call(&["DEL", &key]), Value::Int(0));
        } else {
            assert_eq!(two.call(&["SET", &key, "new"]), Value::ok());
        }
        let stored = one.call(&["BW.SET", &key, "old", &token]) == Value::Int(1);
        let seen = [one.call(&["GET", &key]), two.call(&["GET", &key])];
        stored || seen.contains(&Value::bulk("old"))
    };
    let mut again = 0;
    let mut is_lost = |race: usize| loop {
        let before = Waited::of(&all);
        if !lost(race, again) {
            return false;
        }
        let waited = Waited::of(&all).longest_since(&before);
        if waited < BUDGET / 2 || again == MOST_AGAIN {
            return true;
        }
        again += 1;
        eprintln!("race {race} again: somebody in it got no processor for {waited:?}");
    };
    (0..races).filter(|race| is_lost(*race)).count()
}

#[test]
fn g3_a_token_is_void_the_moment_another_process_has_acknowledged_a_write() {
    let redis = redis();
    let fleet = fleet(&redis.url());
    assert_eq!(overwritten(&fleet, &redis, "user", RACES), 0, "of {RACES}; {}", said(&fleet));
    assert_eq!(overwritten(&fleet, &redis, "near", 20), 20, "control: where each process decides alone");
}

#[test]
fn g3_the_same_holds_over_memcached() {
    let memcached = Memcached::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let fleet = fleet(&format!("memcached://{}", memcached.address()));
    assert_eq!(overwritten(&fleet, &memcached, "user", RACES), 0, "of {RACES}; {}", said(&fleet));
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    let given = token(&mut one, "user:a");
    assert_eq!(get(&mut two, &["user:a", "WAIT", "0"]).1, "held");
    assert_eq!(two.call(&["BW.SET", "user:a", "v", &given]), Value::Int(1), "good in each process");
    assert_eq!(one.call(&["GET", "user:a"]), Value::bulk("v"));
}

#[test]
fn g1_clients_of_two_processes_fill_a_key_once() {
    let redis = redis();
    let fleet = fleet(&redis.url());
    let filled: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..40)
            .map(|n| {
                let mut client = fleet[n % 2].connect();
                scope.spawn(move || match get(&mut client, &["user:herd", "WAIT", "15000"]) {
                    (_, _, Some(token)) => {
                        thread::sleep(Duration::from_millis(200));
                        assert_eq!(client.call(&["BW.SET", "user:herd", "v", &token]), Value::Int(1));
                        1
                    }
                    (value, why, None) => {
                        assert_eq!(value, Value::bulk("v"), "{why}");
                        0
                    }
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("no panic")).sum()
    });
    assert_eq!(filled, 1, "40 clients of two processes");
}

#[test]
fn a_holder_that_is_killed_loses_its_token_and_one_whose_server_is_killed_keeps_it() {
    let redis = redis();
    let [first, second] = fleet(&redis.url());
    let mut two = second.connect();
    let lost = get(&mut first.connect(), &["user:a", "LEASE", "1500"]).2.expect("a token");
    let kept = get(&mut first.connect(), &["user:b", "LEASE", "60000"]).2.expect("a token");
    // With `kill -9`, as a child is that is dropped.
    drop(first);
    // Whoever got the second one goes on with another server.
    assert_eq!(get(&mut two, &["user:b", "WAIT", "0"]).1, "held");
    assert_eq!(two.call(&["BW.SET", "user:b", "v", &kept]), Value::Int(1));
    assert_eq!(two.call(&["GET", "user:b"]), Value::bulk("v"));
    // Whoever got the first one is gone as well.
    let since = Instant::now();
    let next = get(&mut two, &["user:a", "LEASE", "20000", "WAIT", "15000"]).2.expect("the next token");
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert_eq!(two.call(&["BW.SET", "user:a", "late", &lost]), Value::Int(0));
    assert_eq!(two.call(&["BW.RELEASE", "user:a", &lost]), Value::Int(0));
    assert_eq!(two.call(&["BW.SET", "user:a", "v", &next]), Value::Int(1));
}

#[test]
fn a_token_is_given_back_to_the_fleet_and_a_cool_down_is_the_fleets() {
    let redis = redis();
    let fleet = fleet(&redis.url());
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    let first = token(&mut one, "user:a");
    assert_eq!(one.call(&["BW.RELEASE", "user:a", &first]), Value::Int(1));
    let second = token(&mut two, "user:a");
    assert_eq!(two.call(&["BW.RELEASE", "user:a", &second, "COOLDOWN", "60000"]), Value::Int(1));
    for client in [&mut one, &mut two] {
        let (value, why, token) = get(client, &["user:a"]);
        assert_eq!((value, why.as_str(), token), (Value::Nil, "cooling", None));
    }
    // A pipeline of one connection is in order although the tier decides.
    assert_eq!(one.call(&["DEL", "user:a"]), Value::Int(0));
    let third = token(&mut one, "user:a");
    let answers = one.pipeline(&[
        vec!["BW.SET", "user:a", "v", &third, "TAG", "t"],
        vec!["GET", "user:a"],
        vec!["BW.SET", "user:a", "w", &third],
        vec!["GET", "user:a"],
    ]);
    assert_eq!(answers, [Value::Int(1), Value::bulk("v"), Value::Int(0), Value::bulk("v")]);
    let batch =
        one.pipeline(&[vec!["MULTI"], vec!["BW.SET", "user:a", "w", &third], vec!["GET", "user:a"], vec!["EXEC"]]);
    assert_eq!(batch[3].items(), [Value::Int(0), Value::bulk("v")]);
    for wrong in ["", "-17", "l123", "f00", "nonsense"] {
        let answer = one.call(&["BW.SET", "user:a", "v", wrong]);
        assert!(answer.error().is_some_and(|words| words.contains("invalid token")), "{wrong}: {answer:?}");
    }
}

#[test]
fn g3_a_token_given_out_while_the_tier_is_frozen_is_never_used_there() {
    let redis = redis();
    let fleet = fleet(&redis.url());
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    let held = token(&mut one, "user:held");
    redis.freeze().expect("it is stopped");
    let (_, why, lone) = get(&mut one, &["user:a", "LEASE", "20000"]);
    assert_eq!(why, "lone", "it says so");
    let lone = lone.expect("a token of this process");
    assert_eq!(get(&mut one, &["user:a", "WAIT", "0"]).1, "held", "one in this process");
    assert_eq!(one.call(&["BW.SET", "user:held", "old", &held]), Value::Int(1), "kept here for a moment");
    redis.thaw().expect("it goes on");
    until(LIMIT, "the tier to be reached again", || {
        (fleet[1].metrics().sum("bellwether_shared_node_up", &[]) >= 1.0
            && two.call(&["SET", "user:probe", "1"]) == Value::ok()
            && two.call(&["GET", "user:probe"]) == Value::bulk("1"))
        .then_some(())
    });
    assert_eq!(one.call(&["BW.SET", "user:a", "lone", &lone]), Value::Int(1), "kept here for a moment");
    let stored = |key: &str| Resp::connect(redis.address()).call(&["GET", key]);
    for key in ["bw:user:a", "bw:user:held"] {
        let answer = stored(key);
        let has =
            |word: &[u8]| matches!(&answer, Value::Bulk(bytes) if bytes.windows(word.len()).any(|part| part == word));
        // What was on its way when the server stood still may arrive; what this process only has in memory never does.
        assert!(!has(b"lone"), "{key}: {answer:?}");
    }
    until(LIMIT, "the moment to be over", || (one.call(&["GET", "user:a"]) == Value::Nil).then_some(()));
}

/// How many of two processes' clients won a key that all of them set if nothing is there, over `races` keys.
fn winners(fleet: &[Bellwether; 2], space: &str, races: usize) -> Vec<usize> {
    let mut clients: Vec<Resp> = (0..4).map(|n| fleet[n % 2].connect()).collect();
    (0..races)
        .map(|race| {
            let key = format!("{space}:{race}");
            let won = |client: &mut Resp, n: usize| match n {
                0 => client.call(&["SET", &key, "mine", "NX"]) == Value::ok(),
                1 => client.call(&["SETNX", &key, "mine"]) == Value::Int(1),
                _ => client.call(&["SET", &key, "mine", "NX", "GET"]) == Value::Nil,
            };
            thread::scope(|scope| {
                let all: Vec<_> =
                    clients.iter_mut().enumerate().map(|(n, client)| scope.spawn(move || won(client, n))).collect();
                all.into_iter().map(|one| usize::from(one.join().expect("no panic"))).sum()
            })
        })
        .collect()
}

#[test]
fn g1_of_those_who_set_a_key_if_nothing_is_there_exactly_one_does_in_the_whole_fleet() {
    let redis = redis();
    let fleet = fleet(&redis.url());
    let won = winners(&fleet, "user", 100);
    assert!(won.iter().all(|won| *won == 1), "{won:?}");
    let near = winners(&fleet, "near", 20);
    assert!(near.iter().all(|won| *won == 2), "control: one in each process {near:?}");
    // What another process removed is not there, whether this one has heard of it or not; what it wrote is.
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    for race in 0..50 {
        let key = format!("user:again-{race}");
        assert_eq!(one.call(&["SET", &key, "1"]), Value::ok());
        assert_eq!(two.call(&["DEL", &key]), Value::Int(1));
        assert_eq!(one.call(&["SET", &key, "2", "XX"]), Value::Nil, "{race}");
        assert_eq!(one.call(&["SET", &key, "2", "NX"]), Value::ok(), "{race}");
        assert_eq!(two.call(&["SETNX", &key, "3"]), Value::Int(0), "{race}");
        assert_eq!(two.call(&["SET", &key, "3", "XX", "GET"]), Value::bulk("2"), "{race}");
        assert_eq!(one.call(&["GETSET", &key, "4"]), Value::bulk("3"), "{race}");
        let read = one.pipeline(&[vec!["SETNX", &key, "5"], vec!["GET", &key]]);
        assert_eq!(read, [Value::Int(0), Value::bulk("4")], "{race}");
        let ttl = one.call(&["TTL", &key]).int();
        assert!((1600..=1800).contains(&ttl), "{race}: the space's, less its jitter: {ttl}");
    }
    // Somebody else's bytes are there as well.
    Resp::connect(redis.address()).call(&["SET", "bw:user:foreign", "theirs"]);
    assert_eq!(one.call(&["SETNX", "user:foreign", "v"]), Value::Int(0));
}

#[test]
fn each_old_value_is_handed_out_once_however_many_processes_replace_it() {
    let redis = redis();
    let memcached = Memcached::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    for url in [redis.url(), format!("memcached://{}", memcached.address())] {
        let fleet = fleet(&url);
        // So many keys that a race which one in ten loses is seen.
        (0..20).for_each(|chain| each_old_value_is_handed_out_once(&fleet, &format!("user:chain-{chain}"), &url));
    }
}

fn each_old_value_is_handed_out_once(fleet: &[Bellwether; 2], key: &str, url: &str) {
    let mut seen: Vec<Value> = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|n| {
                let mut client = fleet[n % 2].connect();
                scope.spawn(move || {
                    let set = |i| client.call(&["GETSET", key, &format!("{n}:{i}")]);
                    (0..25).map(set).collect::<Vec<_>>()
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect()
    });
    seen.push(fleet[0].connect().call(&["GETSET", key, "end"]));
    let nothing = seen.iter().filter(|value| **value == Value::Nil).count();
    let mut texts: Vec<String> = seen.iter().filter(|value| **value != Value::Nil).map(Value::text).collect();
    texts.sort();
    texts.dedup();
    assert_eq!((nothing, texts.len()), (1, 100), "{url}: each of 100 values once, and once nothing");
}

/// Each of two processes writes a key right after the other's write was acknowledged.
#[test]
fn a_write_after_another_process_has_acknowledged_one_is_the_one_that_stays() {
    let redis = redis();
    let fleet = fleet(&redis.url());
    let lost: usize = thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let fleet = &fleet;
                scope.spawn(move || {
                    let mut clients = [fleet[0].connect(), fleet[1].connect()];
                    (0..75)
                        .filter(|n| {
                            let (key, last, gap) = (format!("user:{writer}-{n}"), n % 2, *n as u64 % 5);
                            // So that what the backplane tells of the first arrives at every moment of the second.
                            assert_eq!(clients[1 - last].call(&["SET", &key, "first"]), Value::ok());
                            thread::sleep(Duration::from_micros(gap * 700));
                            assert_eq!(clients[last].call(&["SET", &key, "last"]), Value::ok());
                            clients[last].call(&["GET", &key]) != Value::bulk("last")
                                || until(LIMIT, "the other process to hear of it", || {
                                    let seen = clients[1 - last].call(&["GET", &key]);
                                    (seen != Value::bulk("first")).then_some(seen)
                                }) != Value::bulk("last")
                        })
                        .count()
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().expect("it ends")).sum()
    });
    assert_eq!(lost, 0, "of 300");
}

/// A caller at the process that gave the token out waits for a value that is brought to the other.
fn waiter_is_served(fleet: &[Bellwether; 2], key: &str) {
    let (mut giving, mut other) = (fleet[0].connect(), fleet[1].connect());
    let token = token(&mut giving, key);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| get(&mut fleet[0].connect(), &[key, "WAIT", "15000"]));
        thread::sleep(Duration::from_millis(200));
        assert_eq!(other.call(&["BW.SET", key, "brought", &token]), Value::Int(1));
        let begun = Instant::now();
        let (value, why, _) = waiting.join().expect("it ends");
        assert_eq!(value, Value::bulk("brought"), "{why} after {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    });
}

#[test]
fn who_waits_where_a_token_was_given_out_has_what_is_brought_elsewhere() {
    let redis = redis();
    waiter_is_served(&fleet(&redis.url()), "user:waited");
    let memcached = Memcached::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    waiter_is_served(&fleet(&format!("memcached://{}", memcached.address())), "user:waited");
}

#[test]
fn what_another_program_keeps_as_another_type_is_left_alone_until_somebody_writes() {
    let redis = redis();
    let fleet = fleet(&redis.url());
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    let mut theirs = Resp::connect(redis.address());
    assert_eq!(theirs.call(&["RPUSH", "bw:user:list", "a", "b"]), Value::Int(2));
    assert_eq!(one.call(&["GET", "user:list"]), Value::Nil);
    let (value, why, token) = get(&mut one, &["user:list", "LEASE", "20000"]);
    assert_eq!((value, why.as_str()), (Value::Nil, "lone"), "a token of this process alone, and it says so");
    assert_eq!(one.call(&["BW.SET", "user:list", "mine", &token.expect("a token")]), Value::Int(1));
    assert_eq!([one.call(&["GET", "user:list"]), two.call(&["GET", "user:list"])], [Value::bulk("mine"), Value::Nil]);
    assert_eq!(theirs.call(&["LLEN", "bw:user:list"]), Value::Int(2), "the list is as it was");
    assert_eq!(one.call(&["EXPIRE", "user:list", "5"]), Value::Int(1), "what this process has");
    assert_eq!(theirs.call(&["LLEN", "bw:user:list"]), Value::Int(2), "the list is as it was");
    // Whoever writes means it, as with a SET of Redis.
    assert_eq!(two.call(&["SET", "user:list", "ours"]), Value::ok());
    assert_eq!(two.call(&["GET", "user:list"]), Value::bulk("ours"));
    until(LIMIT, "the first to hear of it", || (one.call(&["GET", "user:list"]) == Value::bulk("ours")).then_some(()));
    assert_eq!(theirs.call(&["TYPE", "bw:user:list"]), Value::Simple("string".into()));
}

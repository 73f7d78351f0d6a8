//! Do several processes change what is there as one? Real `bellwether serve`s on one real tier.

use std::thread;
use std::time::Duration;

use bellwether_servers::{Memcached, Redis};
use bellwether_system::{Bellwether, Origin, Resp, Value, config, until};

const LIMIT: Duration = Duration::from_secs(20);
const KEYS: usize = 60;

/// Plain spaces: one behind the tier, one in each process's memory alone.
fn fleet(url: &str) -> [Bellwether; 2] {
    fleet_of(url, "1s")
}

fn fleet_of(url: &str, resync: &str) -> [Bellwether; 2] {
    let spaces = format!(
        "[shared]\nurl = \"{url}\"\nresync = \"{resync}\"\ntimeout = \"500ms\"\n\
         [[space]]\nmatch = \"user:{{id}}\"\nttl = \"30m\"\n\
         [[space]]\nmatch = \"near:{{id}}\"\nttl = \"30m\"\ntiers = [\"memory\"]\n"
    );
    let text = config("", &spaces);
    [(), ()].map(|()| Bellwether::start(Some(&text)))
}

/// How often a value was handed out that two clients of each of two processes took at once.
fn takers(fleet: &[Bellwether; 2], space: &str) -> Vec<usize> {
    let mut clients: Vec<Resp> = (0..4).map(|n| fleet[n % 2].connect()).collect();
    (0..KEYS)
        .map(|n| {
            let key = format!("{space}:{n}");
            // In every memory it could be taken from.
            for client in &mut clients[..2] {
                assert_eq!(client.call(&["SET", &key, "v"]), Value::ok());
            }
            clients[..2].iter_mut().for_each(|client| assert_eq!(client.call(&["GET", &key]), Value::bulk("v")));
            thread::scope(|scope| {
                let taken: Vec<_> = clients
                    .iter_mut()
                    .map(|client| scope.spawn(|| client.call(&["GETDEL", &key]) == Value::bulk("v")))
                    .collect();
                taken.into_iter().map(|one| usize::from(one.join().expect("it ends"))).sum()
            })
        })
        .collect()
}

#[test]
fn of_all_who_take_a_key_in_whatever_process_exactly_one_gets_its_value() {
    let redis = Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let memcached = Memcached::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    for url in [redis.url(), format!("memcached://{}", memcached.address())] {
        let fleet = fleet(&url);
        let taken = takers(&fleet, "user");
        assert!(taken.iter().all(|taken| *taken == 1), "{url}: {taken:?}");
        let near = takers(&fleet, "near");
        assert!(near.iter().all(|taken| *taken == 2), "control: one in each process {near:?}");
        // What other processes wrote is taken although it was never read here, and nothing comes back.
        let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
        assert_eq!(one.call(&["SET", "user:far", "v"]), Value::ok());
        assert_eq!(
            two.pipeline(&[vec!["GETDEL", "user:far"], vec!["GET", "user:far"]]),
            [Value::bulk("v"), Value::Nil]
        );
        assert_eq!(two.call(&["GETDEL", "user:far"]), Value::Nil);
        assert_eq!(
            until(LIMIT, "the first to hear of it", || (one.call(&["GET", "user:far"]) == Value::Nil).then_some(0)),
            0
        );
    }
}

#[test]
fn another_end_is_the_fleets() {
    let redis = Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let memcached = Memcached::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    for url in [redis.url(), format!("memcached://{}", memcached.address())] {
        let fleet = fleet(&url);
        let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
        // Seconds left as both see it, once they agree.
        let both = |one: &mut Resp, two: &mut Resp, key: &str, about: i64| {
            until(LIMIT, "both processes to agree", || {
                // Without a backplane a copy is compared while it is read.
                let left = [&mut *one, &mut *two].map(|client| {
                    client.call(&["GET", key]);
                    client.call(&["TTL", key]).int()
                });
                left.iter().all(|left| (about - 3..=about).contains(left)).then_some(())
            });
        };
        assert_eq!(one.call(&["SET", "user:a", "v", "EX", "100"]), Value::ok());
        assert_eq!(two.call(&["GET", "user:a"]), Value::bulk("v"));
        // At a process that has a copy of its own, and at one that has none.
        assert_eq!(two.call(&["EXPIRE", "user:a", "50"]), Value::Int(1), "{url}");
        both(&mut one, &mut two, "user:a", 50);
        let conditions =
            [("GT", "40", 0), ("LT", "60", 0), ("NX", "70", 0), ("GT", "200", 1), ("LT", "90", 1), ("XX", "80", 1)];
        for (only, seconds, done) in conditions {
            assert_eq!(one.call(&["EXPIRE", "user:a", seconds, only]), Value::Int(done), "{url}: {only} {seconds}");
        }
        both(&mut one, &mut two, "user:a", 80);
        assert_eq!(two.call(&["GETEX", "user:a", "EX", "20"]), Value::bulk("v"));
        both(&mut one, &mut two, "user:a", 20);
        assert_eq!(one.call(&["PERSIST", "user:a"]), Value::Int(1));
        until(LIMIT, "the space's own time", || {
            assert_eq!(two.call(&["GET", "user:a"]), Value::bulk("v"));
            (two.call(&["TTL", "user:a"]).int() >= 1_500).then_some(())
        });
        assert_eq!(two.call(&["GETEX", "user:a", "PX", "300"]), Value::bulk("v"));
        thread::sleep(Duration::from_millis(400));
        assert_eq!(two.call(&["GET", "user:a"]), Value::Nil, "{url}");
        until(LIMIT, "the other to see it", || (one.call(&["GET", "user:a"]) == Value::Nil).then_some(()));
        for words in [&["EXPIRE", "user:a", "5"][..], &["PERSIST", "user:a"]] {
            assert_eq!(one.call(words), Value::Int(0), "{url}: there is nothing");
        }
        // An end that has passed removes, for everybody.
        assert_eq!(one.call(&["SET", "user:b", "v"]), Value::ok());
        assert_eq!(two.call(&["EXPIRE", "user:b", "-1"]), Value::Int(1));
        assert_eq!(two.call(&["GET", "user:b"]), Value::Nil);
        until(LIMIT, "the other to hear of it", || (one.call(&["GET", "user:b"]) == Value::Nil).then_some(()));
        // Control: where each process has its own, an end is its own as well.
        for client in [&mut one, &mut two] {
            assert_eq!(client.call(&["SET", "near:a", "v", "EX", "100"]), Value::ok());
        }
        assert_eq!(two.call(&["EXPIRE", "near:a", "50"]), Value::Int(1));
        assert!(one.call(&["TTL", "near:a"]).int() > 90);
    }
}

/// Values of an origin only ever end sooner; then whoever reads first loads anew, in whatever process.
#[test]
fn an_origins_value_ends_sooner_for_the_whole_fleet() {
    let redis = Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let memcached = Memcached::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    for url in [redis.url(), format!("memcached://{}", memcached.address())] {
        let origin = Origin::start();
        ["/1", "/2"].iter().for_each(|path| origin.set(path, "old"));
        let space = |name: &str, tiers: &str| {
            format!(
                "[[space]]\nmatch = \"{name}:{{id}}\"\norigin = \"api\"\nget = \"/{{id}}\"\nttl = \"30m\"\ngrace = \"30m\"\n{tiers}"
            )
        };
        let text = config(
            "",
            &format!(
                "[shared]\nurl = \"{url}\"\nresync = \"1s\"\ntimeout = \"500ms\"\n[origin.api]\nhttp = \"{}\"\n{}{}",
                origin.url(),
                space("page", ""),
                space("near", "tiers = [\"memory\"]\n"),
            ),
        );
        let fleet = [(), ()].map(|()| Bellwether::start(Some(&text)));
        let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
        let read = |client: &mut Resp, key: &str| client.call(&["GET", key]);
        for key in ["page:1", "page:2", "near:1"] {
            assert_eq!([read(&mut one, key), read(&mut two, key)], [Value::bulk("old"), Value::bulk("old")], "{url}");
        }
        assert_eq!(two.call(&["EXPIRE", "page:1", "5000"]), Value::Int(0), "{url}: never later");
        assert_eq!(two.call(&["EXPIRE", "page:1", "50", "GT"]), Value::Int(0), "{url}");
        assert_eq!(two.call(&["EXPIRE", "page:1", "500"]), Value::Int(1), "{url}");
        let left = two.call(&["TTL", "page:1"]).int();
        assert!((490..=500).contains(&left), "{url}: it is still there, and nobody loaded: {left}");
        until(LIMIT, "the other process to know", || {
            read(&mut one, "page:1");
            (one.call(&["TTL", "page:1"]).int() <= 500).then_some(())
        });
        ["/1", "/2"].iter().for_each(|path| origin.set(path, "new"));
        for key in ["page:1", "near:1"] {
            assert_eq!(two.call(&["PEXPIRE", key, "300"]), Value::Int(1), "{url}");
        }
        thread::sleep(Duration::from_millis(400));
        assert_eq!(read(&mut two, "page:1"), Value::bulk("new"), "{url}");
        until(LIMIT, "the other process to have it", || (read(&mut one, "page:1") == Value::bulk("new")).then_some(()));
        assert_eq!(read(&mut one, "page:2"), Value::bulk("old"), "{url}: control: nobody ended it");
        assert_eq!(read(&mut two, "near:1"), Value::bulk("new"), "{url}: control: where each has its own");
        assert_eq!(read(&mut one, "near:1"), Value::bulk("old"), "{url}: control");
    }
}

#[test]
fn tags_and_bytes_of_somebody_else_are_respected() {
    let redis = Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let fleet = fleet(&redis.url());
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    let token = one.call(&["BW.GET", "user:t"]).items()[3].text();
    assert_eq!(one.call(&["BW.SET", "user:t", "v", &token, "TAG", "crowd"]), Value::Int(1));
    // Another end leaves its tags as they are: the tag still covers it.
    assert_eq!(two.call(&["EXPIRE", "user:t", "500"]), Value::Int(1));
    assert_eq!(one.call(&["GET", "user:t"]), Value::bulk("v"));
    assert_eq!(one.call(&["BW.TAG.REMOVE", "crowd"]), Value::ok());
    assert_eq!(one.call(&["GETDEL", "user:t"]), Value::Nil, "a tag has removed it");
    let mut theirs = Resp::connect(redis.address());
    theirs.call(&["SET", "bw:user:foreign", "theirs", "EX", "100"]);
    assert_eq!(one.call(&["EXPIRE", "user:foreign", "5"]), Value::Int(0), "it has the end it was given");
    assert!(theirs.call(&["TTL", "bw:user:foreign"]).int() > 90);
    // What is too long to be handed over is not taken away either.
    theirs.call(&["SETRANGE", "bw:user:huge", "67108864", "x"]);
    assert_eq!([one.call(&["GETDEL", "user:huge"]), one.call(&["GET", "user:huge"])], [Value::Nil, Value::Nil]);
    assert_eq!(theirs.call(&["STRLEN", "bw:user:huge"]), Value::Int(67_108_865));
    assert_eq!(one.call(&["GETDEL", "user:foreign"]), Value::bulk("theirs"));
    assert_eq!(two.call(&["GETDEL", "user:foreign"]), Value::Nil);
}

#[test]
fn nil_is_not_said_of_what_a_silent_tier_was_asked_and_nothing_is_lost_by_that() {
    let redis = Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let fleet = fleet(&redis.url());
    let [mut one, mut two] = [0, 1].map(|n: usize| fleet[n].connect());
    let asks: [(&str, &[&str]); 5] = [
        ("user:take", &["GETDEL", "user:take"]),
        ("user:end", &["EXPIRE", "user:end", "1"]),
        ("user:passed", &["EXPIRE", "user:passed", "-1"]),
        ("user:full", &["PERSIST", "user:full"]),
        ("user:getex", &["GETEX", "user:getex", "PX", "1"]),
    ];
    for (key, _) in asks {
        assert_eq!(one.call(&["SET", key, "v", "EX", "1000"]), Value::ok());
    }
    // What is asked first is on its way when the silence is noticed.
    redis.freeze().expect("it is stopped");
    for (key, words) in asks {
        let answer = two.call(words);
        assert!(answer.error().is_some_and(|error| error.starts_with("BWTIMEOUT")), "{words:?}: {answer:?}");
        assert_eq!(one.call(&["EXISTS", key]), Value::Int(1), "it is there, where there is a copy");
    }
    redis.thaw().expect("it goes on");
    let owed = || fleet.iter().map(|server| server.metrics().sum("bellwether_shared_pending", &[])).sum::<f64>();
    until(LIMIT, "the tier to be back", || (two.call(&["GET", "user:take"]) == Value::bulk("v")).then_some(()));
    // Longer than any end that was asked for.
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(owed(), 0.0);
    for (key, _) in asks {
        for client in [&mut one, &mut two] {
            assert_eq!(client.call(&["GET", key]), Value::bulk("v"), "{key}: nothing was done to it");
            assert!(client.call(&["TTL", key]).int() > 900, "{key}");
        }
    }
    // Control: it is taken by who asks once the tier answers.
    assert_eq!(two.call(&["GETDEL", "user:take"]), Value::bulk("v"));
}

#[test]
fn while_the_tier_is_away_each_process_decides_for_itself() {
    let redis = Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let fleet = fleet(&redis.url());
    let mut one = fleet[0].connect();
    assert_eq!(one.call(&["SET", "user:a", "v"]), Value::ok());
    redis.freeze().expect("it is stopped");
    // Another end is no business of a copy's: what it is of may have been removed or written over since.
    for words in [&["EXPIRE", "user:a", "50"][..], &["PERSIST", "user:a"], &["GETEX", "user:a", "EX", "50"]] {
        let answer = one.call(words);
        assert!(answer.error().is_some_and(|error| error.starts_with("BWTIMEOUT")), "{words:?}: {answer:?}");
    }
    assert_eq!(fleet[0].metrics().sum("bellwether_shared_pending", &[]), 0.0, "nothing is written anew");
    assert_eq!(one.call(&["GETDEL", "user:a"]), Value::bulk("v"));
    assert_eq!(one.call(&["GETDEL", "user:a"]), Value::Nil);
    redis.thaw().expect("it goes on");
    until(LIMIT, "the tier to be told", || {
        let owed = fleet[0].metrics().sum("bellwether_shared_pending", &[]);
        (owed == 0.0 && fleet[1].connect().call(&["GET", "user:a"]) == Value::Nil).then_some(())
    });
}

#[test]
fn what_was_given_another_end_is_here_with_it_when_the_tier_falls_silent() {
    let redis = Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let memcached = Memcached::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    // A value that ends when its space says ends up to a tenth sooner.
    let cases: [(&str, &[&str], std::ops::RangeInclusive<i64>); 3] = [
        ("user:end", &["EXPIRE", "user:end", "500"], 450..=500),
        ("user:full", &["PERSIST", "user:full"], 1200..=1800),
        ("user:getex", &["GETEX", "user:getex", "EX", "500"], 450..=500),
    ];
    let urls = [redis.url(), format!("memcached://{}", memcached.address())];
    let fleets = urls.each_ref().map(|url| fleet_of(url, "60s"));
    for fleet in &fleets {
        let mut one = fleet[0].connect();
        for (key, words, _) in &cases {
            assert_eq!(one.call(&["SET", key, "v", "EX", "1000"]), Value::ok());
            assert_ne!(one.call(words), Value::Int(0), "{words:?}");
        }
        // Control: what was taken is gone, and does not come back with the silence.
        assert_eq!(one.call(&["SET", "user:taken", "v"]), Value::ok());
        assert_eq!(one.call(&["GETDEL", "user:taken"]), Value::bulk("v"));
    }
    // Nobody has looked since: whoever does takes over what the tier has.
    redis.freeze().expect("it is stopped");
    memcached.freeze().expect("it is stopped");
    for (fleet, url) in fleets.iter().zip(&urls) {
        let mut one = fleet[0].connect();
        for (key, words, left) in &cases {
            assert_eq!(one.call(&["GET", key]), Value::bulk("v"), "{url}: {words:?}");
            let told = one.call(&["TTL", key]).int();
            assert!(left.contains(&told), "{url}: {words:?}: {told}");
        }
        assert_ne!(one.call(&["GET", "user:taken"]), Value::bulk("v"), "{url}");
    }
}

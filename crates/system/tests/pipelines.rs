//! What becomes of a pipeline where a shared tier must hear of each write? Its writes go there together, and whatever
//! concerns one key stays in order.

use std::thread;
use std::time::{Duration, Instant};

use bellwether_faults::{Faults, Proxy};
use bellwether_servers::{Memcached, Redis};
use bellwether_system::{Bellwether, Origin, Resp, Value, config, until};

const LIMIT: Duration = Duration::from_secs(20);

fn redis() -> Redis {
    Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"))
}

fn text(url: &str, origin: &Origin) -> String {
    let rest = format!(
        "[shared]\nurl = \"{url}\"\ntimeout = \"2s\"\nresync = \"10m\"\n[origin.api]\nhttp = \"{}\"\n\
         [[space]]\nmatch = \"v:{{id}}\"\norigin = \"api\"\nget = \"/v/{{id}}\"\nttl = \"10m\"\ntimeout = \"5s\"\n\
         [[space]]\nmatch = \"s:{{id}}\"\nttl = \"30m\"\njitter = \"0%\"\n",
        origin.url()
    );
    config("", &rest)
}

fn fleet(url: &str, origin: &Origin) -> [Bellwether; 2] {
    [(); 2].map(|()| Bellwether::start(Some(&text(url, origin))))
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// `SET` or `DEL` of `many` keys under `s:`.
fn sets(many: usize, value: &str) -> Vec<Vec<String>> {
    (0..many).map(|n| words(&format!("SET s:{n} {value}"))).collect()
}

fn dels(many: usize) -> Vec<Vec<String>> {
    (0..many).map(|n| words(&format!("DEL s:{n}"))).collect()
}

/// How often `redis` has found something to read while `work` was done.
fn reads(redis: &Redis, work: impl FnOnce()) -> u64 {
    let read = || {
        let info = Resp::connect(redis.address()).call(&["INFO", "stats"]).text();
        let line = info.lines().find_map(|line| line.strip_prefix("total_reads_processed:")).expect("it is told");
        line.trim().parse::<u64>().expect("a number")
    };
    let before = read();
    work();
    read() - before
}

#[test]
fn writes_of_different_keys_share_their_round_trips_to_redis() {
    const KEYS: usize = 300;
    let (redis, origin) = (redis(), Origin::start());
    let [first, second] = fleet(&redis.url(), &origin);
    let (mut client, mut other) = (first.connect(), second.connect());
    // Control: one by one each takes at least one.
    let alone = reads(&redis, || sets(KEYS, "a").iter().for_each(|words| drop(call(&mut client, words))));
    assert!(alone >= KEYS as u64, "{alone}");
    let together = reads(&redis, || {
        assert!(client.pipeline(&sets(KEYS, "b")).iter().all(|reply| *reply == Value::ok()));
    });
    assert!(together * 2 < alone, "{together} beside {alone}");
    let removed = reads(&redis, || {
        assert!(client.pipeline(&dels(KEYS)).iter().all(|reply| *reply == Value::Int(1)));
    });
    assert!(removed * 2 < alone, "{removed} beside {alone}");
    // What stood behind one key's write is no reason to wait for other keys.
    let pairs: Vec<Vec<String>> =
        (0..KEYS).flat_map(|n| [words(&format!("SET s:{n} c")), words(&format!("EXPIRE s:{n} 100"))]).collect();
    let paired = reads(&redis, || {
        let replies = client.pipeline(&pairs);
        assert!(replies.chunks(2).all(|pair| *pair == [Value::ok(), Value::Int(1)]));
    });
    assert!(paired * 2 < 2 * alone, "{paired} beside {alone}");
    until(LIMIT, "the other process to have the last", || {
        (other.call(&["GET", "s:299"]) == Value::bulk("c")).then_some(())
    });
}

fn call(client: &mut Resp, words: &[String]) -> Value {
    client.call(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn writes_of_different_keys_share_their_round_trips_to_memcached() {
    const KEYS: usize = 40;
    let memcached = Memcached::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let origin = Origin::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let wire = runtime.block_on(Proxy::start(memcached.address(), 1)).expect("a proxy");
    let url = format!("memcached://{}", wire.address());
    let server = Bellwether::start(Some(&text(&url, &origin)));
    wire.set_both(Faults { latency: Duration::from_millis(5), ..Faults::NONE });
    let mut client = server.connect();
    let since = Instant::now();
    sets(KEYS, "a").iter().for_each(|words| assert_eq!(call(&mut client, words), Value::ok()));
    let alone = since.elapsed();
    // There and back, for each.
    assert!(alone >= Duration::from_millis(10) * KEYS as u32, "the control: {alone:?}");
    let since = Instant::now();
    assert!(client.pipeline(&sets(KEYS, "b")).iter().all(|reply| *reply == Value::ok()));
    assert!(since.elapsed() < alone / 2, "{:?} beside {alone:?}", since.elapsed());
    assert!(client.pipeline(&dels(KEYS)).iter().all(|reply| *reply == Value::Int(1)));
    let left = client.pipeline(&(0..KEYS).map(|n| words(&format!("GET s:{n}"))).collect::<Vec<_>>());
    assert!(left.iter().all(|reply| *reply == Value::Nil));
}

/// Whatever can be said of one key, of several, and of none, mixed: of keys that end in `tag`.
fn mixed(tag: &str) -> Vec<Vec<String>> {
    let round = |n: usize| {
        let (a, b, c) = (format!("s:a{tag}"), format!("s:b{}{tag}", n % 2), format!("s:c{n}{tag}"));
        format!(
            "SET {a} {n} | GET {a} | SET {b} x{n} | SET {a} again | DEL {c} | DEL {a} {c} | DEL {a} | GET {a} | \
             SETNX {a} nx{n} | SETNX {a} no | GETSET {a} gs | SET {a} v GET | SET {a} w NX | SET {a} w XX | \
             EXPIRE {a} 50 | TTL {a} | PERSIST {a} | TTL {a} | MSET {a} m1 {b} m2 {c} m3 | MGET {a} {b} {c} {a} | \
             EXISTS {a} {b} s:none{tag} | STRLEN {b} | TYPE {c} | TOUCH {a} {b} {c} s:none{tag} | GETDEL {c} | \
             GETDEL {c} | SETEX {c} 40 e | PSETEX {c} 30000 f | TTL {c} | GETEX {c} EX 20 | TTL {c} | PING | \
             MULTI | SET {a} in | GET {a} | DEL {b} | EXEC | GET {b} | CLIENT REPLY SKIP | SET {a} unheard | \
             CLIENT REPLY SKIP | EXPIRE s:none{tag} 5 | GET {a} | SET {a} end KEEPTTL | GETRANGE {a} 0 1 | \
             DEL v:{n}{tag} | GET v:{n}{tag} | GET v:{n}{tag} | GET nowhere | SET v:1 x | GET | ECHO {n}"
        )
    };
    (0..6).flat_map(|n| round(n).split('|').map(words).collect::<Vec<_>>()).collect()
}

/// The replies to what is said one by one: some are left out.
fn one_by_one(client: &mut Resp, commands: &[Vec<String>]) -> Vec<Value> {
    let mut replies = Vec::new();
    let mut skip = false;
    for command in commands {
        let skips = command[..] == ["CLIENT", "REPLY", "SKIP"];
        if skips || skip {
            let bytes = command.iter().map(|word| word.as_bytes()).collect::<Vec<_>>();
            client.send_raw(&bellwether_system::encode(&bytes)).expect("it is sent");
            skip = skips;
        } else {
            replies.push(call(client, command));
        }
    }
    replies
}

/// Keys differ by their last letter, and so does what is said of them.
fn alike(replies: &[Value], tag: &str) -> Vec<String> {
    replies.iter().map(|reply| reply.to_string().replace(tag, "")).collect()
}

#[test]
fn a_pipeline_in_a_fleet_is_answered_as_its_commands_are_one_by_one() {
    let (redis, origin) = (redis(), Origin::start());
    let [first, second] = fleet(&redis.url(), &origin);
    let mut client = first.connect();
    let alone = one_by_one(&mut client, &mixed("~1"));
    let commands = mixed("~2");
    let request: Vec<u8> = commands.iter().flat_map(|words| encoded(words)).collect();
    client.send_raw(&request).expect("it is sent");
    let together: Vec<Value> = alone.iter().map(|_| client.read().expect("a reply")).collect();
    let (alone, together) = (alike(&alone, "~1"), alike(&together, "~2"));
    for (n, (one, other)) in alone.iter().zip(&together).enumerate() {
        assert_eq!(one, other, "reply {n}");
    }
    assert_eq!(client.call(&["ECHO", "over"]), Value::bulk("over"), "and no reply too many");
    // Another process finds the same of both.
    let mut other = second.connect();
    for key in ["s:a", "s:b0", "s:b1", "s:c3", "s:c5"] {
        let of = |client: &mut Resp, tag: &str| client.call(&["GET", &format!("{key}{tag}")]);
        let here = of(&mut client, "~2");
        assert_eq!(here, of(&mut client, "~1"), "{key}");
        until(LIMIT, "the other process to see it", || (of(&mut other, "~2") == here).then_some(()));
    }
}

#[test]
fn a_read_before_a_write_of_its_key_says_what_was_there_before() {
    const KEYS: usize = 100;
    let (redis, origin) = (redis(), Origin::start());
    let [first, second] = fleet(&redis.url(), &origin);
    let (mut client, mut other) = (first.connect(), second.connect());
    assert!(client.pipeline(&sets(KEYS, "old")).iter().all(|reply| *reply == Value::ok()));
    // The other process must ask the tier for each.
    let commands: Vec<Vec<String>> = (0..KEYS)
        .flat_map(|n| {
            [format!("GET s:{n}"), format!("SET s:{n} new"), format!("MGET s:{n}"), format!("DEL s:{n} s:{n}")]
        })
        .map(|line| words(&line))
        .collect();
    for (n, said) in other.pipeline(&commands).chunks(4).enumerate() {
        let new = Value::Array(vec![Value::bulk("new")]);
        assert_eq!(*said, [Value::bulk("old"), Value::ok(), new, Value::Int(1)], "{n}");
    }
}

#[test]
fn a_row_is_read_and_given_another_end_behind_a_shared_tier() {
    let origin = Origin::start();
    let (redis, memcached) = (redis(), Memcached::start(&[]).unwrap_or_else(|error| panic!("{error}")));
    for url in [redis.url(), format!("memcached://{}", memcached.address())] {
        let [first, second] = fleet(&url, &origin);
        let (mut client, mut other) = (first.connect(), second.connect());
        for key in ["v:cold", "v:warm"] {
            origin.set(&format!("/{}", key.replace(':', "/")), key);
        }
        assert_eq!(client.call(&["GET", "v:warm"]), Value::bulk("v:warm"));
        until(LIMIT, "the tier to have it", || {
            (first.metrics().sum("bellwether_shared_total", &["event=\"published\""]) >= 1.0).then_some(())
        });
        for key in ["v:cold", "v:warm"] {
            assert_eq!(client.call(&["GETEX", key, "EX", "50"]), Value::bulk(key), "{key} over {url}");
            assert!(client.call(&["TTL", key]).int() <= 50, "{key} over {url}");
        }
        assert_eq!(other.call(&["GET", "v:warm"]), Value::bulk("v:warm"));
        assert!(other.call(&["TTL", "v:warm"]).int() <= 50, "in the other process over {url}");
    }
}

fn encoded(words: &[String]) -> Vec<u8> {
    bellwether_system::encode(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
}

#[test]
fn of_writes_to_one_key_in_one_pipeline_the_last_stays_everywhere() {
    let (redis, origin) = (redis(), Origin::start());
    let [first, second] = fleet(&redis.url(), &origin);
    // Several connections at once, each with keys of its own.
    thread::scope(|scope| {
        for connection in 0..4 {
            let (first, second, redis) = (&first, &second, &redis);
            scope.spawn(move || {
                let (mut client, mut other) = (first.connect(), second.connect());
                for round in 0..10 {
                    let key = |n: usize| format!("s:{connection}-{}", n % 5);
                    let write = |n: usize| match (n + round) % 7 {
                        3 => words(&format!("DEL {}", key(n))),
                        _ => words(&format!("SET {} {round}-{n}", key(n))),
                    };
                    let commands: Vec<Vec<String>> = (0..400).map(write).collect();
                    let replies = client.pipeline(&commands);
                    for (n, command) in commands.iter().enumerate().skip(395) {
                        let stays = match command[0].as_str() {
                            "SET" => Value::bulk(&command[2]),
                            _ => Value::Nil,
                        };
                        assert_eq!(client.call(&["GET", &key(n)]), stays, "here");
                        // What is acknowledged is in the tier.
                        let there = Resp::connect(redis.address()).call(&["GET", &format!("bw:{}", key(n))]);
                        let has =
                            |value: &str| matches!(&there, Value::Bulk(bytes) if bytes.ends_with(value.as_bytes()));
                        assert_eq!(has(&format!("{round}-{n}")), stays != Value::Nil, "there: {there}");
                        until(LIMIT, "the other process to have it", || {
                            (other.call(&["GET", &key(n)]) == stays).then_some(())
                        });
                    }
                    let removed = |n: usize| (0..n).rev().find(|m| m % 5 == n % 5).map(|m| commands[m][0] == "SET");
                    for (n, reply) in replies.iter().enumerate().skip(5) {
                        match commands[n][0].as_str() {
                            "SET" => assert_eq!(*reply, Value::ok()),
                            _ => assert_eq!(*reply, Value::Int(removed(n).unwrap_or_default().into()), "{n}"),
                        }
                    }
                }
            });
        }
    });
}

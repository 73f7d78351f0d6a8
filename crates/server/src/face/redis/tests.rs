//! What does each command answer? Bytes in, bytes out, without a socket.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bellwether::Eviction;

use super::client::Client;
use super::clients::Clients;
use super::conn::{Conn, Stop};
use super::replies::MAX_QUEUED;
use crate::config;
use crate::connections::Connections;
use crate::service::Service;

mod company;
mod plain;
mod tracking;
mod words;

const CONFIG: &str = r#"
[origin.shop]
sql = "sqlite://shop.db"
[[space]]
match = "product:{id:int}"
origin = "shop"
query = "SELECT id FROM products WHERE id = :id"
many = "SELECT id FROM products WHERE id IN (:ids)"
ttl = "60s"
tags = ["p:{id}"]
[[space]]
match = "kv:{k*}"
ttl = "30m"
jitter = "0%"
generation = "v2"
[[space]]
match = "n:{k:int}"
ttl = "30m"
[[space]]
match = "g:{k}"
ttl = "500ms"
grace = "1h"
jitter = "0%"
"#;

/// A connection to a service over a shop with products 1 to 5.
struct Bench {
    conn: Conn,
    runtime: tokio::runtime::Runtime,
    _home: tempfile::TempDir,
}

fn bench(listen: &str) -> Bench {
    let home = tempfile::tempdir().expect("a directory");
    let script = "CREATE TABLE products (id INTEGER PRIMARY KEY); INSERT INTO products VALUES (1),(2),(3),(4),(5);";
    bellwether_adapters::SqliteOrigin::create_sample(home.path().join("shop.db"), script).expect("a database");
    let text = format!("[listen]\n{listen}\n{CONFIG}");
    let config = config::parse(&text, "test.toml", home.path(), [], false).expect("a configuration");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    let service = runtime.block_on(Service::start(config, runtime.handle().clone())).expect("a service");
    let clients = Arc::new(Clients::new(6380, Connections::default()));
    let peer: SocketAddr = ([127, 0, 0, 1], 5000).into();
    Bench {
        conn: Conn::new(Client::new(service, clients, 7, peer, crate::shutdown::Shutdown::new())),
        runtime,
        _home: home,
    }
}

impl Bench {
    /// What is answered to `input`, once all of it is; line ends as blanks.
    /// Another connection to the same service.
    fn beside(&self, id: u64) -> Conn {
        let client = &self.conn.client;
        let shutdown = crate::shutdown::Shutdown::new();
        Conn::new(Client::new(client.service.clone(), client.clients.clone(), id, client.peer, shutdown))
    }

    #[track_caller]
    fn say(&mut self, input: impl AsRef<[u8]>) -> String {
        said(&self.runtime, &mut self.conn, input)
    }

    #[track_caller]
    fn expect(&mut self, table: &[(&str, &str)]) {
        for (command, answer) in table {
            assert_eq!(self.say(format!("{command}\r\n")), *answer, "{command}");
        }
    }
}

/// A command as clients send it.
fn command(words: &[&str]) -> Vec<u8> {
    let head = format!("*{}\r\n", words.len());
    let words = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    std::iter::once(head).chain(words).collect::<String>().into_bytes()
}

/// What `conn` is answered, and told beside that, as one line.
#[track_caller]
fn said(runtime: &tokio::runtime::Runtime, conn: &mut Conn, input: impl AsRef<[u8]>) -> String {
    said_of(runtime, conn, &mut input.as_ref().to_vec())
}

/// What `conn` answers to the commands that are whole in `rest`, where the others stay.
#[track_caller]
fn said_of(runtime: &tokio::runtime::Runtime, conn: &mut Conn, rest: &mut Vec<u8>) -> String {
    let answered = std::future::poll_fn(|cx| {
        loop {
            let (used, stop) = conn.process(rest);
            rest.drain(..used);
            let came = conn.poll(cx);
            match (conn.client.replies.settled(), stop) {
                (true, Stop::Replies) => {}
                (true, _) => return Poll::Ready(()),
                (false, _) if came => {}
                (false, _) => return Poll::Pending,
            }
        }
    });
    let limit = Duration::from_secs(10);
    runtime.block_on(async { tokio::time::timeout(limit, answered).await }).expect("it is answered");
    conn.client.hear(&std::task::Context::from_waker(std::task::Waker::noop()));
    let output = std::mem::take(&mut conn.client.replies.output);
    String::from_utf8_lossy(&output).replace("\r\n", " ").trim_end().to_owned()
}

#[test]
fn plain_spaces_answer_as_redis_does() {
    bench("").expect(&[
        ("SET kv:a 1", "+OK"),
        ("get kv:a", "$1 1"),
        ("SET kv:a 2 NX", "$-1"),
        ("SET kv:b 2 XX", "$-1"),
        ("SET kv:a 2 XX GET", "$1 1"),
        ("SET kv:a 3 EX 100", "+OK"),
        ("TTL kv:a", ":100"),
        ("SET kv:a 4 KEEPTTL", "+OK"),
        ("TTL kv:a", ":100"),
        ("SET kv:a 4", "+OK"),
        ("TTL kv:a", ":1800"),
        ("GETEX kv:a PX 50000", "$1 4"),
        ("TTL kv:a", ":50"),
        ("PERSIST kv:a", ":1"),
        ("TTL kv:a", ":1800"),
        ("EXPIRE kv:a 10 NX", ":0"),
        ("EXPIRE kv:a 10000 LT", ":0"),
        ("EXPIRE kv:a 10 GT", ":0"),
        ("EXPIRE kv:a 10 LT", ":1"),
        ("EXPIRE kv:a 20", ":1"),
        ("TTL kv:a", ":20"),
        ("SET kv:gone 1 EXAT 1", "+OK"),
        ("GET kv:gone", "$-1"),
        ("GETSET kv:a new", "$1 4"),
        ("STRLEN kv:a", ":3"),
        ("GETRANGE kv:a 1 -1", "$2 ew"),
        ("TYPE kv:a", "+string"),
        ("SETNX kv:a x", ":0"),
        ("MSET kv:b 1 kv:c 2", "+OK"),
        ("MGET kv:b kv:none kv:b", "*3 $1 1 $-1 $1 1"),
        ("EXISTS kv:b kv:b kv:none", ":2"),
        ("GETDEL kv:b", "$1 1"),
        ("DEL kv:b kv:c", ":1"),
        ("TTL kv:b", ":-2"),
        ("EXPIRE kv:a 0", ":1"),
        ("GET kv:a", "$-1"),
        ("SET n:x 1", "-ERR key 'n:x' has a capture of the wrong type for space 'n'"),
        ("GET n:x", "$-1"),
    ]);
}

#[test]
fn origin_spaces_read_through_and_are_not_written() {
    bench("").expect(&[
        ("GET product:1", "$8 {\"id\":1}"),
        ("MGET product:2 product:1 product:2 product:99", "*4 $8 {\"id\":2} $8 {\"id\":1} $8 {\"id\":2} $-1"),
        ("GET product:01", "$-1"),
        ("SET product:1 x", "-BWREADONLY space 'product' has no write mode"),
        ("SET product:x x", "-BWREADONLY space 'product' has no write mode"),
        ("GETDEL product:1", "-BWREADONLY space 'product' has no write mode"),
        ("MSET kv:a 1 product:1 x", "-BWREADONLY space 'product' has no write mode"),
        ("GET kv:a", "$-1"),
        ("GET nowhere", "-BWNOSPACE no space matches key 'nowhere'"),
        ("MGET product:1 nowhere elsewhere", "-BWPARTIAL 2 of 3: BWNOSPACE no space matches key 'nowhere'"),
        ("DEL product:1 nowhere", "-BWNOSPACE no space matches key 'nowhere'"),
        ("EXPIRE product:1 86400", ":0"),
        ("EXPIRE product:1 5", ":1"),
        ("TTL product:1", ":5"),
        ("DEL product:1 product:4 product:x", ":1"),
        ("TTL product:1", ":-2"),
        ("BW.GET product:3 CACHED", "*5 $-1 $10 not_cached :0 $-1 :0"),
        ("BW.REFRESH product:3", ":0"),
        ("BW.TAG.REFRESH p:77", ":0"),
        ("BW.TAG.REFRESH p:2 p:77", ":1"),
        ("TTL product:2", ":0"),
        ("GET product:2", "$8 {\"id\":2}"),
        ("BW.TAG.REMOVE p:2", "+OK"),
        ("TTL product:2", ":-2"),
    ]);
}

#[test]
fn every_request_is_counted_under_one_reason() {
    let mut bench = bench("");
    let commands = ["GET product:1", "GET product:1", "GET product:x", "GET nowhere", "GET kv:a", "SET product:1 x"];
    for command in commands {
        bench.say(format!("{command}\r\n"));
    }
    let snapshot = bench.conn.client.service.snapshot();
    let mut counted: Vec<(String, &str, u64)> = Vec::new();
    for space in &snapshot.spaces {
        counted.extend(space.requests.iter().map(|(why, n)| (space.name.clone(), why.as_str(), *n)));
    }
    counted.sort();
    let of = |space: &str, why, n| (space.to_owned(), why, n);
    let product = ["hit", "loaded", "negative_type", "read_only"].map(|why| of("product", why, 1));
    assert_eq!(counted, [&[of("", "no_space", 1), of("kv", "not_cached", 1)][..], &product].concat());
    assert!(bench.say("INFO stats\r\n").contains("keyspace_hits:1 keyspace_misses:3 "));
}

#[test]
fn the_eviction_policy_that_was_chosen_works_and_shows() {
    for policy in Eviction::ALL {
        let mut bench = bench(&format!("[memory]\neviction = \"{policy}\"\n"));
        assert!(bench.say("INFO memory\r\n").ends_with(&format!(" bellwether_eviction:{policy}")), "{policy}");
        bench.expect(&[
            ("SET kv:a 1", "+OK"),
            ("GET kv:a", "$1 1"),
            ("GET product:1", "$8 {\"id\":1}"),
            ("DBSIZE", ":2"),
        ]);
        bench.expect(&[("SCAN 0 MATCH kv:*", "*2 $1 0 *1 $4 kv:a"), ("DEL kv:a", ":1"), ("GET kv:a", "$-1")]);
    }
    let mut lru = bench("[memory]\neviction = \"lru\"\n");
    assert!(lru.say("INFO memory\r\n").contains(" maxmemory_policy:allkeys-lru "));
    lru.expect(&[("CONFIG GET maxmemory-policy", "*2 $16 maxmemory-policy $11 allkeys-lru")]);
}

#[test]
fn replies_to_a_pipeline_keep_its_order() {
    let mut bench = bench("");
    let pipeline = "GET product:1\r\nPING\r\nSET kv:p 1\r\nGET kv:p\r\nDEL kv:p\r\nGET kv:p\r\nGET product:2\r\n";
    assert_eq!(bench.say(pipeline), "$8 {\"id\":1} +PONG +OK $1 1 :1 $-1 $8 {\"id\":2}");
}

#[test]
fn values_that_are_copied_together_keep_their_places_among_other_replies() {
    let mut bench = bench("");
    (0..40).for_each(|n| assert_eq!(bench.say(format!("SET kv:{n} v{n}\r\n")), "+OK"));
    // More than are copied at once; then every kind of neighbour, and half a command at the end.
    let gets: Vec<String> = (0..40).map(|n| format!("GET kv:{n}")).collect();
    let others = "GET kv:none|SET kv:0 new|GET kv:0|DEL kv:0|GET kv:0|GET product:1|GET kv:1|CLIENT REPLY SKIP|GET kv:2|\
                  GET kv:3|MULTI|GET kv:4|EXEC";
    let commands = format!("PING|{}|{others}", gets.join("|"));
    let mut input: Vec<u8> =
        commands.split('|').flat_map(|words| command(&words.split(' ').collect::<Vec<_>>())).collect();
    input.extend_from_slice(b"PI");
    let values: Vec<String> = (0..40).map(|n| format!("v{n}")).map(|v| format!("${} {v}", v.len())).collect();
    let others = "$-1 +OK $3 new :1 $-1 $8 {\"id\":1} $2 v1 $2 v3 +OK +QUEUED *1 $2 v4";
    assert_eq!(bench.say(input), format!("+PONG {} {others}", values.join(" ")));
}

#[test]
fn a_batch_runs_in_order_each_command_after_the_last_has_answered() {
    let mut bench = bench("");
    let answer = bench.say("MULTI\r\nGET product:5\r\nDEL product:5\r\nGET product:5\r\nEXEC\r\nPING\r\n");
    assert_eq!(answer, "+OK +QUEUED +QUEUED +QUEUED *3 $8 {\"id\":5} :1 $8 {\"id\":5} +PONG");
    bench.expect(&[
        ("EXEC", "-ERR EXEC without MULTI"),
        ("MULTI", "+OK"),
        ("MULTI", "-ERR MULTI calls can not be nested"),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("SET kv:x 1", "+QUEUED"),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
        ("GET kv:x", "$-1"),
        ("MULTI", "+OK"),
        ("SET kv:x 1", "+QUEUED"),
        ("DISCARD", "+OK"),
        ("GET kv:x", "$-1"),
        ("MULTI", "+OK"),
        ("EXEC", "*0"),
        ("WATCH kv:x", "-ERR WATCH is not available: MULTI and EXEC are an ordered batch, not an isolated one"),
    ]);
}

#[test]
fn tokens_of_plain_spaces_are_given_to_one_at_a_time() {
    let mut bench = bench("");
    let answer = bench.say("BW.GET kv:t LEASE 5000\r\n");
    let token = answer.split(' ').nth(6).expect("a token").to_owned();
    assert!(answer.starts_with("*5 $-1 $10 not_cached :0 $16 "), "{answer}");
    assert!(bench.say("BW.GET kv:t WAIT 0\r\n").starts_with("*5 $-1 $4 held :0 $-1 :"));
    assert_eq!(bench.say(format!("BW.SET kv:t v {token} EX 50 TAG t1 t2\r\n")), ":1");
    assert_eq!(bench.say(format!("BW.SET kv:t late {token}\r\n")), ":0");
    bench.expect(&[
        ("GET kv:t", "$1 v"),
        ("TTL kv:t", ":50"),
        ("BW.SET kv:t v nonsense", "-ERR invalid token: give back what BW.GET gave"),
        ("BW.SET kv:t v 1 EXAT 5", "-ERR syntax error"),
        ("BW.TAG.EXPIRE t2", "+OK"),
        ("GET kv:t", "$-1"),
        ("BW.RELEASE kv:t 1", ":0"),
        ("BW.GET kv:t NONSENSE", "-ERR syntax error"),
        ("BW.GET kv:t PRIORITY", "-ERR syntax error"),
        (
            "BW.GET kv:t PRIORITY lo",
            "-ERR expected the priority critical, normal, low or background, found 'lo'; did you mean low?",
        ),
        ("BW.REFRESH kv:t", "-ERR space 'kv' has no origin to load from"),
    ]);
    bench.expect(&[("BW.HOTKEYS", "*0"), ("BW.HOTKEYS 5", "*0")]);
    for wrong in ["0", "257", "x", "1 2"] {
        assert!(bench.say(format!("BW.HOTKEYS {wrong}\r\n")).starts_with("-ERR expected BW.HOTKEYS [n]"), "{wrong}");
    }
    let explained = bench.say("HELLO 3\r\nBW.EXPLAIN kv:t\r\n");
    assert!(explained.contains("$5 space $2 kv $5 would $10 not_cached"), "{explained}");
}

#[test]
fn a_stranger_may_only_say_the_password() {
    let mut bench = bench("password = \"secret\"");
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    bench.expect(&[
        ("GET kv:a", "-NOAUTH Authentication required."),
        ("NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with:"),
        ("AUTH wrong", wrong),
        ("AUTH joe secret", wrong),
        ("AUTH a b c", "-ERR syntax error"),
        ("GET kv:a", "-NOAUTH Authentication required."),
        ("AUTH default secret", "+OK"),
        ("GET kv:a", "$-1"),
        ("RESET", "+RESET"),
        ("GET kv:a", "-NOAUTH Authentication required."),
        ("AUTH secret", "+OK"),
    ]);
    assert!(bench.say("RESET\r\nHELLO 3\r\n").contains("-NOAUTH HELLO must be called"));
    let greeting = bench.say("HELLO 3 AUTH default secret SETNAME me\r\n");
    assert!(greeting.starts_with("%7 $6 server $5 redis $7 version $5 7.4"), "{greeting}");
    assert_eq!(bench.say("CLIENT GETNAME\r\n"), "$2 me");
    assert_eq!(bench.say("GET kv:a\r\n"), "_");
}

#[test]
fn what_is_not_here_is_said_and_never_pretended() {
    bench("").expect(&[
        ("CLIENT TRACKING OFF", "+OK"),
        ("SUBSCRIBE x", "-ERR no channel 'x' here: there are bellwether:invalidate and __redis__:invalidate"),
        ("PUBLISH x y", "-ERR PUBLISH is not available: channels here carry invalidations alone"),
        ("CLIENT MAINT_NOTIFICATIONS ON", "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP."),
        ("CLUSTER INFO", "-ERR This instance has cluster support disabled"),
        ("SELECT 1", "-ERR DB index is out of range"),
        (
            "INCR kv:a",
            "-ERR unknown command 'INCR', with args beginning with: 'kv:a' \
             (command 'incr' is not available: a value is read and written whole, by GET and SET)",
        ),
        (
            "KEYS kv:*",
            "-ERR unknown command 'KEYS', with args beginning with: 'kv:*' \
             (command 'keys' is not available: SCAN 0 MATCH pattern)",
        ),
    ]);
}

#[test]
fn replies_can_be_left_out_while_their_commands_are_run() {
    let mut bench = bench("");
    let answer =
        bench.say("CLIENT REPLY SKIP\r\nSET kv:a 1\r\nGET kv:a\r\nCLIENT REPLY OFF\r\nSET kv:a 2\r\nGET kv:a\r\n");
    assert_eq!(answer, "$1 1");
    assert_eq!(bench.say("CLIENT REPLY ON\r\nGET kv:a\r\n"), "+OK $1 2");
}

#[test]
fn a_scan_returns_every_key_that_stays_whatever_comes_and_goes() {
    let mut bench = bench("");
    for n in 0..300 {
        assert_eq!(bench.say(format!("SET kv:{n} 1\r\n")), "+OK");
    }
    let (mut cursor, mut seen, mut steps) = ("0".to_owned(), HashSet::new(), 0);
    loop {
        let answer = bench.say(format!("SCAN {cursor} COUNT 20 MATCH kv:* TYPE string\r\n"));
        let words: Vec<&str> = answer.split(' ').filter(|word| !word.starts_with(['$', '*'])).collect();
        seen.extend(words[1..].iter().map(|key| (*key).to_owned()));
        cursor = words[0].to_owned();
        if cursor == "0" {
            break;
        }
        steps += 1;
        // Others come and go while it walks.
        bench.say(format!("DEL kv:{}\r\nSET kv:new{steps} 1\r\n", 200 + steps));
    }
    assert!((0..200).all(|n| seen.contains(&format!("kv:{n}"))), "{} seen", seen.len());
    assert!(steps >= 10, "{steps}");
    assert_eq!(bench.say("SCAN 0 COUNT 1000 MATCH x*\r\n"), "*2 $1 0 *0");
    assert_eq!(bench.say("SCAN 0 COUNT 1000 TYPE list\r\n"), "*2 $1 0 *0");
    assert!(bench.say("DBSIZE\r\n").starts_with(":30"));
}

#[test]
fn protocol_errors_end_a_connection_and_http_ends_it_without_a_word() {
    let mut broken = bench("");
    assert_eq!(broken.conn.process(b"PING\r\n*1\r\n+x\r\nPING\r\n").1, Stop::End);
    let answer = std::mem::take(&mut broken.conn.client.replies.output);
    assert_eq!(answer, b"+PONG\r\n-ERR Protocol error: expected '$', got '+'\r\n");
    assert_eq!(broken.conn.process(b"PING\r\n").1, Stop::End, "nothing is begun after it");
    let mut http = bench("");
    assert_eq!(http.conn.process(b"POST / HTTP/1.1\r\n").1, Stop::Cut);
    assert!(http.conn.client.replies.output.is_empty());
}

#[test]
fn a_command_that_arrives_in_pieces_is_begun_once_it_is_whole() {
    let mut bench = bench("");
    let input = b"*3\r\n$3\r\nSET\r\n$4\r\nkv:a\r\n$5\r\nhello\r\n*2\r\n$3\r\nGET\r\n$4\r\nkv:a\r\n";
    let mut rest = Vec::new();
    for byte in input {
        rest.push(*byte);
        let (used, stop) = bench.conn.process(&rest);
        assert_eq!(stop, Stop::Input);
        rest.drain(..used);
    }
    assert_eq!(bench.conn.client.replies.output, b"+OK\r\n$5\r\nhello\r\n");
}

/// What is answered to `commands` where each arrives alone.
fn one_by_one(commands: &[String]) -> String {
    let mut bench = bench("");
    let answers: Vec<String> = commands.iter().map(|command| bench.say(command)).collect();
    answers.into_iter().filter(|answer| !answer.is_empty()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_pipeline_is_answered_as_its_commands_are_one_by_one() {
    let array = |words: &[&str]| {
        let bulks: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        format!("*{}\r\n{bulks}", words.len())
    };
    let key = |n: usize| ["kv:1", "n:2", "product:3", "kv:none", "product:99", "nowhere", "n:x"][n % 7].to_owned();
    let mut commands = vec![array(&["SET", "kv:1", "one"]), array(&["SET", "n:2", "two"])];
    for n in 0..60 {
        commands.push(array(&["GET", &key(n)]));
        match n {
            // What stands between GETs is seen by those behind it, and by none before.
            9 => commands.push(array(&["SET", "kv:1", "other"])),
            19 => commands.push(array(&["DEL", "n:2"])),
            24 => commands.push("GET kv:1\r\n".into()),
            29 => commands.push(array(&["CLIENT", "REPLY", "SKIP"])),
            34 => commands.push("\r\n".into()),
            39 => commands.push(array(&["get", "kv:1"])),
            44 => commands.push(array(&["GET"])),
            49 => commands.extend(["MULTI", "GET kv:1", "SET kv:1 third", "EXEC"].map(|word| format!("{word}\r\n"))),
            _ => {}
        }
    }
    let (alone, whole) = (one_by_one(&commands), commands.concat());
    assert_eq!(bench("").say(&whole), alone);
    // However it arrives: what is cut off in the middle is begun once it is whole.
    for piece in [7, 100, 333] {
        let mut bench = bench("");
        let (mut rest, mut answer) = (Vec::new(), String::new());
        for bytes in whole.as_bytes().chunks(piece) {
            rest.extend_from_slice(bytes);
            let said = said_of(&bench.runtime, &mut bench.conn, &mut rest);
            answer = format!("{answer} {said}").trim().to_owned();
        }
        assert_eq!(answer, alone, "in pieces of {piece} bytes");
    }
    // The control: the order matters.
    commands.swap(2, 11);
    assert_ne!(one_by_one(&commands), alone);
}

#[test]
fn reading_stops_while_replies_are_not_taken() {
    let mut bench = bench("");
    let value = "x".repeat(60_000);
    bench.say(format!("SET kv:big {value}\r\n"));
    let input = "GET kv:big\r\n".repeat(2000);
    let (used, stop) = bench.conn.process(input.as_bytes());
    assert_eq!(stop, Stop::Replies);
    assert!(used < input.len() / 10, "{used} of {}", input.len());
    assert!(bench.conn.client.replies.output.len() < 2 << 20);
    // How much it is owed is found out without copying it.
    let (more, _) = bench.conn.process_up_to(&input.as_bytes()[used..], 32 << 20);
    assert!(more > used && bench.conn.client.replies.owed_at_least(32 << 20));
    assert!(bench.conn.client.replies.output.len() < 2 << 20);
}

#[test]
fn what_queues_behind_a_wait_is_bounded() {
    let mut bench = bench("");
    let granted = bench.say("BW.GET kv:held LEASE 60000\r\n");
    let token = granted.split_whitespace().find(|word| word.len() > 12).expect("a token").to_owned();
    let handle = bench.runtime.handle().clone();
    let entered = handle.enter();
    let (text, echoes) = ("x".repeat(60_000), 500);
    let mut input = b"BW.GET kv:held WAIT 60000\r\n".to_vec();
    input.extend(format!("ECHO {text}\r\n").repeat(echoes).into_bytes());
    let (used, stop) = bench.conn.process(&input);
    assert_eq!(stop, Stop::Replies, "the rest must wait");
    let owed = bench.conn.client.replies.owed();
    assert!((MAX_QUEUED..MAX_QUEUED + (1 << 20)).contains(&owed), "{owed} bytes wait");
    // Once the wait is over, everything is answered in order.
    let client = &bench.conn.client;
    assert!(client.service.publish(b"kv:held", b"v", token.parse().expect("a token"), None, []).is_ok());
    drop(entered);
    let (mut rest, mut answer) = (input.split_off(used), Vec::new());
    let conn = &mut bench.conn;
    let taken = std::future::poll_fn(|cx| {
        conn.poll(cx);
        answer.append(&mut conn.client.replies.output);
        conn.client.replies.flush();
        let (used, _) = conn.process(&rest);
        rest.drain(..used);
        if rest.is_empty() && conn.client.replies.owed() == 0 {
            return Poll::Ready(());
        }
        // A turn of its own for each step: within one poll the runtime's budget may be used up.
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    let limit = Duration::from_secs(10);
    bench.runtime.block_on(async { tokio::time::timeout(limit, taken).await }).expect("it is answered");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("*5\r\n$1\r\nv\r\n"), "{answer:.40}");
    assert_eq!(answer.matches(&text).count(), echoes);
}

#[test]
fn a_key_over_4_kib_is_refused_and_the_file_of_a_problem_is_named() {
    let mut bench = bench("");
    let key = format!("kv:{}", "k".repeat(4094));
    for command in ["GET", "DEL", "TTL", "BW.EXPIRE", "BW.GET"] {
        assert_eq!(bench.say(format!("{command} {key}\r\n")), "-ERR the key is longer than 4096 bytes", "{command}");
    }
    let text = CONFIG.replace("shop.db", "nowhere.db");
    let config = config::parse(&text, "mine.toml", Path::new("/nonexistent"), [], false).expect("valid as a text");
    let handle = bench.runtime.handle().clone();
    let problems = bench.runtime.block_on(Service::start(config, handle)).err().expect("no database");
    assert_eq!(problems.len(), 1, "{problems:?}");
    let words = problems[0].to_string();
    assert!(words.starts_with("mine.toml:3:7:") && words.contains("nowhere.db"), "{words}");
}

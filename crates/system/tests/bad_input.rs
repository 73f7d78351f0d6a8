//! What does bad input cost? An error in words that are known, at most a connection, never memory or data.

use std::time::Duration;

use bellwether_system::{Bellwether, Http, RedisServer, Resp, Value, config, until};

const LIMIT: Duration = Duration::from_secs(20);

const MIB: u64 = 1024 * 1024;

/// A plain space, a shop, and rows of which no JSON object can be made.
const SPACES: &str = r#"
[origin.shop]
sql = "sqlite://shop.db"
[[space]]
match = "kv:{k*}"
ttl = "30m"
[[space]]
match = "product:{id:int}"
origin = "shop"
query = "SELECT id, name, price, stock FROM products WHERE id = :id"
ttl = "60s"
[[space]]
match = "named:{name}"
origin = "shop"
query = "SELECT id FROM products WHERE name = :name"
ttl = "60s"
[[space]]
match = "odd:{id:int}"
origin = "shop"
query = "SELECT id, body FROM odd WHERE id = :id"
ttl = "60s"
[[space]]
match = "raw:{id:int}"
origin = "shop"
query = "SELECT body FROM odd WHERE id = :id"
column = "body"
ttl = "60s"
"#;

fn serve() -> Bellwether {
    Bellwether::start(Some(&config("", SPACES)))
}

/// What is sent, and everything that is answered before the close, as redis-server 7.0 does it.
fn malformed() -> Vec<(Vec<u8>, &'static str)> {
    let long = |head: &str, byte: &str| (head.to_owned() + &byte.repeat(70_000)).into_bytes();
    let mut cases: Vec<(Vec<u8>, &str)> = [
        ("*1\r\n+1\r\n", "expected '$', got '+'"),
        ("*1\r\n\r\n", "expected '$', got ' '"),
        ("*2\r\n$3\r\nGET\r\n*1\r\n$1\r\na\r\n", "expected '$', got '*'"),
        ("*3\r\n$3\r\nSET\r\n$1\r\na\r\n:1\r\n", "expected '$', got ':'"),
        ("*\r\n", "invalid multibulk length"),
        ("*abc\r\n", "invalid multibulk length"),
        ("*01\r\n$4\r\nPING\r\n", "invalid multibulk length"),
        ("*+1\r\n", "invalid multibulk length"),
        ("*NaN\r\n", "invalid multibulk length"),
        ("*2147483648\r\n", "invalid multibulk length"),
        ("*1\n$4\r\nPING\r\n", "invalid multibulk length"),
        ("*1\r\n$\r\n", "invalid bulk length"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$+4\r\nPING\r\n", "invalid bulk length"),
        ("*1\r\n$04\r\nPING\r\n", "invalid bulk length"),
        ("*1\r\n$NaN\r\n", "invalid bulk length"),
        ("*1\r\n$536870913\r\n", "invalid bulk length"),
        ("*1\r\n$99999999999999999999\r\n", "invalid bulk length"),
        ("GET \"abc\r\n", "unbalanced quotes in request"),
        ("GET 'abc'd\r\n", "unbalanced quotes in request"),
    ]
    .map(|(input, words)| (input.as_bytes().to_vec(), words))
    .into();
    cases.extend([
        (long("", "a"), "too big inline request"),
        (long("*", "1"), "too big mbulk count string"),
        (long("*1\r\n$", "1"), "too big bulk count string"),
    ]);
    cases
}

#[test]
fn malformed_resp_is_answered_in_rediss_own_words_then_closed() {
    let (ours, redis) = (serve(), RedisServer::start(&[]));
    for (input, words) in malformed() {
        let expected = format!("+PONG\r\n-ERR Protocol error: {words}\r\n");
        for (who, address) in [("redis-server", redis.address()), ("bellwether", ours.redis())] {
            let mut connection = Resp::connect(address);
            // What came whole before the nonsense is still answered.
            connection.send_raw(&[b"PING\r\n", input.as_slice()].concat()).unwrap();
            let shown = String::from_utf8_lossy(&input[..input.len().min(40)]).into_owned();
            let answer = connection.read_to_close(10_000).unwrap_or_else(|e| panic!("{who} keeps {shown:?}: {e}"));
            assert_eq!(String::from_utf8_lossy(&answer), expected, "{who}, {shown:?}");
        }
    }
    assert_eq!(ours.connect().call(&["PING"]).text(), "PONG");
}

#[test]
fn an_http_request_on_the_resp_port_is_closed_without_a_word() {
    let (ours, redis) = (serve(), RedisServer::start(&[]));
    for input in ["POST / HTTP/1.1\r\nHost: x\r\n\r\nSET kv:a 1\r\n", "Host: x\r\nSET kv:a 1\r\n"] {
        for (who, address) in [("redis-server", redis.address()), ("bellwether", ours.redis())] {
            let mut connection = Resp::connect(address);
            connection.send_raw(input.as_bytes()).unwrap();
            assert_eq!(connection.read_to_close(1_000).expect("it is closed"), b"", "{who}, {input:?}");
        }
    }
    assert_eq!(ours.connect().call(&["GET", "kv:a"]), Value::Nil, "nothing after it was run");
}

#[test]
fn odd_but_valid_resp_is_no_error() {
    let (ours, redis) = (serve(), RedisServer::start(&[]));
    let valid = "PING\n\r\n*0\r\n*-5\r\n*1\r\n$4\r\nPING\r\n  PING  \"a b\"  \r\n*1\r\n$0\r\n\r\n";
    for address in [redis.address(), ours.redis()] {
        let mut connection = Resp::connect(address);
        connection.send_raw(valid.as_bytes()).unwrap();
        let answers: Vec<String> = (0..3).map(|_| connection.read().unwrap().text()).collect();
        assert_eq!(answers, ["PONG", "PONG", "a b"]);
        assert!(connection.read().unwrap().error().unwrap().starts_with("ERR unknown command ''"));
        assert_eq!(connection.call(&["PING"]).text(), "PONG");
    }
}

/// Asks until the number of entries is `expected`: replies may come before evictions are booked.
fn entries(server: &Bellwether) -> i64 {
    server.connect().call(&["DBSIZE"]).int()
}

#[test]
fn ten_announcements_of_512_mb_cost_neither_memory_nor_entries() {
    let server = Bellwether::start(Some(&config("", &format!("[memory]\nlimit = \"32 MiB\"\n{SPACES}"))));
    let mut db = server.connect();
    let value = "x".repeat(1_000);
    let sets: Vec<Vec<String>> = (0..5_000).map(|i| vec!["SET".into(), format!("kv:{i}"), value.clone()]).collect();
    assert!(db.pipeline(&sets).iter().all(|answer| *answer == Value::ok()));
    let (memory, count) = (server.process.resident(), entries(&server));
    assert_eq!(count, 5_000);
    let announced: Vec<Resp> = (0..10)
        .map(|_| {
            let mut attacker = server.connect();
            attacker.send_raw(b"*3\r\n$3\r\nSET\r\n$4\r\nkv:x\r\n$536870912\r\nabcdefghijklmnopqrstuvwxy").unwrap();
            attacker
        })
        .collect();
    // The server has read what was sent once it answers others that came later.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.connect().call(&["PING"]).text(), "PONG");
    let grown = server.process.resident().saturating_sub(memory);
    assert!(grown < 8 * MIB, "10 x 25 bytes cost {grown} bytes of memory");
    assert_eq!(entries(&server), count);
    assert_eq!(db.call(&["GET", "kv:4999"]).text(), value);
    drop(announced);
}

#[test]
fn g6_half_commands_of_all_clients_together_are_bounded() {
    let server = serve();
    let memory = server.process.resident();
    // 15 MiB of a 15.5 MiB value each: 480 MiB in all, of which 256 may be kept.
    let half = [b"*3\r\n$3\r\nSET\r\n$4\r\nkv:x\r\n$16252928\r\n".to_vec(), vec![b'x'; 15 * MIB as usize]].concat();
    let mut attackers: Vec<Resp> = (0..32)
        .map(|_| {
            let mut attacker = server.connect();
            // It may be closed while it still sends.
            let _ = attacker.send_raw(&half);
            attacker
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    // A small command in two parts, while nothing is left for large ones.
    let mut friend = server.connect();
    friend.send_raw(b"*3\r\n$3\r\nSET\r\n$4\r\nkv:a\r\n$1").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    friend.send_raw(b"\r\n1\r\n").unwrap();
    assert_eq!(friend.read().unwrap(), Value::ok());
    let grown = server.process.resident().saturating_sub(memory);
    assert!(grown < 330 * MIB, "half commands of 480 MiB cost {} MiB", grown / MIB);
    attackers.iter_mut().for_each(|attacker| attacker.read_limit(Duration::from_millis(100)));
    let refused = attackers.iter_mut().filter_map(|attacker| attacker.read_to_close(1_000).ok());
    let refused = refused.filter(|answer| answer.starts_with(b"-ERR too many unfinished commands")).count();
    assert!(refused > 0, "nobody was told why");
    drop(attackers);
    // The room comes back with the connections.
    until(LIMIT, "room", || {
        let value = "y".repeat(4 * MIB as usize);
        (server.connect().call(&["SET", "kv:b", &value]) == Value::ok()).then_some(())
    });
}

#[test]
fn a_client_that_never_reads_is_cut_at_its_output_cap() {
    let server = serve();
    let mut db = server.connect();
    let value = "x".repeat(MIB as usize / 2);
    assert_eq!(db.call(&["SET", "kv:big", &value]), Value::ok());
    let memory = server.process.resident();
    let mut lazy = server.connect();
    // 2,000 replies of half a megabyte: a gigabyte that nobody reads. A failed send means it is cut already.
    let _ = lazy.send_raw("*2\r\n$3\r\nGET\r\n$6\r\nkv:big\r\n".repeat(2_000).as_bytes());
    let mut peak = 0;
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        peak = peak.max(server.process.resident().saturating_sub(memory));
        assert_eq!(server.connect().call(&["PING"]).text(), "PONG", "others are served meanwhile");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(peak < 128 * MIB, "a client that never reads cost {} MiB", peak / MIB);
    let sent = lazy.read_to_close(2_000 * MIB).expect("the server cuts the connection").len() as u64;
    assert!(sent < 500 * MIB, "it was served {} MiB after all", sent / MIB);
    until(LIMIT, "the memory to come back", || {
        (server.process.resident().saturating_sub(memory) < 128 * MIB).then_some(())
    });
    assert_eq!(db.call(&["GET", "kv:big"]).text().len(), value.len());
}

#[test]
fn before_auth_a_client_may_send_little_and_not_for_long() {
    let server = Bellwether::start(Some(&config("password = \"secret\"", SPACES)));
    let mut stranger = server.connect();
    for command in [&["GET", "kv:a"][..], &["SET", "kv:a", "1"], &["INFO"], &["CONFIG", "GET", "save"], &["DBSIZE"]] {
        assert_eq!(stranger.call(command).error(), Some("NOAUTH Authentication required."), "{command:?}");
    }
    assert!(stranger.call(&["AUTH", "wrong"]).error().unwrap().starts_with("WRONGPASS"));
    assert!(stranger.call(&["HELLO", "3"]).error().unwrap().starts_with("NOAUTH"));
    assert_eq!(stranger.call(&["AUTH", "secret"]), Value::ok());
    assert_eq!(stranger.call(&["SET", "kv:a", "1"]), Value::ok());
    assert!(matches!(server.connect().call(&["HELLO", "3", "AUTH", "default", "secret"]), Value::Map(_)));

    let redis = RedisServer::start(&["--requirepass", "secret"]);
    for (input, words) in [
        ("*11\r\n", "unauthenticated multibulk length"),
        ("*2\r\n$3\r\nGET\r\n$16385\r\n", "unauthenticated bulk length"),
    ] {
        for address in [redis.address(), server.redis()] {
            let mut stranger = Resp::connect(address);
            stranger.send_raw(input.as_bytes()).unwrap();
            let answer = stranger.read_to_close(1_000).expect("it is closed");
            assert_eq!(String::from_utf8_lossy(&answer), format!("-ERR Protocol error: {words}\r\n"));
        }
    }
    // Silent strangers are closed after five seconds, friends are not.
    let mut silent = server.connect();
    silent.read_limit(Duration::from_secs(9));
    let begun = std::time::Instant::now();
    silent.read_to_close(1_000).expect("a stranger is closed");
    assert!(begun.elapsed() >= Duration::from_secs(3), "closed after {:?} already", begun.elapsed());
    assert_eq!(stranger.call(&["GET", "kv:a"]).text(), "1");
    assert_eq!(Http::get(server.http(), "/v1/kv:a").status, 401);
    let bearer = Http::once(server.http(), "GET", "/v1/kv:a", &["authorization: Bearer secret"], b"");
    assert_eq!((bearer.status, bearer.text().as_str()), (200, "1"));
}

#[test]
fn keys_over_4_kib_are_refused_and_4_kib_are_not() {
    let server = serve();
    let mut db = server.connect();
    let longest = format!("kv:{}", "k".repeat(4096 - 3));
    assert_eq!(db.call(&["SET", &longest, "1"]), Value::ok());
    assert_eq!(db.call(&["GET", &longest]).text(), "1");
    let longer = longest.clone() + "k";
    for command in [&["SET", &longer, "1"][..], &["GET", &longer], &["DEL", &longer], &["MGET", "kv:a", &longer]] {
        let answer = db.call(command);
        let words = answer.error().unwrap_or_else(|| panic!("{}: {answer}", command[0]));
        assert!(words.contains("4096") || words.contains("4 KiB"), "{}: {words}", command[0]);
    }
    assert_eq!(db.call(&["PING"]).text(), "PONG");
    let answer = Http::get(server.http(), &format!("/v1/{longer}"));
    assert!((400..500).contains(&answer.status), "{}", answer.status);
}

#[test]
fn keys_that_are_no_utf_8_are_keys_but_no_captures() {
    let server = serve();
    let mut db = server.connect();
    assert_eq!(db.call_bytes(&[b"SET", b"kv:\xff\x00\r\n", b"1"]), Value::ok());
    assert_eq!(db.call_bytes(&[b"GET", b"kv:\xff\x00\r\n"]).text(), "1");
    assert_eq!(Http::get(server.http(), "/v1/kv:%ff%00%0D%0A").text(), "1");
    assert_eq!(db.call_bytes(&[b"GET", b"kv:\xfe"]), Value::Nil);
    assert_eq!(db.call_bytes(&[b"GET", b"named:\xff"]), Value::Nil, "SQL gets no bytes that are no text");
    assert_eq!(db.call(&["GET", "named:product 7"]).json()["id"], 7, "control: text reaches it");
    assert_eq!(db.call(&["GET", "named:x' OR '1'='1"]), Value::Nil, "a capture is bound, never spliced in");
    let refused = db.call_bytes(&[b"GET", b"no\xffspace"]);
    assert!(refused.error().unwrap().starts_with("BWNOSPACE"), "{refused}");
}

#[test]
fn captures_of_the_wrong_type_are_nil() {
    let server = serve();
    let mut db = server.connect();
    for id in ["042", "+7", "-0", "abc", "1.0", " 1", "9223372036854775808", "1 OR 1=1"] {
        assert_eq!(db.call(&["GET", &format!("product:{id}")]), Value::Nil, "product:{id}");
    }
    assert_eq!(db.call(&["GET", "product:-7"]), Value::Nil, "a canonical integer without a row");
    assert_eq!(db.call(&["GET", "product:7"]).json()["id"], 7);
    assert_eq!(db.call(&["GET", "product:10"]).json()["stock"], serde_json::Value::Null);
}

#[test]
fn rows_that_are_no_json_object_are_origin_errors() {
    let server = serve();
    let mut db = server.connect();
    for (key, what) in [("odd:1", "a BLOB"), ("odd:2", "an infinite number"), ("odd:4", "two rows")] {
        let answer = db.call(&["GET", key]);
        assert!(answer.error().is_some_and(|e| e.starts_with("BWORIGIN")), "{what}: {answer}");
        let words = answer.error().unwrap_or_default();
        assert!(!words.contains("SELECT") && !words.contains("shop.db"), "an error shows no SQL: {words}");
    }
    assert_eq!(db.call(&["GET", "odd:3"]).json()["body"], serde_json::Value::Null);
    assert_eq!(db.call(&["GET", "raw:1"]), Value::Bulk(vec![0, 255, 128]), "column answers the bytes");
}

#[test]
fn malformed_http_is_refused_and_closed() {
    let server = serve();
    assert_eq!(Http::get(server.http(), "/v1/product:1").status, 200, "control");
    let smuggled = "GET /v1/product:2 HTTP/1.1\r\nhost: x\r\n\r\n";
    for (what, request) in [
        (
            "CL and TE",
            format!(
                "POST /v1/_mget HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
            ),
        ),
        (
            "two lengths",
            format!("PUT /v1/kv:a HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 60\r\n\r\na{smuggled}"),
        ),
        ("a list of lengths", "PUT /v1/kv:a HTTP/1.1\r\nhost: x\r\ncontent-length: 1, 2\r\n\r\nab".into()),
        ("a signed length", "PUT /v1/kv:a HTTP/1.1\r\nhost: x\r\ncontent-length: +1\r\n\r\na".into()),
        ("a folded header", "GET /v1/product:1 HTTP/1.1\r\nhost: x\r\nx-a: b\r\n c\r\n\r\n".into()),
        ("TE on 1.0", "POST /v1/_mget HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into()),
        ("a blank before the colon", "GET /v1/product:1 HTTP/1.1\r\nhost : x\r\n\r\n".into()),
        (
            "an unknown coding",
            "POST /v1/_mget HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n".into(),
        ),
        ("no HTTP", "\u{1}\u{2}\u{3} nonsense\r\n\r\n".into()),
        ("RESP", "*1\r\n$4\r\nPING\r\n\r\n".into()),
        ("a huge head", format!("GET /v1/product:1 HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(1_000_000))),
    ] {
        let mut connection = Http::connect(server.http());
        // The server may close while a long request is still being sent.
        let _ = connection.send_raw(request.as_bytes());
        let answer = connection.read_to_close().unwrap_or_else(|e| panic!("{what}: the connection is kept: {e}"));
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let fine = answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.0 4");
        assert!(fine || answer.starts_with("HTTP/1.1 501"), "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.").count().max(1), 1, "{what}: a second request got through: {answer}");
    }
    assert_eq!(server.connect().call(&["GET", "kv:a"]), Value::Nil, "nothing was written");
    assert_eq!(Http::get(server.http(), "/v1/product:1").status, 200);
}

#[test]
fn odd_http_paths_and_methods_get_an_answer() {
    let server = serve();
    for (method, path, status) in [
        ("GET", "/v1/", 404),
        ("GET", "/", 404),
        ("GET", "/v1/kv:%zz", 400),
        ("GET", "/v1/../../etc/passwd", 404),
        ("PATCH", "/v1/kv:a", 405),
        ("GET", "/v1/_mget", 405),
    ] {
        let answer = Http::once(server.http(), method, path, &[], b"");
        let fine = answer.status == status || (status == 404 && answer.status == 400);
        assert!(fine, "{method} {path}: {} instead of {status}", answer.status);
    }
    for body in ["", "no json", "{\"a\":1}", "[1]", "[\"kv:a\""] {
        let answer = Http::once(server.http(), "POST", "/v1/_mget", &[], body.as_bytes());
        assert_eq!(answer.status, 400, "{body:?}");
    }
}

#[test]
fn a_host_that_is_not_ours_does_not_reach_the_admin_listener() {
    let server = serve();
    let mut connection = Http::connect(server.admin());
    connection.send_raw(b"GET /metrics HTTP/1.1\r\nhost: evil.example\r\n\r\n").unwrap();
    let status = connection.read(false).unwrap().status;
    assert!((400..500).contains(&status), "DNS rebinding got {status}");
    assert_eq!(Http::get(server.admin(), "/metrics").status, 200, "control");
}

/// A client that is told why does not try again and again.
#[test]
fn a_command_over_16_mib_is_answered_before_its_connection_is_closed() {
    let server = serve();
    let value = vec![b'x'; 18 << 20];
    let head = format!("*3\r\n$3\r\nSET\r\n$4\r\nkv:x\r\n${}\r\n", value.len());
    let halves = {
        let half = [format!("${}\r\n", 9 << 20).as_bytes(), &value[..9 << 20], b"\r\n"].concat();
        [b"*5\r\n$4\r\nMSET\r\n$4\r\nkv:x\r\n".as_slice(), &half, b"$4\r\nkv:y\r\n", &half].concat()
    };
    for input in [[head.as_bytes(), &value, b"\r\n"].concat(), halves] {
        let mut connection = server.connect();
        // All of it, as clients send it: they read only then.
        connection.send_raw(&input).expect("it is heard out");
        let answer = connection.read_to_close(1_000).expect("it is answered, then closed");
        let said = String::from_utf8_lossy(&answer);
        assert!(said.starts_with("-ERR Protocol error: invalid bulk length"), "{said}");
    }
    // Control: one below it is a command.
    let mut client = server.connect();
    assert_eq!(client.call(&["SET", "kv:x", &"x".repeat(1 << 20)]), Value::ok());
}

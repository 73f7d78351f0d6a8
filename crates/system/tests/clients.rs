//! Do the clients that people use connect and get what they expect? Each test runs the real program.

use std::time::Duration;

use bellwether_system::{Bellwether, Client, Http, Process, RedisServer, config, node, python, tool, until};

/// For one client program.
const LIMIT: Duration = Duration::from_secs(60);

const PASSWORD: &str = "a long secret";

/// Two plain spaces: `key:` is what redis-benchmark writes of its own accord.
const PLAIN: &str = "[[space]]\nmatch = \"kv:{k*}\"\nttl = \"30m\"\n[[space]]\nmatch = \"key:{k*}\"\nttl = \"30m\"";

fn plain() -> Bellwether {
    Bellwether::start(Some(&config("", PLAIN)))
}

fn locked() -> Bellwether {
    Bellwether::start(Some(&config(&format!("password = \"{PASSWORD}\""), PLAIN)))
}

fn sample_shop() -> Bellwether {
    Bellwether::start(None)
}

/// `script KIND PORT [PASSWORD]`
fn run(script: Client, kind: &str, port: u16) {
    let password = (kind == "locked").then_some(PASSWORD);
    let out = script.args([kind, &port.to_string()]).args(password).succeed(LIMIT);
    assert!(out.ends_with("fine\n"), "{out}");
}

fn cli(server: &Bellwether, arguments: &[&str]) -> String {
    let port = server.redis().port().to_string();
    tool("redis-cli").args(["-p", &port]).args(arguments).succeed(LIMIT)
}

#[test]
fn control_redis_itself_passes_the_scripts_that_ask_for_nothing_of_ours() {
    let open = RedisServer::start(&[]);
    let locked = RedisServer::start(&["--requirepass", PASSWORD]);
    let (open, locked) = (open.address().port(), locked.address().port());
    run(python("redis_py.py"), "plain", open);
    run(node("node_redis.mjs"), "plain", open);
    run(node("ioredis.mjs"), "plain", open);
    run(python("redis_py.py"), "locked", locked);
    run(node("node_redis.mjs"), "locked", locked);
    run(node("ioredis.mjs"), "locked", locked);
}

#[test]
fn redis_py_reads_the_shop_and_a_plain_space_and_logs_in() {
    run(python("redis_py.py"), "shop", sample_shop().redis().port());
    run(python("redis_py.py"), "plain", plain().redis().port());
    run(python("redis_py.py"), "locked", locked().redis().port());
}

#[test]
fn redis_pys_own_cache_is_kept_true() {
    run(python("redis_py.py"), "near", plain().redis().port());
}

#[test]
fn node_redis_reads_the_shop_and_a_plain_space_and_logs_in() {
    run(node("node_redis.mjs"), "shop", sample_shop().redis().port());
    run(node("node_redis.mjs"), "plain", plain().redis().port());
    run(node("node_redis.mjs"), "locked", locked().redis().port());
}

#[test]
fn node_rediss_own_cache_is_kept_true() {
    run(node("node_redis.mjs"), "near", plain().redis().port());
}

#[test]
fn ioredis_reads_the_shop_and_a_plain_space_and_logs_in() {
    run(node("ioredis.mjs"), "shop", sample_shop().redis().port());
    run(node("ioredis.mjs"), "plain", plain().redis().port());
    run(node("ioredis.mjs"), "locked", locked().redis().port());
}

#[test]
fn redis_cli_reads_the_sample_shop() {
    let server = sample_shop();
    let row: serde_json::Value = serde_json::from_str(&cli(&server, &["GET", "product:42"])).unwrap();
    assert_eq!(row["id"], 42);
    let rows = cli(&server, &["MGET", "product:2", "product:1", "product:2"]);
    let ids: Vec<i64> = rows
        .lines()
        .map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap()["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, [2, 1, 2]);
    assert_eq!(cli(&server, &["--no-raw", "GET", "product:999999999"]).trim(), "(nil)");
    assert!(cli(&server, &["GET", "nothing:1"]).starts_with("BWNOSPACE no space matches key 'nothing:1'"));
    assert_eq!(cli(&server, &["-3", "DEL", "product:42"]).trim(), "1");
}

#[test]
fn redis_cli_works_at_a_terminal_with_its_own_help() {
    let server = sample_shop();
    let port = server.redis().port().to_string();
    let out = python("interactive.py").args([port.as_str()]).succeed(LIMIT);
    assert!(out.ends_with("fine\n"), "{out}");
    let redis = RedisServer::start(&[]);
    redis.connect().call(&["SET", "product:42", "{\"id\":42}"]);
    let out = python("interactive.py").args([redis.address().port().to_string()]).succeed(LIMIT);
    assert!(out.ends_with("fine\n"), "control: redis-server passes it as well: {out}");
}

#[test]
fn redis_cli_reads_commands_from_a_pipe() {
    let server = sample_shop();
    let port = server.redis().port().to_string();
    let script = format!("printf 'GET product:42\\nNOSUCH x\\nPING\\nquit\\n' | redis-cli -p {port}");
    let out = tool("sh").args(["-c", &script]).succeed(LIMIT);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with('{'), "{out}");
    assert!(lines[1].starts_with("ERR unknown command 'NOSUCH', with args beginning with: 'x'"), "{out}");
    assert!(lines.contains(&"PONG"), "{out}");
}

#[test]
fn redis_cli_bigkeys_finds_the_biggest_resident_value() {
    let server = plain();
    let big = "x".repeat(5_000);
    cli(&server, &["SET", "kv:small", "1"]);
    cli(&server, &["SET", "kv:big", &big]);
    let out = cli(&server, &["--bigkeys"]);
    assert!(out.contains("Sampled 2 keys in the keyspace!"), "{out}");
    assert!(out.contains("'\"kv:big\"' has 5000 bytes"), "{out}");
    let out = cli(&server, &["--memkeys"]);
    assert!(out.contains("Sampled 2 keys in the keyspace!"), "{out}");
}

#[test]
fn redis_cli_hotkeys_finds_what_was_asked_for_most() {
    let server = plain();
    let mut db = server.connect();
    for key in ["kv:hot", "kv:warm", "kv:cold"] {
        db.call(&["SET", key, "1"]);
    }
    db.pipeline(&vec![vec!["GET", "kv:hot"]; 200]);
    db.pipeline(&vec![vec!["GET", "kv:warm"]; 20]);
    let out = cli(&server, &["--hotkeys"]);
    let found: Vec<&str> = out.lines().filter(|line| line.starts_with("hot key found with counter:")).collect();
    assert_eq!(found.len(), 2, "what nobody asked for is not hot: {out}");
    assert!(found[0].contains("200") && found[0].contains("kv:hot"), "{out}");
    assert!(found[1].contains("20") && found[1].contains("kv:warm"), "{out}");
}

#[test]
fn redis_cli_stat_and_latency_work() {
    let server = plain();
    cli(&server, &["SET", "kv:a", "1"]);
    let port = server.redis().port().to_string();
    let stat: Process = tool("redis-cli").args(["-p", &port, "--stat", "-i", "0.05"]).start();
    until(LIMIT, "three lines of --stat", || {
        let out = stat.stdout();
        let rows = out.lines().filter(|line| line.starts_with("1 ")).count();
        (rows >= 3).then_some(())
    });
    let latency = cli(&server, &["--latency", "-i", "0.2"]);
    let samples: u64 = latency.split_whitespace().nth(3).and_then(|n| n.parse().ok()).unwrap();
    assert!(samples > 0, "{latency}");
}

#[test]
fn redis_benchmark_runs_without_an_error() {
    let server = plain();
    let port = server.redis().port().to_string();
    let benchmark = || tool("redis-benchmark").args(["-p", &port, "-n", "20000", "-P", "16", "-q", "-r", "1000"]);
    let out = benchmark().args(["-t", "set,get"]).succeed(LIMIT);
    assert_eq!(out.matches("requests per second").count(), 2, "{out}");
    let out = benchmark().args(["--threads", "2", "-d", "1000", "SET", "kv:__rand_int__", "__data__"]).succeed(LIMIT);
    assert!(out.contains("requests per second"), "{out}");
    let keys: usize = cli(&server, &["DBSIZE"]).trim().parse().unwrap();
    assert!((1_900..=2_000).contains(&keys), "{keys} of 2,000 keys are resident");
}

#[test]
fn control_redis_benchmark_stops_at_an_error_reply() {
    let server = plain();
    let port = server.redis().port().to_string();
    let out = tool("redis-benchmark").args(["-p", &port, "-n", "100", "-q", "GET", "nothing:1"]).run(LIMIT);
    assert!(!out.status.success(), "{}", out.stdout);
    assert!(out.stderr.contains("BWNOSPACE"), "{}", out.stderr);
}

#[test]
fn redis_rs_reads_the_shop_and_a_plain_space_and_logs_in() {
    use redis::TypedCommands;
    for protocol in ["", "?protocol=resp3"] {
        let connect = |server: &Bellwether, login: &str| {
            let client = redis::Client::open(format!("redis://{login}{}/{protocol}", server.redis())).unwrap();
            client.get_connection_with_timeout(LIMIT)
        };
        let shop = sample_shop();
        let mut db = connect(&shop, "").unwrap();
        let row = db.get("product:42").unwrap().unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&row).unwrap()["id"], 42);
        assert_eq!(db.get("product:999999999").unwrap(), None);
        assert_eq!(db.get("nothing:1").unwrap_err().code(), Some("BWNOSPACE"));
        assert_eq!(db.set("product:1", "x").unwrap_err().code(), Some("BWREADONLY"));

        let plain = plain();
        let mut db = connect(&plain, "").unwrap();
        db.set_ex("kv:rs:a", "1", 100).unwrap();
        let batch: (String, i64, Option<String>) =
            redis::pipe().atomic().get("kv:rs:a").del("kv:rs:a").get("kv:rs:a").query(&mut db).unwrap();
        assert_eq!(batch, ("1".into(), 1, None));
        let mut pipeline = redis::pipe();
        for i in 0..500 {
            pipeline.set(format!("kv:rs:{i}"), i).ignore().get(format!("kv:rs:{i}"));
        }
        assert_eq!(pipeline.query::<Vec<i64>>(&mut db).unwrap(), (0..500).collect::<Vec<_>>());
        let values: Vec<Option<i64>> =
            redis::cmd("MGET").arg(&["kv:rs:7", "kv:rs:none", "kv:rs:7"]).query(&mut db).unwrap();
        assert_eq!(values, [Some(7), None, Some(7)]);

        let locked = locked();
        let login = format!(":{}@", PASSWORD.replace(' ', "%20"));
        assert!(connect(&locked, &login).unwrap().set("kv:rs:a", "1").is_ok());
        assert!(connect(&locked, ":wrong@").is_err());
        assert!(connect(&locked, "").and_then(|mut db| db.get("kv:rs:a")).is_err());
    }
}

/// curl's answer: head and body.
fn curl(server: &Bellwether, arguments: &[&str], path: &str) -> (String, String) {
    let url = format!("http://{}{path}", server.http());
    let out = tool("curl").args(["-sS", "-i", "--max-time", "20"]).args(arguments).args([&url]).succeed(LIMIT);
    let (head, body) = out.split_once("\r\n\r\n").unwrap_or((&out, ""));
    (head.to_ascii_lowercase(), body.to_owned())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[test]
fn curl_reads_the_shop_with_cache_status_age_and_validators() {
    let server = sample_shop();
    let (head, body) = curl(&server, &[], "/v1/product:42");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap()["id"], 42);
    assert!(header(&head, "cache-status").unwrap().starts_with("bellwether; fwd=miss"), "{head}");
    let (head, again) = curl(&server, &[], "/v1/product%3A42");
    assert_eq!(again, body, "the key is percent-decoded once");
    assert!(header(&head, "cache-status").unwrap().starts_with("bellwether; hit; ttl="), "{head}");
    assert!(header(&head, "age").is_some_and(|age| age.parse::<u32>().is_ok()), "{head}");
    let etag = header(&head, "etag").unwrap();
    let (head, body) = curl(&server, &["-H", &format!("if-none-match: {etag}")], "/v1/product:42");
    assert!(head.starts_with("http/1.1 304"), "{head}");
    assert_eq!((body.as_str(), header(&head, "etag")), ("", Some(etag)));
    let (head, _) = curl(&server, &["-H", "if-none-match: \"other\""], "/v1/product:42");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let (head, _) = curl(&server, &["-H", "cache-control: only-if-cached"], "/v1/product:7");
    assert!(head.starts_with("http/1.1 504"), "nothing cached yet: {head}");
    for (path, status) in [("/v1/product:999999999", "404"), ("/v1/product:abc", "404"), ("/v1/nothing:1", "404")] {
        let (head, _) = curl(&server, &[], path);
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{path}: {head}");
    }
    let (head, _) = curl(&server, &[], "/v1/nothing:1");
    assert_eq!(header(&head, "cache-status"), Some("bellwether; detail=no_space"));
    let (head, _) = curl(&server, &["-X", "PUT", "-d", "x"], "/v1/product:42");
    assert!(head.starts_with("http/1.1 405"), "{head}");
}

#[test]
fn curl_writes_reads_and_deletes_in_a_plain_space() {
    let server = plain();
    let (head, _) = curl(&server, &["-X", "PUT", "--data-binary", "hello"], "/v1/kv:a%2Fb%20c");
    assert!(head.starts_with("http/1.1 20"), "{head}");
    assert_eq!(cli(&server, &["GET", "kv:a/b c"]), "hello\n", "both faces see one entry");
    assert_eq!(curl(&server, &[], "/v1/kv:a%2Fb%20c").1, "hello");
    let (head, _) = curl(&server, &["-X", "DELETE"], "/v1/kv:a%2Fb%20c");
    assert!(head.starts_with("http/1.1 20"), "{head}");
    assert!(curl(&server, &[], "/v1/kv:a%2Fb%20c").0.starts_with("http/1.1 404"));
}

#[test]
fn curl_reads_many_keys_at_once() {
    let server = sample_shop();
    // The body is the list of keys; the answer names each.
    let body = r#"["product:1","product:999999999","nothing:1"]"#;
    let (head, body) = curl(&server, &["-X", "POST", "-H", "content-type: application/json", "-d", body], "/v1/_mget");
    assert!(head.starts_with("http/1.1 200"), "{head}\n{body}");
    let answers: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answers["product:1"]["status"], 200, "{body}");
    assert!(answers["product:1"]["why"].is_string() && answers["product:1"]["age_ms"].is_number(), "{body}");
    assert_eq!(answers["product:999999999"]["status"], 404, "{body}");
    assert_eq!(answers["nothing:1"]["why"], "no_space", "{body}");
}

#[test]
fn curl_expires_a_tag() {
    let space = "[origin.shop]\nsql = \"sqlite://shop.db\"\n[[space]]\nmatch = \"product:{id:int}\"\norigin = \"shop\"\n\
                 query = \"SELECT id, name FROM products WHERE id = :id\"\nttl = \"60s\"\ntags = [\"catalogue\", \"p:{id}\"]";
    let server = Bellwether::start(Some(&config("", space)));
    let status = |path: &str| Http::get(server.http(), path).header("cache-status").unwrap_or_default().to_owned();
    for path in ["/v1/product:1", "/v1/product:2"] {
        assert!(status(path).contains("fwd=miss"));
        assert!(status(path).contains("hit"));
    }
    assert!(curl(&server, &["-X", "DELETE"], "/v1/_tags/p:1").0.starts_with("http/1.1 20"));
    assert!(status("/v1/product:1").contains("fwd="), "its tag was removed");
    assert!(status("/v1/product:2").contains("hit"), "the other one's was not");
    assert!(curl(&server, &["-X", "DELETE"], "/v1/_tags/catalogue").0.starts_with("http/1.1 20"));
    assert!(status("/v1/product:2").contains("fwd="));
}

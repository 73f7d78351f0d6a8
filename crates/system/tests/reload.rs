//! Is another configuration taken while the server serves, without a lost request or an old value?

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bellwether_system::{Bellwether, Http, Metrics, Origin, Process, Resp, Value, config, until};

const LIMIT: Duration = Duration::from_secs(30);

/// Each opens a database, starts a worker and ends it: that many are enough to see them pile up.
const RELOADS: usize = 120;

const SHOP: &str = "[origin.shop]\nsql = \"sqlite://shop.db\"\n";

fn product(columns: &str, knobs: &str) -> String {
    format!(
        "{SHOP}[[space]]\nmatch = \"product:{{id:int}}\"\norigin = \"shop\"\n\
         query = \"SELECT {columns} FROM products WHERE id = :id\"\nttl = \"10m\"\njitter = \"0%\"\n{knobs}\n"
    )
}

fn plain(name: &str) -> String {
    format!("[[space]]\nmatch = \"{name}:{{k}}\"\nttl = \"10m\"\n")
}

/// How many reloads ended so.
fn ended(server: &Bellwether, outcome: &str) -> f64 {
    server.metrics().sum("bellwether_reloads_total", &[&format!("outcome=\"{outcome}\"")])
}

/// Puts another file in place of the configuration, as editors do: by a rename.
fn replace(server: &Bellwether, rest: &str) {
    let next = server.home().join(".bellwether.toml.swp");
    fs::write(&next, config("", rest)).expect("a temporary directory can be written");
    fs::rename(next, server.home().join("bellwether.toml")).expect("renamed");
}

/// Waits for words in the log, which is written after the reload has been counted.
#[track_caller]
fn logged(server: &Bellwether, words: &str) {
    until(LIMIT, words, || server.process.stderr().contains(words).then_some(()));
}

/// What a person sees in a browser.
fn page(server: &Bellwether) -> String {
    Http::get(server.admin(), "/").text()
}

/// Does `change`, and waits until one more reload has ended with `outcome`.
#[track_caller]
fn reload(server: &Bellwether, outcome: &str, change: impl FnOnce()) {
    let before = ended(server, outcome);
    change();
    until(LIMIT, &format!("a reload to be {outcome}"), || (ended(server, outcome) > before).then_some(()));
}

#[test]
fn a_changed_file_is_taken_and_a_changed_query_gives_new_rows_from_then_on() {
    let server = Bellwether::start(Some(&config("", &product("id", ""))));
    let mut db = server.connect();
    assert_eq!(db.call(&["GET", "product:7"]).text(), "{\"id\":7}");
    reload(&server, "applied", || replace(&server, &product("name", "")));
    for id in [7, 8, 7] {
        let answer = db.call(&["GET", &format!("product:{id}")]).text();
        assert_eq!(answer, format!("{{\"name\":\"product {id}\"}}"), "on a connection from before");
    }
    logged(&server, "space 'product' begins anew, its entries are dropped: query");
    // Back again: what was stored under the first query is as gone.
    reload(&server, "applied", || replace(&server, &product("id, name", "")));
    assert_eq!(db.call(&["GET", "product:7"]).text(), "{\"id\":7,\"name\":\"product 7\"}");
}

#[test]
fn sighup_reloads_and_a_changed_ttl_leaves_stamped_times_alone() {
    let server = Bellwether::start(Some(&config("", &product("id", ""))));
    let mut db = server.connect();
    db.call(&["GET", "product:1"]);
    // The same text: SIGHUP asks, so it is read; there is nothing to do.
    reload(&server, "unchanged", || server.process.signal("HUP"));
    let shorter = config("", &product("id", "").replace("10m", "1m"));
    reload(&server, "applied", || {
        fs::write(server.home().join("bellwether.toml"), shorter).expect("written in place");
        server.process.signal("HUP");
    });
    let left = |db: &mut Resp, key: &str| db.call(&["PTTL", key]).int();
    assert!(left(&mut db, "product:1") > 500_000, "stamped with 10 minutes");
    db.call(&["GET", "product:2"]);
    assert!(left(&mut db, "product:2") <= 60_000, "control: stamped with 1 minute");
    let hits = server.metrics().sum("bellwether_requests_total", &["space=\"product\"", "why=\"hit\""]);
    db.call(&["GET", "product:1"]);
    let now = server.metrics().sum("bellwether_requests_total", &["space=\"product\"", "why=\"hit\""]);
    assert_eq!(now, hits + 1.0, "counters go on where they were");
}

#[test]
fn a_broken_file_changes_nothing_and_is_told_line_by_line_until_it_is_repaired() {
    let server = Bellwether::start(Some(&config("", &product("id", ""))));
    let mut db = server.connect();
    db.call(&["GET", "product:1"]);
    let good = server.metrics().sum("bellwether_config_last_good_seconds", &[]);
    // Line 9 has a typo, and line 10 is no duration.
    let broken =
        product("id", "").replace("ttl = \"10m\"", "tll = \"10m\"").replace("jitter = \"0%\"", "timeout = \"1x\"");
    reload(&server, "refused", || replace(&server, &broken));
    let file = server.home().join("bellwether.toml");
    let told = |line: usize, words: &str| {
        let place = format!("{}:{line}:", file.display());
        server.process.stderr().lines().any(|text| text.contains(&place) && text.contains(words))
    };
    let lines: Vec<String> = config("", &broken).lines().map(str::to_owned).collect();
    let line = |start: &str| lines.iter().position(|line| line.starts_with(start)).unwrap() + 1;
    until(LIMIT, "both problems in the log", || {
        (told(line("tll"), "did you mean `ttl`?") && told(line("timeout"), "duration")).then_some(())
    });
    // A database that is not there is found by opening it, and told the same way.
    let elsewhere = product("id", "").replace("shop.db", "no-such-dir/gone.db");
    reload(&server, "refused", || replace(&server, &elsewhere));
    until(LIMIT, "the database in the log", || told(line("sql"), "gone.db").then_some(()));
    let page = page(&server);
    assert!(page.contains("file is refused") && page.contains("gone.db"), "{page}");
    reload(&server, "refused", || fs::remove_file(&file).expect("removed"));
    assert_eq!(db.call(&["GET", "product:1"]).text(), "{\"id\":1}");
    assert_eq!(db.call(&["GET", "product:2"]).text(), "{\"id\":2}", "loads go on as well");
    assert_eq!(server.metrics().sum("bellwether_config_last_good_seconds", &[]), good);
    reload(&server, "applied", || replace(&server, &product("name", "")));
    assert_eq!(db.call(&["GET", "product:2"]).text(), "{\"name\":\"product 2\"}");
    assert!(server.metrics().sum("bellwether_config_last_good_seconds", &[]) >= good);
    assert!(!self::page(&server).contains("refused"), "control: a file that is right is not told of");
}

#[test]
fn spaces_come_and_go_and_what_needs_a_restart_is_named_and_left() {
    let server = Bellwether::start(Some(&config("", &[plain("a"), plain("b")].concat())));
    let mut db = server.connect();
    for key in ["a:1", "b:1"] {
        db.call(&["SET", key, "v"]);
    }
    let rest = format!("[memory]\nlimit = \"1 GiB\"\n{}{}", plain("b"), plain("c"));
    reload(&server, "applied", || replace(&server, &rest));
    assert!(db.call(&["GET", "a:1"]).error().is_some_and(|error| error.starts_with("BWNOSPACE")));
    assert_eq!(db.call(&["GET", "b:1"]).text(), "v", "a space that goes on keeps its entries");
    assert_eq!(db.call(&["SET", "c:1", "v"]).text(), "OK");
    assert_eq!(db.call(&["DBSIZE"]).int(), 2, "the entries of a space that is gone are gone");
    for words in ["[memory] limit changed: takes effect at the next start", "space 'a' is gone", "space 'c' is new"] {
        logged(&server, words);
    }
    assert!(page(&server).contains("taking effect at the next start: [memory] limit"), "{}", page(&server));
    assert_eq!(server.metrics().sum("bellwether_memory_limit_bytes", &[]), 268_435_456.0);
    assert_eq!(server.metrics().sum("bellwether_requests_total", &["space=\"a\""]), 0.0, "its series end");
}

#[test]
fn the_environment_stays_over_the_file_at_every_reload() {
    let home = tempfile::tempdir().expect("a directory");
    let file = Bellwether::write(home.path(), &config("", &product("id", "")));
    let mut command = Bellwether::command(&["serve", "--config"]);
    command.arg(&file).env("BELLWETHER__ORIGIN__SHOP__MAX_CONCURRENCY", "3");
    let process = Process::spawn(command);
    let admin = until(LIMIT, "the server", || {
        let out = process.stdout();
        out.lines().any(|line| line == "ready").then_some(())?;
        out.lines().find_map(|line| line.strip_prefix("listening admin ")?.parse().ok())
    });
    let scrape = || Metrics::scrape(admin);
    let limit = |metrics: &Metrics| metrics.sum("bellwether_origin_limit", &["origin=\"shop\""]);
    assert_eq!(limit(&scrape()), 3.0);
    fs::write(
        &file,
        config("", &product("id", "timeout = \"9s\"").replace("shop.db\"", "shop.db\"\nmax_concurrency = 9")),
    )
    .expect("written");
    let metrics = until(LIMIT, "a reload", || {
        let metrics = scrape();
        (metrics.sum("bellwether_reloads_total", &["outcome=\"applied\""]) == 1.0).then_some(metrics)
    });
    assert_eq!(limit(&metrics), 3.0);
}

#[test]
fn the_sample_shop_says_that_there_is_nothing_to_reload_and_goes_on() {
    let server = Bellwether::start(None);
    server.process.signal("HUP");
    logged(&server, "no configuration file");
    assert!(server.connect().call(&["GET", "product:42"]).error().is_none());
}

/// Requests of a steady load from several connections while the configuration changes all the time:
/// none fails, and none that is sent after a reload was reported is answered by an older query.
#[test]
fn reloads_under_load_fail_no_request_and_bring_no_old_value_back() {
    let origin = Origin::start();
    origin.delay(Duration::from_millis(2));
    let configured = |generation: usize| {
        format!(
            "[origin.api]\nhttp = \"{}\"\nmax_concurrency = {}\n[[space]]\nmatch = \"v:{{id}}\"\norigin = \"api\"\n\
             get = \"/g{generation}/{{id}}\"\nttl = \"10m\"\ntimeout = \"10s\"\n{}",
            origin.url(),
            16 + generation % 3,
            plain("kv"),
        )
    };
    let server = Bellwether::start(Some(&config("", &configured(0))));
    let (reported, served, stop) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..6u64)
        .map(|n| {
            let mut db = server.connect();
            let (reported, served, stop) = (reported.clone(), served.clone(), stop.clone());
            thread::spawn(move || {
                let mut asked = n;
                while !stop.load(Ordering::Relaxed) {
                    asked += 1;
                    let least = reported.load(Ordering::SeqCst);
                    let keys = [format!("v:{}", asked % 20), format!("v:{}", asked % 7), format!("kv:{n}")];
                    db.call(&["SET", &keys[2], &asked.to_string()]);
                    let answers = db.pipeline(&keys.each_ref().map(|key| vec!["GET".to_owned(), key.clone()]));
                    for answer in &answers[..2] {
                        assert!(answer.error().is_none(), "{answer}");
                        let text = answer.text();
                        let generation = text.strip_prefix("{\"path\":\"/g").and_then(|text| text.split('/').next());
                        let generation: u64 = generation.and_then(|text| text.parse().ok()).expect("a path");
                        assert!(generation >= least, "{text} after generation {least} was reported");
                    }
                    assert_eq!(answers[2].text(), asked.to_string(), "a plain space that goes on loses nothing");
                    served.fetch_add(3, Ordering::Relaxed);
                }
            })
        })
        .collect();
    until(LIMIT, "a steady load", || (served.load(Ordering::Relaxed) > 300).then_some(()));
    for generation in 1..=15 {
        reload(&server, "applied", || {
            fs::write(server.home().join("bellwether.toml"), config("", &configured(generation))).expect("written");
            server.process.signal("HUP");
        });
        reported.store(generation as u64, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(50));
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("no request fails");
    }
    let metrics = server.metrics();
    let of_space = metrics.sum("bellwether_requests_total", &["space=\"v\""]);
    let of_clients = served.load(Ordering::Relaxed) as f64 / 3.0 * 2.0;
    assert_eq!(of_space, of_clients, "requests = the sum over why, through all reloads");
    let requests = origin.requests();
    assert!(requests <= 16 * 2 * 20 + 40, "the origin saw {requests} loads of 20 keys in 16 generations");
}

#[test]
fn reload_after_reload_leaves_no_thread_file_or_entry_behind() {
    let server = Bellwether::start(Some(&config("", &product("id", ""))));
    let mut db = server.connect();
    let count = |what: &str| fs::read_dir(format!("/proc/{}/{what}", server.process.id())).expect("alive").count();
    let (mut threads, mut files) = (0, 0);
    let one = config("", &product("id", "generation = \"one\""));
    let two = config("", &product("id", "generation = \"two\"").replace("shop.db\"", "shop.db\"\nmax_concurrency = 4"));
    let path = server.home().join("bellwether.toml");
    for n in 0..RELOADS {
        reload(&server, "applied", || {
            fs::write(&path, if n % 2 == 0 { &one } else { &two }).expect("written");
            server.process.signal("HUP");
        });
        assert_eq!(db.call(&["GET", "product:5"]).text(), "{\"id\":5}");
        if n == RELOADS / 4 {
            (threads, files) = (count("task"), count("fd"));
        }
    }
    assert_eq!(db.call(&["DBSIZE"]).int(), 1);
    until(LIMIT, "threads and files to be what they were", || {
        (count("task") <= threads + 2 && count("fd") <= files + 4).then_some(())
    });
    assert!(count("task") < 40, "{} threads", count("task"));
}

/// The elements of an answer to BW.GET: value, why, age, token, when to ask again.
fn told(answer: Value) -> (Value, String, Value) {
    let Value::Array(mut items) = answer else { panic!("an array, not {answer}") };
    let (token, why) = (items.remove(3), items.remove(1).text());
    (items.remove(0), why, token)
}

#[test]
fn g1_who_waits_for_a_token_while_a_reload_drops_its_space_shares_the_next_one() {
    let generation = |n: u32| format!("{}generation = \"{n}\"\n", plain("kv"));
    let server = Bellwether::start(Some(&config("", &generation(1))));
    let mut holder = server.connect();
    let (_, why, old) = told(holder.call(&["BW.GET", "kv:a", "LEASE", "600000"]));
    assert_eq!(why, "not_cached");
    let mut waiters: Vec<Resp> = (0..20).map(|_| server.connect()).collect();
    waiters.iter_mut().for_each(|waiter| waiter.send_raw(b"BW.GET kv:a LEASE 60000 WAIT 25000\r\n").unwrap());
    thread::sleep(Duration::from_millis(200));
    reload(&server, "applied", || replace(&server, &generation(2)));
    assert_eq!(holder.call(&["BW.SET", "kv:a", "late", &old.text()]), Value::Int(0), "of a space that is gone");
    // One of them gets a token; the others wait for what it brings.
    let mut tokens = Vec::new();
    until(LIMIT, "a token", || {
        for (n, waiter) in waiters.iter_mut().enumerate() {
            waiter.read_limit(Duration::from_millis(20));
            if let Ok(answer) = waiter.read() {
                tokens.push((n, told(answer)));
            }
        }
        (!tokens.is_empty()).then_some(())
    });
    thread::sleep(Duration::from_millis(200));
    let [(first, (_, why, token))] = &tokens[..] else { panic!("{} of 20 were answered", tokens.len()) };
    assert_eq!(why, "not_cached");
    assert_eq!(holder.call(&["BW.SET", "kv:a", "new", &token.text()]), Value::Int(1));
    for (_, waiter) in waiters.iter_mut().enumerate().filter(|(n, _)| n != first) {
        waiter.read_limit(LIMIT);
        let (value, why, token) = told(waiter.read().unwrap());
        assert_eq!((value.text().as_str(), why.as_str(), token), ("new", "coalesced", Value::Nil));
    }
}

#[test]
fn a_key_that_a_reload_gave_to_another_space_is_listed_once() {
    let other = "[[space]]\nname = \"other\"\nmatch = \"kv:{k:int}\"\nttl = \"10m\"\n";
    let server = Bellwether::start(Some(&config("", &plain("kv"))));
    let mut db = server.connect();
    assert_eq!(db.call(&["SET", "kv:1", "old"]), Value::ok());
    reload(&server, "applied", || replace(&server, &format!("{other}{}", plain("kv"))));
    assert_eq!(db.call(&["SET", "kv:1", "new"]), Value::ok());
    let Value::Array(page) = db.call(&["SCAN", "0", "COUNT", "100"]) else { panic!("a page") };
    assert_eq!(page[1], Value::Array(vec![Value::bulk("kv:1")]));
    assert_eq!(db.call(&["GET", "kv:1"]).text(), "new");
}

#[test]
fn what_waits_for_the_next_start_is_compared_with_what_runs() {
    let memory = |limit: &str| format!("[memory]\nlimit = \"{limit}\"\n{}", plain("kv"));
    let server = Bellwether::start(Some(&config("", &memory("64 MiB"))));
    let warned = || server.process.stderr().matches("[memory] limit changed").count();
    for (limit, warnings) in [("32 MiB", 1), ("16 MiB", 2), ("64 MiB", 2)] {
        let before = ended(&server, "applied") + ended(&server, "unchanged");
        replace(&server, &memory(limit));
        until(LIMIT, "a reload", || (ended(&server, "applied") + ended(&server, "unchanged") > before).then_some(()));
        until(LIMIT, limit, || (warned() >= warnings).then_some(()));
        thread::sleep(Duration::from_millis(100));
        assert_eq!(warned(), warnings, "{limit}");
    }
}

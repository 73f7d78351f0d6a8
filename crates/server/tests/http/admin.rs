//! Who is answered by the admin listener, and are its numbers right and readable?

use std::collections::BTreeMap;

use crate::server::{Answer, Client, Server};

fn admin(server: &Server, path: &str, headers: &[&str]) -> Answer {
    Client::to(server.admin).ask("GET", path, headers, "")
}

/// One sample: its name, its labels and its value.
type Samples = Vec<(String, BTreeMap<String, String>, f64)>;

/// A strict reader of OpenMetrics text: panics at whatever a scraper would not take.
fn parsed(text: &str) -> Samples {
    assert!(text.ends_with("# EOF\n"), "it ends: {text}");
    let mut samples: Samples = Vec::new();
    let mut family = (String::new(), String::new());
    let mut seen = std::collections::HashSet::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("HELP"), Some(name), Some(help)) => assert!(!help.is_empty(), "{name}"),
                (Some("TYPE"), Some(name), Some(kind)) => {
                    assert!(seen.insert(name.to_owned()), "family {name} twice");
                    family = (name.to_owned(), kind.to_owned());
                }
                (Some("EOF"), None, None) => {}
                _ => panic!("{line}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect(line);
        let (name, labels) = match series.split_once('{') {
            Some((name, rest)) => (name, rest.strip_suffix('}').expect(line)),
            None => (series, ""),
        };
        let suffixes: &[&str] = match family.1.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_count", "_sum"],
            other => panic!("type {other}"),
        };
        assert!(suffixes.iter().any(|suffix| name == family.0.clone() + suffix), "{line} is not of {family:?}");
        let labels = labels.split(',').filter(|label| !label.is_empty()).map(|label| {
            let (key, value) = label.split_once('=').expect(line);
            (key.to_owned(), value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).expect(line).to_owned())
        });
        samples.push((name.to_owned(), labels.collect(), value.parse().expect(line)));
    }
    samples
}

fn sum(samples: &Samples, name: &str, labels: &[(&str, &str)]) -> f64 {
    let fits = |has: &BTreeMap<String, String>| labels.iter().all(|(k, v)| has.get(*k).is_some_and(|has| has == v));
    samples.iter().filter(|(n, has, _)| n == name && fits(has)).map(|(_, _, value)| value).sum()
}

#[test]
fn metrics_can_be_read_and_add_up_after_mixed_requests() {
    let server = Server::start();
    let mut client = server.connect();
    let (mut asked, mut keys) = (0, Vec::new());
    for round in 0..20 {
        keys =
            vec!["product:1", "product:9", "product:x", "nothing", "kv:a", "page:a", "page:fails/1", "page:absent/1"];
        for key in &keys {
            client.ask("GET", &format!("/v1/{key}"), &[], "");
            asked += 1;
        }
        client.ask("PUT", "/v1/kv:a", &[], &format!("{round}"));
    }
    client.ask("POST", "/v1/_mget", &[], &serde_json::to_string(&keys).expect("JSON"));
    asked += keys.len();
    client.ask("PUT", "/v1/product:1", &[], "x");
    asked += 1;
    let answer = admin(&server, "/metrics", &[]);
    assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let samples = parsed(&answer.text());
    let total = "bellwether_requests_total";
    let by_why: f64 = [
        "hit",
        "loaded",
        "negative",
        "negative_type",
        "no_space",
        "not_cached",
        "cooling",
        "origin_failed",
        "read_only",
    ]
    .iter()
    .map(|why| {
        let count = sum(&samples, total, &[("why", why)]);
        assert!(count > 0.0, "nothing was {why}: {}", answer.text());
        count
    })
    .sum();
    assert_eq!(by_why, sum(&samples, total, &[]), "no other reason");
    assert_eq!(by_why, asked as f64, "requests = the sum over why");
    assert_eq!(sum(&samples, total, &[("space", ""), ("why", "no_space")]), 21.0);
    assert_eq!(sum(&samples, total, &[("space", "product"), ("why", "hit")]), 20.0);
    // Every request is in its space's histogram, every load was a success or a failure.
    assert_eq!(sum(&samples, "bellwether_request_seconds_count", &[]), asked as f64);
    assert_eq!(sum(&samples, "bellwether_request_seconds_bucket", &[("le", "+Inf")]), asked as f64);
    assert_eq!(
        sum(&samples, "bellwether_loads_total", &[]),
        sum(&samples, "bellwether_load_seconds_count", &[]),
        "{}",
        answer.text()
    );
    assert_eq!(sum(&samples, "bellwether_loads_total", &[("space", "product"), ("result", "success")]), 2.0);
    assert!(sum(&samples, "bellwether_loads_total", &[("result", "failure")]) >= 1.0);
    assert_eq!(sum(&samples, "bellwether_flight_followers_count", &[]), sum(&samples, "bellwether_loads_total", &[]));
    assert!(sum(&samples, "bellwether_entries", &[]) >= 4.0);
    assert!(sum(&samples, "bellwether_memory_bytes", &[]) > 0.0);
    assert_eq!(sum(&samples, "bellwether_memory_limit_bytes", &[]), 268_435_456.0);
    assert_eq!(sum(&samples, "bellwether_memory_eviction", &[("policy", "auto")]), 1.0);
    assert_eq!(sum(&samples, "bellwether_origin_limit", &[("origin", "shop")]), 16.0);
    assert_eq!(sum(&samples, "bellwether_connections", &[("face", "http")]), 1.0);
    for name in ["bellwether_stampedes_total", "bellwether_evictions_total", "bellwether_evicted_fresh_total"] {
        assert!(samples.iter().any(|(known, ..)| known == name), "{name}");
    }
    assert_eq!(server.service.snapshot().spaces.iter().map(bellwether::SpaceCounts::total).sum::<u64>(), asked as u64);
}

#[test]
fn buckets_only_grow() {
    let server = Server::start();
    server.get("/v1/product:1");
    server.get("/v1/page:slow/1");
    let samples = parsed(&admin(&server, "/metrics", &[]).text());
    let mut last: BTreeMap<(String, String), f64> = BTreeMap::new();
    let mut buckets = 0;
    for (name, labels, value) in samples.into_iter().filter(|(name, ..)| name.ends_with("_bucket")) {
        let series = (name, labels.get("space").cloned().unwrap_or_default());
        let before = last.insert(series.clone(), value).unwrap_or(0.0);
        assert!(value >= before, "{series:?}");
        buckets += 1;
    }
    assert!(buckets > 20);
}

#[test]
fn probes_say_alive_and_ready_until_it_drains() {
    let server = Server::start();
    for path in ["/livez", "/readyz"] {
        assert_eq!(admin(&server, path, &[]).status, 200, "{path}");
    }
    server.shutdown.trigger();
    assert_eq!(admin(&server, "/livez", &[]).status, 200, "it lives while it drains");
    let readyz = admin(&server, "/readyz", &[]);
    assert_eq!((readyz.status, readyz.text().as_str()), (503, "draining\n"));
    assert_eq!(admin(&server, "/metrics", &[]).status, 200, "and tells how it goes");
}

#[test]
fn an_explanation_names_what_the_cache_knows() {
    let server = Server::start();
    let cold = admin(&server, "/api/explain/product%3A1", &[]).json();
    assert_eq!(
        (&cold["space"], &cold["would"], &cold["entry"]),
        (&"product".into(), &"loaded".into(), &serde_json::Value::Null)
    );
    server.get("/v1/product:1");
    let warm = admin(&server, "/api/explain/product:1", &[]).json();
    assert_eq!((&warm["would"], &warm["entry"]["kind"]), (&"hit".into(), &"value".into()));
    assert!(warm["entry"]["fresh_for_ms"].as_u64().is_some_and(|ms| (50_000..=60_000).contains(&ms)), "{warm}");
    assert_eq!(warm["entry"]["tags"], serde_json::json!(["catalogue", "p:1"]));
    assert_eq!(warm["origin"]["max_concurrency"], 16);
    server.get("/v1/page:fails/1");
    let failed = admin(&server, "/api/explain/page:fails%2F1", &[]).json();
    assert_eq!((&failed["would"], &failed["last_failure"]["attempts"]), (&"cooling".into(), &1.into()));
    let nowhere = admin(&server, "/api/explain/%3Cb%3E", &[]);
    assert_eq!((nowhere.status, nowhere.header("content-type")), (404, Some("application/json")));
    assert_eq!(admin(&server, "/api/explain/product:x", &[]).status, 404);
    assert_eq!(admin(&server, "/api/explain/%zz", &[]).status, 400);
}

#[test]
fn announcements_are_listed_and_taken_back() {
    let server = Server::start();
    let ask = |method: &str, path: &str| Client::to(server.admin).ask(method, path, &[], "");
    let all = || admin(&server, "/api/hot/announce", &[]).json()["announced"].as_array().cloned().unwrap_or_default();
    assert_eq!(all(), Vec::<serde_json::Value>::new());
    assert_eq!(ask("POST", "/api/hot/announce/product:2?for=1h").status, 200);
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    let later = format!("/api/hot/announce/product:1?at={}-12-31T23:59:59Z&for=1h", 1970 + since / 31_556_952);
    assert_eq!(ask("POST", &later).status, 200);
    let announced = all();
    let keys: Vec<&str> = announced.iter().filter_map(|row| row["key"].as_str()).collect();
    assert_eq!(keys, ["product:2", "product:1"], "those that begin first in front");
    assert_eq!((&announced[0]["begins_in_ms"], &announced[0]["in_configuration"]), (&0.into(), &false.into()));
    assert!(announced[0]["ends_in_ms"].as_u64().is_some_and(|ms| (3_500_000..=3_600_000).contains(&ms)));
    assert_eq!(ask("DELETE", "/api/hot/announce/product:2").status, 200);
    assert_eq!(all().len(), 1);
    for (method, path, status) in [
        ("DELETE", "/api/hot/announce/product:2", 404),
        ("DELETE", "/api/hot/announce/nowhere", 404),
        ("DELETE", "/api/hot/announce/", 400),
        ("DELETE", "/api/hotkeys", 405),
        ("GET", "/api/hot/announce/product:1", 405),
        ("POST", "/api/hot/announce/product:1?at=2206-01-01T00:00:00Z&for=1h", 400),
        ("POST", "/api/hot/announce/product:1?at=2006-01-01T00:00:00Z&for=1h", 400),
    ] {
        assert_eq!(ask(method, path).status, status, "{method} {path}");
    }
    let far = ask("POST", "/api/hot/announce/product:1?at=2206-01-01T00:00:00Z&for=1h").text();
    assert!(far.contains("400 days"), "{far}");
}

#[test]
fn other_hosts_other_origins_and_other_methods_are_refused() {
    let server = Server::start();
    let ask = |head: &str| {
        let mut client = Client::to(server.admin);
        client.send(head.as_bytes());
        client.answer(false).expect("an answer").status
    };
    assert_eq!(ask("GET /metrics HTTP/1.1\r\nhost: evil.example\r\n\r\n"), 403);
    assert_eq!(ask(&format!("GET /metrics HTTP/1.1\r\nhost: localhost:{}\r\n\r\n", server.admin.port())), 200);
    assert_eq!(admin(&server, "/metrics", &["origin: http://evil.example"]).status, 403);
    let refused = Client::to(server.admin).ask("POST", "/metrics", &[], "x");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(admin(&server, "/nothing", &[]).status, 404);
}

#[test]
fn the_page_names_the_others_and_may_run_nothing() {
    let server = Server::start();
    let page = admin(&server, "/", &[]);
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for path in ["/metrics", "/livez", "/readyz", "/api/explain/"] {
        assert!(page.text().contains(path), "{path}");
    }
    let space = page.text().lines().find(|line| line.contains("<td>product</td>")).map(str::to_owned).expect("a row");
    assert!(
        space.contains("product:{id") && space.contains("<td>1m</td>"),
        "its keys, and how long they are fresh: {space}"
    );
    let text = page.text();
    let links: Vec<&str> = text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(links.len() >= 10, "{links:?}");
    for link in links {
        assert_eq!(admin(&server, link, &[]).status, 200, "{link} leads somewhere");
    }
    for path in
        ["/api/keys/", "POST /api/warm", "/api/hotlist", "/api/hot/announce/KEY", "/api/dlq/retry", "/api/forecast"]
    {
        assert!(text.contains(path), "{path}: {text}");
    }
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let (_, style) = text.split_once("<style nonce=\"").expect("its one style sheet");
    let word = style.split('"').next().expect("a word");
    assert!(word.len() == 32 && policy.ends_with(&format!("style-src 'nonce-{word}'")), "{policy}");
    assert!(!admin(&server, "/", &[]).text().contains(word), "another word each time");
    assert!(text.contains("name=\"viewport\"") && !text.contains("<script"), "{text}");
    assert_eq!(
        (page.header("x-content-type-options"), page.header("cache-control")),
        (Some("nosniff"), Some("no-store"))
    );
}

#[test]
fn the_page_shows_how_it_goes() {
    let server = Server::start();
    let row = |name: &str| {
        let page = admin(&server, "/", &[]).text();
        let row = page.lines().find(|line| line.starts_with(&format!("<tr><th scope=row>{name}</th>")));
        let row = row.unwrap_or_else(|| panic!("no row of {name}: {page}"));
        let cells = row.split("<td class=\"").skip(1).filter_map(|cell| cell.split(['>', '<']).nth(1));
        (cells.map(str::to_owned).collect::<Vec<_>>(), row.contains("class=\"n bad\""))
    };
    assert_eq!(row("product"), (["0", "-", "0", "0", "0", "0"].map(str::to_owned).to_vec(), false));
    let mut client = server.connect();
    for _ in 0..4 {
        assert_eq!(client.ask("GET", "/v1/product:1", &[], "").status, 200);
    }
    assert_eq!(row("product"), (["4", "75.0 %", "1", "0", "0", "0"].map(str::to_owned).to_vec(), false));
    assert_eq!(client.ask("GET", "/v1/page:fails/1", &[], "").status, 502);
    let (cells, bad) = row("page");
    assert_eq!((cells[4].as_str(), cells[5].as_str(), bad), ("1", "1", true), "{cells:?}");
    assert_eq!(row("shop").0[..2], ["closed".to_owned(), "0 of 16".to_owned()]);
    let page = admin(&server, "/", &[]).text();
    assert!(page.contains("<b>ready</b>") && page.contains("No key draws more than its share"), "{page}");
}

#[test]
fn with_a_password_only_probes_need_none() {
    let server = Server::with("password = \"secret\"");
    let turned_away = admin(&server, "/", &[]);
    assert!(turned_away.header("www-authenticate").is_some(), "a browser asks for it");
    assert_eq!(admin(&server, "/", &["authorization: Basic YW55Ym9keTpzZWNyZXQ="]).status, 200);
    for path in ["/", "/metrics", "/api/explain/product:1"] {
        assert_eq!(admin(&server, path, &[]).status, 401, "{path}");
        assert_eq!(admin(&server, path, &["authorization: Bearer secret"]).status, 200, "{path}");
    }
    assert_eq!(admin(&server, "/livez", &[]).status, 200);
    // Who knows it may come by a name, as scrapers inside a cluster do.
    let mut client = Client::to(server.admin);
    client.send(b"GET /metrics HTTP/1.1\r\nhost: bellwether.internal:9090\r\nauthorization: Bearer secret\r\n\r\n");
    assert_eq!(client.answer(false).expect("an answer").status, 200);
}

#[test]
fn an_origin_that_fails_is_left_alone_and_everybody_can_see_it() {
    let server = Server::start();
    let mut client = server.connect();
    // Many keys: one that fails again and again tells of itself alone.
    for n in 0..20 {
        assert_eq!(client.ask("GET", &format!("/v1/page:fails/{n}"), &[], "").status, 502);
    }
    let began = std::time::Instant::now();
    let shed = client.ask("GET", "/v1/page:fails/20", &[], "");
    assert_eq!((shed.status, shed.json()["why"].as_str()), (503, Some("breaker_open")));
    assert!(shed.header("retry-after").is_some() && began.elapsed() < std::time::Duration::from_millis(900));
    let samples = parsed(&admin(&server, "/metrics", &[]).text());
    assert_eq!(sum(&samples, "bellwether_origin_max_concurrency", &[("origin", "shop")]), 16.0);
    assert_eq!(sum(&samples, "bellwether_origin_breaker", &[("origin", "shop"), ("state", "closed")]), 1.0);
    assert_eq!(sum(&samples, "bellwether_origin_breaker", &[("origin", "shop")]), 1.0, "one state at a time");
    assert_eq!(sum(&samples, "bellwether_origin_queue_share", &[("origin", "shop")]), 1.0);
    let labels = [("origin", "api"), ("state", "open")];
    assert_eq!(sum(&samples, "bellwether_origin_breaker", &labels), 1.0);
    assert_eq!(sum(&samples, "bellwether_origin_breaker_opened_total", &[("origin", "api")]), 1.0);
    let labels = [("origin", "api"), ("class", "normal"), ("why", "breaker_open")];
    assert_eq!(sum(&samples, "bellwether_origin_shed_total", &labels), 1.0);
    let origins = admin(&server, "/api/origins", &[]).json();
    assert_eq!(
        (origins["api"]["breaker"].as_str(), origins["shop"]["breaker"].as_str()),
        (Some("open"), Some("closed"))
    );
    assert_eq!(origins["api"]["shed"]["normal"]["breaker_open"], 1);
    let explained = admin(&server, "/api/explain/page:other", &[]).json();
    assert_eq!(explained["would"], "breaker_open");
    assert_eq!(explained["origin"]["breaker"], "open");
    // Another origin is none of its business.
    assert_eq!(client.ask("GET", "/v1/product:1", &[], "").status, 200);
}

#[test]
fn what_is_ahead_is_told_as_json_and_as_metrics() {
    let server = Server::start();
    server.get("/v1/product:1");
    server.get("/v1/product:99");
    let forecast = admin(&server, "/api/forecast", &[]);
    assert_eq!((forecast.status, forecast.header("content-type")), (200, Some("application/json")));
    let told: serde_json::Value = serde_json::from_str(&forecast.text()).expect("JSON");
    let product = told["spaces"].as_array().expect("spaces").iter().find(|space| space["space"] == "product");
    let product = product.expect("the space that was asked");
    assert_eq!((&product["values"], &product["missing"]), (&1.into(), &1.into()));
    // Its ttl is a minute: it ends within the next stretch of 10 s at the latest.
    assert_eq!((&product["ending_within"]["10m"], &product["crowd"]), (&1.into(), &serde_json::Value::Null));
    let samples = admin(&server, "/metrics", &[]).text();
    for line in [
        "bellwether_space_values{space=\"product\"} 1",
        "bellwether_ending_values{space=\"product\",within_seconds=\"600\"} 1",
        "bellwether_crowd_values{space=\"product\"} 0",
        "bellwether_missing_entries 1",
    ] {
        assert!(samples.contains(line), "{line} in\n{samples}");
    }
}

#[test]
fn keys_are_loaded_although_nobody_asked_for_them() {
    let server = Server::start();
    let ask = |method: &str, body: &str| Client::to(server.admin).ask(method, "/api/warm", &[], body);
    let warmed = ask("POST", "product:1\nproduct:2\n\nproduct:99\nproduct:x\nnowhere\n%70roduct:2\n");
    assert_eq!(warmed.status, 200, "{}", warmed.text());
    let told = warmed.json();
    let of = |name: &str| told[name].as_u64().unwrap_or(u64::MAX);
    // The same key twice is loaded once, and both lines were answered by that load.
    assert_eq!((of("loaded") + of("present"), of("missing"), of("refused"), of("failed")), (3, 1, 2, 0), "{told}");
    assert_eq!(told["again"], serde_json::json!([]));
    assert_eq!(server.get("/v1/product:1").cache_status().split(';').nth(1), Some(" hit"));
    let again = ask("POST", "product:1\n").json();
    assert_eq!((&again["present"], &again["loaded"]), (&1.into(), &0.into()));

    assert_eq!(ask("GET", "").status, 405);
    let bad = ask("POST", "product:1\nproduct:%zz\n");
    assert!(bad.status == 400 && bad.text().contains("line 2"), "{}", bad.text());
    assert_eq!(ask("POST", &"a\n".repeat(10_001)).status, 400);
    assert_eq!(ask("POST", &"a".repeat((4 << 20) + 1)).status, 413);
    let stranger = Client::to(server.admin).ask("POST", "/api/warm", &["origin: http://evil.example"], "product:3\n");
    assert_eq!(stranger.status, 403);
}

#[test]
fn what_is_read_most_can_be_had_as_a_list_and_readiness_has_a_weight() {
    let server = Server::start();
    for _ in 0..5 {
        server.get("/v1/product:2");
    }
    server.get("/v1/product:1");
    server.get("/v1/product:1");
    let list = admin(&server, "/api/hotlist", &[]).text();
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines[0], "bellwether hot list 1");
    assert!(lines[1].ends_with(" product:2") && lines[2].ends_with(" product:1"), "{list}");
    assert!(lines[3].starts_with("end 2 "), "{list}");
    let ready = admin(&server, "/readyz", &[]);
    let weight: f64 = ready.header("bellwether-weight").expect("a weight").parse().expect("a number");
    assert!((ready.status, ready.text().as_str()) == (200, "ready\n") && (0.1..=1.0).contains(&weight), "{weight}");
}

#[test]
fn the_keys_of_a_space_are_those_that_its_origin_names() {
    let server = Server::start();
    let keys = admin(&server, "/api/keys/product", &[]);
    // In the statement's order; what is no key of the space, or NULL, is left out.
    assert_eq!(keys.status, 200, "{}", keys.text());
    let lines: Vec<String> = keys.text().lines().map(str::to_owned).collect();
    assert!(lines.len() > 1 && lines.iter().all(|line| line.starts_with("product:")), "{lines:?}");
    assert!(
        !lines.contains(&"product:x".to_owned()) && lines.last().is_some_and(|last| last == "product:1"),
        "{lines:?}"
    );
    for (path, status, words) in [("raw", 404, "has no `keys`"), ("nowhere", 404, "no space"), ("", 404, "no space")] {
        let answer = admin(&server, &format!("/api/keys/{path}"), &[]);
        assert!(
            answer.status == status && answer.text().contains(words),
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
    }
    assert_eq!(admin(&server, "/api/keys/product", &["origin: http://evil.example"]).status, 403);
}

//! What is answered to each outcome? Statuses, headers, bodies.

use crate::server::{SLOW, Server};

#[test]
fn a_value_says_how_it_came_how_old_it_is_and_which_version_it_is() {
    let server = Server::start();
    let first = server.get("/v1/product:1");
    assert_eq!((first.status, first.cache_status()), (200, "bellwether; fwd=miss"));
    assert_eq!((first.json()["name"].as_str(), first.header("content-type")), (Some("lamp"), Some("application/json")));
    let second = server.get("/v1/product%3A1");
    let left: u32 =
        second.cache_status().strip_prefix("bellwether; hit; ttl=").expect("a hit").parse().expect("seconds");
    assert!((55..=60).contains(&left), "{left}");
    assert_eq!(second.header("age"), Some("0"));
    let etag = second.header("etag").expect("a validator");
    assert!(etag.len() == 34 && etag.starts_with('"'), "{etag}");
    let same = server.ask("GET", "/v1/product:1", &[&format!("if-none-match: \"x\", {etag}")], "");
    assert_eq!((same.status, same.header("etag"), same.body.len()), (304, Some(etag), 0));
    assert!(same.cache_status().starts_with("bellwether; hit"), "{same:?}");
    assert_eq!(server.ask("GET", "/v1/product:1", &["if-none-match: \"x\""], "").status, 200);
    // The same body loaded anew is the same version.
    assert_eq!(server.ask("DELETE", "/v1/product:1", &[], "").status, 204);
    let again = server.ask("GET", "/v1/product:1", &[&format!("if-none-match: {etag}")], "");
    assert_eq!((again.status, again.cache_status()), (304, "bellwether; fwd=miss"));
}

#[test]
fn head_is_get_without_a_body() {
    let server = Server::start();
    let mut client = server.connect();
    let head = client.ask("HEAD", "/v1/product:1", &[], "");
    let get = client.ask("GET", "/v1/product:1", &[], "");
    assert_eq!((head.status, head.header("content-length")), (200, get.header("content-length")));
    assert_eq!(head.header("etag"), get.header("etag"));
    assert_eq!(client.ask("HEAD", "/v1/product:9", &[], "").status, 404);
    assert_eq!(client.ask("GET", "/v1/product:2", &[], "").status, 200, "the connection is in step");
}

#[test]
fn what_does_not_exist_and_what_matches_no_space_is_404_and_says_which() {
    let server = Server::start();
    for (path, cache_status, why) in [
        ("/v1/product:9", "bellwether; detail=negative", "negative"),
        ("/v1/product:x", "bellwether; detail=negative_type", "negative_type"),
        ("/v1/kv:none", "bellwether; detail=not_cached", "not_cached"),
        ("/v1/nothing", "bellwether; detail=no_space", "no_space"),
    ] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.cache_status()), (404, cache_status), "{path}");
        assert_eq!(answer.json()["why"], why);
        assert!(answer.json()["error"].is_string());
    }
}

#[test]
fn types_are_the_origins_own() {
    let server = Server::start();
    assert_eq!(server.get("/v1/page:a").header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(server.get("/v1/raw:1").header("content-type"), Some("application/octet-stream"));
    assert_eq!(server.get("/v1/raw:1").text(), "lamp");
}

#[test]
fn failures_have_a_status_each_and_show_nothing_of_the_origin() {
    let server = Server::start();
    let failed = server.get("/v1/page:fails/1");
    assert_eq!((failed.status, failed.cache_status()), (502, "bellwether; fwd=miss; detail=origin_failed"));
    assert!(!failed.text().contains("secret") && !failed.text().contains("127.0.0.1"), "{}", failed.text());
    let cooling = server.get("/v1/page:fails/1");
    assert_eq!((cooling.status, cooling.cache_status()), (503, "bellwether; detail=cooling"));
    assert!(cooling.header("retry-after").and_then(|text| text.parse::<u64>().ok()).is_some_and(|s| s >= 1));
    assert!(cooling.json()["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0), "{}", cooling.text());
    let late = server.get("/v1/hasty:slow/1");
    assert_eq!((late.status, late.cache_status()), (504, "bellwether; fwd=miss; detail=timeout"));
    let default = server.get("/v1/ready:fails/1");
    assert_eq!((default.status, default.cache_status()), (200, "bellwether; fwd=miss; detail=default"));
    assert_eq!(default.text(), "{\"title\":\"back soon\"}");
    assert_eq!(default.header("content-type"), Some("application/octet-stream"), "nobody said what this space holds");
    let default = server.get("/v1/spare:fails/1");
    assert_eq!(default.header("content-type"), Some("application/json"), "a space of JSON");
    let many = server.ask("POST", "/v1/_mget", &[], "[\"spare:fails/2\"]");
    assert_eq!(many.json()["spare:fails/2"]["value"]["title"], "back soon", "no string: {}", many.text());
}

#[test]
fn followers_are_collapsed_and_stale_values_say_so() {
    let server = Server::start();
    let mut leader = server.connect();
    leader.send(&crate::server::request(server.http, "GET", "/v1/page:slow/1", &[], ""));
    std::thread::sleep(SLOW / 4);
    let follower = server.get("/v1/page:slow/1");
    assert_eq!(follower.cache_status(), "bellwether; fwd=miss; collapsed");
    assert_eq!(leader.answer(false).expect("an answer").cache_status(), "bellwether; fwd=miss");
    assert_eq!(server.get("/v1/brief:1").status, 200);
    std::thread::sleep(std::time::Duration::from_millis(20));
    let stale = server.get("/v1/brief:1");
    assert_eq!((stale.status, stale.cache_status()), (200, "bellwether; fwd=stale; detail=stale_refreshing"));
}

#[test]
fn clients_insist_with_cache_control() {
    let server = Server::start();
    let with = |control: &str, path: &str| server.ask("GET", path, &[&format!("cache-control: {control}")], "");
    let uncached = with("only-if-cached", "/v1/product:1");
    assert_eq!((uncached.status, uncached.cache_status()), (504, "bellwether; detail=not_cached"));
    assert_eq!(server.get("/v1/product:1").status, 200);
    assert_eq!(with("only-if-cached", "/v1/product:1").status, 200, "control");
    // At most one load per key and second, however many insist.
    for control in ["no-cache", "max-age=0", "max-age=1"] {
        assert!(with(control, "/v1/product:1").cache_status().contains("hit"), "{control}");
    }
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert!(with("max-age=60", "/v1/product:1").cache_status().contains("hit"), "young enough");
    assert_eq!(with("only-if-cached, max-age=1", "/v1/product:1").status, 504, "resident, but too old");
    assert_eq!(with("no-cache", "/v1/product:1").cache_status(), "bellwether; fwd=miss");
    assert!(with("no-cache", "/v1/product:1").cache_status().contains("hit"));
}

#[test]
fn plain_spaces_are_written_and_others_are_not() {
    let server = Server::start();
    let mut client = server.connect();
    assert_eq!(client.ask("PUT", "/v1/kv:a%2Fb", &[], "hello").status, 204);
    let read = client.ask("GET", "/v1/kv:a%2fb", &[], "");
    assert_eq!((read.text().as_str(), read.header("content-type")), ("hello", Some("application/octet-stream")));
    assert_eq!(client.ask("PUT", "/v1/kv:empty", &["content-length: 0"], "").status, 204);
    assert_eq!(client.ask("GET", "/v1/kv:empty", &[], "").status, 200, "an empty value is a value");
    assert_eq!(client.ask("DELETE", "/v1/kv:a%2Fb", &[], "").status, 204);
    assert_eq!(client.ask("GET", "/v1/kv:a%2Fb", &[], "").status, 404);
    let refused = client.ask("PUT", "/v1/product:1", &[], "x");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD, DELETE")));
    assert_eq!(refused.json()["why"], "read_only");
    assert_eq!(client.ask("PUT", "/v1/nothing", &[], "x").status, 404);
    assert_eq!(client.ask("DELETE", "/v1/nothing", &[], "").status, 404);
    assert_eq!(client.ask("GET", "/v1/product:1", &[], "").status, 200, "the connection is in step");
}

#[test]
fn a_tag_is_removed_or_expired() {
    let server = Server::start();
    for mode in ["", "?mode=remove", "?mode=expire"] {
        for id in [1, 2] {
            server.get(&format!("/v1/product:{id}"));
            assert!(server.get(&format!("/v1/product:{id}")).cache_status().contains("hit"));
        }
        assert_eq!(server.ask("DELETE", &format!("/v1/_tags/p:1{mode}"), &[], "").status, 204);
        assert!(server.get("/v1/product:1").cache_status().contains("fwd="), "{mode}");
        assert!(server.get("/v1/product:2").cache_status().contains("hit"), "{mode}: another tag");
    }
    assert_eq!(server.ask("DELETE", "/v1/_tags/p:1?mode=burn", &[], "").status, 400);
    let wrong = server.get("/v1/_tags/p:1");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("DELETE")));
}

#[test]
fn many_keys_are_answered_by_name_in_order() {
    let server = Server::start();
    server.ask("PUT", "/v1/kv:text", &[], "say \"hi\"");
    let keys = r#"["product:2","product:9","nothing","kv:text","page:bytes/1","page:fails/2","product:2"]"#;
    let answer = server.ask("POST", "/v1/_mget", &["content-type: application/json"], keys);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json = answer.json();
    assert_eq!(json.as_object().map(serde_json::Map::len), Some(6), "{json}");
    assert!(answer.text().find("product:2") < answer.text().find("product:9"));
    assert_eq!(json["product:2"]["value"]["name"], "chair", "JSON is no string");
    assert_eq!((&json["product:2"]["status"], &json["product:2"]["why"]), (&200.into(), &"loaded".into()));
    assert!(json["product:2"]["age_ms"].is_u64());
    assert_eq!((&json["product:9"]["status"], &json["product:9"]["value"]), (&404.into(), &serde_json::Value::Null));
    assert_eq!(json["nothing"]["why"], "no_space");
    assert_eq!(json["kv:text"]["value"], "say \"hi\"");
    assert_eq!((&json["page:bytes/1"]["value"], &json["page:bytes/1"]["encoding"]), (&"AP8=".into(), &"base64".into()));
    assert_eq!((&json["page:fails/2"]["status"], &json["page:fails/2"]["why"]), (&502.into(), &"origin_failed".into()));
    let named = server.ask("POST", "/v1/_mget", &[], r#"{"keys":["product:2"]}"#);
    assert_eq!(named.json()["product:2"]["why"], "hit");
}

#[test]
fn paths_and_methods_that_mean_nothing_say_so() {
    let server = Server::start();
    let long = format!("/v1/kv:{}", "k".repeat(4096));
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/v1/", 404),
        ("GET", "/v1/kv:%zz", 400),
        ("GET", "/v1/kv:a?b=c", 400),
        ("GET", long.as_str(), 414),
        ("GET", "/v1/_mget", 405),
        ("PATCH", "/v1/kv:a", 405),
        ("OPTIONS", "/v1/kv:a", 405),
    ] {
        let answer = server.ask(method, path, &[], "");
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(answer.json()["error"].is_string());
        assert_eq!(answer.header("allow").is_some(), status == 405, "{method} {path}");
    }
}

#[test]
fn a_password_is_asked_for_and_compared_whole() {
    let server = Server::with("password = \"secret\"");
    for headers in [
        &[][..],
        &["authorization: Bearer secre"],
        &["authorization: Bearer secret2"],
        &["authorization: Basic secret"],
    ] {
        let refused = server.ask("GET", "/v1/product:1", headers, "");
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")), "{headers:?}");
    }
    assert_eq!(server.ask("PUT", "/v1/kv:a", &[], "x").status, 401);
    for scheme in ["Bearer", "bearer"] {
        assert_eq!(server.ask("GET", "/v1/product:1", &[&format!("authorization: {scheme} secret")], "").status, 200);
    }
}

#[test]
fn a_request_names_its_class_and_a_word_that_is_none_is_refused_with_the_right_ones() {
    let server = Server::start();
    let ask = |method, path, header, body| server.ask(method, path, &[header], body);
    assert_eq!(ask("GET", "/v1/product:1", "bellwether-priority: critical", "").status, 200);
    for (method, path, body) in [("GET", "/v1/product:1", ""), ("POST", "/v1/_mget", "[\"product:1\"]")] {
        let wrong = ask(method, path, "Bellwether-Priority: critcal", body);
        assert_eq!(wrong.status, 400, "{method}");
        let words = wrong.json()["error"].as_str().map(str::to_owned).unwrap_or_default();
        assert!(
            words.contains("critical, normal, low or background") && words.contains("did you mean critical?"),
            "{words}"
        );
    }
    assert_eq!(ask("POST", "/v1/_mget", "Bellwether-Priority: low", "[\"product:1\"]").status, 200);
}

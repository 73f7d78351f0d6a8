//! Is it said, before it is relied on, what keeps a Redis from carrying the backplane, and is one known from another?

use bellwether_adapters::events::RedisEvents;
use bellwether_servers::{Redis, Value};

fn redis(arguments: &[&str]) -> Redis {
    Redis::start(arguments).unwrap()
}

fn events(url: &str) -> RedisEvents {
    RedisEvents::at(url, "bw:").unwrap()
}

async fn refused(events: &RedisEvents, words: &[&str]) {
    let said = events.check().await.unwrap_err().to_string();
    for word in words {
        assert!(said.contains(word), "no {word:?}: {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}

/// The rights of the guide, word by word.
const RIGHTS: &str = "+info +eval +evalsha +xadd +xread +xinfo +hset +hmget +hget +hdel +hscan +zadd +zrem +zcard +zrange \
    +zrangebyscore +unlink +exists +time +ping +get +set";

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tells_what_is_missing_and_leaves_nothing_behind() {
    let server = redis(&[]);
    for events in [events(&server.url()), events(&server.url()).best_effort()] {
        events.check().await.unwrap();
    }
    assert_eq!(server.call(&["DBSIZE"]).unwrap(), Value::Int(0));
    refused(&events("redis://127.0.0.1:1"), &["does it run, and without TLS?"]).await;
    let guarded = redis(&["--requirepass", "secret"]);
    refused(&events(&guarded.url()), &["NOAUTH", "user and password"]).await;
    refused(&events(&guarded.url().replace("redis://", "redis://:hunter2@")), &["user and password"]).await;

    let mut words = vec!["ACL", "SETUSER", "app", "on", ">hunter2", "~{bw}:*", "resetchannels"];
    words.extend(RIGHTS.split_whitespace());
    server.call(&words).unwrap();
    let url = server.url().replace("redis://", "redis://app:hunter2@");
    events(&url).check().await.unwrap();
    refused(&events(&url).best_effort(), &["+publish +subscribe", "&{bw}:*"]).await;
    for right in ["eval", "xadd", "xread", "hset", "hscan", "zadd", "set", "unlink"] {
        server.call(&["ACL", "SETUSER", "app", &format!("-{right}")]).unwrap();
        // A script that is known by its hash needs no EVAL.
        server.call(&["SCRIPT", "FLUSH"]).unwrap();
        refused(&events(&url), &["its user needs ~{bw}:*", &format!("+{right}")]).await;
        server.call(&["ACL", "SETUSER", "app", &format!("+{right}")]).unwrap();
    }
    server.call(&["ACL", "SETUSER", "app", "resetkeys", "~other:*"]).unwrap();
    refused(&events(&url), &["its user needs ~{bw}:*"]).await;

    let port = guarded.address().port().to_string();
    server.call(&["CONFIG", "SET", "masterauth", "secret"]).unwrap();
    server.call(&["REPLICAOF", "127.0.0.1", &port]).unwrap();
    refused(&events(&server.url()), &["it is a replica", "redis+sentinel://"]).await;
    server.call(&["REPLICAOF", "NO", "ONE"]).unwrap();
    server.call(&["CONFIG", "SET", "maxmemory", "1mb"]).unwrap();
    refused(&events(&server.url()), &["raise its maxmemory"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backplane_is_the_same_by_any_name_and_no_other_is() {
    let (server, other) = (redis(&[]), redis(&[]));
    let one = events(&server.url());
    assert_eq!(one.identity().await.unwrap(), None);
    let word = one.identify(None).await.unwrap();
    assert_eq!(word.len(), 32);
    let socket = events(&format!("redis+unix://{}", server.socket().display()));
    assert_eq!(socket.identity().await.unwrap().as_ref(), Some(&word));
    assert_eq!(socket.identify(Some("another")).await.unwrap(), word, "the first stays");
    for stranger in [events(&other.url()), events(&format!("{}/1", server.url()))] {
        assert_ne!(stranger.identify(None).await.unwrap(), word);
    }
    // A new epoch, as after a failover, is no other backplane.
    server.call(&["DEL", "{bw}:stream", "{bw}:floors"]).unwrap();
    assert_eq!(one.identity().await.unwrap(), Some(word));
}

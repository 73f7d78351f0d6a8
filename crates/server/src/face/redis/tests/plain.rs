//! What is there, what waits for whom, and what is a request?

use std::time::Duration;

use super::{Bench, bench};

/// A value that is stale: its own short time is over, its space's grace is not.
fn stale(bench: &mut Bench, key: &str) {
    assert_eq!(bench.say(format!("SET {key} old PX 20\r\n")), "+OK");
    std::thread::sleep(Duration::from_millis(40));
}

#[test]
fn in_a_plain_space_what_is_stale_is_not_there_for_redis_commands() {
    for (command, answer, then) in [
        ("SETNX g:a new", ":1", "$3 new"),
        ("SET g:a new NX", "+OK", "$3 new"),
        ("SET g:a new XX", "$-1", "$-1"),
        ("SET g:a new GET", "$-1", "$3 new"),
        ("SET g:a new KEEPTTL", "+OK", "$3 new"),
        ("GETSET g:a new", "$-1", "$3 new"),
        ("GETDEL g:a", "$-1", "$-1"),
        ("GETEX g:a EX 100", "$-1", "$-1"),
        ("PERSIST g:a", ":0", "$-1"),
        ("EXPIRE g:a 100", ":0", "$-1"),
        ("EXISTS g:a", ":0", "$-1"),
        ("TYPE g:a", "+none", "$-1"),
        ("STRLEN g:a", ":0", "$-1"),
        ("OBJECT FREQ g:a", "$-1", "$-1"),
        ("SCAN 0 COUNT 100", "*2 $1 0 *0", "$-1"),
    ] {
        let mut bench = bench("");
        stale(&mut bench, "g:a");
        assert_eq!(bench.say("TTL g:a\r\n"), ":0", "control: it is stale, not gone");
        bench.expect(&[(command, answer)]);
        // Longer than the millisecond that a stale value's KEEPTTL once gave.
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(bench.say("GET g:a\r\n"), then, "after {command}");
    }
}

#[test]
fn a_renewed_value_keeps_the_grace_behind_its_time() {
    let mut bench = bench("");
    bench.expect(&[("SET g:p v PX 60000", "+OK"), ("EXPIRE g:p 50", ":1"), ("PERSIST g:p", ":1")]);
    std::thread::sleep(Duration::from_millis(520));
    assert_eq!(bench.say("GET g:p\r\n"), "$-1", "the space's time is over");
    let granted = bench.say("BW.GET g:p\r\n");
    assert!(granted.starts_with("*5 $1 v $16 stale_refreshing :"), "{granted}");
}

#[test]
fn g2_what_stands_behind_a_getex_waits_for_its_end() {
    let mut bench = bench("");
    let loads = |bench: &Bench| bench.conn.client.service.snapshot().spaces.iter().map(|s| s.loads()).sum::<u64>();
    let answer = bench.say("GETEX product:4 PXAT 1\r\nGET product:4\r\n");
    assert_eq!((answer.as_str(), loads(&bench)), ("$8 {\"id\":4} $8 {\"id\":4}", 2), "the read loaded anew");
    assert!(bench.say("TTL product:4\r\n") != ":-2", "and what it loaded is resident");
    let answer = bench.say("GETEX product:5\r\nGET product:5\r\n");
    assert_eq!((answer.as_str(), loads(&bench)), ("$8 {\"id\":5} $8 {\"id\":5}", 3), "control: no end, no wait");
}

#[test]
fn an_end_holds_though_nobody_hears_of_it() {
    for (mute, unmute) in [("CLIENT REPLY SKIP", ""), ("CLIENT REPLY OFF", "CLIENT REPLY ON\r\n")] {
        let mut bench = bench("");
        let answer = bench.say(format!("{mute}\r\nGETEX product:4 EX 5\r\n{unmute}TTL product:4\r\n"));
        assert!(answer.ends_with(":5"), "{mute}: {answer}");
        let read = bench.say(format!("{mute}\r\nGET product:1\r\n{unmute}PING\r\n"));
        assert!(read.ends_with("+PONG"), "{read}");
        let loaded =
            bench.conn.client.service.snapshot().spaces.iter().map(|s| s.of(bellwether::Why::Loaded)).sum::<u64>();
        assert_eq!(loaded, 2, "{mute}: both reads are requests");
    }
}

#[test]
fn what_is_no_read_is_no_request_and_what_is_refused_is_one() {
    let mut bench = bench("");
    let long = format!("kv:{}", "k".repeat(4094));
    let total = |bench: &Bench| bench.conn.client.service.snapshot().spaces.iter().map(|s| s.total()).sum::<u64>();
    bench.say("GET product:1\r\n");
    for command in [
        "TTL nope",
        "TYPE nope",
        "STRLEN nope",
        "TOUCH nope",
        "OBJECT FREQ nope",
        "BW.EXPLAIN nope",
        "TTL product:1",
        "BW.EXPLAIN product:1",
        "BW.REFRESH product:1",
        "EXPIRE product:1 5",
        "DEL product:1",
        "SET kv:a 1",
        "BW.TAG.EXPIRE t",
        "SCAN 0",
        &format!("TTL {long}"),
    ] {
        let before = total(&bench);
        bench.say(format!("{command}\r\n"));
        // A refresh goes on by itself.
        std::thread::sleep(Duration::from_millis(if command.starts_with("BW.REFRESH") { 100 } else { 0 }));
        assert_eq!(total(&bench), before, "{command}");
    }
    for (command, why) in [
        (format!("GET {long}"), "no_space"),
        (format!("DEL {long}"), "no_space"),
        ("DEL nope".into(), "no_space"),
        ("EXPIRE nope 0".into(), "no_space"),
        ("EXPIRE nope 9".into(), "no_space"),
        ("SET nope 1".into(), "no_space"),
        ("SET product:1 x".into(), "read_only"),
        ("SET n:x 1".into(), "negative_type"),
        ("GETDEL kv:a".into(), "hit"),
        ("EXISTS kv:a".into(), "not_cached"),
    ] {
        let of = |bench: &Bench| {
            let snapshot = bench.conn.client.service.snapshot();
            let all = snapshot.spaces.iter().flat_map(|space| space.requests.clone());
            all.filter(|(name, _)| name.as_str() == why).map(|(_, n)| n).sum::<u64>()
        };
        let before = (total(&bench), of(&bench));
        bench.say(format!("{command}\r\n"));
        assert_eq!((total(&bench), of(&bench)), (before.0 + 1, before.1 + 1), "{command:.40}");
    }
}

#[test]
fn a_value_that_is_too_large_is_an_error_and_takes_its_predecessor_along() {
    let mut bench = bench("\n[memory]\nlimit = \"1 MiB\"");
    assert_eq!(bench.say("SET kv:a 1\r\n"), "+OK");
    let answer = bench.say(format!("*3\r\n$3\r\nSET\r\n$4\r\nkv:a\r\n$1100000\r\n{}\r\n", "x".repeat(1_100_000)));
    assert_eq!(answer, "-ERR the value is too large to be kept");
    bench.expect(&[("GET kv:a", "$-1")]);
}

#[test]
fn an_mset_of_which_one_value_is_too_large_writes_nothing() {
    let mut bench = bench("\n[memory]\nlimit = \"1 MiB\"");
    bench.expect(&[("MSET kv:a 1 kv:b 1", "+OK")]);
    let mset = |large: usize| {
        let value = "x".repeat(large);
        format!(
            "*7\r\n$4\r\nMSET\r\n$4\r\nkv:a\r\n$1\r\n2\r\n$4\r\nkv:b\r\n${large}\r\n{value}\r\n$4\r\nkv:c\r\n$1\r\n2\r\n"
        )
    };
    let too_large = |bench: &Bench| {
        let snapshot = bench.conn.client.service.snapshot();
        let all = snapshot.spaces.iter().flat_map(|space| space.requests.clone());
        all.filter(|(name, _)| name.as_str() == "too_large").map(|(_, n)| n).sum::<u64>()
    };
    let refused = "-ERR the value is too large to be kept";
    assert_eq!(bench.say(mset(1_100_000)), refused);
    assert_eq!(too_large(&bench), 1);
    bench.expect(&[("GET kv:a", "$1 1"), ("GET kv:b", "$1 1"), ("GET kv:c", "$-1")]);
    // What is refused by MSET is what SET refuses, to the byte.
    let set = |large: usize| format!("*3\r\n$3\r\nSET\r\n$4\r\nkv:b\r\n${large}\r\n{}\r\n", "x".repeat(large));
    let (mut fits, mut too_much) = (1_000, 1_100_000);
    while too_much - fits > 1 {
        let middle = (fits + too_much) / 2;
        let kept = bench.say(set(middle)) == "+OK";
        *if kept { &mut fits } else { &mut too_much } = middle;
    }
    assert_eq!((bench.say(mset(fits)), bench.say("GET kv:a\r\n")), ("+OK".to_owned(), "$1 2".to_owned()));
    bench.expect(&[("SET kv:a 1", "+OK")]);
    assert_eq!((bench.say(mset(too_much)), bench.say("GET kv:a\r\n")), (refused.to_owned(), "$1 1".to_owned()));
}

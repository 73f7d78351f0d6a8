//! Do clients that keep copies of their own hear of everything that makes one of them wrong?

use super::*;

const OK: &str = "+OK";

/// A connection in RESP3 and another one beside it.
fn two() -> (Bench, Conn) {
    let mut bench = bench("");
    bench.say("HELLO 3\r\n");
    let other = bench.beside(8);
    (bench, other)
}

impl Bench {
    /// What this connection has been told by now.
    #[track_caller]
    fn heard(&mut self) -> String {
        self.say("")
    }
}

fn invalid(key: &str) -> String {
    format!(">2 $10 invalidate *1 ${} {key}", key.len())
}

#[test]
fn every_change_of_a_key_that_was_read_is_told_once_to_its_reader() {
    let (mut bench, mut other) = two();
    assert_eq!(bench.say("CLIENT TRACKING ON\r\n"), OK);
    for change in
        ["SET kv:a 2", "DEL kv:a", "UNLINK kv:a", "EXPIRE kv:a 5", "PEXPIRE kv:a -1", "GETDEL kv:a", "BW.EXPIRE kv:a"]
    {
        said(&bench.runtime, &mut other, "SET kv:a 1\r\n");
        for read in ["GET kv:a", "MGET kv:none kv:a", "EXISTS kv:a", "STRLEN kv:a", "TYPE kv:a", "GETRANGE kv:a 0 1"] {
            bench.say(format!("{read}\r\n"));
            said(&bench.runtime, &mut other, format!("{change}\r\n"));
            assert_eq!(bench.heard(), invalid("kv:a"), "{read}, {change}");
            said(&bench.runtime, &mut other, "SET kv:a 1\r\n");
            assert_eq!(bench.heard(), "", "it keeps nothing any more: {read}, {change}");
        }
    }
    // A key that was not there, or not resident any more, is kept as such.
    assert_eq!(bench.say("GET kv:new\r\n"), "_");
    said(&bench.runtime, &mut other, "SET kv:new 1\r\n");
    assert_eq!(bench.heard(), invalid("kv:new"));
    // A space with an origin: what was loaded is kept, and hears of its removal.
    assert!(bench.say("GET product:1\r\n").contains("\"id\":1"));
    said(&bench.runtime, &mut other, "DEL product:1\r\n");
    assert_eq!(bench.heard(), invalid("product:1"));
    assert_eq!(bench.say("CLIENT TRACKING OFF\r\nGET kv:new\r\n"), "+OK $1 1");
    said(&bench.runtime, &mut other, "DEL kv:new\r\n");
    assert_eq!(bench.heard(), "", "control: it no longer tracks");
}

#[test]
fn a_tag_leaves_a_reader_nothing() {
    let (mut bench, mut other) = two();
    bench.say("CLIENT TRACKING ON\r\nGET kv:a\r\n");
    said(&bench.runtime, &mut other, "BW.TAG.REMOVE t\r\n");
    assert_eq!(bench.heard(), ">2 $10 invalidate _");
}

#[test]
fn what_is_no_longer_fresh_is_told_though_nobody_changed_it() {
    let (mut bench, mut other) = two();
    bench.say("CLIENT TRACKING ON\r\n");
    said(&bench.runtime, &mut other, "SET kv:a 1 PX 300\r\nSET kv:b 1\r\n");
    assert_eq!(bench.say("GET kv:a\r\nGET kv:b\r\n"), "$1 1 $1 1");
    let since = std::time::Instant::now();
    let mut heard = String::new();
    while heard.is_empty() && since.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
        heard = bench.heard();
    }
    assert_eq!(heard, invalid("kv:a"));
    assert!(since.elapsed() >= Duration::from_millis(250), "not before its end: {:?}", since.elapsed());
}

#[test]
fn modes_are_those_of_redis() {
    let (mut bench, mut other) = two();
    let mut tell = |line: &str| said(&bench.runtime, &mut other, format!("{line}\r\n"));
    tell("SET kv:a 1");
    let mut step = |bench: &mut Bench, lines: &str, told: bool| {
        bench.say(lines.replace('|', "\r\n") + "\r\n");
        said(&bench.runtime, &mut other, "SET kv:a 1\r\n");
        assert_eq!(bench.heard(), if told { invalid("kv:a") } else { String::new() }, "{lines}");
    };
    step(&mut bench, "CLIENT TRACKING ON OPTIN|GET kv:a", false);
    step(&mut bench, "CLIENT CACHING YES|GET kv:a", true);
    step(&mut bench, "CLIENT CACHING YES|PING|GET kv:a", false);
    step(&mut bench, "CLIENT CACHING YES|MULTI|PING|GET kv:a|EXEC", true);
    step(&mut bench, "MULTI|GET kv:a|EXEC", false);
    step(&mut bench, "CLIENT TRACKING OFF|CLIENT TRACKING ON OPTOUT|GET kv:a", true);
    step(&mut bench, "CLIENT CACHING NO|GET kv:a", false);
    step(&mut bench, "GET kv:a", true);
    step(&mut bench, "CLIENT TRACKING OFF|CLIENT TRACKING ON BCAST PREFIX kv:", true);
    step(&mut bench, "CLIENT TRACKING OFF|CLIENT TRACKING ON BCAST PREFIX other:", false);
    step(&mut bench, "CLIENT TRACKING OFF|CLIENT TRACKING ON BCAST", true);
    let own = "SET kv:a 2\r\n";
    bench.say("CLIENT TRACKING OFF\r\nCLIENT TRACKING ON NOLOOP\r\nGET kv:a\r\n");
    assert_eq!(bench.say(own), OK);
    bench.say("CLIENT TRACKING OFF\r\nCLIENT TRACKING ON\r\nGET kv:a\r\n");
    assert_eq!(bench.say(own), format!("+OK {}", invalid("kv:a")), "control");
    bench.say("RESET\r\nHELLO 3\r\nGET kv:a\r\n");
    assert_eq!(bench.say(own), OK);
}

#[test]
fn words_are_those_of_redis() {
    let mut bench = bench("");
    let switch = "-ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
                  re-enabling it with a different mode.";
    bench.expect(&[
        ("CLIENT TRACKINGINFO", "*6 $5 flags *1 $3 off $8 redirect :-1 $8 prefixes *0"),
        ("CLIENT GETREDIR", ":-1"),
        ("CLIENT TRACKING ON REDIRECT 99999", "-ERR The client ID you want redirect to does not exist"),
        ("CLIENT TRACKING ON REDIRECT x", "-ERR value is not an integer or out of range"),
        ("CLIENT TRACKING ON REDIRECT", "-ERR syntax error"),
        ("CLIENT TRACKING ON REDIRECT 7 REDIRECT 7", "-ERR A client can only redirect to a single other client"),
        ("CLIENT TRACKING ON PREFIX a", "-ERR PREFIX option requires BCAST mode to be enabled"),
        ("CLIENT TRACKING ON OPTIN OPTOUT", "-ERR You can't specify both OPTIN mode and OPTOUT mode"),
        ("CLIENT TRACKING ON BCAST OPTIN", "-ERR OPTIN and OPTOUT are not compatible with BCAST"),
        (
            "CLIENT TRACKING ON BCAST PREFIX a PREFIX ab",
            "-ERR Prefix 'a' overlaps with another provided prefix 'ab'. Prefixes for a single client must not overlap.",
        ),
        ("CLIENT TRACKING ON FOO", "-ERR syntax error"),
        ("CLIENT TRACKING MAYBE", "-ERR syntax error"),
        ("CLIENT TRACKING ON BCAST PREFIX a PREFIX b", OK),
        (
            "CLIENT TRACKING ON BCAST PREFIX ab",
            "-ERR Prefix 'ab' overlaps with an existing prefix 'a'. Prefixes for a single client must not overlap.",
        ),
        ("CLIENT TRACKING ON", switch),
        ("CLIENT TRACKINGINFO", "*6 $5 flags *2 $2 on $5 bcast $8 redirect :0 $8 prefixes *2 $1 a $1 b"),
        ("CLIENT GETREDIR", ":0"),
        ("CLIENT TRACKING OFF BCAST", OK),
        ("CLIENT TRACKING ON OPTIN", OK),
        (
            "CLIENT TRACKING ON OPTOUT",
            "-ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling \
             it with a different mode.",
        ),
        ("CLIENT CACHING NO", "-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."),
        ("CLIENT CACHING X", "-ERR syntax error"),
        ("CLIENT CACHING YES", OK),
        ("CLIENT TRACKINGINFO", "*6 $5 flags *3 $2 on $5 optin $11 caching-yes $8 redirect :0 $8 prefixes *0"),
        ("CLIENT TRACKING OFF", OK),
        (
            "CLIENT CACHING YES",
            "-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ),
    ]);
}

#[test]
fn a_client_of_resp2_has_it_told_to_another_that_listens() {
    let mut bench = bench("");
    let mut listener = bench.beside(9);
    let subscribed = "*3 $9 subscribe $20 __redis__:invalidate :1";
    assert_eq!(said(&bench.runtime, &mut listener, "SUBSCRIBE __redis__:invalidate\r\n"), subscribed);
    bench.expect(&[
        ("CLIENT TRACKING ON REDIRECT 9", OK),
        ("CLIENT GETREDIR", ":9"),
        ("GET kv:a", "$-1"),
        ("SET kv:a 1", OK),
    ]);
    let told = "*3 $7 message $20 __redis__:invalidate *1 $4 kv:a";
    assert_eq!(said(&bench.runtime, &mut listener, ""), told);
    drop(listener);
    bench.expect(&[("CLIENT TRACKINGINFO", "*6 $5 flags *2 $2 on $15 broken_redirect $8 redirect :9 $8 prefixes *0")]);
    bench.say("HELLO 3\r\nGET kv:a\r\n");
    assert_eq!(bench.say("SET kv:a 1\r\n"), "+OK >2 $21 tracking-redir-broken :9");
}

#[test]
fn who_listens_hears_of_every_invalidation_and_in_resp2_does_nothing_else() {
    let mut bench = bench("");
    let mut other = bench.beside(8);
    bench.expect(&[
        ("SUBSCRIBE bellwether:invalidate", "*3 $9 subscribe $21 bellwether:invalidate :1"),
        ("PSUBSCRIBE bell*", "*3 $10 psubscribe $5 bell* :2"),
        ("PUNSUBSCRIBE", "*3 $12 punsubscribe $5 bell* :1"),
        (
            "GET kv:a",
            "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
             context",
        ),
        ("PING", "*2 $4 pong $0"),
        ("PING x", "*2 $4 pong $1 x"),
    ]);
    said(&bench.runtime, &mut other, "SET kv:a 1\r\nDEL kv:b\r\nBW.TAG.EXPIRE t\r\n");
    let message = |text: &str| format!("*3 $7 message $21 bellwether:invalidate ${} {text}", text.len());
    assert_eq!(bench.heard(), [message("key kv:a"), message("key kv:b"), message("tag t")].join(" "));
    bench.expect(&[
        ("UNSUBSCRIBE", "*3 $11 unsubscribe $21 bellwether:invalidate :0"),
        ("UNSUBSCRIBE zz", "*3 $11 unsubscribe $2 zz :0"),
        ("GET kv:a", "$1 1"),
    ]);
    said(&bench.runtime, &mut other, "DEL kv:a\r\n");
    assert_eq!(bench.heard(), "");
    // In RESP3 messages are told apart from replies: everything goes on.
    bench.say("HELLO 3\r\nPSUBSCRIBE bell*\r\n");
    assert_eq!(bench.say("PING\r\n"), "+PONG");
    said(&bench.runtime, &mut other, "DEL kv:a\r\n");
    assert_eq!(bench.heard(), ">4 $8 pmessage $5 bell* $21 bellwether:invalidate $8 key kv:a");
}

#[test]
fn nothing_is_told_inside_of_an_exec() {
    let (mut bench, _other) = two();
    bench.say("CLIENT TRACKING ON\r\nGET kv:a\r\n");
    let answer = bench.say("MULTI\r\nSET kv:a 1\r\nGET product:1\r\nEXEC\r\n");
    assert!(answer.ends_with(&format!("}} {}", invalid("kv:a"))) && answer.contains("*2 +OK $"), "{answer}");
}

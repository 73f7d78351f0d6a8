//! Does a real server's disk keep what it may, and nothing that was removed, over a `kill -9`?

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bellwether_system::{Bellwether, Http, Mode, Origin, Resp, Value, config, until};

fn on_disk(origin: &Origin, home: &Path) -> String {
    config(
        "",
        &format!(
            "[disk]\npath = \"{}\"\nlimit = \"64 MiB\"\n[origin.api]\nhttp = \"{}\"\n[[space]]\n\
             match = \"page:{{id}}\"\norigin = \"api\"\nget = \"/{{id}}\"\nttl = \"60s\"\ngrace = \"10m\"\n\
             tags = [\"kind:{{id}}\"]\n",
            home.join("tier").display(),
            origin.url(),
        ),
    )
}

/// A change that is made while its command is waited for was taken for one of the command behind it, whose reply went then.
#[test]
fn every_command_of_a_pipeline_is_answered_behind_one_that_reads_and_gives_another_end() {
    let home = tempfile::tempdir().expect("a directory");
    let origin = Origin::start();
    for page in ["a", "b"] {
        origin.set(&format!("/{page}"), page);
    }
    let server = Bellwether::start(Some(&on_disk(&origin, home.path())));
    let (mut client, rows) = (server.connect(), Value::Array(vec![Value::bulk("a"), Value::bulk("b")]));
    for _ in 0..20 {
        let said = client.pipeline(&[
            vec!["DEL", "page:a"],
            vec!["GETEX", "page:a", "EX", "30"],
            vec!["MGET", "page:a", "page:b"],
            vec!["ECHO", "end"],
        ]);
        assert_eq!(said[1..], [Value::bulk("a"), rows.clone(), Value::bulk("end")]);
        assert!(client.call(&["TTL", "page:a"]).int() <= 30, "it ends when it was told to");
    }
}

#[test]
fn what_was_loaded_is_served_stale_after_a_kill_and_what_was_removed_is_not() {
    let home = tempfile::tempdir().expect("a directory");
    let origin = Origin::start();
    let (kept, removed, tagged) = ("page:kept", "page:removed", "page:tagged");
    for page in ["kept", "removed", "tagged"] {
        origin.set(&format!("/{page}"), page);
    }
    {
        // Dropped, it is killed.
        let server = Bellwether::start(Some(&on_disk(&origin, home.path())));
        let mut client = server.connect();
        for key in [kept, removed, tagged] {
            assert!(matches!(client.call(&["GET", key]), Value::Bulk(_)), "{key}");
        }
        // Stored behind the answer: seen by the tier's own count.
        until(Duration::from_secs(10), "three entries on disk", || {
            (server.metrics().sum("bellwether_disk_total", &["event=\"stored\""]) >= 3.0).then_some(())
        });
        assert_eq!(client.call(&["DEL", removed]), Value::Int(1));
        assert_eq!(client.call(&["BW.TAG.REMOVE", "kind:tagged"]), Value::Simple("OK".into()));
    }
    origin.mode(Mode::Status(500));
    let server = Bellwether::start(Some(&on_disk(&origin, home.path())));
    let mut client = server.connect();
    let answer = client.call(&["GET", kept]);
    assert!(matches!(answer, Value::Bulk(_)), "stale, from the disk: {answer:?}");
    for key in [removed, tagged] {
        let answer = client.call(&["GET", key]);
        assert!(answer.error().is_some_and(|error| error.starts_with("BWORIGIN")), "{key}: {answer:?}");
    }
}

#[test]
fn a_second_process_on_the_same_directory_is_refused_with_the_way_out() {
    let home = tempfile::tempdir().expect("a directory");
    let origin = Origin::start();
    let _first = Bellwether::start(Some(&on_disk(&origin, home.path())));
    let mut second = Bellwether::command(&["serve", "--config"]);
    let output = second.arg(Bellwether::write(home.path(), &on_disk(&origin, home.path()))).output();
    let output = output.expect("it starts and ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("[disk]") && said.contains("process"), "{said}");
}

/// A plain space on disk, beside what `more` says.
fn plain(home: &Path, more: &str) -> String {
    config(
        "",
        &format!(
            "[disk]\npath = \"{}\"\nlimit = \"64 MiB\"\n{more}\n[[space]]\nmatch = \"session:{{id}}\"\nttl = \"30m\"\n",
            home.join("tier").display(),
        ),
    )
}

fn stored(server: &Bellwether, entries: f64) {
    until(Duration::from_secs(10), "entries on disk", || {
        (server.metrics().sum("bellwether_disk_total", &["event=\"stored\""]) >= entries).then_some(())
    });
}

#[test]
fn a_plain_value_is_there_after_a_kill_as_long_as_its_own_ttl_lasts() {
    let home = tempfile::tempdir().expect("a directory");
    {
        let server = Bellwether::start(Some(&plain(home.path(), "")));
        let mut client = server.connect();
        for (key, seconds) in [("session:long", "600"), ("session:gone", "600"), ("session:short", "1")] {
            assert_eq!(client.call(&["SET", key, key, "EX", seconds]), Value::ok());
        }
        stored(&server, 3.0);
        assert_eq!(client.call(&["DEL", "session:gone"]), Value::Int(1));
        std::thread::sleep(Duration::from_secs(1));
    }
    let server = Bellwether::start(Some(&plain(home.path(), "")));
    let mut client = server.connect();
    for _ in 0..2 {
        assert_eq!(client.call(&["GET", "session:long"]), Value::bulk("session:long"));
        assert_eq!(client.call(&["GET", "session:gone"]), Value::Nil, "it was removed");
        assert_eq!(client.call(&["GET", "session:short"]), Value::Nil, "its time is over");
    }
    let suspect = server.metrics().sum("bellwether_requests_total", &["why=\"suspect\""]);
    assert_eq!(suspect, 2.0, "nobody can say that it is fresh");
    // What is written in this life is all there is.
    assert_eq!(client.call(&["SET", "session:long", "new", "PX", "300"]), Value::ok());
    assert_eq!(client.call(&["GET", "session:long"]), Value::bulk("new"));
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(client.call(&["GET", "session:long"]), Value::Nil, "no older value comes back");
}

#[test]
fn a_check_makes_no_directory_and_one_that_is_deleted_is_told_of() {
    let home = tempfile::tempdir().expect("a directory");
    let tier = home.path().join("tier");
    let text = plain(home.path(), "");
    let file = Bellwether::write(home.path(), &text);
    let check = || {
        let output = Bellwether::command(&["check", "--connect"]).arg(&file).output().expect("it starts and ends");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.code(), said)
    };
    let (code, said) = check();
    assert!(code == Some(0) && said.contains("all reached"), "{said}");
    assert!(!tier.exists(), "a check leaves nothing behind");
    std::fs::write(&tier, b"x").expect("written");
    let (code, said) = check();
    assert!(code == Some(2) && said.contains("is not a directory") && said.contains("[disk]"), "{said}");
    std::fs::remove_file(&tier).expect("deleted");

    let server = Bellwether::start(Some(&text));
    let (code, said) = check();
    assert_eq!(code, Some(0), "a running server is not in the way: {said}");
    let ready = || Http::get(server.admin(), "/readyz").text().trim().to_owned();
    assert_eq!(ready(), "ready");
    std::fs::remove_dir_all(&tier).expect("deleted");
    until(Duration::from_secs(10), "the disk tier to be off", || {
        (ready() == "ready, degraded: disk tier: off" && server.metrics().sum("bellwether_disk_up", &[]) == 0.0)
            .then_some(())
    });
    // What it says comes by a pipe of its own.
    until(Duration::from_secs(10), "the log to say so", || {
        server.process.stderr().contains("deleted or replaced").then_some(())
    });
}

#[test]
fn debts_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().expect("a directory");
    let redis = bellwether_servers::Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let _server = Bellwether::start(Some(&plain(home.path(), &format!("[shared]\nurl = \"{}\"", redis.url()))));
    let tier = home.path().join("tier");
    for name in ["owed.sqlite", "entries.sqlite", "lock"] {
        let mode = std::fs::metadata(tier.join(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

fn is_value(value: &Value) -> bool {
    matches!(value, Value::Bulk(_))
}

/// As large as memory has room for some.
fn large(key: &str) -> String {
    format!("{key}{}", "x".repeat(50_000))
}

/// Sets more than memory can hold; what it holds no more, by a look that asks memory alone.
fn pushed_out(server: &Bellwether, client: &mut Resp) -> Vec<String> {
    let keys: Vec<String> = (0..200).map(|n| format!("session:{n}")).collect();
    for key in &keys {
        assert_eq!(client.call(&["SET", key, &large(key), "EX", "600"]), Value::ok());
    }
    stored(server, 200.0);
    keys.into_iter().filter(|key| client.call(&["OBJECT", "REFCOUNT", key]) == Value::Nil).collect()
}

#[test]
fn an_origins_value_ends_on_disk_when_a_client_said() {
    let home = tempfile::tempdir().expect("a directory");
    let origin = Origin::start();
    origin.set("/1", "old");
    origin.set("/2", "old");
    let server = Bellwether::start(Some(&on_disk(&origin, home.path())));
    let mut client = server.connect();
    for key in ["page:1", "page:2"] {
        assert!(is_value(&client.call(&["GET", key])));
    }
    stored(&server, 2.0);
    assert_eq!(client.call(&["PEXPIRE", "page:1", "300"]), Value::Int(1));
    origin.set("/1", "new");
    origin.set("/2", "new");
    std::thread::sleep(Duration::from_millis(1_500));
    let read = |client: &mut Resp, key| format!("{:?}", client.call(&["GET", key]));
    assert_eq!(read(&mut client, "page:1"), format!("{:?}", Value::bulk("new")));
    assert_eq!(read(&mut client, "page:2"), format!("{:?}", Value::bulk("old")), "control: nobody ended it");
}

#[test]
fn another_end_of_a_plain_value_holds_on_disk_as_well() {
    let home = tempfile::tempdir().expect("a directory");
    let text = plain(home.path(), "");
    {
        let server = Bellwether::start(Some(&text));
        let mut client = server.connect();
        let keys =
            ["expire", "getex", "expireat", "kill", "later", "persist", "control"].map(|key| format!("session:{key}"));
        for key in &keys {
            assert_eq!(client.call(&["SET", key, "v", "EX", "2"]), Value::ok());
        }
        for key in &keys[..4] {
            assert_eq!(client.call(&["SET", key, "v"]), Value::ok());
        }
        stored(&server, 7.0);
        let soon = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() + 900;
        assert_eq!(client.call(&["EXPIRE", &keys[0], "1"]), Value::Int(1));
        assert_eq!(client.call(&["GETEX", &keys[1], "PX", "900"]), Value::bulk("v"));
        assert_eq!(client.call(&["PEXPIREAT", &keys[2], &soon.to_string()]), Value::Int(1));
        assert_eq!(client.call(&["EXPIRE", &keys[4], "600"]), Value::Int(1));
        assert_eq!(client.call(&["PERSIST", &keys[5]]), Value::Int(1));
        std::thread::sleep(Duration::from_millis(2_500));
        for key in &keys[..3] {
            assert_eq!(client.call(&["GET", key]), Value::Nil, "{key}: its end is past");
        }
        assert_eq!(client.call(&["GET", &keys[6]]), Value::Nil, "control");
        for key in &keys[3..6] {
            assert_eq!(client.call(&["GET", key]), Value::bulk("v"), "{key}");
        }
        // Acknowledged, it survives a kill.
        assert_eq!(client.call(&["PEXPIRE", &keys[3], "300"]), Value::Int(1));
    }
    std::thread::sleep(Duration::from_millis(300));
    let server = Bellwether::start(Some(&text));
    let mut client = server.connect();
    for key in ["expire", "getex", "expireat", "kill", "control"] {
        assert_eq!(client.call(&["GET", &format!("session:{key}")]), Value::Nil, "{key}: its end is past");
    }
    for key in ["later", "persist"] {
        assert_eq!(client.call(&["GET", &format!("session:{key}")]), Value::bulk("v"), "{key}: not its first end");
    }
}

#[test]
fn what_memory_has_no_room_for_is_there_for_who_writes_or_takes() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Bellwether::start(Some(&plain(home.path(), "[memory]\nlimit = \"4 MiB\"")));
    let mut client = server.connect();
    let out = pushed_out(&server, &mut client);
    assert!(out.len() >= 20, "memory holds 4 MiB of 10: {}", out.len());
    let bulk = |key: &String| Value::bulk(&large(key));
    let mut next = out.iter();
    let mut key = || next.next().expect("a key that memory has not");

    let taken = key();
    assert_eq!(client.call(&["GETDEL", taken]), bulk(taken));
    assert_eq!((client.call(&["GET", taken]), client.call(&["GETDEL", taken])), (Value::Nil, Value::Nil));
    let kept = key();
    assert_eq!(client.call(&["SET", kept, "new", "NX"]), Value::Nil);
    assert_eq!(client.call(&["GET", kept]), bulk(kept));
    let kept = key();
    assert_eq!((client.call(&["SETNX", kept, "new"]), client.call(&["GET", kept])), (Value::Int(0), bulk(kept)));
    let over = key();
    assert_eq!(client.call(&["SET", over, "new", "XX"]), Value::ok());
    assert_eq!(client.call(&["GET", over]), Value::bulk("new"));
    for words in [&["GETSET"][..], &["SET"]] {
        let over = key();
        let all: Vec<&str> =
            words.iter().copied().chain([over.as_str(), "new"]).chain((words[0] == "SET").then_some("GET")).collect();
        assert_eq!(client.call(&all), bulk(over), "{words:?}");
        assert_eq!(client.call(&["GET", over]), Value::bulk("new"));
    }
    let same = key();
    assert_eq!(client.call(&["SET", same, "new", "KEEPTTL"]), Value::ok());
    assert!(matches!(client.call(&["TTL", same]), Value::Int(500..=600)));
    // In a transaction as well.
    let taken = key();
    client.call(&["MULTI"]);
    client.call(&["GETDEL", taken]);
    assert_eq!(client.call(&["EXEC"]), Value::Array(vec![bulk(taken)]));

    // Controls: what is nowhere is not there.
    let no = "session:nothing";
    assert_eq!(client.call(&["GETDEL", no]), Value::Nil);
    assert_eq!(client.call(&["SET", no, "v", "XX"]), Value::Nil);
    assert_eq!(client.call(&["SET", no, "v", "NX"]), Value::ok());
}

#[test]
fn what_memory_has_no_room_for_is_there_for_who_looks_or_ends_it() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Bellwether::start(Some(&plain(home.path(), "[memory]\nlimit = \"4 MiB\"")));
    let mut client = server.connect();
    let out = pushed_out(&server, &mut client);
    let bulk = |key: &String| Value::bulk(&large(key));
    let mut next = out.iter();
    let mut key = || next.next().expect("a key that memory has not");
    for (told, value) in [
        ("TTL", None),
        ("STRLEN", None),
        ("TYPE", Some(Value::Simple("string".into()))),
        ("TOUCH", Some(Value::Int(1))),
    ] {
        let there = key();
        let answer = client.call(&[told, there]);
        assert!(value.map_or(matches!(answer, Value::Int(1..)), |value| value == answer), "{told}: {answer:?}");
    }
    let (ends, gets, whole, gone) = (key(), key(), key(), key());
    assert_eq!(client.call(&["EXPIRE", gone, "0"]), Value::Int(1));
    assert_eq!(client.call(&["GET", gone]), Value::Nil);
    assert_eq!(client.call(&["PERSIST", whole]), Value::Int(1));
    assert!(matches!(client.call(&["TTL", whole]), Value::Int(601..)));
    assert_eq!(client.call(&["PEXPIRE", ends, "400"]), Value::Int(1));
    assert_eq!(client.call(&["GETEX", gets, "PX", "400"]), Value::bulk(&large(gets)));
    assert!(is_value(&client.call(&["GET", ends])) && is_value(&client.call(&["GET", gets])));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!((client.call(&["GET", ends]), client.call(&["GET", gets])), (Value::Nil, Value::Nil));
    assert_eq!(client.call(&["EXPIRE", "session:nothing", "5"]), Value::Int(0), "control");
    // Removed and counted, once.
    let (one, two, batch) = (key(), key(), key());
    assert_eq!(client.call(&["DEL", one, two, gone, "session:nothing"]), Value::Int(2));
    assert_eq!(client.call(&["DEL", one, two]), Value::Int(0));
    assert_eq!(client.call(&["GET", one]), Value::Nil);
    client.call(&["MULTI"]);
    client.call(&["DEL", batch]);
    assert_eq!(client.call(&["EXEC"]), Value::Array(vec![Value::Int(1)]));
    // Nobody needs to fill a key that has a value; once it is gone somebody does.
    let filled = key();
    let granted = |client: &mut Resp| client.call(&["BW.GET", filled, "WAIT", "0"]).items().to_vec();
    let answer = granted(&mut client);
    assert_eq!((&answer[0], &answer[3]), (&bulk(filled), &Value::Nil));
    assert_eq!(client.call(&["DEL", filled]), Value::Int(1));
    let answer = granted(&mut client);
    assert!(answer[0] == Value::Nil && is_value(&answer[3]), "control: {answer:?}");
}

/// Its row may still lie there.
#[test]
fn what_has_ended_on_disk_is_not_counted_when_it_is_removed() {
    let home = tempfile::tempdir().expect("a directory");
    let server = Bellwether::start(Some(&plain(home.path(), "[memory]\nlimit = \"4 MiB\"")));
    let mut client = server.connect();
    let out = pushed_out(&server, &mut client);
    assert_eq!(client.call(&["PEXPIRE", &out[0], "1"]), Value::Int(1));
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(client.call(&["DEL", &out[0]]), Value::Int(0), "its end is past");
    assert_eq!(client.call(&["DEL", &out[1]]), Value::Int(1), "control");
}

#[test]
fn what_an_earlier_life_left_is_there_for_whoever_decides_by_it() {
    let home = tempfile::tempdir().expect("a directory");
    let text = plain(home.path(), "");
    let keys: Vec<String> =
        ["nx", "getdel", "getset", "expire", "later", "xx", "del", "fill"].map(|key| format!("session:{key}")).into();
    {
        let server = Bellwether::start(Some(&text));
        let mut client = server.connect();
        for key in &keys {
            assert_eq!(client.call(&["SET", key, key, "EX", "600"]), Value::ok());
        }
        stored(&server, 8.0);
    }
    let server = Bellwether::start(Some(&text));
    let mut client = server.connect();
    assert_eq!(client.call(&["SET", &keys[0], "new", "NX"]), Value::Nil);
    assert_eq!(client.call(&["GET", &keys[0]]), Value::bulk(&keys[0]));
    let suspect = server.metrics().sum("bellwether_requests_total", &["why=\"suspect\""]);
    assert_eq!(suspect, 1.0, "nobody can say that it is fresh");
    assert_eq!(client.call(&["GETDEL", &keys[1]]), Value::bulk(&keys[1]));
    assert_eq!((client.call(&["GET", &keys[1]]), client.call(&["GETDEL", &keys[1]])), (Value::Nil, Value::Nil));
    assert_eq!(client.call(&["GETSET", &keys[2], "new"]), Value::bulk(&keys[2]));
    assert_eq!(client.call(&["GET", &keys[2]]), Value::bulk("new"));
    assert_eq!(client.call(&["EXPIRE", &keys[4], "5000", "LT"]), Value::Int(0), "it ends before");
    assert_eq!(client.call(&["PEXPIRE", &keys[3], "300"]), Value::Int(1));
    assert_eq!(client.call(&["GET", &keys[3]]), Value::bulk(&keys[3]));
    assert_eq!(client.call(&["EXPIRE", &keys[4], "1000"]), Value::Int(1));
    assert!(matches!(client.call(&["TTL", &keys[4]]), Value::Int(900..=1000)));
    assert_eq!(client.call(&["SET", &keys[5], "new", "XX"]), Value::ok());
    assert_eq!((client.call(&["DEL", &keys[6]]), client.call(&["DEL", &keys[6]])), (Value::Int(1), Value::Int(0)));
    let answer = client.call(&["BW.GET", &keys[7], "WAIT", "0"]).items().to_vec();
    assert_eq!((&answer[0], &answer[1], &answer[3]), (&Value::bulk(&keys[7]), &Value::bulk("suspect"), &Value::Nil));
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(client.call(&["GET", &keys[3]]), Value::Nil, "its end is past");
}

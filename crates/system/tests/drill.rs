//! Does `bellwether drill races` pass our server, fail faulty ones, and say what is wrong with the others?

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use bellwether_system::{Bellwether, Process, RedisServer, Value, config, until};

/// A whole quick drill of an unoptimized build takes about 12 s on a quiet machine; it ends itself within 60 s.
const LIMIT: Duration = Duration::from_secs(90);

struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn drill(arguments: &[&str]) -> Ended {
    ended(command(arguments))
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Bellwether::command(&["drill"]);
    command.args(arguments).env_remove("BELLWETHER_DRILL_PASSWORD");
    command
}

fn ended(command: Command) -> Ended {
    let mut process = Process::spawn(command);
    let status = process.wait(LIMIT);
    Ended { code: status.code(), out: process.stdout(), err: process.stderr() }
}

/// The rows of a report that are not right.
fn failed(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let rows = report["rows"].as_array().expect("rows");
    let failed = rows.iter().filter(|row| row["ok"] == false).filter_map(|row| row["row"].as_str());
    failed.map(str::to_owned).collect()
}

fn rows() -> BTreeSet<String> {
    let listed = drill(&["list"]);
    assert_eq!(listed.code, Some(0));
    let (_, rows) = listed.out.split_once("for --only:").expect("the rows are listed");
    rows.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn our_own_server_passes_every_row() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("report.json");
    let ended = drill(&["races", "--quick", "--json", &file.display().to_string()]);
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.err);
    assert_eq!(failed(&file), BTreeSet::new());
    for row in rows() {
        assert!(ended.out.contains(&format!("| {row} ")), "{row} is missing in {}", ended.out);
    }
}

#[test]
fn every_row_is_failed_by_a_faulty_server() {
    let home = tempfile::tempdir().unwrap();
    let run = |flaw: &str, more: &[&str]| {
        let file = home.path().join(flaw);
        let path = file.display().to_string();
        let ended = drill(&[&["races", "--quick", "--control", flaw, "--json", &path], more].concat());
        assert_eq!(ended.code, Some(1), "{flaw}: {}\n{}", ended.out, ended.err);
        assert!(ended.err.contains("rows FAILED: "), "{}", ended.err);
        failed(&file)
    };
    let run = &run;
    let [naive, singleflight, pool] = thread::scope(|scope| {
        [("naive", &[][..]), ("singleflight", &[]), ("pool", &["--only", "identity"])]
            .map(|(flaw, more)| scope.spawn(move || run(flaw, more)))
            .map(|run| run.join().expect("the control was raced"))
    });
    let fails = |control: &BTreeSet<String>, wanted: &[&str]| {
        let passed: Vec<_> = wanted.iter().filter(|row| !control.contains(**row)).collect();
        assert!(passed.is_empty(), "passed: {passed:?}");
    };
    fails(&naive, &["cold", "mget", "killed", "alone", "error", "broken", "grace", "down", "kept", "storm"]);
    fails(&singleflight, &["killed", "impatient", "deadline", "spaces", "kept", "read", "ordered", "absent"]);
    fails(&pool, &["identity"]);
    let all: BTreeSet<String> = naive.into_iter().chain(singleflight).chain(pool).collect();
    assert_eq!(all, rows(), "a row that nobody fails proves nothing");
}

#[test]
fn an_endpoint_that_does_not_read_through_is_told_so_and_left_as_it_was() {
    let redis = RedisServer::start(&[]);
    let url = format!("redis://{}", redis.address());
    let ended = drill(&["races", "--against", &url, "--origin", "127.0.0.1:0"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert!(ended.err.contains("does not read through") && ended.err.contains("answered nil"), "{}", ended.err);
    assert!(ended.err.contains("--print-config"), "what to do is said: {}", ended.err);
    assert_eq!(redis.connect().call(&["DBSIZE"]), Value::Int(0));
}

#[test]
fn a_password_comes_from_the_url_or_the_environment_and_is_never_shown() {
    let redis = RedisServer::start(&["--requirepass", "hunter2"]);
    let address = redis.address();
    let against = |url: &str, password: Option<&str>| {
        let mut command = command(&["races", "--origin", "127.0.0.1:0", "--against", url]);
        if let Some(password) = password {
            command.env("BELLWETHER_DRILL_PASSWORD", password);
        }
        let ended = ended(command);
        assert_eq!(ended.code, Some(1));
        assert!(!ended.err.contains("hunter"), "{}", ended.err);
        ended.err
    };
    assert!(against(&format!("redis://{address}"), None).contains("NOAUTH"));
    assert!(against(&format!("redis://:hunter3@{address}"), None).contains("AUTH was refused: WRONGPASS"));
    assert!(against(&format!("redis://:hunter2@{address}"), None).contains("does not read through"));
    assert!(against(&format!("redis://{address}"), Some("hunter2")).contains("answered nil"));
}

#[test]
fn an_endpoint_with_the_printed_configuration_is_raced_and_no_key_is_left() {
    // A port that was free a moment ago nearly always still is.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    let origin = free.to_string();
    let printed = drill(&["races", "--print-config", "--origin", &origin]);
    let server = Bellwether::start(Some(&config("", &printed.out)));
    assert!(!server.process.stderr().contains("WARN"), "{}", server.process.stderr());
    let url = format!("redis://{}", server.redis());
    let ended =
        drill(&["races", "--against", &url, "--origin", &origin, "--quick", "--only", "cold", "--only", "kept"]);
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.err);
    assert!(ended.out.contains("2 of 2 rows ok"), "{}", ended.out);
    assert_eq!(server.connect().call(&["DBSIZE"]), Value::Int(0));
    let elsewhere = drill(&["races", "--against", &url, "--origin", "127.0.0.1:0"]);
    assert_eq!(elsewhere.code, Some(1));
    assert!(elsewhere.err.contains("BWORIGIN") && elsewhere.err.contains("--origin"), "{}", elsewhere.err);
    let unprepared = Bellwether::start(None);
    let unprepared =
        drill(&["races", "--origin", "127.0.0.1:0", "--against", &format!("redis://{}", unprepared.redis())]);
    assert!(unprepared.err.contains("BWNOSPACE") && unprepared.err.contains("--print-config"), "{}", unprepared.err);
}

#[test]
fn wrong_input_is_told_before_anything_is_started() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address.to_string())).unwrap();
    for (arguments, code, words) in [
        (&["rases"][..], 2, "'races'"),
        (&["races", "--only", "strom"], 2, "did you mean `storm`?"),
        (&["races", "--against", "127.0.0.1:6380"], 2, "expected redis://"),
        (&["races", "--against", "rediss://127.0.0.1"], 2, "TLS is not in this version"),
        (&["races", "--control", "naiv"], 2, "'naive'"),
        (&["races", "--json", "/nosuch/report.json"], 2, "--json /nosuch/report.json: the report can't be written"),
        (&["races", "--json", "/"], 2, "--json /: the report can't be written"),
        (&["races", "--against", "redis://127.0.0.1:1", "--origin", "127.0.0.1:0"], 1, "Connection refused"),
        (&["races", "--origin", &taken.1], 1, "can't listen at"),
        (&["races", "--origin", "somewhere"], 2, "--origin"),
    ] {
        let ended = drill(arguments);
        assert_eq!((ended.code, ended.out.as_str()), (Some(code), ""), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(words), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn an_interrupted_drill_ends_its_server() {
    let mut drill = Process::spawn(command(&["races", "--only", "storm", "--only", "identity"]));
    until(LIMIT, "the first row", || drill.stderr().contains("[ 1/2]").then_some(()));
    let threads = std::fs::read_dir(format!("/proc/{}/task", drill.id())).unwrap().flatten();
    let children: String =
        threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok()).collect();
    let server = children.split_whitespace().next().expect("a server was started").to_owned();
    assert!(Path::new("/proc").join(&server).exists());
    drill.signal("TERM");
    assert_eq!(drill.wait(LIMIT).code(), Some(1));
    assert!(drill.stderr().contains("interrupted"), "{}", drill.stderr());
    assert!(!Path::new("/proc").join(&server).exists(), "process {server} was left behind");
}

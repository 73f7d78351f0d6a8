//! Does `bellwether bench` measure what it says, tell what it can't, and leave nothing behind?
//!
//! Figures are never looked at: this is an unoptimized build on a busy machine.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
    command.arg("bench").args(arguments).stdin(Stdio::null());
    command
}

fn said(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn ends(mut command: Command) -> (Option<i32>, String, String) {
    said(command.output().expect("the binary runs"))
}

/// The shortest run that measures ours alone.
const ALONE: [&str; 6] = ["--only", "bellwether", "--rounds", "1", "--seconds", "0.02"];

#[test]
fn ours_and_a_real_redis_stand_side_by_side_in_the_table_and_in_the_json() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let file = home.path().join("figures.json");
    let json = file.to_str().expect("UTF-8");
    let mut command = bench(&["--only", "redis", "--rounds", "2", "--seconds", "0.05", "--json", json]);
    // A server of the user's own is not this one.
    command.env("BELLWETHER__LISTEN__REDIS", "127.0.0.1:1");
    let (code, out, err) = ends(command);
    assert_eq!(code, Some(0), "{out}\n{err}");
    for words in ["beside", "CPU us per GET", "aim <= 0.90", "aim <= 0.70", "from start to first answer"] {
        assert!(out.contains(words), "no {words:?} in:\n{out}");
    }
    assert!(err.contains("debug build") == cfg!(debug_assertions), "{err}");
    assert!(err.contains("round 2 of 2: redis, RESP at depth 16"), "progress, a line each: {err}");

    let text = std::fs::read_to_string(&file).expect("it was written");
    let figures: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let servers = figures["servers"].as_array().expect("an array");
    let names: Vec<_> = servers.iter().filter_map(|server| server["name"].as_str()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    for server in servers {
        let lanes: Vec<_> = server["lanes"].as_array().expect("an array").iter().collect();
        let asked: Vec<_> = lanes.iter().map(|lane| (lane["protocol"].as_str(), lane["depth"].as_u64())).collect();
        assert_eq!(asked, [(Some("RESP"), Some(1)), (Some("RESP"), Some(16))], "HTTP has nobody beside it");
        for figure in ["cpu_us", "thousand_per_second", "p50_ms", "p99_ms"] {
            assert!(lanes.iter().all(|lane| lane[figure]["median"].as_f64() > Some(0.0)), "{figure}: {server}");
        }
        assert!(server["start_ms"]["median"].as_f64() > Some(0.0));
    }
    let ratios = figures["ratios"].as_array().expect("an array");
    assert_eq!(ratios.len(), 2);
    assert!(ratios.iter().all(|ratio| ratio["beside"] == "redis" && ratio["cpu_us"]["aim"]["met"].is_boolean()));
}

#[test]
fn wrong_words_are_bad_input_and_a_near_name_is_suggested() {
    for (arguments, words) in [
        (&["--only", "reids"][..], "'redis'"),
        (&["--rounds", "0"], "1..=1000"),
        (&["--seconds", "0"], "such as 0.5"),
        (&["--seconds", "many"], "such as 0.5"),
    ] {
        let (code, out, err) = ends(bench(arguments));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}: {err}");
        assert!(err.contains(words), "{arguments:?}: {err}");
    }
}

#[test]
fn who_is_asked_for_but_not_installed_is_named_with_what_brings_it() {
    let mut command = bench(&["--only", "redis"]);
    command.env("PATH", "/nowhere");
    let (code, out, err) = ends(command);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("apt-get install redis-server"), "{err}");
}

#[test]
fn a_report_that_can_not_be_written_is_told_before_or_costs_no_figures() {
    let (code, out, err) = ends(bench(&[&ALONE[..], &["--json", "/nowhere/figures.json"]].concat()));
    assert_eq!((code, out.as_str()), (Some(2), ""), "told before anything is measured: {err}");
    assert!(err.contains("--json /nowhere/figures.json: the report can't be written"), "{err}");
    let (code, out, err) = ends(bench(&[&ALONE[..], &["--json", "/dev/full"]].concat()));
    assert_eq!(code, Some(1), "{err}");
    assert!(out.contains("CPU us per GET") && out.contains("HTTP"), "{out}");
    assert!(err.contains("--json /dev/full") && err.contains("No space left"), "{err}");
}

#[test]
fn too_few_open_files_are_told_with_what_to_do() {
    let mut command = Command::new("sh");
    let binary = env!("CARGO_BIN_EXE_bellwether");
    command.args(["-c", &format!("ulimit -n 64 && exec {binary} bench {}", ALONE.join(" "))]);
    let (code, out, err) = ends(command);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("only 64 files") && err.contains("ulimit -n 256"), "{err}");
    // The control: a low soft limit is raised.
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -S -n 64 && exec {binary} bench {}", ALONE.join(" "))]);
    let (code, _, err) = ends(command);
    assert_eq!(code, Some(0), "{err}");
}

/// The processes that `parent` has started, by id.
fn children(parent: u32) -> Vec<u32> {
    let all =
        std::fs::read_dir("/proc").expect("Linux").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    all.filter(|pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let of = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        of == Some(parent)
    })
    .collect()
}

#[test]
fn an_interrupted_run_leaves_no_server_behind() {
    for signal in ["INT", "TERM"] {
        let mut child = bench(&["--only", "bellwether", "--seconds", "30"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("RESP at depth 1")), "it begins");
        let servers = children(child.id());
        assert_eq!(servers.len(), 1, "control: a server runs");
        let told = Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]).status();
        assert!(told.is_ok_and(|status| status.success()));
        let begun = Instant::now();
        let status = loop {
            match child.try_wait().expect("a child can be waited for") {
                Some(status) => break status,
                None => assert!(begun.elapsed() < LIMIT, "it goes on"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(status.code(), Some(1));
        let words: Vec<String> = lines.collect();
        assert!(words.last().is_some_and(|line| line.contains("stopped")), "{words:?}");
        assert!(servers.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()), "{servers:?} still run");
    }
}

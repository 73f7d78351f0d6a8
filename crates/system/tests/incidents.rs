//! Do the drills of incidents fail naive fleets, say what is wrong with their input, and leave nothing behind?

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use bellwether_system::{Bellwether, Process, until};

/// A quick drill takes 5 to 30 s on a quiet machine; it ends itself within a minute for each engine.
const LIMIT: Duration = Duration::from_secs(120);

fn command(arguments: &[&str]) -> Command {
    let mut command = Bellwether::command(&["drill"]);
    command.args(arguments).env_remove("BELLWETHER_DRILL_PASSWORD");
    command
}

/// Exit code, stdout, stderr.
fn drill(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut process = Process::spawn(command(arguments));
    let status = process.wait(LIMIT);
    (status.code(), process.stdout(), process.stderr())
}

/// The rows of a report that are not right.
fn failed(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let rows = report["rows"].as_array().expect("rows");
    let failed = rows.iter().filter(|row| row["ok"] == false).filter_map(|row| row["row"].as_str());
    failed.map(str::to_owned).collect()
}

/// Runs a naive fleet through an incident; it must fail these rows at least.
fn loses(incident: &str, control: &str, wanted: &[&str]) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let file = home.path().join("report.json");
    let path = file.display().to_string();
    let (code, out, err) = drill(&[incident, "--quick", "--control", control, "--json", &path]);
    assert_eq!(code, Some(1), "{incident} {control}: {out}\n{err}");
    let failed = failed(&file);
    let passed: Vec<_> = wanted.iter().filter(|row| !failed.contains(**row)).collect();
    assert!(passed.is_empty(), "{incident} {control} passed {passed:?}:\n{out}");
}

#[test]
fn naive_fleets_lose_what_ours_must_not() {
    let runs: [(&str, &str, &[&str]); 4] = [
        ("fleet-cold", "coalescing", &["loads"]),
        ("leader-killed", "coalescing", &["copy", "loads", "stopped"]),
        ("delete-during-load", "lock", &["remover", "third", "later"]),
        ("backplane-lost", "local", &["listener", "cut-off", "healed", "again", "apart", "stopped"]),
    ];
    thread::scope(|scope| {
        for (incident, control, wanted) in runs {
            scope.spawn(move || loses(incident, control, wanted));
        }
    });
}

#[test]
fn naive_fleets_lose_what_befalls_an_origin() {
    let runs: [(&str, &str, &[&str]); 3] = [
        ("penetration", "coalescing", &["loads", "filter"]),
        ("origin-dead", "coalescing", &["errors", "loads"]),
        ("rolling-restart", "alone", &["loads", "together", "ahead", "kept"]),
    ];
    thread::scope(|scope| {
        for (incident, control, wanted) in runs {
            scope.spawn(move || loses(incident, control, wanted));
        }
    });
}

#[test]
fn naive_fleets_lose_where_too_much_is_asked() {
    let runs: [(&str, &str, &[&str]); 2] = [
        ("origin-slow", "coalescing", &["critical", "goodput"]),
        ("viral", "coalescing", &["loads", "node", "hot", "hot-all"]),
    ];
    thread::scope(|scope| {
        for (incident, control, wanted) in runs {
            scope.spawn(move || loses(incident, control, wanted));
        }
    });
}

#[test]
fn a_naive_fleet_loads_everything_again_where_a_node_of_memcached_is_added() {
    loses("node-added", "modulo", &["moved"]);
}

#[test]
fn a_naive_fleet_serves_older_rows_where_a_node_of_memcached_is_left_out_and_taken_in_again() {
    loses("node-removed", "modulo", &["moved", "returned"]);
}

#[test]
fn what_does_not_fit_an_incident_is_told_before_anything_is_started() {
    let guarded =
        bellwether_servers::Redis::start(&["--requirepass", "right"]).unwrap_or_else(|error| panic!("{error}"));
    let (open, wrong) = (guarded.url(), guarded.url().replace("redis://", "redis://:wrong@"));
    for (arguments, code, words) in [
        (&["fleet-hot"][..], 2, "fleet-cold"),
        (&["fleet-cold", "--control", "modulo"], 2, "expected coalescing"),
        (&["fleet-cold", "--control", "modula"], 2, "modulo"),
        (&["failover", "--against", "redis://127.0.0.1:1"], 2, "leave --against away"),
        (&["fleet-cold", "--against", "127.0.0.1:6379"], 2, "expected redis://"),
        (&["fleet-cold", "--against", "redis://127.0.0.1:1"], 1, "Connection refused"),
        (&["fleet-cold", "--against", &open], 1, "BELLWETHER_DRILL_PASSWORD"),
        (&["fleet-cold", "--against", &wrong], 1, "BELLWETHER_DRILL_PASSWORD"),
        (&["redis-down", "--json", "/nosuch/report.json"], 2, "the report can't be written"),
    ] {
        let (ended, out, err) = drill(arguments);
        assert_eq!((ended, out.as_str()), (Some(code), ""), "{arguments:?}: {err}");
        assert!(err.contains(words), "{arguments:?}: {err}");
    }
}

/// Processes that it has started, and that these have.
fn family(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> = children
        .flat_map(|text| text.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<_>>())
        .collect();
    let grandchildren: Vec<u32> = children.iter().flat_map(|&child| family(child)).collect();
    [children, grandchildren].concat()
}

#[test]
fn a_drill_that_is_interrupted_or_killed_leaves_no_process_behind() {
    for signal in ["INT", "KILL"] {
        let mut drill = Process::spawn(command(&["redis-frozen", "--control", "coalescing"]));
        until(LIMIT, "the incident to begin", || drill.stderr().contains("the incident begins").then_some(()));
        let family = family(drill.id());
        assert!(family.len() >= 4, "a Redis and three servers: {family:?}");
        let homes: Vec<_> =
            family.iter().filter_map(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).ok()).collect();
        drill.signal(signal);
        let code = drill.wait(LIMIT).code();
        if signal == "INT" {
            assert_eq!(code, Some(1));
            assert!(drill.stderr().contains("interrupted"), "{}", drill.stderr());
        }
        let there = |pid: &u32| Path::new("/proc").join(pid.to_string()).exists();
        until(LIMIT, "everything that it started to end", || (!family.iter().any(there)).then_some(()));
        for home in homes.iter().filter(|home| home.starts_with(std::env::temp_dir())) {
            // Nobody is left who could remove it after a kill; after an interrupt it is gone.
            assert_eq!((signal, home.exists()), (signal, signal == "KILL"), "{}", home.display());
            let _ = std::fs::remove_dir_all(home);
        }
    }
}

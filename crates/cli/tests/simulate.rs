//! Does `simulate` say what it was asked, the same each time, and what is wrong if something is?

use std::path::Path;
use std::process::{Command, Stdio};

use bellwether_sim::scenarios::Scenario;

/// Exit code, stdout and stderr of `bellwether simulate`.
fn simulate(arguments: &[&str], home: &Path) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
    let output = command.arg("simulate").args(arguments).current_dir(home).stdin(Stdio::null()).output();
    let output = output.expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Small enough for an unoptimized build.
const SMALL: [&str; 6] = ["S1", "S2", "--rate", "2000/s", "--processes", "5"];

fn read(home: &Path, name: &str) -> String {
    std::fs::read_to_string(home.join(name)).expect(name)
}

#[test]
fn the_same_seed_makes_the_same_bytes_and_another_seed_others() {
    let home = home();
    let run = |name: &str, seed: &str| {
        let names = ["json", "csv", "html"].map(|kind| format!("{name}.{kind}"));
        let files = ["--json", &names[0], "--csv", &names[1], "--html", &names[2], "--seed", seed];
        let (code, out, err) = simulate(&[&SMALL[..], &files].concat(), home.path());
        assert_eq!((code, err.as_str()), (Some(0), ""));
        (out, names.map(|name| read(home.path(), &name)))
    };
    let once = run("a", "7");
    assert_eq!(once, run("b", "7"));
    let other = run("c", "8");
    once.1.iter().zip(&other.1).for_each(|(one, other)| assert_ne!(one, other));
    let [json, csv, html] = &once.1;
    let parsed: serde_json::Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(
        parsed["cases"].as_array().map(Vec::len),
        Some(4),
        "S1 with a copy, without, and under removals, S2 at the rate asked for"
    );
    assert_eq!(csv.lines().count(), 1 + 3 * 8 + 4, "a heading, and a line for each case and set");
    let columns: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert!(columns.iter().all(|n| *n == columns[0]), "{columns:?}");
    assert!(html.starts_with("<!doctype html>") && html.contains("<svg") && !html.contains("<script"));
    let command = html.split("<pre><code>").nth(1).and_then(|rest| rest.split("</code>").next()).expect("a command");
    let command = command.replace("<span>", "").replace("</span>", "");
    assert_eq!(command, "bellwether simulate S1 S2 --seed 7 --processes 5 --rate 2000/s --html report.html");
    assert!(!html.contains("http://") && !html.contains("https://"), "nothing is fetched");
}

#[test]
fn a_table_shows_each_set_against_its_bound() {
    let (code, out, _) = simulate(&["s1", "--policy", "lead,lease,naive", "--rate", "20000"], &std::env::temp_dir());
    assert_eq!(code, Some(0));
    let first = out.lines().next().unwrap_or_default();
    assert!(first.starts_with("S1: a flash sale's requests, all within 100 ms"), "{out}");
    assert!(first.ends_with("(here: --rate 20000)"), "{out}");
    assert!(out.contains("bound 1: 1 load; 0 blocked if any copy exists"), "{out}");
    let row = |set: &str| {
        let line = out.lines().find(|line| line.trim_start().starts_with(set)).expect(set);
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("naive")[1..3], ["2,000", "2,000"]);
    assert_eq!(row("lease")[1..3], ["1", "1"]);
    assert_eq!(row("lead")[1..3], ["1", "1"]);
}

#[test]
fn list_names_scenarios_and_policy_sets() {
    let (code, out, _) = simulate(&["list"], &std::env::temp_dir());
    assert_eq!(code, Some(0));
    for word in ["S1", "S2", "S6", "S10", "naive", "per-process", "swr", "xfetch", "xfetch-local", "lease", "lead"] {
        assert!(out.contains(&format!("  {word} ")), "{word}: {out}");
    }
    assert_eq!(simulate(&["--list"], &std::env::temp_dir()).1, out, "as an option, too");
    for scenario in Scenario::ALL {
        assert!(out.contains(scenario.says()), "{scenario:?}: {out}");
    }
    let (code, some, _) = simulate(&["--list", "s7"], &std::env::temp_dir());
    let says = |scenario: Scenario| some.contains(scenario.says());
    assert!(code == Some(0) && says(Scenario::parse("S7").expect("one")) && !says(Scenario::ALL[0]), "{some}");
    let (code, _, err) = simulate(&["--list", "S77"], &std::env::temp_dir());
    assert!(code == Some(2) && err.contains("did you mean \"S7\"?"), "{err}");
}

#[test]
fn a_level_stands_for_its_sets_and_a_set_that_a_scenario_has_not_leaves_it_out() {
    let small = ["S1", "S3", "--rate", "2000/s", "--processes", "5"];
    let (code, out, _) = simulate(&[&small[..], &["--policy", "lock,full"]].concat(), &std::env::temp_dir());
    assert_eq!(code, Some(0));
    let rows = |word: &str| out.lines().filter(|line| line.starts_with(&format!("  {word} "))).count();
    assert_eq!((rows("lock"), rows("full"), rows("lead")), (2, 5, 0), "S1 has no lock, and three cases, S3 two: {out}");
    assert!(out.contains("misses blocked") && out.contains("holds"), "verdicts: {out}");
    assert!(out.contains("At a glance"), "{out}");
}

#[test]
fn several_seeds_show_how_far_they_differ_and_who_misses_and_the_bar_stands_beside_the_verdict() {
    let small = ["S1", "S2", "--rate", "2000/s", "--processes", "5", "--policy", "naive,full"];
    let (code, out, _) = simulate(&[&small[..], &["--seed", "3", "--seeds", "3"]].concat(), &std::env::temp_dir());
    assert_eq!(code, Some(0));
    assert!(out.contains("seeds 3 to 5: means, in brackets the lowest and the highest"), "{out}");
    let summary = out.split("At a glance").nth(1).expect("a summary");
    let line = |name: &str| summary.lines().find(|line| line.trim_start().starts_with(name)).expect(name);
    assert!(line("scenario").ends_with("full x bound  to reach  verdict"), "{summary}");
    assert!(
        line("S2").contains(" to ") && line("S2").contains("<= 1.02") && line("S2").ends_with("holds"),
        "{summary}"
    );
    // Control: one seed differs from nobody, and says that there are others.
    let (_, out, _) = simulate(&small, &std::env::temp_dir());
    let summary = out.split("At a glance").nth(1).expect("a summary");
    assert!(summary.contains("seed 1; --seeds 8") && !summary.contains(" to 1"), "{summary}");
}

#[test]
fn every_mistake_is_told_at_once_with_what_was_meant() {
    let wrong = ["S22", "--policy", "leed", "--rate", "fast", "--processes", "0", "--beta", "-1", "--seeds", "0"];
    let (code, out, err) = simulate(&wrong, &std::env::temp_dir());
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(2), "", 6), "{err}");
    assert!(err.contains("unknown scenario \"S22\"") && err.contains("did you mean \"S2\"?"), "{err}");
    assert!(err.contains("unknown policy set \"leed\"") && err.contains("did you mean \"lead\"?"), "{err}");
    let (code, _, err) = simulate(&["--ttl", "5s"], &std::env::temp_dir());
    assert!(code == Some(2) && err.contains("--trace"), "{err}");
    for (of_a_trace, named) in [
        (&["S1", "--ttl", "60s", "--eviction", "lru"][..], "--ttl, --eviction are for a trace"),
        (&["S3", "--memory", "64MiB"], "--memory is for a trace"),
        (&["--list", "--size", "1KiB"], "--size"),
    ] {
        let (code, out, err) = simulate(of_a_trace, &std::env::temp_dir());
        assert!(code == Some(2) && out.is_empty() && err.contains(named) && err.contains("--trace"), "{err}");
    }
    let (code, _, err) = simulate(&["S1", "--rate", "1e12/s"], &std::env::temp_dir());
    assert!(code == Some(2) && err.contains("limit of 4,000,000,000"), "{err}");
}

#[test]
fn seeds_beyond_the_largest_are_refused_and_the_last_one_runs() {
    let small = ["S1", "--policy", "lease", "--rate", "1000/s", "--json", "r.json"];
    let home = home();
    let run =
        |seed: &str, seeds: &str| simulate(&[&small[..], &["--seed", seed, "--seeds", seeds]].concat(), home.path());
    for (seed, seeds, most) in [("18446744073709551615", "1", "614"), ("18446744073709551614", "5", "610")] {
        let (code, out, err) = run(seed, seeds);
        let told = format!("--seed: expected at most 18446744073709551{most} with --seeds {seeds}, found {seed}");
        assert!(code == Some(2) && out.is_empty() && err.contains(&told), "{code:?} {err}");
    }
    // Control: one below runs.
    assert_eq!(run("18446744073709551613", "2").0, Some(0));
    assert!(read(home.path(), "r.json").contains("\"seed\": 18446744073709551614"), "the last one of both");
}

#[test]
fn a_report_that_can_not_be_written_leaves_nothing_behind_and_the_table_is_there() {
    let home = home();
    std::fs::write(home.path().join("file"), "x").expect("a file");
    std::fs::create_dir(home.path().join("folder")).expect("a folder");
    let run = |file: &str| simulate(&["S1", "--policy", "lease", "--rate", "1000/s", "--html", file], home.path());
    for file in ["none/report.html", "file/report.html", "folder"] {
        let (code, out, err) = run(file);
        assert_eq!((code, out.as_str()), (Some(2), ""), "told before anything is run: {err}");
        assert!(err.contains(&format!("--html {file}: the report can't be written")), "{err}");
    }
    let (code, out, err) = run("/dev/full");
    assert_eq!(code, Some(1), "{err}");
    assert!(out.contains("lease"), "the figures were shown");
    assert!(err.contains("--html /dev/full") && err.contains("No space left"), "{err}");
    let mut left: Vec<_> =
        std::fs::read_dir(home.path()).expect("a folder").map(|e| e.expect("an entry").file_name()).collect();
    left.sort();
    assert_eq!(left, ["file", "folder"]);
    // Control: where it can be written it replaces what was there.
    assert_eq!(run("file").0, Some(0));
    assert!(read(home.path(), "file").starts_with("<!doctype html>"));
}

#[test]
fn a_table_that_can_not_be_written_is_an_error_and_one_that_nobody_reads_on_is_none() {
    let run = |out: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
        command.args(["simulate", "S1", "--policy", "full", "--rate", "1000/s"]).stdout(out).stderr(Stdio::piped());
        command.spawn().expect("the binary runs")
    };
    let full = std::fs::File::options().write(true).open("/dev/full").expect("a full device");
    let output = run(full.into()).wait_with_output().expect("it ends");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && err.contains("stdout can't be written: No space left"), "{err}");
    // Control: whoever stops reading has what he wanted.
    let mut child = run(Stdio::piped());
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn a_trace_is_replayed_under_every_limit_the_same_each_time() {
    let home = home();
    let lines: String = (0..4_000).map(|n| format!("{},k{},{}\n", n / 10, n * n % 613, 500 + n % 700)).collect();
    std::fs::write(home.path().join("t.csv"), format!("time,key,size\n{lines}nonsense\n")).expect("a trace");
    let run = |name: &str| {
        let names = ["json", "csv", "html"].map(|kind| format!("{name}.{kind}"));
        let grid = ["--trace", "t.csv", "--memory", "100KiB,300KiB", "--ttl", "20s,5m", "--eviction", "auto,lru,auto"];
        let files = ["--json", &names[0], "--csv", &names[1], "--html", &names[2]];
        let (code, out, err) = simulate(&[&grid[..], &files].concat(), home.path());
        assert_eq!((code, err.as_str()), (Some(0), ""));
        (out, names.map(|name| read(home.path(), &name)))
    };
    let once = run("a");
    assert_eq!(once, run("b"));
    let (out, [_, csv, html]) = &once;
    assert!(out.contains("4,000 requests") && out.contains("1 malformed, skipped"), "{out}");
    assert!(out.contains("4002: expected 3 columns, found 1"), "{out}");
    assert_eq!(csv.lines().count(), 1 + 2 * (1 + 2 * 2), "unlimited, and two limits under two policies, for each ttl");
    assert!(
        html.contains("<span>100KiB,300KiB</span>")
            && html.contains("<span>report.html</span>")
            && html.contains("<svg")
    );
}

#[test]
fn what_is_wrong_with_a_trace_is_said() {
    let home = home();
    std::fs::write(home.path().join("bad.csv"), "time,key\nx,a\ny,b\n").expect("a file");
    std::fs::write(home.path().join("empty.csv"), "").expect("a file");
    let (code, out, err) = simulate(&["--trace", "bad.csv"], home.path());
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("none of its 2 lines makes sense") && err.contains("line 2: expected a time"), "{err}");
    let (code, _, err) = simulate(&["--trace", "empty.csv"], home.path());
    assert!(code == Some(2) && err.contains("no request"), "{err}");
    let (code, _, err) = simulate(&["--trace", "none.csv"], home.path());
    assert!(code == Some(2) && err.contains("--trace none.csv: No such file"), "{err}");
    let (code, _, err) = simulate(&["--trace", "."], home.path());
    assert!(code == Some(2) && err.contains("directory"), "{err}");
    let (code, _, err) =
        simulate(&["--trace", "bad.csv", "--eviction", "lruu", "--memory", "1KiB", "--ttl", "60"], home.path());
    assert!(code == Some(2) && err.contains("did you mean \"lru\"?"), "{err}");
    assert!(err.contains("at least 64KiB") && err.contains("--ttl: expected a duration"), "{err}");
    let (code, _, err) = simulate(&["S1", "--trace", "bad.csv"], home.path());
    assert!(code == Some(2) && err.contains("cannot be used with"), "{err}");
}

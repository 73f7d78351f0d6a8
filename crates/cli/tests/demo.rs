//! Does the demo show what it claims, to people, to scripts, and on poor machines?

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

const BELLWETHER: &str = env!("CARGO_BIN_EXE_bellwether");

/// Runs the shell's `line` with the binary as `$0`; its temporary files go to `home`.
fn shell(line: &str, home: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line, BELLWETHER]).current_dir(home).env("TMPDIR", home).stdin(Stdio::null());
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    command
}

fn ends(line: &str, home: &Path) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = shell(line, home).output().expect("a shell");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn left_in(home: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(home).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn the_same_herd_breaks_plain_cache_aside_and_not_bellwether() {
    let home = home();
    let (code, out, err) = ends("\"$0\" demo --quick --json verdict.json", home.path());
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("claims hold:") && out.contains("Where Bellwether loses"), "{out}");
    assert!(!out.contains('\u{1b}'), "plain lines where there is no terminal");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    assert_eq!(left_in(home.path()), ["verdict.json"], "nothing else is left");

    let report = std::fs::read(home.path().join("verdict.json")).expect("a report");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!((&report["passed"], report["failed"].as_array().map(Vec::len)), (&Value::Bool(true), Some(0)));
    let incidents = report["incidents"].as_array().expect("incidents");
    let names: Vec<&str> = incidents.iter().filter_map(|incident| incident["name"].as_str()).collect();
    assert_eq!(names, ["hot-key", "cold", "influencer", "removal", "outage", "slow", "avalanche"]);
    // Judged here once more, from the figures alone.
    let figure = |at: usize, side: &str, name: &str| {
        incidents[at][side][name].as_u64().unwrap_or_else(|| panic!("{at} {side} {name}: {report:#}"))
    };
    for (at, incident) in names.iter().enumerate() {
        assert_eq!(figure(at, "plain", "asked"), figure(at, "bellwether", "asked"), "the same herd");
        for name in ["failed", "stale", "crossed"] {
            assert_eq!(figure(at, "bellwether", name), 0, "{incident}: {name}");
        }
        for side in ["plain", "bellwether"] {
            assert!(figure(at, side, "peak") <= 16, "{incident}: {side} has a pool of 16");
            assert!(figure(at, side, "queries") > 0, "{incident}: the database of {side} was not asked");
        }
    }
    assert_eq!(figure(1, "bellwether", "queries"), 1, "1,000 cold callers, one query");
    for (at, incident) in names.iter().enumerate().take(3) {
        let (plain, ours) = (figure(at, "plain", "star_queries"), figure(at, "bellwether", "star_queries"));
        assert!(plain >= 3 * ours, "control: {incident} stampedes: {plain} against {ours}");
    }
    assert!(figure(3, "plain", "stale") > 0, "control: plain cache-aside keeps what was removed");
    assert!(figure(4, "plain", "failed") > 0, "control: an outage is felt");
    assert!(figure(4, "bellwether", "failed_queries") > 0, "control: the database did fail");
}

#[test]
fn an_unknown_incident_is_bad_input_with_a_suggestion() {
    let (code, out, err) = ends("\"$0\" demo --only avalance", home().path());
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("did you mean 'avalanche'?") && err.contains("1 hot-key, 2 cold"), "{err}");
}

#[test]
fn a_full_disk_costs_the_report_not_the_verdict() {
    let home = home();
    let (code, out, err) = ends("\"$0\" demo --quick --only 2 --json /dev/full", home.path());
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("claims hold:"), "{out}");
    assert!(err.contains("/dev/full") && err.to_lowercase().contains("no space"), "{err}");
    let (code, out, err) = ends("\"$0\" demo --quick --only 2 --json nowhere/verdict.json", home.path());
    assert_eq!((code, out.as_str()), (Some(2), ""), "told before anything is played: {err}");
    assert!(err.contains("nowhere/verdict.json"), "{err}");
    assert_eq!(left_in(home.path()), [""; 0]);
}

#[test]
fn a_verdict_that_can_not_be_written_is_an_error_and_one_that_nobody_reads_on_is_none() {
    let home = home();
    let (code, _, err) = ends("\"$0\" demo --quick --only 2 >/dev/full", home.path());
    assert!(code == Some(1) && err.contains("stdout can't be written: No space left"), "{code:?} {err}");
    // Control: whoever stops reading has what he wanted.
    let (code, out, err) = ends("{ \"$0\" demo --quick --only 2; echo \"code $?\" >&2; } | head -1", home.path());
    assert_eq!((code, out.lines().count(), err.as_str()), (Some(0), 1, "code 0\n"), "{out}");
}

#[test]
fn few_file_descriptors_are_enough_and_too_few_are_told_with_the_way_out() {
    let home = home();
    let (code, out, err) = ends("ulimit -n 450 && exec \"$0\" demo --quick --only cold", home.path());
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("few files may be open"), "{out}");
    let (code, out, err) = ends("ulimit -n 200 && exec \"$0\" demo --quick --only cold", home.path());
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("only 200 files") && err.contains("ulimit -n 450"), "{err}");
    // A low soft limit alone is raised.
    let (code, out, _) = ends("ulimit -Sn 200 && exec \"$0\" demo --quick --only cold", home.path());
    assert_eq!((code, out.contains("few files")), (Some(0), false), "{out}");
}

#[test]
fn on_a_terminal_the_view_lives_and_leaves_the_screen_as_it_was_even_when_interrupted() {
    let home = home();
    // `script` is a terminal; `$0` can't be handed on to it but by the environment.
    let on_a_terminal = |line: &str| {
        let line = format!("BW=\"$0\" exec script -qec 'stty rows 30 cols 90; {line}' /dev/null");
        ends(&line, home.path()).1
    };
    let (enter, leave) = ("\u{1b}[?1049h", "\u{1b}[?1049l");
    let out = on_a_terminal("\"$BW\" demo --quick --only cold");
    let (live, after) = out.rsplit_once(leave).unwrap_or_else(|| panic!("it never lived: {out}"));
    assert!(live.contains(enter) && live.contains("1 of 1  cold") && live.contains("plain cache-aside"), "{out}");
    assert!(after.contains("claims hold:") && !after.contains('\u{1b}'), "the verdict stays: {after}");
    let out = on_a_terminal("timeout --foreground -s INT 2 \"$BW\" demo --quick");
    let (live, after) = out.rsplit_once(leave).unwrap_or_else(|| panic!("the screen is not restored: {out}"));
    assert!(live.contains(enter) && after.contains("interrupted"), "{after}");
    assert!(!on_a_terminal("NO_COLOR=1 \"$BW\" demo --quick --only cold").contains('\u{1b}'), "plain lines on request");
    assert_eq!(left_in(home.path()), [""; 0], "nothing is left, interrupted or not");
}

/// A demo that keeps its server, ended by its own id.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn kept_it_serves_until_it_is_interrupted() {
    let home = home();
    let mut command = shell("exec \"$0\" demo --quick --only cold --keep", home.path());
    let mut kept = Kept(command.stdout(Stdio::piped()).spawn().expect("the binary"));
    let mut lines = BufReader::new(kept.0.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("redis-cli -p")).expect("a line to try");
    let port: u16 = line.split(' ').find_map(|word| word.parse().ok()).expect("a port");
    assert!(lines.any(|line| line == "Ctrl-C ends it."));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    stream.write_all(b"GET product:42\r\n").expect("sent");
    let mut reply = [0; 512];
    let read = stream.read(&mut reply).expect("a reply");
    assert!(reply[..read].starts_with(b"$") && reply[..read].windows(7).any(|w| w == b"\"id\":42"));
    let id = kept.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
    assert!(lines.any(|line| line.contains("the database answered 1 queries")), "it counts to the end");
    assert_eq!(kept.0.wait().expect("ended").code(), Some(0));
    assert_eq!(left_in(home.path()), [""; 0]);
}

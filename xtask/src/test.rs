//! What must hold before a change goes in, in which order?

use crate::steps::{self, Steps, command};
use crate::{imports, licences, setup, shape};
use std::path::Path;
use std::process::Command;

const SHUTTLE_TEST: &str = "crates/bellwether/tests/flights_shuttle.rs";

/// Runs every step, says at the end what failed.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let mut steps = Steps::default();
    let ready = steps.step("set-up: servers and clients the tests use", |_| setup::everything(root));
    steps.step("format", |_| steps::run(cargo(root, &["fmt", "--all", "--check"])));
    steps.step("imports: no cycle between files, none that points upwards", |_| imports::check(root));
    steps.step("shape: short files that say what they are for", |_| shape::check(root));
    steps.step("licences and sources", |_| licences(root));
    let clippy = ["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
    steps.step("clippy", |_| steps::run(cargo(root, &clippy)));
    if ready {
        let binary = setup::target()?.join("debug/bellwether");
        let built = steps.step("the binary that the system tests start", |_| {
            steps::run(cargo(root, &["build", "--locked", "-p", "bellwether-cli"]))
        });
        if built {
            steps.step("tests", |results| {
                let mut tests = cargo(root, &["test", "--locked", "--workspace", "--no-fail-fast"]);
                tests.env("BELLWETHER_BIN", binary);
                steps::run_tests(tests, results)
            });
        }
    }
    if root.join(SHUTTLE_TEST).is_file() {
        let shuttle = ["test", "--locked", "-p", "bellwether", "--features", "shuttle", "--test", "flights_shuttle"];
        steps.step("flight table under a controlled scheduler", |results| {
            steps::run_tests(cargo(root, &shuttle), results)
        });
    }
    steps.summary()
}

fn licences(root: &Path) -> Result<(), String> {
    licences::check(root)?;
    if command("cargo-deny", &["--version"], root).output().is_err() {
        println!("cargo-deny is not installed: its own check is skipped");
        return Ok(());
    }
    steps::run(cargo(root, &["deny", "check", "licenses", "bans", "sources"]))
}

fn cargo(root: &Path, arguments: &[&str]) -> Command {
    command(env!("CARGO"), arguments, root)
}

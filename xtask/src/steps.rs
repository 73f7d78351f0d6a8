//! How is one step of `cargo xtask test` run, shown and remembered?

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// All steps of a run: each is announced, timed, and its failure does not keep the others from telling theirs.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
}

struct Step {
    name: String,
    took: Duration,
    error: Option<String>,
    /// The test runner's own closing lines.
    results: Vec<String>,
}

/// Passed, failed and skipped tests.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Steps {
    /// Runs `body` under `name`; it gets a place for the closing lines that it sees.
    pub(crate) fn step(&mut self, name: &str, body: impl FnOnce(&mut Vec<String>) -> Result<(), String>) -> bool {
        println!("==> {name}");
        let begun = Instant::now();
        let mut results = Vec::new();
        let error = body(&mut results).err();
        let took = begun.elapsed();
        match &error {
            None => println!("==> {name}: ok in {:.1} s", took.as_secs_f64()),
            Some(why) => println!("==> {name}: FAILED after {:.1} s: {why}", took.as_secs_f64()),
        }
        let ok = error.is_none();
        self.done.push(Step { name: name.to_owned(), took, error, results });
        ok
    }

    /// Says again what counts, at the end where it is read.
    pub(crate) fn summary(&self) -> Result<(), String> {
        println!("\n==> summary");
        for step in &self.done {
            let verdict = if step.error.is_none() { "ok" } else { "FAILED" };
            println!("{:>7.1} s  {verdict:<6}  {}", step.took.as_secs_f64(), step.name);
        }
        for line in self.done.iter().flat_map(|step| &step.results) {
            println!("{line}");
        }
        let total = self.total();
        println!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
        let failed: Vec<&str> =
            self.done.iter().filter(|step| step.error.is_some()).map(|step| step.name.as_str()).collect();
        if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
    }

    fn total(&self) -> Count {
        let mut total = Count::default();
        for step in &self.done {
            let mut of_step = Count::default();
            for line in &step.results {
                of_step.add(count(line));
            }
            // A step that fails without a failed test (format, compile error) must not read "0 failed".
            if step.error.is_some() && of_step.failed == 0 {
                of_step.failed = 1;
            }
            total.add(of_step);
        }
        total
    }
}

impl Count {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn count(line: &str) -> Count {
    let of = |word: &str| {
        let mut words = line.split([' ', ';', '.']).filter(|w| !w.is_empty()).collect::<Vec<_>>().into_iter().rev();
        words.find(|w| *w == word).and_then(|_| words.next()).and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    Count { passed: of("passed"), failed: of("failed"), skipped: of("ignored") }
}

/// A command of a step: program, arguments, directory.
pub(crate) fn command(program: impl Into<PathBuf>, arguments: &[&str], directory: &std::path::Path) -> Command {
    let mut command = Command::new(program.into());
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    command
}

/// Runs to the end with its output on ours; an error unless it succeeds.
pub(crate) fn run(mut command: Command) -> Result<(), String> {
    let name = shown(&command);
    let status = command.status().map_err(|e| format!("{name}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name}: {status}")) }
}

/// Like [`run`], keeping the test runner's closing lines while the output streams by.
pub(crate) fn run_tests(mut command: Command, results: &mut Vec<String>) -> Result<(), String> {
    let name = shown(&command);
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|e| format!("{name}: {e}"))?;
    let stdout = child.stdout.take().ok_or("a piped child has a stdout")?;
    relay(BufReader::new(stdout), &mut std::io::stdout(), results).map_err(|e| format!("{name}: {e}"))?;
    let status = child.wait().map_err(|e| format!("{name}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name}: {status}")) }
}

/// Passes every line on at once and keeps the closing ones.
fn relay(mut from: impl BufRead, to: &mut impl Write, results: &mut Vec<String>) -> std::io::Result<()> {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        let text = String::from_utf8_lossy(&line);
        if text.starts_with("test result:") {
            results.push(text.trim_end().to_owned());
        }
        line.clear();
    }
    Ok(())
}

fn shown(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    command.get_args().fold(program, |text, word| text + " " + &word.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::{Count, Steps, command, count, relay, run};
    use std::path::Path;

    const LINE: &str =
        "test result: FAILED. 12 passed; 3 failed; 2 ignored; 0 measured; 7 filtered out; finished in 0.10s";

    #[test]
    fn the_runners_closing_line_is_understood() {
        assert_eq!(count(LINE), Count { passed: 12, failed: 3, skipped: 2 });
        assert_eq!(count("running 3 tests"), Count::default());
    }

    #[test]
    fn closing_lines_are_kept_and_summed_and_a_failure_fails_the_run() {
        let mut steps = Steps::default();
        // Into a buffer: a line like this on the real output would be counted by the run that runs this test.
        let (output, mut shown) = (format!("running 17 tests\n{LINE}\n"), Vec::new());
        assert!(!steps.step("tests", |results| {
            relay(output.as_bytes(), &mut shown, results).map_err(|e| e.to_string())?;
            run(command("sh", &["-c", "exit 3"], Path::new("/")))
        }));
        assert_eq!((shown.as_slice(), steps.done[0].results.as_slice()), (output.as_bytes(), &[LINE.to_owned()][..]));
        assert!(steps.step("fine", |_| Ok(())));
        assert!(!steps.step("format", |_| Err("two files".into())));
        assert_eq!(steps.total(), Count { passed: 12, failed: 4, skipped: 2 });
        assert!(steps.summary().unwrap_err().contains("tests, format"));
    }
}

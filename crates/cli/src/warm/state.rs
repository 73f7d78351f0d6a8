//! How far was it? A small file, so that an interrupted run goes on; beside it the list itself, where whoever named its keys
//! may name others the next time.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::source::{Place, Source, Watch, of_file};
use crate::failure::Failure;
use crate::output::printable;

const HEAD: &str = "bellwether warm 2";
/// Keys that are held beside a state, at most.
const MOST_HELD: u64 = 10_000_000;
/// Keys that are passed over or held in one go.
const STEP: u64 = 10_000;

/// What is remembered of a run.
pub(super) struct State {
    path: Option<PathBuf>,
    named: String,
    done: u64,
    /// Of the keys that are done, in their order: another list has another one.
    sum: u64,
}

/// The sum of keys, and of those that came before.
fn summed(sum: u64, keys: &[String]) -> u64 {
    keys.iter().fold(sum, |sum, key| xxh3_64_with_seed(key.as_bytes(), sum))
}

/// A file beside the state.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

impl State {
    /// What an earlier run over the same keys left.
    pub(super) fn open(path: Option<&Path>, place: &Place) -> Result<State, Failure> {
        let named = place.named();
        let none = State { path: path.map(Path::to_owned), named, done: 0, sum: 0 };
        let Some(path) = path else { return Ok(none) };
        let bad = |words: String| Failure::input(format!("--state {}: {words}", path.display()));
        // Better known now than after the first batch.
        let probe = beside(path, ".new");
        let written = File::create(&probe).and_then(|_| fs::remove_file(&probe));
        written.map_err(|error| bad(format!("can't be written: {error}")))?;
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(none),
            Err(error) => return Err(bad(error.to_string())),
            Ok(text) => text,
        };
        let mut lines = text.lines();
        let mut read = || {
            let head = lines.next() == Some(HEAD);
            let (done, sum) = (lines.next()?.parse().ok()?, u64::from_str_radix(lines.next()?, 16).ok()?);
            head.then_some((done, sum, lines.next()?.to_owned()))
        };
        let Some((done, sum, of)) = read() else {
            return Err(bad("no state of this version of `bellwether warm`: remove it, or name another".to_owned()));
        };
        if of != none.named {
            return Err(bad(format!("it is of another run ({}): remove it, or name another", printable(&of))));
        }
        Ok(State { done, sum, ..none })
    }

    /// The keys of this run, those that are done passed over. What may be named otherwise the next time is held.
    pub(super) fn source(
        &self,
        place: &Place,
        admin_url: &str,
        most: Option<u64>,
        mut watch: Watch<'_>,
    ) -> Result<Source, Failure> {
        let mut source = match self.list().filter(|_| place.is_living()) {
            Some(list) if self.done > 0 && list.is_file() => of_file(self.named.clone(), &list)?,
            Some(list) if self.done > 0 => {
                return Err(self.bad(&format!("{} is gone, which held its keys: remove the state", list.display())));
            }
            Some(list) => {
                // Whole: a limit is of one run, and the next goes on in the same list.
                let mut source = place.open(admin_url, None, &mut watch)?;
                self.hold(&list, &mut source)?;
                of_file(self.named.clone(), &list)?
            }
            None => place.open(admin_url, most, &mut watch)?,
        };
        self.pass_over(&mut source)?;
        Ok(source)
    }

    /// Passes over what is done. A list that is another one is told, and the state stays.
    fn pass_over(&self, source: &mut Source) -> Result<(), Failure> {
        let (mut passed, mut sum) = (0, 0);
        while passed < self.done {
            let keys = source.next((self.done - passed).min(STEP) as usize)?;
            if keys.is_empty() {
                return Err(self.bad(&format!(
                    "{} of {} done, and now it has {passed}: it is another list. Remove the state to begin anew",
                    self.done, self.named
                )));
            }
            passed += keys.len() as u64;
            sum = summed(sum, &keys);
        }
        if sum == self.sum {
            return Ok(());
        }
        Err(self.bad(&format!(
            "the first {} keys of {}, which are done, were others: the list has changed. Remove the state to begin anew",
            self.done, self.named
        )))
    }

    fn bad(&self, words: &str) -> Failure {
        let path = self.path.as_deref().unwrap_or(Path::new(""));
        Failure::input(format!("--state {}: {words}", path.display()))
    }

    /// Where the list is held.
    fn list(&self) -> Option<PathBuf> {
        Some(beside(self.path.as_ref()?, ".keys"))
    }

    /// Writes the list down, one key a line.
    fn hold(&self, list: &Path, source: &mut Source) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::Run(format!("{}: {error}", list.display()));
        let mut out = BufWriter::new(File::create(list).map_err(failed)?);
        let mut held = 0;
        loop {
            let keys = source.next(STEP as usize)?;
            if keys.is_empty() {
                break;
            }
            held += keys.len() as u64;
            if held > MOST_HELD {
                // Half a list would be taken for a whole one.
                let _ = fs::remove_file(list);
                return Err(Failure::Run(format!("more than {MOST_HELD} keys can't be held: leave --state out")));
            }
            keys.iter().try_for_each(|key| writeln!(out, "{key}")).map_err(failed)?;
        }
        out.flush().map_err(failed)
    }

    pub(super) fn done(&self) -> u64 {
        self.done
    }

    pub(super) fn is_kept(&self) -> bool {
        self.path.is_some()
    }

    /// These keys are through as well.
    pub(super) fn keep(&mut self, keys: &[String]) -> Result<(), Failure> {
        self.done += keys.len() as u64;
        self.sum = summed(self.sum, keys);
        let Some(path) = &self.path else { return Ok(()) };
        let aside = beside(path, ".new");
        let text = format!("{HEAD}\n{}\n{:016x}\n{}\n", self.done, self.sum, self.named);
        let kept = fs::write(&aside, text).and_then(|()| fs::rename(&aside, path));
        kept.map_err(|error| Failure::Run(format!("--state {}: {error}", path.display())))
    }

    /// All are done.
    pub(super) fn end(self, place: &Place) {
        if let Some(list) = self.list().filter(|_| place.is_living()) {
            // What is left would only say that there is nothing left.
            let _ = fs::remove_file(list);
        }
        if let Some(path) = self.path {
            // As above.
            let _ = fs::remove_file(path);
        }
    }
}

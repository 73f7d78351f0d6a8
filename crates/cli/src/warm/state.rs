//! How far was it? A small file, so that an interrupted run goes on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::warm::source::Source;

const HEAD: &str = "bellwether warm 1";

/// What is remembered of a run.
pub(super) struct State {
    path: Option<PathBuf>,
    source: String,
    done: u64,
}

impl State {
    /// Goes on where a run over the same source ended.
    pub(super) fn open(path: Option<&Path>, source: &Source) -> Result<State, Failure> {
        let named = source.named();
        let Some(path) = path else { return Ok(State { path: None, source: named, done: 0 }) };
        let bad = |words: String| Failure::Input(vec![format!("--state {}: {words}", path.display())]);
        if !source.is_ordered() {
            return Err(bad(
                "another Redis names its keys in another order each time: it can't be gone on with".to_owned()
            ));
        }
        let done = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(bad(error.to_string())),
            Ok(text) => {
                let mut lines = text.lines();
                let done = (lines.next() == Some(HEAD)).then(|| lines.next()?.parse().ok()).flatten();
                let Some(done) = done else {
                    return Err(bad("no state of `bellwether warm`: remove it, or name another".to_owned()));
                };
                let of = lines.next().unwrap_or_default();
                if of != named {
                    return Err(bad(format!("it is of another run ({of}): remove it, or name another")));
                }
                done
            }
        };
        Ok(State { path: Some(path.to_owned()), source: named, done })
    }

    pub(super) fn done(&self) -> u64 {
        self.done
    }

    pub(super) fn is_kept(&self) -> bool {
        self.path.is_some()
    }

    /// So many keys are done.
    pub(super) fn keep(&self, done: u64) -> Result<(), Failure> {
        let Some(path) = &self.path else { return Ok(()) };
        let aside = path.with_extension("new");
        let text = format!("{HEAD}\n{done}\n{}\n", self.source);
        let kept = fs::write(&aside, text).and_then(|()| fs::rename(&aside, path));
        kept.map_err(|error| Failure::Run(format!("--state {}: {error}", path.display())))
    }

    /// All are done.
    pub(super) fn end(&mut self) {
        if let Some(path) = self.path.take() {
            // What is left would only say that there is nothing left.
            let _ = fs::remove_file(path);
        }
    }
}

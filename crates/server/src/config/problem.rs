//! What is wrong, where, and what should stand there instead? Every mistake of a configuration at once.

use std::fmt::{self, Write as _};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as the user named it.
    pub file: String,
    /// Where in it, or which environment variable.
    pub place: Place,
    /// The section it is about, such as `[[space]] 'product'`; empty for the file as a whole.
    pub subject: String,
    /// What stands there. Never a secret.
    pub found: String,
    /// What may stand there.
    pub expected: String,
    /// What to do, where that is known.
    pub hint: Option<String>,
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The file as a whole.
    File,
    /// In the file; both count from 1, columns in characters.
    Line {
        /// Line.
        line: usize,
        /// Column.
        column: usize,
    },
    /// In this environment variable.
    Environment(String),
}

impl Problem {
    /// The line in the file, if it has one.
    pub fn line(&self) -> Option<usize> {
        match self.place {
            Place::Line { line, .. } => Some(line),
            Place::File | Place::Environment(_) => None,
        }
    }
}

/// One line, whatever the file says: a key may contain line ends and a terminal's commands.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let f = &mut OneLine(f);
        match &self.place {
            Place::File => write!(f, "{}: ", self.file)?,
            Place::Line { line, column } => write!(f, "{}:{line}:{column}: ", self.file)?,
            Place::Environment(variable) => write!(f, "environment variable {variable}: ")?,
        }
        if !self.subject.is_empty() {
            write!(f, "{}: ", self.subject)?;
        }
        write!(f, "found {}; expected {}", self.found, self.expected)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "; hint: {hint}"))
    }
}

/// Writes control characters as escapes.
struct OneLine<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c.is_control() {
            true => write!(self.0, "{}", c.escape_default()),
            false => self.0.write_char(c),
        })
    }
}

impl std::error::Error for Problem {}

/// A value that can't be read: the part of a [`Problem`] that a parser of values knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) expected: String,
    pub(super) hint: Option<String>,
}

impl Wrong {
    pub(super) fn expected(expected: impl Into<String>) -> Wrong {
        Wrong { expected: expected.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Wrong {
        Wrong { hint: Some(hint.into()), ..self }
    }
}

/// The mistakes found so far.
pub(super) struct Report {
    file: String,
    problems: Vec<Problem>,
    /// What works, but less well than it looks.
    warnings: Vec<Problem>,
    /// Lines that TOML itself could not read. What is said about their values would be noise, and so
    /// would be any complaint that something is missing from the file.
    unreadable: Vec<usize>,
}

impl Report {
    pub(super) fn new(file: &str) -> Report {
        Report { file: file.to_owned(), problems: Vec::new(), warnings: Vec::new(), unreadable: Vec::new() }
    }

    /// TOML itself stops here.
    pub(super) fn syntax(&mut self, place: Place, message: &str) {
        if let Place::Line { line, .. } = place {
            self.unreadable.push(line);
        }
        let expected = Wrong::expected("TOML").hint("see https://toml.io; texts need quotes: ttl = \"60s\"");
        self.push(place, "", format!("what is no TOML: {message}"), expected);
    }

    /// TOML itself stops at the name of a section, whose last line is `last`: of what it holds nothing is said.
    pub(super) fn header(&mut self, place: Place, message: &str, last: usize) {
        if let Place::Line { line, .. } = place {
            self.unreadable.extend(line..=last);
        }
        let expected = Wrong::expected("TOML").hint("a section is written [name], and one of several [[name]]");
        self.push(place, "", format!("what is no TOML: {message}"), expected);
    }

    /// A section is there twice, and not always as one of several. `rightly`: this time it is.
    pub(super) fn repeated(&mut self, place: Place, name: &str, rightly: bool) {
        if let Place::Line { line, .. } = place {
            self.unreadable.push(line);
        }
        if !rightly {
            let wrong = Wrong::expected("a list of sections").hint(format!("write [[{name}]], each time"));
            self.push(place, "", format!("[{name}], and another one"), wrong);
        }
    }

    pub(super) fn say(&mut self, place: &Place, subject: &str, found: impl Into<String>, wrong: Wrong) {
        let unreadable = matches!(place, Place::Line { line, .. } if self.unreadable.contains(line));
        if !unreadable {
            self.push(place.clone(), subject, found.into(), wrong);
        }
    }

    /// Says that something is not there: only if every line could be read.
    pub(super) fn missing(&mut self, place: &Place, subject: &str, found: impl Into<String>, wrong: Wrong) {
        if self.unreadable.is_empty() {
            self.push(place.clone(), subject, found.into(), wrong);
        }
    }

    /// Says what is less than it looks: nothing of it keeps a server from starting.
    pub(super) fn warn(&mut self, place: &Place, subject: &str, found: impl Into<String>, wrong: Wrong) {
        let warning = self.problem(place.clone(), subject, found.into(), wrong);
        self.warnings.push(warning);
    }

    fn push(&mut self, place: Place, subject: &str, found: String, wrong: Wrong) {
        let problem = self.problem(place, subject, found, wrong);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn problem(&self, place: Place, subject: &str, found: String, wrong: Wrong) -> Problem {
        let Wrong { expected, hint } = wrong;
        Problem { file: self.file.clone(), place, subject: subject.to_owned(), found, expected, hint }
    }

    /// All warnings in the order of the file.
    pub(super) fn take_warnings(&mut self) -> Vec<Problem> {
        let mut warnings = std::mem::take(&mut self.warnings);
        warnings.sort_by(|a, b| a.place.cmp(&b.place));
        warnings
    }

    /// All of them in the order of the file; the environment's last.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by(|a, b| a.place.cmp(&b.place));
        self.problems
    }
}

/// The word of `known` that the writer of `word` most likely meant.
pub(crate) fn did_you_mean<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let word = word.to_lowercase();
    // A third of the letters may differ: beyond that a guess sends people astray.
    let near =
        |candidate: &str| strsim::damerau_levenshtein(&word, candidate) <= (candidate.len().max(word.len()) / 3).max(1);
    let distance = |candidate: &&str| strsim::damerau_levenshtein(&word, candidate);
    known.into_iter().filter(|candidate| near(candidate)).min_by_key(distance)
}

/// `a, b or c`.
pub(crate) fn one_of<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

//! Where do words for people go? Whoever reads them may stop reading: no reason to fail. A full disk is one.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::sync::OnceLock;

use crate::failure::Failure;

/// Why words did not reach stdout, the first time.
static UNSHOWN: OnceLock<io::Error> = OnceLock::new();

/// What was asked for.
pub(crate) fn say(line: &str) {
    if let Err(error) = writeln!(io::stdout(), "{line}")
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        // Only the first reason is told.
        let _ = UNSHOWN.set(error);
    }
}

/// Whether all that was said reached whoever asked, as far as he went on reading.
pub(crate) fn all_shown() -> Result<(), Failure> {
    match UNSHOWN.get() {
        None => Ok(()),
        Some(error) => {
            Err(Failure::Run(format!("stdout can't be written: {error}; what was to be shown is not whole")))
        }
    }
}

/// Why it can't be had.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Words of somebody else, on one line and without what a terminal would act on.
pub(crate) fn printable(words: &str) -> String {
    words.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

/// Columns side by side; those in `right` hold numbers.
pub(crate) fn aligned(table: &[Vec<String>], right: std::ops::Range<usize>) -> String {
    let columns = table.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| table.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in table {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let wide = widths[at];
            // Writing into a String can't fail.
            let _ = if right.contains(&at) { write!(line, "{cell:>wide$}  ") } else { write!(line, "{cell:<wide$}  ") };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

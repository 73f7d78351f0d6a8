//! Where do words for people go? Whoever reads them may stop reading: no reason to fail.

use std::io::Write as _;

/// What was asked for.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Why it can't be had.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Words of somebody else, on one line and without what a terminal would act on.
pub(crate) fn printable(words: &str) -> String {
    words.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

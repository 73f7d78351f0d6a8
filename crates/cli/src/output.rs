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

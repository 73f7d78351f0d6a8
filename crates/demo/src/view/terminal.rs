//! Can this terminal show a view that lives?

use std::io::{IsTerminal as _, stdout};

use super::draw::{ASCII, BLOCKS};

/// Below this the two columns don't fit; lines are better then.
const LEAST: (usize, usize) = (70, 18);

/// A terminal, large enough, and neither `TERM=dumb` nor `NO_COLOR` asks for plain lines.
pub(super) fn can_live() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let large = || size().is_some_and(|(width, height)| width >= LEAST.0 && height >= LEAST.1);
    stdout().is_terminal() && !dumb && !set("NO_COLOR") && large()
}

/// Columns and rows.
pub(super) fn size() -> Option<(usize, usize)> {
    // Not a terminal any more: then there is no size.
    let size = rustix::termios::tcgetwinsize(stdout()).ok()?;
    Some((usize::from(size.ws_col), usize::from(size.ws_row)))
}

/// Blocks where the locale is UTF-8.
pub(super) fn bars() -> &'static [char; 9] {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| match std::env::var(name) {
        Ok(value) if !value.is_empty() => Some(value),
        _ => None,
    });
    let utf8 = locale.is_some_and(|locale| locale.to_lowercase().replace('-', "").contains("utf8"));
    if utf8 { &BLOCKS } else { &ASCII }
}

//! Where does a line end? Lines of bounded length, whatever the file holds.

use std::io::{self, BufRead};

/// The longest line that is kept; of a longer one the rest is skipped.
const LONGEST: usize = 64 * 1024;

/// Reads line by line.
pub(super) struct Lines<R> {
    source: R,
    line: Vec<u8>,
    /// Of the last line, from 1.
    pub(super) number: u64,
}

/// One line.
pub(super) enum Line<'a> {
    /// Its text.
    Text(&'a str),
    /// Why it is none.
    Malformed(String),
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(source: R) -> Lines<R> {
        Lines { source, line: Vec::new(), number: 0 }
    }

    /// The next line without its end; `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let (mut seen, mut whole) = (0usize, false);
        while !whole {
            let buffer = self.source.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(buffer.len(), |end| end + 1);
            let room = LONGEST.saturating_sub(self.line.len()).min(taken);
            self.line.extend_from_slice(&buffer[..room]);
            seen += taken;
            whole = end.is_some();
            self.source.consume(taken);
        }
        if seen == 0 {
            return Ok(None);
        }
        self.number += 1;
        if seen > LONGEST {
            return Ok(Some(Line::Malformed(format!("a line of {seen} bytes is longer than the limit of {LONGEST}"))));
        }
        match std::str::from_utf8(&self.line) {
            Ok(text) => Ok(Some(Line::Text(text.trim_end_matches(['\n', '\r'])))),
            Err(_) => Ok(Some(Line::Malformed("is no text (UTF-8)".to_owned()))),
        }
    }
}

/// The beginning of a line or a field, harmless to a terminal.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { '?' } else { c }).collect()
}

//! What does a line of an ARC trace say? `start count x x` stands for the keys start … start + count - 1.

use std::io::{self, BufRead};

use super::lines::{Line, Lines, shown};
use super::trace::{Builder, Op};

/// Keys that one line may stand for.
const MOST_COUNT: u64 = 1_000_000;

/// Reads all lines.
pub(super) fn read(source: impl BufRead, builder: &mut Builder) -> io::Result<()> {
    let mut lines = Lines::new(source);
    while let Some(line) = lines.next()? {
        let found = match line {
            Line::Text(text) if text.trim().is_empty() => continue,
            Line::Text(text) => range(text),
            Line::Malformed(what) => Err(what),
        };
        match found {
            Ok((start, count)) => {
                for key in start..start + count {
                    if builder.full() {
                        return Ok(());
                    }
                    // A number is neither empty nor long.
                    let _ = builder.request(None, key.to_string().as_bytes(), None, Op::Get);
                }
            }
            Err(what) => {
                let number = lines.number;
                builder.malformed(number, what);
            }
        }
    }
    Ok(())
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let mut numbers = text.split_ascii_whitespace().map(|word| word.parse::<u64>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(start), Some(count @ 1..=MOST_COUNT)) if start.checked_add(count).is_some() => Ok((start, count)),
        _ => Err(format!("expected \"start count …\" with a count of 1 to {MOST_COUNT}, found \"{}\"", shown(text))),
    }
}

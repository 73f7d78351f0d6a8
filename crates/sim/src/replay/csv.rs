//! What does a line of a CSV trace say? Columns by name, or by place where there is no heading.
//!
//! `key` is needed; `time` (seconds, with or without fraction) or `time_ms`, `size` (bytes) and `op`
//! (get, set, delete) may be there. Without a heading the columns are `key`, or `time,key`, or
//! `time,key,size`, or `time,key,size,op`.

use std::io::{self, BufRead};

use super::lines::{Line, Lines, shown};
use super::trace::{Builder, Op};

const EXPECTED: &str = "expected a heading with a column `key`, and if there are any `time` or `time_ms`, `size`, `op`; or \
    no heading, and `key`, or `time,key`, or `time,key,size`, or `time,key,size,op`";

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Seconds,
    Millis,
    Key,
    Size,
    Op,
    Other,
}

impl Column {
    fn named(word: &str) -> Option<Column> {
        match word.trim().to_ascii_lowercase().as_str() {
            "time" | "time_s" | "timestamp" | "ts" | "seconds" => Some(Column::Seconds),
            "time_ms" | "timestamp_ms" | "ms" | "millis" => Some(Column::Millis),
            "key" => Some(Column::Key),
            "size" | "bytes" | "value_size" => Some(Column::Size),
            "op" | "operation" | "command" => Some(Column::Op),
            _ => None,
        }
    }

    /// What the columns of a file without heading hold.
    fn by_place(fields: usize) -> Result<Vec<Column>, String> {
        let all = [Column::Seconds, Column::Key, Column::Size, Column::Op];
        match fields {
            1 => Ok(vec![Column::Key]),
            2..=4 => Ok(all[..fields].to_vec()),
            n => Err(format!("{n} columns and no heading: begin the file with a line such as \"time,key,size,op\"")),
        }
    }
}

/// Reads all lines. An error of the second kind: the file makes no sense as a whole.
pub(super) fn read(source: impl BufRead, builder: &mut Builder) -> io::Result<Result<(), String>> {
    let mut lines = Lines::new(source);
    let mut columns: Option<Vec<Column>> = None;
    while let Some(line) = lines.next()? {
        let text = match line {
            Line::Text(text) if text.trim().is_empty() || text.starts_with('#') => continue,
            // Editors of some systems begin a file with a mark of its encoding.
            Line::Text(text) => text.trim_start_matches('\u{feff}'),
            Line::Malformed(what) => {
                let number = lines.number;
                builder.malformed(number, what);
                continue;
            }
        };
        let Some(fields) = split(text) else {
            let number = lines.number;
            builder.malformed(number, "a quotation mark is not closed".to_owned());
            continue;
        };
        let known = match &columns {
            Some(known) => known,
            None => match heading(&fields) {
                Ok(Some(named)) => {
                    columns = Some(named);
                    continue;
                }
                Ok(None) => match Column::by_place(fields.len()) {
                    Ok(placed) => columns.insert(placed),
                    Err(words) => return Ok(Err(words)),
                },
                Err(words) => return Ok(Err(words)),
            },
        };
        if builder.full() {
            return Ok(Ok(()));
        }
        if let Err(what) = request(&fields, known, builder) {
            let number = lines.number;
            builder.malformed(number, what);
        }
    }
    Ok(Ok(()))
}

/// The columns, if this line names them.
fn heading(fields: &[String]) -> Result<Option<Vec<Column>>, String> {
    let columns: Vec<Option<Column>> = fields.iter().map(|field| Column::named(field)).collect();
    if let [field] = fields
        && let Some(marks) = other_marks(field)
    {
        return Err(format!(
            "its first line is a heading divided by {marks}: expected commas, as in \"time,key,size,op\", in every line; \
             found \"{}\"",
            shown(field)
        ));
    }
    if columns.iter().all(Option::is_none) {
        // By place the first of several is a time, which words alone can't be.
        let word = |field: &String| field.chars().all(|letter| letter.is_alphabetic() || "_- ".contains(letter));
        if fields.len() > 1 && fields.iter().all(|field| !field.is_empty() && word(field)) {
            return Err(format!(
                "its first line names no column that is known: {EXPECTED}; found {}",
                shown(&fields.join(", "))
            ));
        }
        return Ok(None);
    }
    if !columns.contains(&Some(Column::Key)) {
        let found = shown(&fields.join(", "));
        return Err(format!("no column is named \"key\": {EXPECTED}; found {found}"));
    }
    Ok(Some(columns.into_iter().map(|column| column.unwrap_or(Column::Other)).collect()))
}

/// What divides the only field of a heading. A key may hold such marks: only the word `key` makes a heading of it.
fn other_marks(field: &str) -> Option<&'static str> {
    let named = |part: &str| Column::named(part.trim().trim_matches('"')) == Some(Column::Key);
    let divided = |mark| !field.contains(',') && field.contains(mark) && field.split(mark).any(named);
    [(';', "semicolons"), ('\t', "tabs")].into_iter().find_map(|(mark, marks)| divided(mark).then_some(marks))
}

fn request(fields: &[String], columns: &[Column], builder: &mut Builder) -> Result<(), String> {
    if fields.len() != columns.len() {
        return Err(format!("expected {} columns, found {}", columns.len(), fields.len()));
    }
    let (mut at, mut key, mut size, mut op) = (None, None, None, Op::Get);
    for (field, column) in fields.iter().zip(columns) {
        match column {
            Column::Seconds => at = Some(millis(field, 1000.0)?),
            Column::Millis => at = Some(millis(field, 1.0)?),
            Column::Key => key = Some(field),
            Column::Size if field.trim().is_empty() => {}
            Column::Size => {
                let bytes = field.trim().parse();
                size = Some(bytes.map_err(|_| format!("expected a size in bytes, found \"{}\"", shown(field)))?);
            }
            Column::Op => op = operation(field)?,
            Column::Other => {}
        }
    }
    builder.request(at, key.map_or(&[][..], |key| key.as_bytes()), size, op)
}

fn millis(field: &str, factor: f64) -> Result<u64, String> {
    match field.trim().parse::<f64>() {
        // Ten thousand years: beyond it a time is a mistake.
        Ok(time) if (0.0..=3.2e14).contains(&(time * factor)) => Ok((time * factor).round() as u64),
        _ => Err(format!("expected a time, found \"{}\"", shown(field))),
    }
}

fn operation(field: &str) -> Result<Op, String> {
    match field.trim().to_ascii_lowercase().as_str() {
        "" | "get" | "gets" | "read" | "r" => Ok(Op::Get),
        "set" | "put" | "write" | "add" | "w" => Ok(Op::Set),
        "delete" | "del" | "remove" | "d" => Ok(Op::Delete),
        _ => Err(format!("expected get, set or delete, found \"{}\"", shown(field))),
    }
}

/// Fields between commas, quoted ones as RFC 4180 has them; `None` if a quotation mark is left open.
fn split(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    (!quoted).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_fields_may_hold_commas_and_marks() {
        assert_eq!(split("a,\"b,\"\"c\"\"\",d"), Some(vec!["a".into(), "b,\"c\"".into(), "d".into()]));
        assert_eq!(split("a,\"b"), None);
        assert_eq!(split(""), Some(vec![String::new()]));
    }
}

//! Is a space's SQL right, as far as its text and the names of its columns tell? The same words for every database.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::{SetupError, listed};
use super::scan::{Dialect, begins_like_a_query, quoted_template};
use super::{LIST, Rows};

/// What a body is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One row as an object.
    Object,
    /// All rows as an array of objects.
    Array,
    /// The raw bytes of the output column with this index.
    Raw(usize),
}

/// What the text alone tells. `what` is the knob.
pub(crate) fn text(what: &str, sql: &str, captures: &[Arc<str>], dialect: Dialect) -> Result<(), SetupError> {
    if let Some(quoted) = quoted_template(sql, captures, dialect) {
        return Err(SetupError::new(
            format!("`{what}` has a template inside a string: {quoted}"),
            "captures are bound, never pasted: write :name, without quotes",
        ));
    }
    if !begins_like_a_query(sql, dialect) {
        return Err(SetupError::new(
            format!("`{what}` is no query"),
            "write one statement that begins with SELECT, WITH or VALUES",
        ));
    }
    Ok(())
}

/// A database that reads one statement out of several would leave the others unread.
pub(crate) fn several_statements(what: &str) -> SetupError {
    SetupError::new(
        format!("`{what}` holds more than one statement"),
        "keep the first one only; no text may follow its semicolon",
    )
}

pub(crate) fn foreign_placeholder(what: &str, placeholder: &str) -> SetupError {
    SetupError::new(
        format!("`{what}` has the placeholder {placeholder}"),
        "name placeholders after the template's captures, with a colon: `{id}` is :id",
    )
}

/// Each placeholder of `query` must be a capture.
pub(crate) fn known(binds: &[Arc<str>], captures: &[Arc<str>]) -> Result<(), SetupError> {
    match binds.iter().find(|name| !captures.contains(name)) {
        None => Ok(()),
        Some(name) => Err(SetupError::new(
            format!("`query` uses :{name}, which the key's template does not capture"),
            format!("the template captures {}", listed(":", captures)),
        )),
    }
}

/// Two columns of one name would be one name twice in a JSON object.
pub(crate) fn distinct(what: &str, columns: &[String]) -> Result<(), SetupError> {
    let mut seen = HashSet::new();
    match columns.iter().find(|name| !seen.insert(name.as_str())) {
        None => Ok(()),
        Some(twice) => Err(SetupError::new(
            format!("`{what}` returns two columns named \"{twice}\""),
            "give each column a name of its own with AS",
        )),
    }
}

pub(crate) fn shape(column: Option<&str>, rows: Rows, columns: &[String]) -> Result<Shape, SetupError> {
    match (column, rows) {
        (None, Rows::One) => Ok(Shape::Object),
        (None, Rows::All) => Ok(Shape::Array),
        (Some(_), Rows::All) => Err(SetupError::new(
            "`column` returns the raw bytes of one row, but `rows` is \"all\"",
            "leave `column` out, or set rows = \"one\"",
        )),
        (Some(column), Rows::One) => columns.iter().position(|name| name == column).map(Shape::Raw).ok_or_else(|| {
            SetupError::new(
                format!("`column` is \"{column}\", but `query` returns no such column"),
                format!("it returns {}", listed("", columns)),
            )
        }),
    }
    .map_err(|error| error.about("column"))
}

/// The one capture that tells the keys of a batch apart.
pub(crate) fn key(binds: &[Arc<str>]) -> Result<&Arc<str>, SetupError> {
    match binds {
        [key] => Ok(key),
        _ => Err(SetupError::new(
            format!("`many` needs a `query` with exactly one placeholder, this one has {}", listed(":", binds)),
            "leave `many` out: keys of this space are loaded one by one",
        )),
    }
}

/// `many` has one placeholder, the list.
pub(crate) fn only_the_list(binds: &[Arc<str>], key: &str) -> Result<(), SetupError> {
    if matches!(binds, [name] if **name == *LIST) {
        return Ok(());
    }
    Err(SetupError::new(
        format!("`many` must have :{LIST} as its only placeholder, it has {}", listed(":", binds)),
        format!("write … WHERE {key} IN (:{LIST})"),
    ))
}

/// The list somewhere else than where a list can stand.
pub(crate) fn misplaced_list(key: &str) -> SetupError {
    SetupError::new(format!("`many` uses :{LIST} outside of an IN list"), format!("write … WHERE {key} IN (:{LIST})"))
}

/// `many` must say the same of each row as `query`, so that a value never depends on how it was
/// loaded, and must tell which key a row belongs to: the column of the key, and those of the body in their order.
pub(crate) fn pairs(many: &[String], one: &[String], key: &str) -> Result<(usize, Vec<usize>), SetupError> {
    let position = |wanted: &str| many.iter().position(|name| name == wanted);
    let key_column = position(key).ok_or_else(|| {
        SetupError::new(
            format!("`many` returns no column named \"{key}\", so its rows can't be matched to keys"),
            format!("it returns {}; select the column, or rename it with AS {key}", listed("", many)),
        )
    })?;
    let output = one
        .iter()
        .map(|name| position(name).ok_or(name))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|missing| unlike(format!("`many` lacks the column \"{missing}\" that `query` returns")))?;
    let surplus = (0..many.len()).find(|at| *at != key_column && !output.contains(at));
    if let Some(at) = surplus {
        return Err(unlike(format!("`many` returns the column \"{}\" that `query` does not", many[at])));
    }
    Ok((key_column, output))
}

fn unlike(problem: String) -> SetupError {
    SetupError::new(problem, "let both return the same columns; `many` may add the key's")
}

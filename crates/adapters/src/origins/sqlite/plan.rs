//! Is a space's SQL right, and what will it return? Judged once, before the first load.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::{Connection, Statement};

use super::super::{SetupError, listed};
use super::query::{Rows, SqlQuery};
use super::{fault, sql};

/// The values of all keys of a batch, in `many`: one name, whatever the capture is called.
const LIST: &str = "ids";
/// Tables named in a hint, at most.
const TABLES_LISTED: u32 = 20;

/// All that a load needs to know.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) one: Ask,
    pub(super) many: Option<Batch>,
    pub(super) shape: Shape,
    /// `{"id":`, `,"name":` … in output order: what stands before each value of an object.
    pub(super) heads: Vec<String>,
    pub(super) max_rows: usize,
    pub(super) max_bytes: usize,
}

/// What a body is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One row as an object.
    Object,
    /// All rows as an array of objects.
    Array,
    /// The raw bytes of the output column with this index.
    Raw(usize),
}

/// One statement.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) sql: String,
    /// The captures to bind: parameter 1 is the first.
    pub(super) binds: Vec<Arc<str>>,
    /// The result's columns, as they were at start.
    pub(super) columns: Vec<String>,
    /// Which of them make up the body, in output order.
    pub(super) output: Vec<usize>,
}

/// The statement for many keys.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) ask: Ask,
    /// The capture that tells keys apart.
    pub(super) key: Arc<str>,
    /// The column that holds it.
    pub(super) key_column: usize,
}

pub(super) fn plan(connection: &Connection, query: SqlQuery) -> Result<Plan, SetupError> {
    let (binds, columns) = inspect(connection, "query", &query.query, &query.captures)?;
    for name in &binds {
        if !query.captures.contains(name) {
            return Err(SetupError::new(
                format!("`query` uses :{name}, which the key's template does not capture"),
                format!("the template captures {}", listed(":", &query.captures)),
            ));
        }
    }
    let shape = shape(&query, &columns).map_err(|error| error.about("column"))?;
    let heads = columns.iter().enumerate().map(|(at, name)| head(at, name)).collect();
    let output = (0..columns.len()).collect();
    let one = Ask { sql: query.query, binds, columns, output };
    let many =
        query.many.map(|many| batch(connection, &many, &one)).transpose().map_err(|error| error.about("many"))?;
    Ok(Plan { one, many, shape, heads, max_rows: query.max_rows, max_bytes: query.max_bytes })
}

fn shape(query: &SqlQuery, columns: &[String]) -> Result<Shape, SetupError> {
    match (&query.column, query.rows) {
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
}

fn head(at: usize, name: &str) -> String {
    let name = serde_json::Value::from(name);
    format!("{}{name}:", if at == 0 { '{' } else { ',' })
}

/// Checks one statement and returns its placeholders, without colons, and its columns.
fn inspect(
    connection: &Connection,
    what: &str,
    text: &str,
    captures: &[Arc<str>],
) -> Result<(Vec<Arc<str>>, Vec<String>), SetupError> {
    if let Some(quoted) = sql::quoted_template(text, captures) {
        return Err(SetupError::new(
            format!("`{what}` has a template inside a string: {quoted}"),
            "captures are bound, never pasted: write :name, without quotes",
        ));
    }
    if !sql::begins_like_a_query(text) {
        return Err(SetupError::new(
            format!("`{what}` is no query"),
            "write one statement that begins with SELECT, WITH or VALUES",
        ));
    }
    let statement = connection.prepare(text).map_err(|error| unprepared(connection, what, &error))?;
    if !statement.readonly() {
        return Err(SetupError::new(format!("`{what}` writes"), "write a statement that only reads"));
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut seen = HashSet::new();
    if let Some(twice) = columns.iter().find(|name| !seen.insert(name.as_str())) {
        return Err(SetupError::new(
            format!("`{what}` returns two columns named \"{twice}\""),
            "give each column a name of its own with AS",
        ));
    }
    Ok((placeholders(&statement, what)?, columns))
}

fn unprepared(connection: &Connection, what: &str, error: &rusqlite::Error) -> SetupError {
    if matches!(error, rusqlite::Error::MultipleStatement) {
        return SetupError::new(
            format!("`{what}` holds more than one statement"),
            "keep the first one only; no text may follow its semicolon",
        );
    }
    let words = fault::words(error);
    let hint = if words.starts_with("no such table") {
        match tables(connection) {
            Ok(tables) => format!("the database's tables and views: {}", listed("", &tables)),
            Err(error) => format!("the list of tables can't be read: {}", fault::words(&error)),
        }
    } else {
        "compare the statement with the database's schema".to_owned()
    };
    SetupError::new(format!("`{what}` can't be prepared: {words}"), hint)
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let names = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY name LIMIT ?1";
    connection.prepare(names)?.query_map([TABLES_LISTED], |row| row.get(0))?.collect()
}

fn placeholders(statement: &Statement<'_>, what: &str) -> Result<Vec<Arc<str>>, SetupError> {
    (1..=statement.parameter_count())
        .map(|at| {
            let full = statement.parameter_name(at).unwrap_or("?");
            full.strip_prefix(':').map(Arc::from).ok_or_else(|| {
                SetupError::new(
                    format!("`{what}` has the placeholder {full}"),
                    "name placeholders after the template's captures, with a colon: `{id}` is :id",
                )
            })
        })
        .collect()
}

/// `many` must say the same of each row as `query`, so that a value never depends on how it was
/// loaded, and must tell which key a row belongs to.
fn batch(connection: &Connection, many: &str, one: &Ask) -> Result<Batch, SetupError> {
    let [key] = one.binds.as_slice() else {
        return Err(SetupError::new(
            format!("`many` needs a `query` with exactly one placeholder, this one has {}", listed(":", &one.binds)),
            "leave `many` out: keys of this space are loaded one by one",
        ));
    };
    let (binds, columns) = inspect(connection, "many", many, std::slice::from_ref(key))?;
    if !matches!(binds.as_slice(), [name] if **name == *LIST) {
        return Err(SetupError::new(
            format!("`many` must have :{LIST} as its only placeholder, it has {}", listed(":", &binds)),
            format!("write … WHERE {key} IN (:{LIST})"),
        ));
    }
    let sql = sql::expand_in(many, &format!(":{LIST}")).ok_or_else(|| {
        SetupError::new(
            format!("`many` uses :{LIST} outside of an IN list"),
            format!("write … WHERE {key} IN (:{LIST})"),
        )
    })?;
    let position = |wanted: &str| columns.iter().position(|name| name == wanted);
    let key_column = position(key).ok_or_else(|| {
        SetupError::new(
            format!("`many` returns no column named \"{key}\", so its rows can't be matched to keys"),
            format!("it returns {}; select the column, or rename it with AS {key}", listed("", &columns)),
        )
    })?;
    let output = one
        .columns
        .iter()
        .map(|name| position(name).ok_or(name))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|missing| unlike(format!("`many` lacks the column \"{missing}\" that `query` returns")))?;
    let surplus = (0..columns.len()).find(|at| *at != key_column && !output.contains(at));
    if let Some(at) = surplus {
        return Err(unlike(format!("`many` returns the column \"{}\" that `query` does not", columns[at])));
    }
    // The rewritten text is prepared too: a load must not be the first to find out.
    connection.prepare(&sql).map_err(|error| unprepared(connection, "many", &error))?;
    Ok(Batch { ask: Ask { sql, binds, columns, output }, key: Arc::clone(key), key_column })
}

fn unlike(problem: String) -> SetupError {
    SetupError::new(problem, "let both return the same columns; `many` may add the key's")
}

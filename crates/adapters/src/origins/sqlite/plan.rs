//! Is a space's SQL right, and what will it return? Judged once, before the first load.

use std::sync::Arc;

use rusqlite::{Connection, Statement};

use super::super::sql::check::{self, Shape};
use super::super::sql::{Dialect, LIST, SqlQuery, TABLES_LISTED};
use super::super::{SetupError, listed};
use super::{fault, sql};

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
    check::known(&binds, &query.captures)?;
    let shape = check::shape(query.column.as_deref(), query.rows, &columns)?;
    let heads = columns.iter().enumerate().map(|(at, name)| head(at, name)).collect();
    let output = (0..columns.len()).collect();
    let one = Ask { sql: query.query, binds, columns, output };
    let many =
        query.many.map(|many| batch(connection, &many, &one)).transpose().map_err(|error| error.about("many"))?;
    Ok(Plan { one, many, shape, heads, max_rows: query.max_rows, max_bytes: query.max_bytes })
}

fn head(at: usize, name: &str) -> String {
    let name = serde_json::Value::from(name);
    format!("{}{name}:", if at == 0 { '{' } else { ',' })
}

/// Checks one statement and returns its placeholders, without colons, and its columns.
pub(super) fn inspect(
    connection: &Connection,
    what: &str,
    text: &str,
    captures: &[Arc<str>],
) -> Result<(Vec<Arc<str>>, Vec<String>), SetupError> {
    check::text(what, text, captures, Dialect::Sqlite)?;
    let statement = connection.prepare(text).map_err(|error| unprepared(connection, what, &error))?;
    if !statement.readonly() {
        return Err(SetupError::new(format!("`{what}` writes"), "write a statement that only reads"));
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    check::distinct(what, &columns)?;
    Ok((placeholders(&statement, what)?, columns))
}

fn unprepared(connection: &Connection, what: &str, error: &rusqlite::Error) -> SetupError {
    if matches!(error, rusqlite::Error::MultipleStatement) {
        return check::several_statements(what);
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
            full.strip_prefix(':').map(Arc::from).ok_or_else(|| check::foreign_placeholder(what, full))
        })
        .collect()
}

fn batch(connection: &Connection, many: &str, one: &Ask) -> Result<Batch, SetupError> {
    let key = check::key(&one.binds)?;
    let (binds, columns) = inspect(connection, "many", many, std::slice::from_ref(key))?;
    check::only_the_list(&binds, key)?;
    let sql = sql::expand_in(many, &format!(":{LIST}")).ok_or_else(|| check::misplaced_list(key))?;
    let (key_column, output) = check::pairs(&columns, &one.columns, key)?;
    // The rewritten text is prepared too: a load must not be the first to find out.
    connection.prepare(&sql).map_err(|error| unprepared(connection, "many", &error))?;
    Ok(Batch { ask: Ask { sql, binds, columns, output }, key: Arc::clone(key), key_column })
}

//! Which keys has a database? A statement without parameters, row by row, on a connection of its own.

use std::sync::Arc;

use futures_util::FutureExt;
use rusqlite::Connection;

use super::super::{KEYS_TIMEOUT, KeySink, Keys, KeysFuture, SetupError, key_columns};
use super::plan;
use super::pool::Pool;
use super::run::key_of;
use super::session::{File, Trouble};

/// The keys of one space.
#[derive(Clone, Debug)]
pub struct SqliteKeys {
    sql: Arc<str>,
    /// Of the captures.
    columns: Arc<[usize]>,
    pool: Arc<Pool>,
}

pub(super) fn keys(
    file: &File,
    connection: &Connection,
    text: &str,
    captures: &[Arc<str>],
) -> Result<SqliteKeys, SetupError> {
    let (binds, columns) = plan::inspect(connection, "keys", text, &[]).map_err(|error| error.about("keys"))?;
    if let Some(name) = binds.first() {
        let found = format!("`keys` has the placeholder :{name}");
        return Err(SetupError::new(found, "it names all keys: write it without parameters").about("keys"));
    }
    let columns = key_columns(captures, &columns)?;
    let pool = Arc::new(Pool::new(file.clone(), 1, KEYS_TIMEOUT));
    Ok(SqliteKeys { sql: text.into(), columns: columns.into(), pool })
}

impl Keys for SqliteKeys {
    fn each(&self, mut sink: KeySink) -> KeysFuture<'_> {
        let (sql, columns) = (self.sql.clone(), self.columns.clone());
        let walk = move |connection: &Connection, _: &_| {
            let mut statement = connection.prepare(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let captures = columns.iter().map(|at| Ok(key_of(row.get_ref(*at)?)));
                let captures: Option<Vec<String>> = captures.collect::<Result<_, Trouble>>()?;
                // A row whose key is NULL, or no text, has none.
                if captures.is_some_and(|captures| !sink(captures)) {
                    break;
                }
            }
            Ok(())
        };
        self.pool.run(walk).boxed()
    }
}

//! What does a space ask of the database, and what becomes of its rows?

use std::sync::Arc;

use super::super::MAX_VALUE_BYTES;

/// Rows of one statement, unless the query says otherwise.
const MAX_ROWS: usize = 10_000;

/// How rows become a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// One row, one JSON object. No row is a missing value, two rows are an error.
    #[default]
    One,
    /// All rows, one JSON array. No row is an empty array, which is a value.
    All,
}

/// The SQL of one space.
#[derive(Clone, Debug)]
pub struct SqlQuery {
    pub(crate) query: String,
    pub(crate) many: Option<String>,
    pub(crate) rows: Rows,
    pub(crate) column: Option<String>,
    pub(crate) captures: Vec<Arc<str>>,
    pub(crate) max_rows: usize,
    pub(crate) max_bytes: usize,
}

impl SqlQuery {
    /// A query, and the names that the key's template captures: each `:name` in the query must be
    /// one of them.
    pub fn new<S: Into<Arc<str>>>(query: impl Into<String>, captures: impl IntoIterator<Item = S>) -> SqlQuery {
        SqlQuery {
            query: query.into(),
            many: None,
            rows: Rows::One,
            column: None,
            captures: captures.into_iter().map(Into::into).collect(),
            max_rows: MAX_ROWS,
            max_bytes: MAX_VALUE_BYTES,
        }
    }

    /// The query for many keys: `… WHERE name IN (:ids)`, or `= ANY (:ids)` where the database has arrays. `:ids` are
    /// the values of the capture, whatever that is called. It returns the columns of the query, and a column named like the capture.
    #[must_use]
    pub fn many(mut self, many: impl Into<String>) -> SqlQuery {
        self.many = Some(many.into());
        self
    }

    /// How rows become a body; default [`Rows::One`].
    #[must_use]
    pub fn rows(mut self, rows: Rows) -> SqlQuery {
        self.rows = rows;
        self
    }

    /// Serve the raw bytes of this column instead of JSON. A BLOB (bytea) or TEXT as it is stored, a
    /// number in decimal; NULL is a missing value, like a row that is not there.
    #[must_use]
    pub fn column(mut self, column: impl Into<String>) -> SqlQuery {
        self.column = Some(column.into());
        self
    }

    /// The most rows a statement may return; default 10,000.
    #[must_use]
    pub fn max_rows(mut self, rows: usize) -> SqlQuery {
        self.max_rows = rows;
        self
    }

    /// The most bytes a body may have; default 8 MiB. A whole batch may have four times as many.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> SqlQuery {
        self.max_bytes = bytes;
        self
    }
}

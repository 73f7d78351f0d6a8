//! What is an origin once it is open? A reload goes on with it where nothing about it changed.

use bellwether_adapters::{HttpOrigin, SqliteOrigin};

/// An origin that was opened.
pub(super) struct Opened {
    /// As in `[origin.NAME]`.
    pub(super) name: String,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Sqlite(SqliteOrigin),
    Http { origin: Box<HttpOrigin>, base_path: String },
}

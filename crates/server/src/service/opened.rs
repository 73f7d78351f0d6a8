//! What is an origin once it is open? A reload goes on with it where nothing about it changed.

#[cfg(feature = "postgres")]
use bellwether_adapters::PostgresOrigin;
use bellwether_adapters::{HttpOrigin, SqliteOrigin};

/// An origin that was opened.
pub(super) struct Opened {
    /// As in `[origin.NAME]`.
    pub(super) name: String,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Sqlite(SqliteOrigin),
    #[cfg(feature = "postgres")]
    Postgres(PostgresOrigin),
    Http {
        origin: Box<HttpOrigin>,
        base_path: String,
    },
}

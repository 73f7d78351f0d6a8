//! Where do values come from, where else do they live, and how do processes hear of each other? Bellwether's origins,
//! tiers and event streams, each behind a cargo feature.
//!
//! An origin is opened once and hands out one [`Origin`] per space: [`SqliteOrigin`] becomes a
//! [`SqliteSpace`] with a query, [`PostgresOrigin`] a [`PostgresSpace`], [`HttpOrigin`] an [`HttpSpace`] with a path. Everything that can
//! be judged before the first load is judged there and told as a [`SetupError`].
#![forbid(unsafe_code)]

mod captures;
pub mod events;
mod origins;
mod payload;
pub mod tiers;

pub use captures::{Capture, Captures};
#[cfg(feature = "http")]
pub use origins::http::{Accept, HttpGet, HttpKeys, HttpOrigin, HttpSpace, KeyOfLine};
#[cfg(feature = "postgres")]
pub use origins::postgres::{PostgresKeys, PostgresOrigin, PostgresSpace, PostgresUrl, SslMode};
pub use origins::sql::{Dialect, MAX_BATCH, Rows, SqlQuery, Token, TokenKind, tokens};
#[cfg(all(any(test, feature = "fuzzing"), feature = "sqlite"))]
#[doc(hidden)]
pub use origins::sqlite::fuzzing;
#[cfg(feature = "sqlite")]
pub use origins::sqlite::{OnConnect, SqliteKeys, SqliteOrigin, SqliteSpace};
pub use origins::{
    BatchFuture, CheckFuture, KeySink, Keys, KeysFuture, LoadFuture, NotReady, Origin, ReadyFuture, SetupError,
};
pub use payload::{Payload, Validator};

//! Which keys has a database? A statement without parameters, row by row, on a connection that is given up afterwards.

use std::pin::pin;
use std::sync::Arc;

use bellwether::{FailClass, LoadError};
use futures_util::{FutureExt, TryStreamExt};
use tokio_postgres::SimpleQueryMessage;

use super::super::sql::{Dialect, check};
use super::super::{KEYS_TIMEOUT, KeySink, Keys, KeysFuture, SetupError, key_columns};
use super::fault;
use super::link::{Link, Trouble};

/// The keys of one space.
#[derive(Clone, Debug)]
pub struct PostgresKeys {
    link: Arc<Link>,
    sql: Arc<str>,
    captures: Arc<[Arc<str>]>,
}

pub(super) fn keys(link: &Arc<Link>, text: &str, captures: Vec<Arc<str>>) -> Result<PostgresKeys, SetupError> {
    check::text("keys", text, &[], Dialect::Postgres).map_err(|error| error.about("keys"))?;
    Ok(PostgresKeys { link: link.clone(), sql: text.into(), captures: captures.into() })
}

impl Keys for PostgresKeys {
    fn each(&self, sink: KeySink) -> KeysFuture<'_> {
        self.walk(sink).boxed()
    }
}

impl PostgresKeys {
    async fn walk(&self, mut sink: KeySink) -> Result<(), LoadError> {
        let failed = |error: tokio_postgres::Error| {
            tracing::warn!(error = fault::words(&error), "the keys of a space can't be told");
            fault::load_error(&error)
        };
        // Dropped while not at rest: what it works on is stopped, and it is not used again.
        let held = self.link.hold().await.map_err(Trouble::load_error)?;
        let limit = format!("SET statement_timeout = {}", KEYS_TIMEOUT.as_millis());
        held.batch_execute(&limit).await.map_err(failed)?;
        let mut rows = pin!(held.simple_query_raw(&self.sql).await.map_err(failed)?);
        let mut columns: Option<Vec<usize>> = None;
        while let Some(message) = rows.try_next().await.map_err(failed)? {
            let SimpleQueryMessage::Row(row) = message else { continue };
            if columns.is_none() {
                let names: Vec<String> = row.columns().iter().map(|column| column.name().to_owned()).collect();
                columns = Some(key_columns(&self.captures, &names).map_err(|error| {
                    tracing::warn!(problem = error.problem(), hint = error.hint(), "the keys of a space can't be told");
                    LoadError::new(FailClass::Failed, "`keys` has no column for a capture: the log says which")
                })?);
            }
            let captures = columns.iter().flatten().map(|at| row.get(*at).map(str::to_owned));
            let captures: Option<Vec<String>> = captures.collect();
            // A row whose key is NULL has none.
            if captures.is_some_and(|captures| !sink(captures)) {
                break;
            }
        }
        Ok(())
    }
}

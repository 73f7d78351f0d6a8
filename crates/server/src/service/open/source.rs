//! Can a space's origin answer what the space asks of it? Statements, paths, lists of keys.

use std::borrow::Cow;
use std::sync::Arc;

#[cfg(feature = "postgres")]
use bellwether_adapters::PostgresOrigin;
use bellwether_adapters::{HttpGet, HttpOrigin, Keys, Origin, Payload, SetupError, SqlQuery, SqliteOrigin};
use bellwether_core::template::Match;
use bytes::Bytes;

use super::super::hotlist::decoded;
use super::super::opened::Kind;
use super::super::served::{Source, plain_payload};
use super::wrong::{setup_problem, sql_problem};
use crate::config::{self, HttpSource, OriginConfig, Problem, SpaceConfig, SqlSource};

/// What is asked of an SQL origin, whichever it is.
trait SqlOrigin {
    /// Takes a statement.
    fn ask(&self, query: SqlQuery) -> Result<Arc<dyn Origin>, SetupError>;
    /// Takes the statement that names all keys.
    fn name_keys(&self, text: &str, names: Vec<String>) -> Result<Arc<dyn Keys>, SetupError>;
}

impl SqlOrigin for SqliteOrigin {
    fn ask(&self, query: SqlQuery) -> Result<Arc<dyn Origin>, SetupError> {
        Ok(Arc::new(self.query(query)?))
    }

    fn name_keys(&self, text: &str, names: Vec<String>) -> Result<Arc<dyn Keys>, SetupError> {
        Ok(Arc::new(self.keys(text, names)?))
    }
}

#[cfg(feature = "postgres")]
impl SqlOrigin for PostgresOrigin {
    fn ask(&self, query: SqlQuery) -> Result<Arc<dyn Origin>, SetupError> {
        Ok(Arc::new(self.query(query)?))
    }

    fn name_keys(&self, text: &str, names: Vec<String>) -> Result<Arc<dyn Keys>, SetupError> {
        Ok(Arc::new(self.keys(text, names)?))
    }
}

/// Where the values of a space come from; `None` where it asks another kind of origin than this is, which the
/// configuration does not let through.
pub(super) fn of(
    config: &SpaceConfig,
    origin: &OriginConfig,
    kind: &Kind,
    subject: &str,
) -> Result<Option<Source>, Box<Problem>> {
    let sql: Option<&dyn SqlOrigin> = match kind {
        Kind::Sqlite(origin) => Some(origin),
        #[cfg(feature = "postgres")]
        Kind::Postgres(origin) => Some(origin),
        Kind::Http { .. } => None,
    };
    let (space, keys, many) = match (&config.source, kind, sql) {
        (config::Source::Sql(sql), _, Some(origin)) => {
            let space = sql_space(config, sql, origin, subject)?;
            (space, keys_of(config, sql, origin, subject)?, sql.many.is_some())
        }
        (config::Source::Http(http), Kind::Http { origin, base_path }, _) => {
            let space = http_space(config, http, origin, base_path, subject)?;
            (space, http_keys(config, http, origin, base_path, subject)?, false)
        }
        _ => return Ok(None),
    };
    Ok(Some(Source::new(space, &config.template, many, origin).naming(keys)))
}

/// The answer of a space whose load failed, of the type that its values have as far as that is known.
pub(super) fn default_of(text: &str, source: &config::Source) -> Payload {
    let json = || serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let content_type = match source {
        config::Source::Sql(sql) if sql.column.is_none() && json() => Some(Cow::Borrowed(JSON)),
        config::Source::Http(HttpSource { accept, .. }) => match &accept.content_type {
            Some(kind) if kind == JSON => json().then_some(Cow::Borrowed(JSON)),
            Some(kind) => Some(Cow::Owned(kind.clone())),
            None if accept.json && json() => Some(Cow::Borrowed(JSON)),
            None => None,
        },
        config::Source::Plain | config::Source::Sql(_) => None,
    };
    Payload { content_type, ..plain_payload(Bytes::copy_from_slice(text.as_bytes())) }
}

const JSON: &str = "application/json";

/// What names a space's keys, if anything does.
fn keys_of(
    config: &SpaceConfig,
    sql: &SqlSource,
    origin: &dyn SqlOrigin,
    subject: &str,
) -> Result<Option<Arc<dyn Keys>>, Box<Problem>> {
    let Some(keys) = &sql.keys else { return Ok(None) };
    let names = config.template.captures().map(|(name, _)| name.to_owned()).collect();
    let named = origin.name_keys(&keys.text, names);
    named.map(Some).map_err(|error| setup_problem(&keys.place, subject, &error))
}

fn sql_space(
    config: &SpaceConfig,
    sql: &SqlSource,
    origin: &dyn SqlOrigin,
    subject: &str,
) -> Result<Arc<dyn Origin>, Box<Problem>> {
    let names = config.template.captures().map(|(name, _)| name);
    let mut query = SqlQuery::new(sql.query.text.as_str(), names).rows(sql.rows);
    if let Some(many) = &sql.many {
        query = query.many(many.text.as_str());
    }
    if let Some(column) = &sql.column {
        query = query.column(column.text.as_str());
    }
    origin.ask(query).map_err(|error| sql_problem(sql, subject, &error))
}

fn http_space(
    config: &SpaceConfig,
    http: &HttpSource,
    origin: &HttpOrigin,
    base_path: &str,
    subject: &str,
) -> Result<Arc<dyn Origin>, Box<Problem>> {
    let names = config.template.captures().map(|(name, _)| name);
    let get = HttpGet::new(format!("{base_path}{}", http.get.as_str()), names);
    let space = origin.get(get.accept(http.accept.clone()));
    let space = space.map_err(|error| setup_problem(&http.place, subject, &error))?;
    Ok(Arc::new(space))
}

/// What names the keys of a space over HTTP: a line is a key as it is written in lists for `warm`.
fn http_keys(
    config: &SpaceConfig,
    http: &HttpSource,
    origin: &HttpOrigin,
    base_path: &str,
    subject: &str,
) -> Result<Option<Arc<dyn Keys>>, Box<Problem>> {
    let Some(keys) = &http.keys else { return Ok(None) };
    let template = config.template.clone();
    let key = move |line: &str| {
        let key = decoded(line)?;
        let Match::Yes(captures) = template.match_key(&key) else { return None };
        captures.parts().iter().map(|part| String::from_utf8(part.to_vec()).ok()).collect()
    };
    let opened = origin.keys(&format!("{base_path}{}", keys.text), Box::new(key));
    let opened = opened.map_err(|error| setup_problem(&keys.place, subject, &error))?;
    Ok(Some(Arc::new(opened)))
}

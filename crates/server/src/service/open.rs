//! Can everything that the configuration names be opened? Origins, statements, spaces: every problem at once.

use std::collections::HashMap;
use std::sync::Arc;

use bellwether::{Cache, Space};
use bellwether_adapters::{HttpGet, HttpOrigin, Origin, Payload, SetupError, SqlQuery, SqliteOrigin};
use bellwether_core::policy::Early;
use bytes::Bytes;
use tokio::runtime::Handle;

use super::served::{Served, Source, generation_prefix};
use super::tally::Tally;
use crate::config::{self, Config, HttpSource, OriginConfig, OriginKind, Place, Problem, SpaceConfig, SqlSource};

/// An origin that was opened, with its guard.
struct Opened {
    guard: bellwether::Origin,
    kind: Kind,
}

enum Kind {
    Sqlite(SqliteOrigin),
    Http { origin: Box<HttpOrigin>, base_path: String },
}

/// The cache and the spaces of a configuration.
pub(super) fn open(config: &Config, loads: Handle) -> Result<(Cache, Vec<Served>), Vec<Problem>> {
    let cache =
        Cache::builder().memory_bytes(config.memory.limit).eviction(config.memory.eviction).runtime(loads).build();
    let cache = cache.map_err(|error| vec![*problem(&Place::File, "[memory]", error.to_string(), None)])?;
    let mut problems = Vec::new();
    let mut origins = HashMap::new();
    for origin in &config.origins {
        match open_origin(&cache, origin) {
            Ok(opened) => drop(origins.insert(origin.name.as_str(), opened)),
            Err(problem) => problems.push(*problem),
        }
    }
    let mut spaces = Vec::new();
    for space in &config.spaces {
        match serve(&cache, space, &origins) {
            Ok(served) => spaces.extend(served),
            Err(problem) => problems.push(*problem),
        }
    }
    if problems.is_empty() {
        return Ok((cache, spaces));
    }
    problems.iter_mut().for_each(|problem| problem.file.clone_from(&config.file));
    problems.sort_by(|a, b| a.place.cmp(&b.place));
    Err(problems)
}

fn open_origin(cache: &Cache, origin: &OriginConfig) -> Result<Opened, Box<Problem>> {
    let subject = format!("[origin.{}]", origin.name);
    let budget = &origin.budget;
    let most = budget.max_concurrency as usize;
    let failed = |error: SetupError| setup_problem(&origin.place, &subject, &error);
    let kind = match &origin.kind {
        OriginKind::Sqlite { path } => {
            Kind::Sqlite(SqliteOrigin::open(path, most, budget.timeout.into()).map_err(failed)?)
        }
        OriginKind::Http(base) => {
            let scheme = if base.tls { "https" } else { "http" };
            let origin = HttpOrigin::open(&format!("{scheme}://{}", base.authority()), most).map_err(failed)?;
            Kind::Http { origin: Box::new(origin), base_path: base.path.clone() }
        }
    };
    let guard = cache.origin(&origin.name, budget.clone());
    let guard = guard.map_err(|error| problem(&origin.place, &subject, error.to_string(), None))?;
    Ok(Opened { guard, kind })
}

/// `None` if its origin could not be opened: that was said already.
fn serve(cache: &Cache, config: &SpaceConfig, origins: &HashMap<&str, Opened>) -> Result<Option<Served>, Box<Problem>> {
    let subject = format!("[[space]] '{}'", config.name);
    let mut policy = config.policy.clone();
    let opened = match config.source.origin() {
        None => {
            // Nobody could refresh it: the value is its clients'.
            policy.early = Early::Off;
            None
        }
        Some(name) => match origins.get(name) {
            None => return Ok(None),
            opened => opened,
        },
    };
    let source = match (&config.source, opened.map(|opened| &opened.kind)) {
        (config::Source::Sql(sql), Some(Kind::Sqlite(origin))) => Some(sql_source(config, sql, origin, &subject)?),
        (config::Source::Http(http), Some(Kind::Http { origin, base_path })) => {
            Some(http_source(config, http, origin, base_path, &subject)?)
        }
        _ => None,
    };
    let space: Result<Space<[u8], Payload>, _> = match opened {
        Some(opened) => cache.space_on(&opened.guard, &config.name, policy.clone()),
        None => cache.space_on(&cache.default_origin(), &config.name, policy.clone()),
    };
    let mut space = space.map_err(|error| problem(&config.place, &subject, error.to_string(), None))?;
    if let Some(default) = &config.default {
        space = space.with_default(plain_payload(Bytes::copy_from_slice(default.as_bytes())));
    }
    Ok(Some(Served {
        name: config.name.clone(),
        template: config.template.clone(),
        space,
        policy,
        origin: source,
        tags: config.tags.clone(),
        generation: generation_prefix(config.generation.as_deref()),
        tally: Tally::default(),
    }))
}

/// A body that no origin described.
pub(super) fn plain_payload(body: Bytes) -> Payload {
    Payload { body, validator: None, content_type: None }
}

fn sql_source(
    config: &SpaceConfig,
    sql: &SqlSource,
    origin: &SqliteOrigin,
    subject: &str,
) -> Result<Source, Box<Problem>> {
    let names = config.template.captures().map(|(name, _)| name);
    let mut query = SqlQuery::new(sql.query.text.as_str(), names).rows(sql.rows);
    if let Some(many) = &sql.many {
        query = query.many(many.text.as_str());
    }
    if let Some(column) = &sql.column {
        query = query.column(column.as_str());
    }
    let space = origin.query(query).map_err(|error| setup_problem(&sql.query.place, subject, &error))?;
    Ok(Source::new(Arc::new(space) as Arc<dyn Origin>, &config.template, sql.many.is_some()))
}

fn http_source(
    config: &SpaceConfig,
    http: &HttpSource,
    origin: &HttpOrigin,
    base_path: &str,
    subject: &str,
) -> Result<Source, Box<Problem>> {
    let names = config.template.captures().map(|(name, _)| name);
    let get = HttpGet::new(format!("{base_path}{}", http.get.as_str()), names);
    let space = origin.get(get.accept(http.accept.clone()));
    let space = space.map_err(|error| setup_problem(&config.place, subject, &error))?;
    Ok(Source::new(Arc::new(space) as Arc<dyn Origin>, &config.template, false))
}

fn setup_problem(place: &Place, subject: &str, error: &SetupError) -> Box<Problem> {
    problem(place, subject, error.problem().to_owned(), Some(error.hint().to_owned()))
}

fn problem(place: &Place, subject: &str, found: String, hint: Option<String>) -> Box<Problem> {
    Box::new(Problem {
        file: String::new(),
        place: place.clone(),
        subject: subject.to_owned(),
        found,
        expected: "what can be used as it is written".to_owned(),
        hint,
    })
}

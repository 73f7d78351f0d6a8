//! Can everything that the configuration names be opened? Origins, statements, spaces: every problem at once.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bellwether::shared::Sharing;
use bellwether::{Cache, Clock, Revision, Space, Tick};
#[cfg(feature = "postgres")]
use bellwether_adapters::PostgresOrigin;
use bellwether_adapters::{HttpGet, HttpOrigin, Keys, Origin, Payload, SetupError, SqlQuery, SqliteOrigin};
use bellwether_core::policy::Early;
use bellwether_core::template::{Match, Template};
use bytes::Bytes;
use tokio::runtime::Handle;

use super::budgets::Budgets;
use super::filter::{Filter, Filtered, Known};
use super::fleet::codec::Payloads;
use super::fleet::naming::Names;
use super::fleet::{Fleet, backplane};
use super::front::Front;
use super::hotlist::decoded;
use super::identity;
use super::opened::{Kind, Opened};
use super::served::{Served, Source, generation_prefix};
use super::serving::Serving;
use super::shelf::{self, Shelf};
use super::tally::Tally;
use super::watch::Watch;
use crate::config::{
    self, Changes, Config, Disk, HttpSource, OriginChange, OriginConfig, OriginKind, Place, Problem, SpaceChange,
    SpaceConfig, SqlSource, Tiers,
};

/// The origin of plain spaces, which never loads: by a name that no `[origin.NAME]` can have.
pub(super) const NO_ORIGIN: &str = "";

/// An origin with its guard.
struct Guarded<'c> {
    config: &'c OriginConfig,
    opened: Arc<Opened>,
    guard: bellwether::Origin,
}

/// What is at work, and what is to become of it.
pub(super) type Before<'b> = Option<(&'b Serving, &'b Changes)>;

/// What something is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To serve.
    Serve,
    /// To see whether it could: nothing is left behind, on this machine's disk or in what processes share.
    Check,
}

/// A cache with a configuration at work.
pub(super) fn open(
    config: Config,
    loads: Handle,
    fleet: Option<&Fleet>,
    (watch, filters): (&Arc<Watch>, &Arc<Known>),
    purpose: Purpose,
) -> Result<(Cache, Serving), Vec<Problem>> {
    let (memory, clock) = (&config.memory, Clock::system());
    let hot = config.hot.policy.clone();
    let cache = Cache::builder()
        .memory_bytes(memory.limit)
        .eviction(memory.eviction)
        .looks_up_many(true)
        .hot(hot)
        .clock(clock.clone());
    let mut cache = cache.origin_name(NO_ORIGIN).runtime(loads);
    let of_disk = |disk: &Disk, error: SetupError| {
        vec![Problem { file: config.file.clone(), ..*setup_problem(&disk.place, "[disk]", &error) }]
    };
    if let (Some(disk), Purpose::Check) = (&config.disk, purpose) {
        shelf::look(disk).map_err(|error| of_disk(disk, error))?;
    } else if let Some(disk) = &config.disk {
        let opened = shelf::open(disk, fleet.is_some(), clock);
        let Shelf { tier, ledger } = opened.map_err(|error| of_disk(disk, error))?;
        cache = cache.disk(tier);
        if let Some(ledger) = ledger {
            cache = cache.ledger(ledger);
        }
    }
    if let Some(Fleet { tier, shared, announcements, .. }) = fleet {
        cache = cache.shared_with(tier.tier()).shared_timeout(shared.timeout).shared_resync(shared.resync);
        let failed = |(found, hint): (String, String)| {
            let problem = *problem(&shared.place, "[shared] backplane", found, Some(hint));
            vec![Problem { file: config.file.clone(), ..problem }]
        };
        // Who only checks would begin the fleet's stream.
        if let Some(events) = backplane::backplane(shared).map_err(failed)?.filter(|_| purpose == Purpose::Serve) {
            let (watch, filters, announced) = (watch.clone(), filters.clone(), announcements.clone());
            cache = cache
                .backplane(events)
                .on_heard(move |heard| backplane::heard(&watch, &filters, announced.as_deref(), heard));
        }
    }
    let cache = cache.build();
    let cache = cache.map_err(|error| vec![*problem(&Place::File, "[memory]", error.to_string(), None)])?;
    let (serving, revision) = prepare(&cache, config, None)?;
    revision.commit().map_err(|error| vec![*problem(&Place::File, "[[space]]", error.to_string(), None)])?;
    serving.prepare_hot(cache.clock().now());
    Ok((cache, serving))
}

/// Everything that `config` names, opened and ready: nothing has changed before the revision is committed.
pub(super) fn prepare(cache: &Cache, config: Config, before: Before<'_>) -> Result<(Serving, Revision), Vec<Problem>> {
    let mut revision = cache.revise();
    let mut problems = Vec::new();
    let mut origins = Vec::new();
    for origin in &config.origins {
        match guarded(&mut revision, origin, before) {
            Ok(guarded) => origins.push(guarded),
            Err(problem) => problems.push(*problem),
        }
    }
    let mut spaces = Vec::new();
    let templates: Arc<[Template]> = config.spaces.iter().map(|space| space.template.clone()).collect();
    for (at, space) in config.spaces.iter().enumerate() {
        let tiers = Tiers {
            shared: config.shared.is_some() && space.tiers.shared,
            disk: config.disk.is_some() && space.tiers.disk,
        };
        let shares = Shares { templates: &templates, at, tiers };
        match serve(cache, &mut revision, space, &origins, &shares, before) {
            Ok(served) => spaces.extend(served),
            Err(problem) => problems.push(*problem),
        }
    }
    if problems.is_empty() {
        let origins = origins.into_iter().map(|origin| origin.opened).collect();
        let nowhere = before.map(|(serving, _)| serving.nowhere.clone()).unwrap_or_default();
        let front = Arc::new(Front::of(&spaces));
        return Ok((Serving { spaces, front, origins, nowhere, config }, revision));
    }
    problems.iter_mut().for_each(|problem| problem.file.clone_from(&config.file));
    problems.sort_by(|a, b| a.place.cmp(&b.place));
    Err(problems)
}

fn guarded<'c>(
    revision: &mut Revision,
    config: &'c OriginConfig,
    before: Before<'_>,
) -> Result<Guarded<'c>, Box<Problem>> {
    let same = before.filter(|(_, changes)| changes.origin(&config.name) == OriginChange::Same);
    let opened = same.and_then(|(serving, _)| serving.origins.iter().find(|opened| opened.name == config.name));
    let opened = match opened {
        Some(opened) => opened.clone(),
        None => Arc::new(Opened { name: config.name.clone(), kind: open_origin(config)? }),
    };
    let guard = revision.origin(&config.name, config.budget.clone());
    let guard = guard.map_err(|error| problem(&config.place, &subject_of(config), error.to_string(), None))?;
    Ok(Guarded { config, opened, guard })
}

/// Opens what the file names, whatever else is wrong with it: origins, and the place of the disk tier.
pub(super) fn openable(config: &Config) -> Vec<Problem> {
    let disk = config.disk.as_ref().and_then(|disk| shelf::look(disk).err().map(|error| (disk, error)));
    let disk = disk.map(|(disk, error)| setup_problem(&disk.place, "[disk]", &error));
    let origins = config.origins.iter().filter_map(|origin| open_origin(origin).err());
    origins.chain(disk).map(|problem| *problem).collect()
}

fn subject_of(config: &OriginConfig) -> String {
    format!("[origin.{}]", config.name)
}

fn open_origin(origin: &OriginConfig) -> Result<Kind, Box<Problem>> {
    let subject = subject_of(origin);
    let budget = &origin.budget;
    let most = budget.max_concurrency as usize;
    let failed = |error: SetupError| setup_problem(&origin.place, &subject, &error);
    Ok(match &origin.kind {
        OriginKind::Sqlite { path } => {
            let opened = SqliteOrigin::open_with(path, most, budget.timeout.into(), origin.on_connect.clone());
            Kind::Sqlite(opened.map_err(failed)?)
        }
        #[cfg(feature = "postgres")]
        OriginKind::Postgres(url) => {
            let opened = PostgresOrigin::open(url.clone(), most, budget.timeout.into());
            Kind::Postgres(opened.map_err(failed)?)
        }
        OriginKind::Http(base) => {
            let scheme = if base.tls { "https" } else { "http" };
            let origin = HttpOrigin::open(&format!("{scheme}://{}", base.authority()), most).map_err(failed)?;
            Kind::Http { origin: Box::new(origin), base_path: base.path.clone() }
        }
    })
}

/// What a space needs to be shared.
struct Shares<'t> {
    /// Of all spaces, in their order.
    templates: &'t Arc<[Template]>,
    /// This space among them.
    at: usize,
    /// The tiers that are there, and that the space uses.
    tiers: Tiers,
}

impl Shares<'_> {
    fn sharing(&self, config: &SpaceConfig, origin: Option<&OriginConfig>) -> Option<Sharing<Payload>> {
        let generation = config.generation.as_deref();
        let names = || Names::new(self.templates.clone(), self.at, generation, &generation_prefix(generation));
        let made = || Sharing::with(Payloads).named(names()).recipe(identity::of(config, origin));
        // Nothing that a client can say clears a space, and what a plain one lacks nobody can load.
        let sharing = || if origin.is_none() { made().by_key_alone() } else { made() };
        match self.tiers {
            Tiers { shared: true, disk: true } => Some(sharing()),
            Tiers { shared: true, disk: false } => Some(sharing().only_shared()),
            Tiers { shared: false, disk: true } => Some(sharing().only_disk()),
            Tiers { shared: false, disk: false } => None,
        }
    }
}

/// Why a space that begins anew can't: other processes, and this one, would find its old values again.
fn would_come_back(config: &SpaceConfig, subject: &str, before: Before<'_>) -> Result<(), Box<Problem>> {
    let Some((serving, changes)) = before else { return Ok(()) };
    let SpaceChange::Renewed(reasons) = changes.space(&config.name) else { return Ok(()) };
    let was = serving.config.spaces.iter().find(|was| was.name == config.name);
    let same_names = was.is_some_and(|was| was.generation == config.generation && was.tiers.shared);
    if !(same_names && config.tiers.shared) {
        return Ok(());
    }
    let found = format!("another `{}` under the same `generation`", reasons.join("`, `"));
    let hint = "set another `generation`: other processes, and the tier, have values of before";
    Err(problem(&config.place, subject, found, Some(hint.to_owned())))
}

/// `None` if its origin could not be opened: that was said already.
fn serve(
    cache: &Cache,
    revision: &mut Revision,
    config: &SpaceConfig,
    origins: &[Guarded<'_>],
    shares: &Shares<'_>,
    before: Before<'_>,
) -> Result<Option<Served>, Box<Problem>> {
    let subject = format!("[[space]] '{}'", config.name);
    let mut policy = config.policy.clone();
    let origin = match config.source.origin() {
        None => {
            // Nobody could refresh it: the value is its clients'.
            policy.early = Early::Off;
            None
        }
        Some(name) => match origins.iter().find(|origin| origin.opened.name == name) {
            None => return Ok(None),
            origin => origin,
        },
    };
    let source = match (&config.source, origin.map(|origin| (origin.config, &origin.opened.kind))) {
        (config::Source::Sql(sql), Some((of, Kind::Sqlite(origin)))) => {
            let query = |query| origin.query(query).map(|space| Arc::new(space) as Arc<dyn Origin>);
            let space = sql_space(config, sql, query, &subject)?;
            let keys = keys_of(config, sql, &subject, |text, names| origin.keys(text, names))?;
            Some(Source::new(space, &config.template, sql.many.is_some(), of).naming(keys))
        }
        #[cfg(feature = "postgres")]
        (config::Source::Sql(sql), Some((of, Kind::Postgres(origin)))) => {
            let query = |query| origin.query(query).map(|space| Arc::new(space) as Arc<dyn Origin>);
            let space = sql_space(config, sql, query, &subject)?;
            let keys = keys_of(config, sql, &subject, |text, names| origin.keys(text, names))?;
            Some(Source::new(space, &config.template, sql.many.is_some(), of).naming(keys))
        }
        (config::Source::Http(http), Some((of, Kind::Http { origin, base_path }))) => {
            let space = http_space(config, http, origin, base_path, &subject)?;
            let keys = http_keys(config, http, origin, base_path, &subject)?;
            Some(Source::new(space, &config.template, false, of).naming(keys))
        }
        _ => None,
    };
    let guard = origin.map_or_else(|| cache.default_origin(), |origin| origin.guard.clone());
    let anew = before.is_some_and(|(_, changes)| matches!(changes.space(&config.name), SpaceChange::Renewed(_)));
    if anew {
        would_come_back(config, &subject, before)?;
    }
    let space: Result<Space<[u8], Payload>, _> =
        match (anew, shares.sharing(config, origin.map(|origin| origin.config))) {
            (true, sharing) => revision.renew_as(&guard, &config.name, policy.clone(), sharing),
            (false, Some(sharing)) => revision.keep_shared(&guard, &config.name, policy.clone(), sharing),
            (false, None) => revision.keep(&guard, &config.name, policy.clone()),
        };
    let mut space = space.map_err(|error| problem(&config.place, &subject, error.to_string(), None))?;
    if let Some(default) = &config.default {
        space = space.with_default(default_payload(default, &config.source));
    }
    Ok(Some(Served {
        name: config.name.clone(),
        template: config.template.clone(),
        space,
        policy,
        origin: source,
        tags: config.tags.clone(),
        generation: generation_prefix(config.generation.as_deref()),
        tally: tally(&config.name, before),
        filtered: filtered(config, before, anew, cache.clock().now()),
        budgets: budgets(config, before),
        shared: shares.tiers.shared,
        on_disk: shares.tiers.disk,
    }))
}

/// The counts of a space that goes on, or that begins anew under its name.
fn tally(name: &str, before: Before<'_>) -> Arc<Tally> {
    let known = before.and_then(|(serving, _)| serving.spaces.iter().find(|served| served.name == name));
    known.map(|served| served.tally.clone()).unwrap_or_default()
}

/// The filter of a space: the same while it is a filter of the same keys.
fn filtered(config: &SpaceConfig, before: Before<'_>, anew: bool, now: Tick) -> Option<Filtered> {
    let wanted = config.strangers.filter?;
    let keys = |config: &SpaceConfig| match &config.source {
        config::Source::Sql(sql) => sql.keys.as_ref().map(|keys| keys.text.clone()),
        config::Source::Http(http) => http.keys.as_ref().map(|keys| keys.text.clone()),
        config::Source::Plain => None,
    };
    let same = before.filter(|_| !anew).and_then(|(serving, _)| {
        let (was, config_then) =
            serving.spaces.iter().zip(&serving.config.spaces).find(|(was, _)| was.name == config.name)?;
        was.filtered.as_ref().filter(|_| keys(config_then) == keys(config)).map(|filtered| filtered.filter.clone())
    });
    let new = || Arc::new(Filter::new(RandomState::new().hash_one(&config.name), now));
    Some(Filtered { filter: same.unwrap_or_else(new), config: wanted })
}

/// What clients have left of a space: the same while the budgets are.
fn budgets(config: &SpaceConfig, before: Before<'_>) -> Option<Arc<Budgets>> {
    let new = Budgets::of(&config.strangers)?;
    let was = before.and_then(|(serving, _)| serving.spaces.iter().find(|was| was.name == config.name));
    let same = was.and_then(|was| was.budgets.as_ref()).filter(|was| was.rates == new.rates);
    Some(same.cloned().unwrap_or_else(|| Arc::new(new)))
}

/// The answer of a space whose load failed, of the type that its values have as far as that is known.
fn default_payload(text: &str, source: &config::Source) -> Payload {
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

/// A body that no origin described.
pub(super) fn plain_payload(body: Bytes) -> Payload {
    Payload { body, validator: None, content_type: None }
}

/// What names a space's keys, if anything does.
fn keys_of<K: Keys>(
    config: &SpaceConfig,
    sql: &SqlSource,
    subject: &str,
    open: impl FnOnce(&str, Vec<String>) -> Result<K, SetupError>,
) -> Result<Option<Arc<dyn Keys>>, Box<Problem>> {
    let Some(keys) = &sql.keys else { return Ok(None) };
    let names = config.template.captures().map(|(name, _)| name.to_owned()).collect();
    let opened = open(&keys.text, names).map_err(|error| setup_problem(&keys.place, subject, &error))?;
    Ok(Some(Arc::new(opened)))
}

fn sql_space(
    config: &SpaceConfig,
    sql: &SqlSource,
    ask: impl FnOnce(SqlQuery) -> Result<Arc<dyn Origin>, SetupError>,
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
    ask(query).map_err(|error| sql_problem(sql, subject, &error))
}

/// What is wrong with a space's SQL, at the knob that is wrong.
pub(super) fn sql_problem(sql: &SqlSource, subject: &str, error: &SetupError) -> Box<Problem> {
    let knob = match error.knob() {
        Some("many") => sql.many.as_ref(),
        Some("column") => sql.column.as_ref(),
        _ => None,
    };
    setup_problem(&knob.unwrap_or(&sql.query).place, subject, error)
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

pub(super) fn setup_problem(place: &Place, subject: &str, error: &SetupError) -> Box<Problem> {
    let expected = match subject {
        "[disk]" => "a directory that can be used",
        _ if subject.starts_with("[origin") => "an origin that can be opened",
        _ => "what its origin can answer",
    };
    let found = problem(place, subject, error.problem().to_owned(), Some(error.hint().to_owned()));
    Box::new(Problem { expected: expected.to_owned(), ..*found })
}

fn problem(place: &Place, subject: &str, found: String, hint: Option<String>) -> Box<Problem> {
    Box::new(Problem {
        file: String::new(),
        place: place.clone(),
        subject: subject.to_owned(),
        found,
        expected: "what this server can do".to_owned(),
        hint,
    })
}

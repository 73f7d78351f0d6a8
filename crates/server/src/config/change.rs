//! What does a new configuration change in a running server? A comparison; nothing is done here.

use super::resolved::{
    Backplane, Config, Disk, FilterConfig, Listen, Memory, OriginConfig, Query, Shared, SharedAt, Source, SpaceConfig,
    Strangers, Tiers,
};
use bellwether_core::policy::Policy;
use bellwether_core::template::Template;

/// Everything that two configurations differ in, as far as it matters to a running server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Per space of the new configuration, in its order.
    pub spaces: Vec<(String, SpaceChange)>,
    /// Spaces that are no more, with all their entries.
    pub gone_spaces: Vec<String>,
    /// Spaces that go on are tried in another order.
    pub reordered: bool,
    /// Per origin of the new configuration.
    pub origins: Vec<(String, OriginChange)>,
    /// Origins that are no more.
    pub gone_origins: Vec<String>,
    /// Other thresholds of hot keys hold from now on.
    pub hot: bool,
    /// Keys, such as `[listen] http`, that take effect at the next start only.
    pub at_next_start: Vec<&'static str>,
}

/// What becomes of a space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpaceChange {
    /// Nothing.
    Same,
    /// These knobs hold from now on; its entries stay, with the times they were stamped with.
    Adjusted(Vec<&'static str>),
    /// It begins anew, without its entries, for these reasons.
    Renewed(Vec<&'static str>),
    /// It is new.
    Added,
}

/// What becomes of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginChange {
    /// Nothing.
    Same,
    /// It may be asked to bear more or less.
    Budget,
    /// It is another one under the same name: the spaces on it begin anew.
    Replaced,
    /// It is new.
    Added,
}

/// A reason besides the keys of a space: other spaces had keys that it gets (back) now. What it
/// still holds of them may be older than a removal that went to the other space meanwhile.
const KEYS_OF_OTHERS: &str = "keys of other spaces";

impl Changes {
    /// Whether the running server does anything else than before.
    pub fn is_nothing(&self) -> bool {
        let spaces = self.spaces.iter().all(|(_, change)| *change == SpaceChange::Same);
        let origins = self.origins.iter().all(|(_, change)| *change == OriginChange::Same);
        spaces && origins && !self.hot && self.gone_spaces.is_empty() && self.gone_origins.is_empty() && !self.reordered
    }

    /// What becomes of the space called `name`; one that nobody knows is new.
    pub fn space(&self, name: &str) -> &SpaceChange {
        self.spaces.iter().find(|(of, _)| of == name).map_or(&SpaceChange::Added, |(_, change)| change)
    }

    /// What becomes of the origin called `name`; one that nobody knows is new.
    pub fn origin(&self, name: &str) -> OriginChange {
        self.origins.iter().find(|(of, _)| of == name).map_or(OriginChange::Added, |(_, change)| *change)
    }
}

/// The way from `old` to `new`. Origins and spaces are the same if their names are.
pub fn changes(old: &Config, new: &Config) -> Changes {
    let origins: Vec<_> =
        new.origins.iter().map(|origin| (origin.name.clone(), origin_change(&old.origins, origin))).collect();
    let replaced = |name: &str| origins.iter().any(|(of, change)| of == name && *change == OriginChange::Replaced);
    let spaces =
        new.spaces.iter().enumerate().map(|(at, space)| (space.name.clone(), space_change(old, new, at, &replaced)));
    let names = |config: &Config| config.spaces.iter().map(|space| space.name.clone()).collect::<Vec<_>>();
    let (before, after) = (names(old), names(new));
    Changes {
        spaces: spaces.collect(),
        reordered: before
            .iter()
            .filter(|name| after.contains(name))
            .ne(after.iter().filter(|name| before.contains(name))),
        gone_spaces: before.into_iter().filter(|name| !after.contains(name)).collect(),
        gone_origins: gone_origins(old, new),
        hot: old.hot.policy != new.hot.policy,
        origins,
        at_next_start: at_next_start(old, new),
    }
}

fn gone_origins(old: &Config, new: &Config) -> Vec<String> {
    let stays = |name: &str| new.origins.iter().any(|origin| origin.name == name);
    old.origins.iter().map(|origin| origin.name.clone()).filter(|name| !stays(name)).collect()
}

fn origin_change(old: &[OriginConfig], new: &OriginConfig) -> OriginChange {
    let Some(old) = old.iter().find(|old| old.name == new.name) else { return OriginChange::Added };
    match (old.kind == new.kind, old.budget == new.budget) {
        (true, true) => OriginChange::Same,
        (true, false) => OriginChange::Budget,
        (false, _) => OriginChange::Replaced,
    }
}

fn space_change(old: &Config, new: &Config, at: usize, replaced: &dyn Fn(&str) -> bool) -> SpaceChange {
    let Some(space) = new.spaces.get(at) else { return SpaceChange::Added };
    let Some(was_at) = old.spaces.iter().position(|old| old.name == space.name) else { return SpaceChange::Added };
    let Some(before) = old.spaces.get(was_at) else { return SpaceChange::Added };
    let mut reasons = other_values(before, space);
    // What one tier holds of it, the other does not know.
    if before.tiers != tiers_at_work(old, new, space) {
        reasons.push("tiers");
    }
    if space.source.origin().is_some_and(replaced) && !reasons.contains(&"origin") {
        reasons.push("origin");
    }
    if gets_keys(&old.spaces[..was_at], &new.spaces[..at], &space.template) {
        reasons.push(KEYS_OF_OTHERS);
    }
    if !reasons.is_empty() {
        return SpaceChange::Renewed(reasons);
    }
    match other_knobs(before, space) {
        knobs if knobs.is_empty() => SpaceChange::Same,
        knobs => SpaceChange::Adjusted(knobs),
    }
}

/// What makes the values that a space holds those of another space.
fn other_values(old: &SpaceConfig, new: &SpaceConfig) -> Vec<&'static str> {
    // Taken apart, here and below, so that a new key of the file can't be forgotten.
    let SpaceConfig {
        name: _,
        template,
        source,
        policy: _,
        // Compared with the other knobs.
        strangers: _,
        default: _,
        tags,
        generation,
        // Compared by whoever knows which tiers there are.
        tiers: _,
        // It says whether to start.
        strict: _,
        place: _,
    } = old;
    let mut reasons = Vec::new();
    let mut say = |differs: bool, key: &'static str| {
        if differs {
            reasons.push(key);
        }
    };
    say(*template != new.template, "match");
    say(*generation != new.generation, "generation");
    say(source.origin() != new.source.origin(), "origin");
    match (source, &new.source) {
        (Source::Sql(old), Source::Sql(new)) => {
            say(old.query.text != new.query.text, "query");
            let text = |many: &Option<Query>| many.as_ref().map(|query| query.text.clone());
            say(text(&old.many) != text(&new.many), "many");
            say(old.rows != new.rows, "rows");
            say(old.column != new.column, "column");
        }
        (Source::Http(old), Source::Http(new)) => {
            say(old.get != new.get, "get");
            say(old.accept != new.accept, "accept");
        }
        (old, new) => {
            say(std::mem::discriminant(old) != std::mem::discriminant(new) && old.origin() == new.origin(), "origin")
        }
    }
    // What is resident does not carry it: a removal of the tag would miss what it must find.
    say(new.tags.iter().any(|tag| !tags.contains(tag)), "tags");
    reasons
}

/// What changes only how a space's values live from now on.
fn other_knobs(old: &SpaceConfig, new: &SpaceConfig) -> Vec<&'static str> {
    let Policy {
        ttl,
        stale_while_revalidate,
        stale_if_error,
        timeout,
        negative_ttl,
        jitter,
        early,
        priority,
        max_concurrency,
        rate,
        rescue_invalidated,
        staleness_budget,
        memory,
    } = &old.policy;
    let Strangers { filter, absent_per_client, loads_per_client } = old.strangers;
    let now = new.strangers;
    let rebuild = |filter: Option<FilterConfig>| filter.map(|filter| filter.rebuild);
    let hides = |filter: Option<FilterConfig>| filter.and_then(|filter| filter.hides);
    let differs = [
        (*ttl != new.policy.ttl, "ttl"),
        (*stale_while_revalidate != new.policy.stale_while_revalidate, "stale_while_revalidate"),
        (*stale_if_error != new.policy.stale_if_error, "stale_if_error"),
        (*timeout != new.policy.timeout, "timeout"),
        (*negative_ttl != new.policy.negative_ttl, "negative_ttl"),
        (*jitter != new.policy.jitter, "jitter"),
        (*early != new.policy.early, "early"),
        (*priority != new.policy.priority, "priority"),
        (*max_concurrency != new.policy.max_concurrency, "max_concurrency"),
        (*rate != new.policy.rate, "rate"),
        (*rescue_invalidated != new.policy.rescue_invalidated, "rescue_invalidated"),
        (*staleness_budget != new.policy.staleness_budget, "staleness_budget"),
        (*memory != new.policy.memory, "tiers"),
        (old.default != new.default, "default"),
        (old.tags != new.tags, "tags"),
        (old.keys() != new.keys(), "keys"),
        (filter.is_some() != now.filter.is_some(), "filter"),
        (rebuild(filter) != rebuild(now.filter), "filter_rebuild"),
        (hides(filter) != hides(now.filter), "filter_hides"),
        (absent_per_client != now.absent_per_client, "absent_per_client"),
        (loads_per_client != now.loads_per_client, "loads_per_client"),
    ];
    differs.into_iter().filter(|(differs, _)| *differs).map(|(_, knob)| knob).collect()
}

/// Whether a template that was tried before this space's, and may match some of its keys, no longer is.
fn gets_keys(before: &[SpaceConfig], now: &[SpaceConfig], template: &Template) -> bool {
    let still = |earlier: &SpaceConfig| now.iter().any(|space| space.template == earlier.template);
    before.iter().any(|earlier| !still(earlier) && may_meet(&earlier.template, template))
}

/// False only where no key can match both: one's literal beginning contradicts the other's.
fn may_meet(one: &Template, other: &Template) -> bool {
    let beginning = |template: &Template| {
        let text = template.as_str();
        text.get(..text.find('{').unwrap_or(text.len())).unwrap_or_default().to_owned()
    };
    let (one, other) = (beginning(one), beginning(other));
    one.starts_with(&other) || other.starts_with(&one)
}

/// The tiers of a space of `new` while the server of `old` runs on: a tier opens and closes with the server.
fn tiers_at_work(old: &Config, new: &Config, space: &SpaceConfig) -> Tiers {
    let was = old.spaces.iter().find(|old| old.name == space.name).map(|old| old.tiers);
    let at_work = |before: bool, after: bool, was: bool, wanted: bool| {
        if before == after { wanted } else { before && was }
    };
    let was = was.unwrap_or(Tiers { disk: true, shared: true });
    Tiers {
        disk: at_work(old.disk.is_some(), new.disk.is_some(), was.disk, space.tiers.disk),
        shared: at_work(old.shared.is_some(), new.shared.is_some(), was.shared, space.tiers.shared),
    }
}

/// `new` without what takes effect at the next start only: the next reload is compared with what runs, not with a file.
pub fn until_next_start(old: &Config, mut new: Config) -> Config {
    let tiers: Vec<Tiers> = new.spaces.iter().map(|space| tiers_at_work(old, &new, space)).collect();
    new.spaces.iter_mut().zip(tiers).for_each(|(space, tiers)| space.tiers = tiers);
    Config {
        listen: old.listen.clone(),
        memory: old.memory.clone(),
        disk: old.disk.clone(),
        shared: old.shared.clone(),
        ..new
    }
}

fn at_next_start(old: &Config, new: &Config) -> Vec<&'static str> {
    let (Listen { redis, http, admin, password, ramp, clients_per_address }, Memory { limit, eviction }) =
        (&old.listen, &old.memory);
    let mut differs = vec![
        (*redis != new.listen.redis, "[listen] redis"),
        (*http != new.listen.http, "[listen] http"),
        (*admin != new.listen.admin, "[listen] admin"),
        // Not at once: the new file may do without one because it listens elsewhere, which we don't yet.
        (*password != new.listen.password, "[listen] password"),
        (*ramp != new.listen.ramp, "[listen] ramp"),
        (*clients_per_address != new.listen.clients_per_address, "[listen] clients_per_address"),
        (*limit != new.memory.limit, "[memory] limit"),
        (*eviction != new.memory.eviction, "[memory] eviction"),
    ];
    differs.extend(disk_differs(old.disk.as_ref(), new.disk.as_ref()));
    differs.extend(shared_differs(old.shared.as_ref(), new.shared.as_ref()));
    differs.into_iter().filter(|(differs, _)| *differs).map(|(_, key)| key).collect()
}

fn disk_differs(old: Option<&Disk>, new: Option<&Disk>) -> Vec<(bool, &'static str)> {
    let (Some(old), Some(new)) = (old, new) else { return vec![(old.is_some() != new.is_some(), "[disk]")] };
    let Disk { path, limit, on_restart, place: _ } = old;
    vec![
        (*path != new.path, "[disk] path"),
        (*limit != new.limit, "[disk] limit"),
        (*on_restart != new.on_restart, "[disk] on_restart"),
    ]
}

fn shared_differs(old: Option<&Shared>, new: Option<&Shared>) -> Vec<(bool, &'static str)> {
    let (Some(old), Some(new)) = (old, new) else { return vec![(old.is_some() != new.is_some(), "[shared]")] };
    let Shared {
        at,
        prefix,
        timeout,
        resync,
        on_start,
        replica_reads,
        tls,
        backplane: _,
        place: _,
        backplane_place: _,
    } = old;
    // A backplane that is where the tier is moves with it.
    let apart = |shared: &Shared| match (&shared.at, &shared.backplane) {
        (SharedAt::Redis(at), Backplane::On { url, mode }) if at == url => (None, Some(*mode)),
        (_, Backplane::On { url, mode }) => (Some(url.clone()), Some(*mode)),
        (_, Backplane::Off) => (None, None),
    };
    vec![
        (*at != new.at, "[shared] url"),
        (*prefix != new.prefix, "[shared] prefix"),
        (*timeout != new.timeout, "[shared] timeout"),
        (*resync != new.resync, "[shared] resync"),
        (*on_start != new.on_start, "[shared] on_start"),
        (*replica_reads != new.replica_reads, "[shared] replica_reads"),
        (*tls != new.tls, "[shared] tls_ca, tls_cert, tls_key"),
        (apart(old) != apart(new), "[shared] backplane"),
    ]
}

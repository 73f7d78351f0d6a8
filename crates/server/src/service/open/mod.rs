//! Can everything that the configuration names be opened? Origins, statements, spaces: every problem at once.

mod carried;
mod origins;
mod source;
mod wrong;

use std::sync::Arc;

use bellwether::shared::Sharing;
use bellwether::{Cache, Clock, Revision, Space};
use bellwether_adapters::{Payload, SetupError};
use bellwether_core::policy::Early;
use bellwether_core::template::Template;
use tokio::runtime::Handle;

use super::filter::Known;
use super::fleet::codec::Payloads;
use super::fleet::naming::Names;
use super::fleet::{Fleet, backplane};
use super::front::Front;
use super::identity;
use super::opened::Opened;
use super::served::{Served, generation_prefix};
use super::serving::Serving;
use super::shelf::{self, Shelf};
use super::watch::Watch;
use crate::config::{Config, Disk, OriginChange, OriginConfig, Place, Problem, SpaceChange, SpaceConfig, Tiers};
use carried::Before;
use wrong::problem;
pub(super) use wrong::{setup_problem, sql_problem};

/// The origin of plain spaces, which never loads: by a name that no `[origin.NAME]` can have.
pub(super) const NO_ORIGIN: &str = "";

/// An origin with its guard.
struct Guarded<'c> {
    config: &'c OriginConfig,
    opened: Arc<Opened>,
    guard: bellwether::Origin,
}

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
    let cache = Cache::builder().memory_bytes(memory.limit).eviction(memory.eviction).hot(hot).clock(clock.clone());
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
        None => Arc::new(Opened { name: config.name.clone(), kind: origins::open(config)? }),
    };
    let guard = revision.origin(&config.name, config.budget.clone());
    let guard = guard.map_err(|error| problem(&config.place, &origins::subject_of(config), error.to_string(), None))?;
    Ok(Guarded { config, opened, guard })
}

/// Opens what the file names, whatever else is wrong with it: origins, and the place of the disk tier.
pub(super) fn openable(config: &Config) -> Vec<Problem> {
    let disk = config.disk.as_ref().and_then(|disk| shelf::look(disk).err().map(|error| (disk, error)));
    let disk = disk.map(|(disk, error)| setup_problem(&disk.place, "[disk]", &error));
    let origins = config.origins.iter().filter_map(|origin| origins::open(origin).err());
    origins.chain(disk).map(|problem| *problem).collect()
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
    let source = match origin {
        None => None,
        Some(origin) => source::of(config, origin.config, &origin.opened.kind, &subject)?,
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
        space = space.with_default(source::default_of(default, &config.source));
    }
    Ok(Some(Served {
        name: config.name.clone(),
        template: config.template.clone(),
        space,
        policy,
        origin: source,
        tags: config.tags.clone(),
        generation: generation_prefix(config.generation.as_deref()),
        tally: carried::tally(&config.name, before),
        filtered: carried::filtered(config, before, anew, cache.clock().now()),
        budgets: carried::budgets(config, before),
        shared: shares.tiers.shared,
        on_disk: shares.tiers.disk,
    }))
}

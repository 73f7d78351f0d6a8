//! Is the tier there when the server starts, and is it ours? What `on_start` makes of the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bellwether_adapters::events::RedisEvents;
use bellwether_adapters::tiers::address::RedisTarget;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::announced::Announcements;
use super::backplane::backplane;
use super::identity::{self, Same};
use super::marker::{self, Fits, NAME, Writes};
use super::tier::{SharedState, SharedTier};
use crate::config::{Backplane, Config, OnStart, Place, Problem, Shared};

/// A start waits so long for the tier.
const PATIENCE: Duration = Duration::from_secs(3);
/// So often it is looked for while it is not there.
const AGAIN: Duration = Duration::from_secs(5);
/// So often it is tried whether a tier that takes no writes takes them again.
const PROBE: Duration = Duration::from_secs(1);
/// One of so many is tried while it does, and the backplane compared.
const CALM: u32 = 5;

/// The tier of this process, and what is known of it.
#[derive(Clone)]
pub(crate) struct Fleet {
    pub(crate) tier: SharedTier,
    pub(crate) shared: Arc<Shared>,
    /// Others use the tier by other settings, or hear each other over another backplane.
    stranger: Arc<AtomicBool>,
    /// The backplane, to be asked what it is; messages go over connections of their own.
    backplane: Option<Heard>,
    /// Whether it may write down whose tier and backplane these are.
    writes: Writes,
    /// Which keys will be hot, as the fleet was told.
    pub(crate) announcements: Option<Arc<Announcements>>,
}

/// Where the fleet hears of invalidations.
#[derive(Clone)]
struct Heard {
    events: Arc<RedisEvents>,
    url: RedisTarget,
    /// The word by which it is known, once that is known.
    id: Arc<Mutex<Option<String>>>,
}

/// Opens the tier that `config` names, and looks whether it is there and ours.
///
/// # Errors
/// It can't work whoever is there; or, where it may not be missing, nobody is; or it is another fleet's.
pub(crate) async fn open(config: &Config, runtime: &Handle) -> Result<Option<Fleet>, Vec<Problem>> {
    let Some(fleet) = fleet(config, runtime, Writes::Yes)? else { return Ok(None) };
    let looked = fleet.look().await;
    if !matches!(looked, Looked::Stranger(_)) {
        runtime.spawn(fleet.clone().watch());
    }
    let away = matches!(looked, Looked::Away(_));
    let fleet = fleet.unless_it_is_another_ones(looked, config)?;
    if away {
        runtime.spawn(fleet.clone().look_again());
    }
    Ok(Some(fleet))
}

/// The same for who only wants to know whether it could be used: nothing that stays is written.
///
/// # Errors
/// As of [`open`].
pub(crate) async fn seen(config: &Config, runtime: &Handle) -> Result<Option<Fleet>, Vec<Problem>> {
    let Some(fleet) = fleet(config, runtime, Writes::No)? else { return Ok(None) };
    let looked = fleet.look().await;
    fleet.unless_it_is_another_ones(looked, config).map(Some)
}

fn fleet(config: &Config, runtime: &Handle, writes: Writes) -> Result<Option<Fleet>, Vec<Problem>> {
    let Some(shared) = &config.shared else { return Ok(None) };
    let said = |found: String, expected: &str, hint: String| Problem {
        file: config.file.clone(),
        ..problem(shared, found, expected, hint)
    };
    let tier = SharedTier::open(shared, runtime)
        .map_err(|(found, hint)| vec![said(found, "a tier that can be opened", hint)])?;
    let events =
        backplane(shared).map_err(|(found, hint)| vec![said(found, "a backplane that can be opened", hint)])?;
    let heard = match (&shared.backplane, events) {
        (Backplane::On { url, .. }, Some(events)) => {
            Some(Heard { events: Arc::new(events), url: url.clone(), id: Arc::default() })
        }
        _ => None,
    };
    let announcements = heard.as_ref().map(|heard| Arc::new(Announcements::new(heard.events.clone())));
    let shared = Arc::new(shared.clone());
    Ok(Some(Fleet { tier, shared, stranger: Arc::default(), backplane: heard, writes, announcements }))
}

/// What a look found.
enum Looked {
    Fine,
    /// Another fleet's.
    Stranger(Box<Problem>),
    /// Not there, or not usable as it is.
    Away(Vec<Problem>),
}

impl Fleet {
    /// This one, if it may be used after what a look found.
    fn unless_it_is_another_ones(self, looked: Looked, config: &Config) -> Result<Fleet, Vec<Problem>> {
        match looked {
            Looked::Fine => Ok(self),
            Looked::Stranger(problem) => Err(vec![Problem { file: config.file.clone(), ..*problem }]),
            Looked::Away(problems) if self.shared.on_start == OnStart::Refuse => {
                Err(problems.into_iter().map(|problem| Problem { file: config.file.clone(), ..problem }).collect())
            }
            Looked::Away(problems) => {
                for problem in &problems {
                    tracing::warn!(
                        "{}: {}; starting without it (on_start = \"degraded\")",
                        problem.subject,
                        problem.found
                    );
                }
                Ok(self)
            }
        }
    }

    async fn look(&self) -> Looked {
        let (tier, backplane) = tokio::join!(self.look_at_tier(), self.look_at_backplane());
        match (tier, backplane) {
            (Looked::Away(mut problems), more) => {
                problems.extend(more);
                Looked::Away(problems)
            }
            (Looked::Fine, Some(problem)) => Looked::Away(vec![problem]),
            // Both are there: do they belong together?
            (Looked::Fine, None) => self.look_at_both().await,
            (stranger, _) => stranger,
        }
    }

    /// Why the backplane can't be used, if it can't.
    async fn look_at_backplane(&self) -> Option<Problem> {
        let heard = self.backplane.as_ref()?;
        let expected = "a backplane that can be used";
        match tokio::time::timeout(PATIENCE, heard.events.check()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                let found = format!("{}: {}", heard.url, error.problem());
                Some(of_backplane(&self.shared, found, expected, error.hint().to_owned()))
            }
            Err(_) => {
                let found = format!("{}: no answer within {} s", heard.url, PATIENCE.as_secs());
                let hint = "is the address of `backplane` right, and does it run?".to_owned();
                Some(of_backplane(&self.shared, found, expected, hint))
            }
        }
    }

    async fn look_at_both(&self) -> Looked {
        let Some(heard) = &self.backplane else { return Looked::Fine };
        match identity::look(&*self.tier.tier(), &heard.events, &heard.url, self.writes).await {
            Ok(Same::Yes(id)) => {
                *heard.id.lock() = Some(id);
                Looked::Fine
            }
            Ok(Same::Unsaid) => Looked::Fine,
            Ok(Same::No(theirs)) => Looked::Stranger(Box::new(self.another_backplane(heard, &theirs))),
            Err(why) => Looked::Away(vec![of_backplane(
                &self.shared,
                format!("{}: {why}", heard.url),
                "a backplane that can be compared with the fleet's",
                "look at its log".to_owned(),
            )]),
        }
    }

    fn another_backplane(&self, heard: &Heard, theirs: &str) -> Problem {
        let (at, prefix) = (&self.shared.at, &self.shared.prefix);
        let found = format!(
            "the backplane {}, while the processes that use {at} hear each other over another one: {theirs}",
            identity::called(&heard.url)
        );
        let hint = format!(
            "write in `backplane` what the others have; or, if the fleet moves to another one, stop all of it and delete the key {prefix}{}; or give this fleet a `prefix` of its own",
            identity::NAME
        );
        let expected = "one backplane for the whole fleet: the same server and database, by whatever name";
        of_backplane(&self.shared, found, expected, hint)
    }

    async fn look_at_tier(&self) -> Looked {
        let away = |found: String, hint: String| {
            let at = self.shared.at.to_string();
            let host = at.split_once("://").map_or(at.as_str(), |(_, host)| host);
            // Where it is need be said once.
            let found = if found.starts_with(host) { found } else { format!("{at}: {found}") };
            problem(&self.shared, found, "a tier that can be used", hint)
        };
        let Ok(look) = tokio::time::timeout(PATIENCE, self.tier.look()).await else {
            let found = format!("no answer within {} s", PATIENCE.as_secs());
            return Looked::Away(vec![away(found, "is the address right, and does it run?".to_owned())]);
        };
        if !look.fatal.is_empty() {
            return Looked::Away(look.fatal.into_iter().map(|(found, hint)| away(found, hint)).collect());
        }
        match tokio::time::timeout(PATIENCE, marker::look(&*self.tier.tier(), &self.shared, self.writes)).await {
            Ok(Ok(Fits::Yes)) => Looked::Fine,
            Ok(Ok(Fits::No { theirs, ours })) => Looked::Stranger(Box::new(self.stranger(&theirs, &ours))),
            Ok(Err(error)) => Looked::Away(vec![away(error.text, "look at its log".to_owned())]),
            Err(_) => Looked::Away(vec![away("no answer".to_owned(), "does it run?".to_owned())]),
        }
    }

    fn stranger(&self, theirs: &str, ours: &str) -> Problem {
        let prefix = &self.shared.prefix;
        let found = format!(
            "prefix = \"{prefix}\", by which another fleet with other settings uses {}: {theirs}",
            self.shared.at
        );
        let expected = format!("the same settings in every process: {ours}");
        let hint = format!(
            "give this fleet a `prefix` of its own; or, if it is this fleet that changes, stop all of it and delete the key {prefix}{NAME}"
        );
        Problem { expected, ..problem(&self.shared, found, "", hint) }
    }

    /// Why the tier can't be used right now.
    pub(crate) async fn unreachable(&self) -> Vec<Problem> {
        match self.look().await {
            Looked::Fine => Vec::new(),
            Looked::Stranger(problem) => vec![*problem],
            Looked::Away(problems) => problems,
        }
    }

    /// What could be better about it.
    pub(crate) async fn advice(&self) -> Vec<Problem> {
        let look = tokio::time::timeout(PATIENCE, self.tier.look()).await.unwrap_or_default();
        let said = |(found, hint)| problem(&self.shared, found, "a tier that keeps what it is given", hint);
        look.advice.into_iter().map(said).collect()
    }

    /// Looks until the tier is there.
    async fn look_again(self) {
        loop {
            tokio::time::sleep(AGAIN).await;
            match self.look().await {
                Looked::Fine => {
                    tracing::info!("[shared]: {} is there, and its backplane", self.shared.at);
                    return;
                }
                Looked::Stranger(problem) => {
                    self.stranger.store(true, Ordering::Relaxed);
                    tracing::error!("{problem}");
                    return;
                }
                Looked::Away(_) => {}
            }
        }
    }

    /// Tries whether the tier takes writes, and whether the backplane is the fleet's, as long as this process runs.
    async fn watch(self) {
        for second in 1u32.. {
            tokio::time::sleep(PROBE).await;
            let due = second.is_multiple_of(CALM);
            // One that is frozen is the breaker's to tell of.
            if due || !self.tier.state().unwritable.is_empty() {
                let _ = tokio::time::timeout(PATIENCE, self.tier.probe()).await;
            }
            if due {
                let _ = tokio::time::timeout(PATIENCE, self.compare()).await;
            }
        }
    }

    /// Whether the backplane is still the fleet's. What either side has lost it is given again.
    async fn compare(&self) {
        let Some(heard) = &self.backplane else { return };
        let Some(id) = heard.id.lock().clone() else { return };
        match identity::again(&*self.tier.tier(), &heard.events, &heard.url, &id).await {
            Ok(Same::Yes(_) | Same::Unsaid) => {
                if self.stranger.swap(false, Ordering::Relaxed) {
                    tracing::info!("[shared] backplane: it is the fleet's again");
                }
            }
            Ok(Same::No(theirs)) => {
                if !self.stranger.swap(true, Ordering::Relaxed) {
                    tracing::error!("{}", self.another_backplane(heard, &theirs));
                }
            }
            // That it can't be reached is told by whoever needs it.
            Err(why) => tracing::debug!(why, "the backplane can't be compared with the fleet's"),
        }
    }

    /// How the tier is.
    pub(crate) fn state(&self) -> SharedState {
        SharedState { stranger: self.stranger.load(Ordering::Relaxed), ..self.tier.state() }
    }
}

fn of_backplane(shared: &Shared, found: String, expected: &str, hint: String) -> Problem {
    let place = shared.backplane_place.clone();
    Problem { place, subject: "[shared] backplane".to_owned(), ..problem(shared, found, expected, hint) }
}

fn problem(shared: &Shared, found: String, expected: &str, hint: String) -> Problem {
    let place: &Place = &shared.place;
    Problem {
        file: String::new(),
        place: place.clone(),
        subject: "[shared]".to_owned(),
        found,
        expected: expected.to_owned(),
        hint: Some(hint),
    }
}

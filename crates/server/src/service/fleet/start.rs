//! Is the tier there when the server starts, and is it ours? What `on_start` makes of the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

use super::marker::{self, Fits, NAME};
use super::tier::{SharedState, SharedTier};
use crate::config::{Config, OnStart, Place, Problem, Shared};

/// A start waits so long for the tier.
const PATIENCE: Duration = Duration::from_secs(3);
/// So often it is looked for while it is not there.
const AGAIN: Duration = Duration::from_secs(5);

/// The tier of this process, and what is known of it.
#[derive(Clone, Debug)]
pub(in crate::service) struct Fleet {
    pub(in crate::service) tier: SharedTier,
    pub(in crate::service) shared: Arc<Shared>,
    /// Others use the tier by other settings.
    stranger: Arc<AtomicBool>,
}

/// Opens the tier that `config` names, and looks whether it is there and ours.
///
/// # Errors
/// It can't work whoever is there; or, where it may not be missing, nobody is; or it is another fleet's.
pub(in crate::service) async fn open(config: &Config, runtime: &Handle) -> Result<Option<Fleet>, Vec<Problem>> {
    let Some(shared) = &config.shared else { return Ok(None) };
    let said = |found: String, expected: &str, hint: String| Problem {
        file: config.file.clone(),
        ..problem(shared, found, expected, hint)
    };
    let tier = SharedTier::open(shared, runtime)
        .map_err(|(found, hint)| vec![said(found, "a tier that can be opened", hint)])?;
    let fleet = Fleet { tier, shared: Arc::new(shared.clone()), stranger: Arc::default() };
    match fleet.look().await {
        Looked::Fine => Ok(Some(fleet)),
        Looked::Stranger(problem) => Err(vec![Problem { file: config.file.clone(), ..*problem }]),
        Looked::Away(problems) if shared.on_start == OnStart::Refuse => {
            Err(problems.into_iter().map(|problem| Problem { file: config.file.clone(), ..problem }).collect())
        }
        Looked::Away(problems) => {
            for problem in &problems {
                tracing::warn!(
                    "{}: {}: {}; starting without it (on_start = \"degraded\")",
                    problem.subject,
                    shared.at,
                    problem.found
                );
            }
            runtime.spawn(fleet.clone().look_again());
            Ok(Some(fleet))
        }
    }
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
    async fn look(&self) -> Looked {
        let away = |found: String, hint: String| problem(&self.shared, found, "a tier that can be used", hint);
        let Ok(look) = tokio::time::timeout(PATIENCE, self.tier.look()).await else {
            let found = format!("no answer within {} s", PATIENCE.as_secs());
            return Looked::Away(vec![away(found, "is the address right, and does it run?".to_owned())]);
        };
        if !look.fatal.is_empty() {
            return Looked::Away(look.fatal.into_iter().map(|(found, hint)| away(found, hint)).collect());
        }
        match tokio::time::timeout(PATIENCE, marker::look(&self.tier, &self.shared)).await {
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
    pub(in crate::service) async fn unreachable(&self) -> Vec<Problem> {
        match self.look().await {
            Looked::Fine => Vec::new(),
            Looked::Stranger(problem) => vec![*problem],
            Looked::Away(problems) => problems,
        }
    }

    /// What could be better about it.
    pub(in crate::service) async fn advice(&self) -> Vec<Problem> {
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
                    tracing::info!("[shared]: {} is there", self.shared.at);
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

    /// How the tier is.
    pub(in crate::service) fn state(&self) -> SharedState {
        SharedState { stranger: self.stranger.load(Ordering::Relaxed), ..self.tier.state() }
    }
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

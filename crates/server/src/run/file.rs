//! Where does a running server's configuration come from, and what is said when it is read again?

use std::path::{Path, PathBuf};

use crate::config::{self, Changes, Config, OriginChange, Problem, SpaceChange};
use crate::service::Service;

use super::watch::Stamp;

/// The file that a server was started with, and all that was laid over it: the same at every reload.
pub struct ConfigFile {
    path: PathBuf,
    env: Vec<(String, String)>,
    insecure: bool,
    /// Of the file before it was first read, so that no change after that is missed.
    pub(super) first: Stamp,
}

impl ConfigFile {
    /// The file at `path`; `env` and `insecure` as in [`config::load`].
    pub fn new(path: &Path, env: impl IntoIterator<Item = (String, String)>, insecure: bool) -> ConfigFile {
        ConfigFile { path: path.to_owned(), env: env.into_iter().collect(), insecure, first: Stamp::of(path) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// As [`config::load`].
    pub fn load(&self) -> Result<Config, Vec<Problem>> {
        config::load(&self.path, self.env.iter().cloned(), self.insecure)
    }

    /// Reads it again and puts it to work, or keeps what is at work; says which, and why.
    pub(super) fn reload(&self, service: &Service) {
        let reloaded = match self.load() {
            Ok(config) => {
                warn(&config);
                service.reload(config)
            }
            Err(problems) => {
                service.reload_refused(&problems);
                Err(problems)
            }
        };
        match reloaded {
            Ok(changes) => tell(&changes),
            Err(problems) => {
                tracing::error!(
                    problems = problems.len(),
                    "the configuration was not reloaded: what was at work stays at work"
                );
                problems.iter().for_each(|problem| tracing::error!("{problem}"));
            }
        }
    }
}

/// Tells what works, but less well than it looks.
pub(super) fn warn(config: &Config) {
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
}

fn tell(changes: &Changes) {
    if changes.is_nothing() {
        tracing::info!("the configuration was read again: nothing to change");
    } else {
        tracing::info!("the configuration was reloaded");
    }
    for (name, change) in &changes.origins {
        match change {
            OriginChange::Same => {}
            OriginChange::Budget => tracing::info!("origin '{name}': its budget holds from now on"),
            OriginChange::Replaced => tracing::info!("origin '{name}' is another one now"),
            OriginChange::Added => tracing::info!("origin '{name}' is new"),
        }
    }
    changes.gone_origins.iter().for_each(|name| tracing::info!("origin '{name}' is gone"));
    for (name, change) in &changes.spaces {
        match change {
            SpaceChange::Same => {}
            SpaceChange::Adjusted(knobs) => {
                tracing::info!("space '{name}': {} from now on; entries stay as they were stamped", knobs.join(", "));
            }
            SpaceChange::Renewed(reasons) => {
                tracing::info!("space '{name}' begins anew, its entries are dropped: {}", reasons.join(", "));
            }
            SpaceChange::Added => tracing::info!("space '{name}' is new"),
        }
    }
    changes.gone_spaces.iter().for_each(|name| tracing::info!("space '{name}' is gone, with its entries"));
    if changes.reordered {
        tracing::info!("spaces are tried in another order");
    }
    if changes.hot {
        tracing::info!("other thresholds of hot keys hold from now on");
    }
    changes.at_next_start.iter().for_each(|key| tracing::warn!("{key} changed: takes effect at the next start"));
}

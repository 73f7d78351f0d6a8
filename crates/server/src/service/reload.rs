//! How is another configuration put to work while requests go on? Prepared whole, then swapped in at once.

use std::sync::Arc;

use super::Service;
use super::open::prepare;
use super::ready::ready_on;
use super::reloads::Reloads;
use crate::config::{Changes, Config, Problem, changes, until_next_start};

/// What the program does to its connections no file can say: the same origin keeps it.
fn keep_on_connect(before: &Config, config: &mut Config) {
    for origin in &mut config.origins {
        if let Some(same) = before.origins.iter().find(|before| before.name == origin.name) {
            origin.on_connect = std::mem::take(&mut origin.on_connect).or(&same.on_connect);
        }
    }
}

impl Service {
    /// How reloads ended so far.
    pub fn reloads(&self) -> &Reloads {
        &self.0.reloads
    }

    /// Puts `config` to work in place of what is. Requests that have begun end with what they began
    /// with; when this returns, every request that begins finds the new one, and nothing that a
    /// space which began anew had before. What takes effect at the next start only is named in the
    /// changes and left as it is.
    ///
    /// Opens files, asks databases and walks memory: not for a thread that serves, nor for one that loads.
    ///
    /// # Errors
    /// Every origin, statement and space that can't be used, at once; nothing has changed then.
    pub fn reload(&self, config: Config) -> Result<Changes, Vec<Problem>> {
        let _one_at_a_time = self.0.reloading.lock();
        let before = self.serving_on();
        let changes = changes(&before.config, &config);
        let mut config = until_next_start(&before.config, config);
        keep_on_connect(&before.config, &mut config);
        let prepared = prepare(&self.0.cache, config, Some((&before, &changes)));
        let prepared = prepared.and_then(|(serving, revision)| {
            ready_on(&self.0.loads, &serving)?;
            Ok((serving, revision))
        });
        let (serving, revision) = prepared.inspect_err(|problems| self.0.reloads.refused(problems))?;
        // First the swap: until then requests need what the commit drops.
        let serving = Arc::new(serving);
        self.0.filters.are(serving.filters());
        self.0.current.change(&serving.front, || self.0.serving.store(serving.clone()));
        revision.commit().expect("one reload at a time, and nobody else revises this cache");
        let hot = serving.config.hot.policy.clone();
        self.0.cache.set_hot(hot).expect("a configuration that was read has thresholds that make sense");
        serving.prepare_hot(self.0.cache.clock().now());
        // Whose keys are whose, and what they have, may be another thing now.
        if !changes.is_nothing() {
            self.0.watch.everything_changed();
        }
        self.0.reloads.taken(!changes.is_nothing(), &changes.at_next_start);
        Ok(changes)
    }

    /// Notes a reload whose configuration could not even be read.
    pub fn reload_refused(&self, problems: &[Problem]) {
        self.0.reloads.refused(problems);
    }
}

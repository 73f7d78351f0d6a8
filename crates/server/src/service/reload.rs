//! How is another configuration put to work while requests go on? Prepared whole, then swapped in at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Service;
use super::open::prepare;
use crate::config::{Changes, Config, Problem, changes};

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The new configuration is at work.
    Applied,
    /// It asks for what is at work already.
    Unchanged,
    /// It has problems: the old one stays at work.
    Refused,
}

impl Reload {
    /// In the order of the metric.
    pub const ALL: [Reload; 3] = [Reload::Applied, Reload::Unchanged, Reload::Refused];

    /// The word in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reload::Applied => "applied",
            Reload::Unchanged => "unchanged",
            Reload::Refused => "refused",
        }
    }
}

/// How reloads ended so far.
#[derive(Debug)]
pub struct Reloads {
    counts: [AtomicU64; Reload::ALL.len()],
    /// Milliseconds since 1970.
    last_good: AtomicU64,
}

impl Reloads {
    pub(super) fn started() -> Reloads {
        let reloads = Reloads { counts: Default::default(), last_good: AtomicU64::new(0) };
        reloads.good();
        reloads
    }

    fn count(&self, reload: Reload) {
        self.counts[reload as usize].fetch_add(1, Ordering::Relaxed);
        if reload != Reload::Refused {
            self.good();
        }
    }

    fn good(&self) {
        // Before 1970 is as good as 1970: it is shown, never compared.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_good.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How many ended so.
    pub fn ended(&self, reload: Reload) -> u64 {
        self.counts[reload as usize].load(Ordering::Relaxed)
    }

    /// When the configuration at work was last found right, as time since 1970: at the start or by a reload.
    pub fn last_good(&self) -> Duration {
        Duration::from_millis(self.last_good.load(Ordering::Relaxed))
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
    /// Opens files and walks memory: not for a thread that serves.
    ///
    /// # Errors
    /// Every origin, statement and space that can't be used, at once; nothing has changed then.
    pub fn reload(&self, config: Config) -> Result<Changes, Vec<Problem>> {
        let _one_at_a_time = self.0.reloading.lock();
        let before = self.serving_on();
        let changes = changes(&before.config, &config);
        let (serving, revision) = prepare(&self.0.cache, config, Some((&before, &changes))).inspect_err(|_| {
            self.0.reloads.count(Reload::Refused);
        })?;
        // First the swap: until then requests need what the commit drops.
        let serving = Arc::new(serving);
        self.0.current.change(&serving.front, || self.0.serving.store(serving.clone()));
        revision.commit();
        self.0.reloads.count(if changes.is_nothing() { Reload::Unchanged } else { Reload::Applied });
        Ok(changes)
    }

    /// Counts a reload whose configuration could not even be read.
    pub fn reload_refused(&self) {
        self.0.reloads.count(Reload::Refused);
    }
}

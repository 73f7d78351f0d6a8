//! How did reloads end so far, and when was the configuration at work last found right?

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

    pub(super) fn count(&self, reload: Reload) {
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

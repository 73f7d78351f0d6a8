//! How did reloads end so far, and in what does the file differ from the configuration at work since the last one?

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::config::Problem;

/// Problems of a refused file that are kept to be looked at; the log has all of them.
const KEPT: usize = 20;

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

/// What the last reload left undone: nothing, unless the file asks for more than is at work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// Why the file was refused, a line each; at most [`KEPT`] of them.
    pub refused: Vec<String>,
    /// How many there are.
    pub problems: usize,
    /// Settings that take effect at the next start only.
    pub at_next_start: Vec<&'static str>,
}

/// How reloads ended so far.
#[derive(Debug)]
pub struct Reloads {
    counts: [AtomicU64; Reload::ALL.len()],
    undone: Mutex<Undone>,
    /// Milliseconds since 1970.
    last_good: AtomicU64,
}

impl Reloads {
    pub(super) fn started() -> Reloads {
        let reloads = Reloads { counts: Default::default(), undone: Mutex::default(), last_good: AtomicU64::new(0) };
        reloads.good();
        reloads
    }

    /// A configuration was found right: it is at work now, or was already.
    pub(super) fn taken(&self, anew: bool, at_next_start: &[&'static str]) {
        self.count(if anew { Reload::Applied } else { Reload::Unchanged });
        self.good();
        *self.undone.lock() = Undone { at_next_start: at_next_start.to_vec(), ..Undone::default() };
    }

    /// A configuration was refused. What waits for the next start goes on waiting: nobody knows if it still does.
    pub(super) fn refused(&self, problems: &[Problem]) {
        self.count(Reload::Refused);
        let mut undone = self.undone.lock();
        undone.problems = problems.len();
        undone.refused = problems.iter().take(KEPT).map(ToString::to_string).collect();
    }

    fn count(&self, reload: Reload) {
        self.counts[reload as usize].fetch_add(1, Ordering::Relaxed);
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

    /// What the last one left undone.
    pub fn undone(&self) -> Undone {
        self.undone.lock().clone()
    }

    /// When the configuration at work was last found right, as time since 1970: at the start or by a reload.
    pub fn last_good(&self) -> Duration {
        Duration::from_millis(self.last_good.load(Ordering::Relaxed))
    }
}

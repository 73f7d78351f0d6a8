//! What does the log say of an origin's guard? One line for each change of its state, not one per load.

use bellwether_core::guard::breaker::Position;
use bellwether_core::guard::gate::Gate;
use bellwether_core::time::Tick;

/// A limit below this share of its most is worth a line...
const NARROW: f64 = 0.5;
/// ...and another one when it is back here: not at once, or it would flap.
const WIDE: f64 = 0.9;
/// Fewer loads at once than this are never called wide.
const LEAST_MOST: usize = 4;

/// What the log was last told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mood {
    breaker: Position,
    sheds: bool,
    narrow: bool,
}

/// What it is told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Breaker(Position, Option<Tick>),
    Sheds(bool),
    /// The limit, and the most it may be.
    Narrow(bool, usize, usize),
}

impl Mood {
    /// What has changed since the last time.
    pub(crate) fn renew(&mut self, gate: &Gate) -> [Option<News>; 3] {
        let (breaker, sheds) = (gate.breaker(), gate.sheds_classes());
        let (limit, most) = (gate.limit(), gate.max_concurrency());
        let share = limit as f64 / most.max(1) as f64;
        let narrow = most >= LEAST_MOST && !gate.is_dipping() && share < if self.narrow { WIDE } else { NARROW };
        let narrow = if gate.is_dipping() { self.narrow } else { narrow };
        let before = std::mem::replace(self, Mood { breaker, sheds, narrow });
        [
            (before.breaker != breaker).then(|| News::Breaker(breaker, gate.open_until())),
            (before.sheds != sheds).then_some(News::Sheds(sheds)),
            (before.narrow != narrow).then_some(News::Narrow(narrow, limit, most)),
        ]
    }
}

/// Writes the line.
pub(crate) fn tell(origin: &str, news: News) {
    match news {
        News::Breaker(Position::Open, _) => {
            tracing::warn!(origin, "its loads fail: the breaker is open, and stale copies or the default are served");
        }
        News::Breaker(Position::HalfOpen, _) => tracing::info!(origin, "the breaker lets probes through"),
        News::Breaker(Position::Closed, _) => tracing::info!(origin, "it answers again: the breaker is closed"),
        News::Sheds(true) => tracing::warn!(origin, "loads wait too long: the lowest classes are turned away first"),
        News::Sheds(false) => tracing::info!(origin, "loads wait no longer: no class is turned away"),
        News::Narrow(true, limit, most) => {
            tracing::warn!(origin, limit, most, "its loads take longer than usual: fewer run at once");
        }
        News::Narrow(false, limit, most) => tracing::info!(origin, limit, most, "as many loads run at once as before"),
    }
}

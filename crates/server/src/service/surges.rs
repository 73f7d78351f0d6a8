//! Which spaces are asked for far more of what they lack than usual? Told once when it begins and once when it ends.

use std::collections::BTreeMap;

use bellwether::{SpaceCounts, Why};
use bellwether_core::filter::surge::{Seen, Surge, Turn};
use parking_lot::Mutex;

/// Answers from what a tier or the configuration has, and writes.
const NO_MISS: [Why; 9] = [
    Why::Hit,
    Why::StaleRefreshing,
    Why::StaleError,
    Why::StaleShed,
    Why::Suspect,
    Why::RescuedInvalidated,
    Why::Default,
    Why::ReadOnly,
    Why::InvalidationQueued,
];
/// There is no such row.
const ABSENT: [Why; 3] = [Why::Negative, Why::NegativeFilter, Why::NegativeType];

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SurgeKind {
    /// Requests that no tier could answer.
    Misses,
    /// Requests for rows that do not exist.
    Absent,
}

impl SurgeKind {
    /// Both.
    pub const ALL: [SurgeKind; 2] = [SurgeKind::Misses, SurgeKind::Absent];

    /// The word in labels, pages and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            SurgeKind::Misses => "misses",
            SurgeKind::Absent => "absent",
        }
    }

    fn counted(self, space: &SpaceCounts) -> u64 {
        let sum = |whys: &[Why]| whys.iter().map(|why| space.of(*why)).sum::<u64>();
        match self {
            SurgeKind::Misses => space.total().saturating_sub(sum(&NO_MISS)),
            SurgeKind::Absent => sum(&ABSENT),
        }
    }
}

/// One kind of request of one space, as it is now and as it usually is.
#[derive(Clone, Copy, Debug)]
pub struct SurgeView {
    /// Which.
    pub kind: SurgeKind,
    /// A second, over the last seconds.
    pub rate: f64,
    /// A second, usually.
    pub usual_rate: f64,
    /// Part of all requests, over the last seconds.
    pub share: f64,
    /// Part of all requests, usually.
    pub usual_share: f64,
    /// Far more than usual.
    pub alert: bool,
}

/// What is remembered of one space. One per space of the configuration.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    requests: u64,
    such: [u64; SurgeKind::ALL.len()],
    surges: [Surge; SurgeKind::ALL.len()],
}

/// All spaces, by name.
#[derive(Default)]
pub(super) struct Surges(Mutex<BTreeMap<String, Watched>>);

impl Surges {
    /// Only these spaces are left.
    pub(super) fn retain(&self, is_left: impl Fn(&str) -> bool) {
        self.0.lock().retain(|name, _| is_left(name));
    }

    /// A window of a space is over: what changed, and how it is now.
    pub(super) fn observe(&self, space: &SpaceCounts) -> Vec<(Turn, SurgeView)> {
        let mut all = self.0.lock();
        let watched = all.entry(space.name.clone()).or_default();
        let turns = watched.observe(space);
        let views = watched.views();
        turns
            .into_iter()
            .filter_map(|(kind, turn)| Some((turn, *views.iter().find(|view| view.kind == kind)?)))
            .collect()
    }

    /// How the space called `name` is asked for what it lacks; nothing before its first window is over.
    pub(super) fn of(&self, name: &str) -> Vec<SurgeView> {
        self.0.lock().get(name).map(|watched| watched.views().to_vec()).unwrap_or_default()
    }
}

impl Watched {
    fn observe(&mut self, space: &SpaceCounts) -> Vec<(SurgeKind, Turn)> {
        let requests = space.total();
        let seen = requests.saturating_sub(std::mem::replace(&mut self.requests, requests));
        let mut turns = Vec::new();
        for (at, kind) in SurgeKind::ALL.into_iter().enumerate() {
            let count = kind.counted(space);
            let such = count.saturating_sub(std::mem::replace(&mut self.such[at], count)).min(seen);
            let turn = self.surges[at].observe(Seen { requests: seen, such });
            turns.extend(turn.map(|turn| (kind, turn)));
        }
        turns
    }

    fn views(&self) -> [SurgeView; SurgeKind::ALL.len()] {
        SurgeKind::ALL.map(|kind| {
            let surge = &self.surges[kind as usize];
            let ((rate, usual_rate), (share, usual_share)) = (surge.rates(), surge.shares());
            SurgeView { kind, rate, usual_rate, share, usual_share, alert: surge.is_on() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::tally::nothing;
    use bellwether_core::filter::surge::Turn;

    /// One second of so many hits and so many answers that there is no row.
    fn second(surges: &Surges, space: &mut SpaceCounts, hits: u64, absent: u64) -> Vec<(Turn, SurgeKind)> {
        for (why, more) in [(Why::Hit, hits), (Why::NegativeFilter, absent / 2), (Why::Negative, absent - absent / 2)] {
            match space.requests.iter_mut().find(|(known, _)| *known == why) {
                Some((_, count)) => *count += more,
                None => space.requests.push((why, more)),
            }
        }
        surges.observe(space).into_iter().map(|(turn, view)| (turn, view.kind)).collect()
    }

    #[test]
    fn a_scan_of_one_space_is_told_once_and_shows_in_its_figures_alone() {
        let (surges, mut scanned, mut other) = (Surges::default(), nothing("product"), nothing("page"));
        for _ in 0..120 {
            assert_eq!(second(&surges, &mut scanned, 950, 50), []);
            assert_eq!(second(&surges, &mut other, 950, 50), []);
        }
        let turns: Vec<_> = (0..10).flat_map(|_| second(&surges, &mut scanned, 950, 5_000)).collect();
        assert_eq!(turns.len(), 2, "{turns:?}");
        assert!(SurgeKind::ALL.iter().all(|kind| turns.contains(&(Turn::Began, *kind))), "{turns:?}");
        assert!(surges.of("product").iter().all(|view| view.alert && view.rate > 4_000.0 && view.usual_rate < 1_000.0));
        assert!(surges.of("page").iter().all(|view| !view.alert));
        surges.retain(|name| name == "page");
        assert!(surges.of("product").is_empty() && !surges.of("page").is_empty());
    }
}

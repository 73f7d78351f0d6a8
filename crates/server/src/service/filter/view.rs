//! How is a filter? For metrics and pages.

use std::sync::atomic::Ordering;

use bellwether::{Span, Tick};

use super::{Filter, Filtered, Trouble};

/// What a filter does just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterState {
    /// There is none yet.
    Making,
    /// It says which keys do not exist.
    On,
    /// It could not be made anew, and is as it was.
    Ageing,
    /// It could never be made.
    Failing,
    /// The origin has too many keys.
    TooMany,
}

impl FilterState {
    /// Every state.
    pub const ALL: [FilterState; 5] =
        [FilterState::Making, FilterState::On, FilterState::Ageing, FilterState::Failing, FilterState::TooMany];

    /// The word in labels and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            FilterState::Making => "making",
            FilterState::On => "on",
            FilterState::Ageing => "ageing",
            FilterState::Failing => "failing",
            FilterState::TooMany => "too_many",
        }
    }
}

/// One filter at a moment.
#[derive(Clone, Debug)]
pub struct FilterView {
    /// What it does.
    pub state: FilterState,
    /// Keys of its list.
    pub keys: u64,
    /// Keys that came after it.
    pub overlay: u64,
    /// What it takes of memory.
    pub bytes: u64,
    /// Since its list began to be read.
    pub age: Option<Span>,
    /// It is made anew so often.
    pub rebuild: Span,
    /// For so long a row may be hidden that was inserted past us; `None`: it only lowers the class of loads.
    pub hides: Option<Span>,
    /// Times that it was made.
    pub builds: u64,
    /// Times that it could not be.
    pub failures: u64,
    /// How long the last one took.
    pub took: Span,
    /// Loads that it put behind all others.
    pub lowered: u64,
    /// Of those, rows that were there all the same.
    pub new_rows: u64,
    /// What was wrong the last time.
    pub trouble: Option<String>,
}

impl FilterView {
    /// What it takes of memory for each of its keys, in bits; zero without keys.
    pub fn bits_per_key(&self) -> f64 {
        let keys = self.keys + self.overlay;
        if keys == 0 { 0.0 } else { 8.0 * self.bytes as f64 / keys as f64 }
    }
}

impl Filtered {
    pub(crate) fn view(&self, now: Tick) -> FilterView {
        let Filter { state, counts, .. } = &*self.filter;
        let state = state.read();
        let built = state.built.as_ref();
        let of = |number: fn(&super::Built) -> u64| built.map(number).unwrap_or_default();
        let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        FilterView {
            state: match (&state.trouble, built) {
                (None, None) => FilterState::Making,
                (None, Some(_)) => FilterState::On,
                (Some(Trouble::TooMany), _) => FilterState::TooMany,
                (Some(Trouble::Failed(_)), Some(_)) => FilterState::Ageing,
                (Some(Trouble::Failed(_)), None) => FilterState::Failing,
            },
            keys: of(|built| built.base.keys()),
            overlay: of(|built| built.overlay.keys()),
            bytes: of(|built| built.base.bytes() + built.overlay.bytes()),
            age: built.map(|built| now.since(built.age.began)),
            rebuild: self.config.rebuild,
            hides: self.config.hides,
            builds: load(&counts.builds),
            failures: load(&counts.failures),
            took: Span(load(&counts.took_ms)),
            lowered: load(&counts.lowered),
            new_rows: load(&counts.new_rows),
            trouble: state.trouble.as_ref().map(Trouble::words),
        }
    }
}

//! What do pages say in JSON? The server writes these, `bellwether`'s verbs read them: what a server of another version does not
//! say is as if it were nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::service::{BigRow, HotRow, RateRow};

/// Keys that draw more than their share, the hottest first, and what they are measured against.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hottest {
    /// Keys that are hot now.
    pub hot: usize,
    /// Keys that are watched.
    pub watched: usize,
    /// Processes that tell each other what they see: an estimate.
    pub instances: u32,
    /// Operations a second that one node is taken to bear.
    pub capacity_per_s: u64,
    /// Where that comes from.
    pub capacity_from: String,
    /// As many of them as were asked for.
    pub keys: Vec<HotRow>,
}

/// The largest values, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Largest {
    /// As many of them as were asked for.
    pub keys: Vec<BigRow>,
}

/// Invalidations that the shared tier does not know of yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Owed {
    /// All of them.
    pub owed: usize,
    /// The first.
    pub shown: Vec<OwedRow>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwedRow {
    /// As it is named in the tier, as text.
    pub key: String,
    /// Empty: it is not declared.
    pub space: String,
    /// `remove` or `expire`.
    pub verb: String,
    /// Tries that failed.
    pub tries: u32,
    /// `retrying` or `dead`.
    pub state: String,
    /// What kept the tier from being told at the last try.
    pub cause: Option<String>,
}

/// What came of another try.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwedRetried {
    /// All that were to be tried.
    pub retried: usize,
    /// The tier knows of them now.
    pub told: usize,
    /// It could not be told of these, by what kept it from that.
    pub owed: BTreeMap<String, usize>,
    /// There was no time for these, or their space is not declared.
    pub untried: usize,
}

/// What was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwedDropped {
    /// So many.
    pub dropped: usize,
}

/// Values that stop being fresh, space by space.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Forecast {
    /// In the order of the configuration.
    pub spaces: Vec<SpaceForecast>,
}

/// What is ahead of a space.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpaceForecast {
    /// Its name.
    pub space: String,
    /// Values that memory holds.
    pub values: u64,
    /// Rows of which it knows that they do not exist.
    pub missing: u64,
    /// How many values stop being fresh within `1m`, `10m`, `1h`.
    pub ending_within: BTreeMap<String, u64>,
    /// The largest crowd of them that does so together.
    pub crowd: Option<Crowd>,
    /// Refreshes that wait for their turn.
    pub refreshes_waiting: usize,
    /// How many begin in a second while they are paced.
    pub refreshes_per_second: Option<f64>,
}

/// Values that stop being fresh together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Crowd {
    /// So many.
    pub keys: u64,
    /// From then on, in seconds from now.
    pub in_s: u64,
    /// Until then.
    pub until_s: u64,
}

/// What became of a list of keys that were to be loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Warmed {
    /// They were loaded.
    pub loaded: u64,
    /// They were there already.
    pub present: u64,
    /// Their rows do not exist.
    pub missing: u64,
    /// Their loads failed.
    pub failed: u64,
    /// They belong to no space that loads.
    pub refused: u64,
    /// The first of those, as text.
    pub first_refused: Option<String>,
    /// The guard turned them away: to be sent again, as they came.
    pub again: Vec<String>,
    /// What the first that failed was told.
    pub error: Option<String>,
}

/// Keys of which somebody said that they will be hot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Announced {
    /// Those that are not over, which begin first in front.
    pub announced: Vec<AnnouncedRow>,
    /// Why these are not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnnouncedRow {
    /// As text.
    pub key: String,
    /// Its space.
    pub space: String,
    /// Zero: it has begun.
    pub begins_in_ms: u64,
    /// From now.
    pub ends_in_ms: u64,
    /// The configuration says so.
    pub in_configuration: bool,
    /// The fleet hears of it.
    pub in_fleet: bool,
}

/// What was announced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Taken {
    /// As text.
    pub key: String,
    /// Zero: it has begun.
    pub begins_in_ms: u64,
    /// From now.
    pub ends_in_ms: u64,
    /// Who hears of it.
    #[serde(flatten)]
    pub heard: Heard,
}

/// What is announced no more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Withdrawn {
    /// As text.
    pub key: String,
    /// It is.
    pub withdrawn: bool,
    /// A reload takes it up again.
    pub in_configuration: bool,
    /// Who hears of it.
    #[serde(flatten)]
    pub heard: Heard,
}

/// Who hears of an announcement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heard {
    /// `none` (there is no backplane), `told` or `later`.
    pub fleet: String,
    /// Why not now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_later: Option<String>,
}

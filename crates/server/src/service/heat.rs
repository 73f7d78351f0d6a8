//! Which keys are hot, and which values are large? One description for every face.

use bellwether::{BigKey, ExplainReaction, HeatCounts, HotKey, Measure, Rates, Stage};
use serde::{Deserialize, Serialize};

use super::{Service, shown};

/// A key that is hot, watched, or reacted to because it is announced. What a server does not say is as if it were nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HotRow {
    /// As text.
    pub key: String,
    /// Its space.
    pub space: String,
    /// `hot`, `watched` or `announced`.
    pub stage: String,
    /// Whether somebody said before that it will be hot.
    pub announced: bool,
    /// What it takes of one node's capacity: 1 is all of it.
    pub share: f64,
    /// What the whole fleet sees of it.
    pub fleet: RateRow,
    /// What this process sees.
    pub here: RateRow,
    /// The fleet's, averaged over ten seconds.
    pub steady: RateRow,
    /// For so long it is in this stage.
    pub since_ms: u64,
    /// So much longer it stays in it at least.
    pub held_for_ms: Option<u64>,
    /// Bytes of its value, as it was last seen.
    pub value_bytes: Option<u32>,
    /// What is done about it; this and what follows is there while something is.
    pub done: Option<Vec<String>>,
    /// Why.
    pub reason: Option<String>,
    /// It is hot no more: what was done is being undone.
    pub undoing: Option<bool>,
    /// Operations that it spared the store, the shared tier and readers.
    pub saved: Option<u64>,
    /// Operations that it cost.
    pub cost: Option<u64>,
    /// Bytes that did not travel.
    pub saved_bytes: Option<u64>,
    /// Microseconds of compressing.
    pub cpu_us: Option<u64>,
}

/// How often a key is asked for, in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RateRow {
    /// Reads.
    pub reads_per_s: u64,
    /// Writes.
    pub writes_per_s: u64,
    /// Bytes of its value.
    pub bytes_per_s: u64,
}

/// A value that is large.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BigRow {
    /// As text.
    pub key: String,
    /// Its space.
    pub space: String,
    /// Of its value.
    pub bytes: u32,
    /// Times it was served since it was stored, nearly.
    pub hits: u32,
}

impl Service {
    /// What the detector of hot keys knows of itself.
    pub fn heat(&self) -> HeatCounts {
        self.0.cache.heat()
    }

    /// The hottest keys, then those that are reacted to because they are announced, at most `n` of them.
    pub fn hot_keys(&self, n: usize) -> Vec<HotRow> {
        let cache = &self.0.cache;
        let announced = cache.announced();
        let is_announced =
            |space: &str, key: &[u8]| announced.iter().any(|said| said.space == space && *said.key == *key);
        let found = cache.hot_keys(n);
        let mut rows: Vec<HotRow> = found.iter().map(|key| hot(key, is_announced(&key.space, &key.key))).collect();
        for (space, key, reaction) in cache.reactions() {
            let is_found = found.iter().any(|found| *found.space == *space && found.key == key);
            if rows.len() < n && !is_found && is_announced(&space, &key) {
                rows.push(prepared(&space, &key, &reaction));
            }
        }
        rows
    }

    /// The largest values that memory holds, at most `n` of them. Walks all of it.
    pub fn big_keys(&self, n: usize) -> Vec<BigRow> {
        let row = |big: BigKey| BigRow { key: shown(&big.key), space: big.space, bytes: big.bytes, hits: big.hits };
        self.0.cache.big_keys(n).into_iter().map(row).collect()
    }
}

fn hot(hot: &HotKey, announced: bool) -> HotRow {
    let stage = match hot.stage {
        Stage::Hot => "hot",
        Stage::Watched => "watched",
    };
    let row = HotRow {
        key: shown(&hot.key),
        space: hot.space.clone(),
        stage: stage.to_owned(),
        announced,
        share: thousandths(hot.share),
        fleet: rates(&hot.fleet),
        here: rates(&hot.here),
        steady: rates(&hot.steady),
        since_ms: hot.since.0,
        held_for_ms: Some(hot.held_for.0),
        value_bytes: Some(hot.value_bytes),
        ..HotRow::default()
    };
    with_reaction(row, hot.reaction.as_ref())
}

/// A key that draws nothing yet, or too little to be watched, and is reacted to because it is announced.
fn prepared(space: &str, key: &[u8], reaction: &ExplainReaction) -> HotRow {
    let row = HotRow {
        key: shown(key),
        space: space.to_owned(),
        stage: "announced".to_owned(),
        announced: true,
        share: thousandths(reaction.share),
        since_ms: reaction.since.0,
        ..HotRow::default()
    };
    with_reaction(row, Some(reaction))
}

/// The row with what is done about its key, and what that saved and cost.
fn with_reaction(row: HotRow, reaction: Option<&ExplainReaction>) -> HotRow {
    let Some(reaction) = reaction else { return row };
    HotRow {
        done: Some(reaction.reaction.measures().map(Measure::as_str).map(str::to_owned).collect()),
        reason: Some(reaction.reaction.reason.as_str().to_owned()),
        undoing: Some(reaction.undoing),
        saved: Some(reaction.saved),
        cost: Some(reaction.cost),
        saved_bytes: Some(reaction.saved_bytes),
        cpu_us: Some(reaction.cpu_us),
        ..row
    }
}

fn thousandths(share: f64) -> f64 {
    (share * 1000.0).round() / 1000.0
}

fn rates(rates: &Rates) -> RateRow {
    let whole = |rate: f64| rate.round() as u64;
    RateRow { reads_per_s: whole(rates.reads), writes_per_s: whole(rates.writes), bytes_per_s: whole(rates.bytes) }
}

//! Which answers are right? Told by one who has seen every operation.

use std::collections::HashMap;

use bellwether::{Tick, Why};

pub(crate) const KEYS: u64 = 3;
pub(crate) const TTL: u64 = 1_000;
pub(crate) const SWR: u64 = 2_000;
pub(crate) const SIE: u64 = 5_000;
pub(crate) const NEGATIVE: u64 = 500;
/// A failed key is left alone for ten seconds at most.
pub(crate) const LONGEST_PAUSE: u64 = 10_000;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Demand {
    Any,
    Fresh,
    Within(u64),
}

/// What a load would find.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Row {
    Value,
    Tagged,
    Missing,
    Fails,
}

/// What is known of a value that was once stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) key: u64,
    pub(crate) at: Tick,
    pub(crate) tagged: bool,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct KeyState {
    /// The value that must be resident, if one must.
    pub(crate) resident: Option<u64>,
    /// Values up to this one were removed.
    pub(crate) removed: u64,
    /// Values up to this one were expired.
    pub(crate) expired: u64,
    /// When it was last refreshed by hand, which makes what is resident stale.
    pub(crate) refreshed: Option<u64>,
    pub(crate) missing_since: Option<Tick>,
    pub(crate) failed_at: Option<Tick>,
}

/// The rules, told by one who has seen every operation.
pub(crate) struct Model {
    pub(crate) rescue: bool,
    /// Values are numbered; each carries its key in its last digit.
    pub(crate) next: u64,
    pub(crate) values: HashMap<u64, Known>,
    pub(crate) keys: [KeyState; KEYS as usize],
}

impl Model {
    pub(crate) fn new(rescue: bool) -> Model {
        Model { rescue, next: 0, values: HashMap::new(), keys: Default::default() }
    }

    pub(crate) fn fresh_number(&mut self, key: u64) -> u64 {
        self.next += 1;
        self.next * 10 + key
    }

    pub(crate) fn stored(&mut self, key: u64, value: u64, at: Tick, tagged: bool) {
        self.values.insert(value, Known { key, at, tagged });
        let state = &mut self.keys[key as usize];
        *state =
            KeyState { resident: Some(value), removed: state.removed, expired: state.expired, ..KeyState::default() };
    }

    pub(crate) fn loaded(&mut self, key: u64, value: u64, row: Row, at: Tick) {
        match row {
            Row::Value | Row::Tagged => self.stored(key, value, at, row == Row::Tagged),
            Row::Missing => {
                let state = &mut self.keys[key as usize];
                (state.resident, state.missing_since, state.failed_at) = (None, Some(at), None);
            }
            Row::Fails => self.keys[key as usize].failed_at = Some(at),
        }
    }

    pub(crate) fn invalidated(&mut self, key: u64, hard: bool) {
        let newest = self.next * 10 + 9;
        let state = &mut self.keys[key as usize];
        if hard {
            state.removed = newest;
        } else {
            state.expired = newest;
        }
        (state.missing_since, state.resident) = (None, None);
    }

    pub(crate) fn tag_invalidated(&mut self, hard: bool) {
        let tagged = |value: &u64| self.values.get(value).is_some_and(|known| known.tagged);
        let covered: Vec<u64> =
            (0..KEYS).filter(|key| self.keys[*key as usize].resident.as_ref().is_some_and(tagged)).collect();
        for key in covered {
            // Of this key only the tagged value can be resident, so covering all values up to it is the same.
            let state = self.keys[key as usize];
            let (removed, expired) = (state.removed, state.expired);
            let value = state.resident.unwrap_or_default();
            let state = &mut self.keys[key as usize];
            state.resident = None;
            if hard { state.removed = removed.max(value) } else { state.expired = expired.max(value) }
        }
    }

    /// Whether the resident value must be served at once as plainly fresh.
    pub(crate) fn must_hit(&self, key: u64, now: Tick) -> Option<u64> {
        let state = &self.keys[key as usize];
        let value = state.resident?;
        let refreshed = state.refreshed == Some(value);
        (!refreshed && now.since(self.values[&value].at).0 < TTL).then_some(value)
    }

    /// Judges a value that was served.
    pub(crate) fn allows(
        &self,
        key: u64,
        demand: Demand,
        value: u64,
        why: Why,
        now: Tick,
        offered: u64,
    ) -> Result<(), String> {
        if why == Why::Loaded {
            return if value == offered { Ok(()) } else { Err("loaded, but not what the loader gave".into()) };
        }
        let Some(known) = self.values.get(&value) else { return Err("never stored".into()) };
        let state = &self.keys[key as usize];
        let age = now.since(known.at).0;
        let rules = [
            (known.key == key, "g5: another key's value"),
            (value > state.removed, "g2: removed"),
            (value > state.expired || (why == Why::RescuedInvalidated && self.rescue), "expired"),
            (!matches!(demand, Demand::Fresh), "somebody insisted on a load"),
            (!matches!(demand, Demand::Within(most) if age > most), "older than asked for"),
            (why != Why::Hit || age < TTL, "past its freshness"),
            (why != Why::StaleRefreshing || age < TTL + SWR, "past its stale window"),
            (age < TTL + SIE, "past its end"),
        ];
        let broken: Vec<_> = rules.iter().filter(|(holds, _)| !holds).map(|(_, rule)| *rule).collect();
        if broken.is_empty() { Ok(()) } else { Err(broken.join(", ")) }
    }

    /// Judges an error.
    pub(crate) fn allows_error(&self, key: u64, why: Why, row: Row, now: Tick) -> bool {
        let state = &self.keys[key as usize];
        let recently = |at: Option<Tick>, span: u64| at.is_some_and(|at| now.since(at).0 < span);
        match why {
            Why::Negative => row == Row::Missing || recently(state.missing_since, NEGATIVE),
            Why::OriginFailed => row == Row::Fails,
            Why::Cooling => recently(state.failed_at, LONGEST_PAUSE),
            _ => false,
        }
    }
}

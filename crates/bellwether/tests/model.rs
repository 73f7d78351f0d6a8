//! Does the cache give only answers that its promises allow? Random histories of reads, writes,
//! invalidations and failing loads, on a clock driven by hand, against a model that knows the rules.

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::collections::HashMap;
use std::time::Duration;

use bellwether::{Cache, Clock, Early, LoadError, Loaded, Policy, Space, Span, Tick, Why};
use common::{soon, until, wide};
use proptest::prelude::*;

const KEYS: u64 = 3;
const TTL: u64 = 1_000;
const SWR: u64 = 2_000;
const SIE: u64 = 5_000;
const NEGATIVE: u64 = 500;
/// A failed key is left alone for ten seconds at most.
const LONGEST_PAUSE: u64 = 10_000;

#[derive(Clone, Copy, Debug)]
enum Demand {
    Any,
    Fresh,
    Within(u64),
}

/// What a load would find.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Row {
    Value,
    Tagged,
    Missing,
    Fails,
}

#[derive(Clone, Debug)]
enum Op {
    Get(u64, Demand, Row),
    Many(Row),
    Put(u64, bool),
    Remove(u64),
    Expire(u64),
    RemoveTag,
    ExpireTag,
    Refresh(u64),
    Clear,
    Wait(u64),
}

fn any_row() -> impl Strategy<Value = Row> {
    prop_oneof![5 => Just(Row::Value), 2 => Just(Row::Tagged), 1 => Just(Row::Missing), 3 => Just(Row::Fails)]
}

fn any_op() -> impl Strategy<Value = Op> {
    let demand = prop_oneof![
        6 => Just(Demand::Any),
        1 => Just(Demand::Fresh),
        1 => (0..2 * TTL).prop_map(Demand::Within),
    ];
    prop_oneof![
        8 => (0..KEYS, demand, any_row()).prop_map(|(key, demand, row)| Op::Get(key, demand, row)),
        1 => any_row().prop_map(Op::Many),
        1 => (0..KEYS, any::<bool>()).prop_map(|(key, tagged)| Op::Put(key, tagged)),
        1 => (0..KEYS).prop_map(Op::Remove),
        1 => (0..KEYS).prop_map(Op::Expire),
        1 => Just(Op::RemoveTag),
        1 => Just(Op::ExpireTag),
        1 => (0..KEYS).prop_map(Op::Refresh),
        1 => Just(Op::Clear),
        4 => prop_oneof![0..200u64, 0..2 * TTL, 0..2 * SIE].prop_map(Op::Wait),
    ]
}

/// What is known of a value that was once stored.
#[derive(Clone, Copy, Debug)]
struct Known {
    key: u64,
    at: Tick,
    tagged: bool,
}

#[derive(Clone, Copy, Default)]
struct KeyState {
    /// The value that must be resident, if one must.
    resident: Option<u64>,
    /// Values up to this one were removed.
    removed: u64,
    /// Values up to this one were expired.
    expired: u64,
    /// When it was last refreshed by hand, which makes what is resident stale.
    refreshed: Option<u64>,
    missing_since: Option<Tick>,
    failed_at: Option<Tick>,
}

/// The rules, told by one who has seen every operation.
struct Model {
    rescue: bool,
    /// Values are numbered; each carries its key in its last digit.
    next: u64,
    values: HashMap<u64, Known>,
    keys: [KeyState; KEYS as usize],
}

impl Model {
    fn fresh_number(&mut self, key: u64) -> u64 {
        self.next += 1;
        self.next * 10 + key
    }

    fn stored(&mut self, key: u64, value: u64, at: Tick, tagged: bool) {
        self.values.insert(value, Known { key, at, tagged });
        let state = &mut self.keys[key as usize];
        *state = KeyState { resident: Some(value), removed: state.removed, expired: state.expired, ..KeyState::default() };
    }

    fn loaded(&mut self, key: u64, value: u64, row: Row, at: Tick) {
        match row {
            Row::Value | Row::Tagged => self.stored(key, value, at, row == Row::Tagged),
            Row::Missing => {
                let state = &mut self.keys[key as usize];
                (state.resident, state.missing_since, state.failed_at) = (None, Some(at), None);
            }
            Row::Fails => self.keys[key as usize].failed_at = Some(at),
        }
    }

    fn invalidated(&mut self, key: u64, hard: bool) {
        let newest = self.next * 10 + 9;
        let state = &mut self.keys[key as usize];
        if hard {
            state.removed = newest;
        } else {
            state.expired = newest;
        }
        (state.missing_since, state.resident) = (None, None);
    }

    fn tag_invalidated(&mut self, hard: bool) {
        let tagged = |value: &u64| self.values.get(value).is_some_and(|known| known.tagged);
        let covered: Vec<u64> = (0..KEYS).filter(|key| self.keys[*key as usize].resident.as_ref().is_some_and(tagged)).collect();
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
    fn must_hit(&self, key: u64, now: Tick) -> Option<u64> {
        let state = &self.keys[key as usize];
        let value = state.resident?;
        let refreshed = state.refreshed == Some(value);
        (!refreshed && now.since(self.values[&value].at).0 < TTL).then_some(value)
    }

    /// Judges a value that was served.
    fn allows(&self, key: u64, demand: Demand, value: u64, why: Why, now: Tick, offered: u64) -> Result<(), String> {
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
    fn allows_error(&self, key: u64, why: Why, row: Row, now: Tick) -> bool {
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

struct World {
    cache: Cache,
    space: Space<u64, u64>,
    clock: Clock,
    model: Model,
}

impl World {
    fn new(rescue: bool) -> World {
        let clock = Clock::manual();
        let cache = Cache::builder().clock(clock.clone()).budget(wide()).build().expect("a cache");
        let policy = Policy::ttl(Duration::from_millis(TTL))
            .stale_while_revalidate(Duration::from_millis(SWR))
            .stale_if_error(Duration::from_millis(SIE))
            .negative_ttl(Duration::from_millis(NEGATIVE))
            .rescue_invalidated(rescue)
            .early(Early::Off)
            .jitter(0.0);
        let space = cache.space("row", policy);
        let model = Model { rescue, next: 0, values: HashMap::new(), keys: Default::default() };
        World { cache, space, clock, model }
    }

    fn loader(value: u64, row: Row) -> Result<Loaded<u64>, LoadError> {
        match row {
            Row::Value => Ok(Loaded::value(value)),
            Row::Tagged => Ok(Loaded::value(value).tag("tag")),
            Row::Missing => Ok(Loaded::missing()),
            Row::Fails => Err(LoadError::from(std::io::Error::other("the origin is down"))),
        }
    }

    async fn get(&mut self, key: u64, demand: Demand, row: Row) -> Result<(), TestCaseError> {
        let offered = self.model.fresh_number(key);
        let now = self.clock.now();
        let loads = self.loads();
        let asked = match demand {
            Demand::Any => self.space.get(&key),
            Demand::Fresh => self.space.get(&key).fresh(),
            Demand::Within(most) => self.space.get(&key).fresh_within(Span(most)),
        };
        let answer = soon("a read", asked.or_load(move |_| async move { World::loader(offered, row) })).await;
        let must = self.model.must_hit(key, now).filter(|_| matches!(demand, Demand::Any));
        match &answer {
            Ok(cached) => {
                let verdict = self.model.allows(key, demand, **cached, cached.why(), now, offered);
                prop_assert!(verdict.is_ok(), "{:?} of key {key}: {verdict:?}", cached);
                if let Some(must) = must {
                    prop_assert_eq!((**cached, cached.why()), (must, Why::Hit), "fresh and uncovered");
                }
            }
            Err(error) => {
                prop_assert!(self.model.allows_error(key, error.why(), row, now), "{error} for key {key}, row {row:?}");
                prop_assert!(must.is_none(), "{error} although a fresh value was there");
            }
        }
        self.settle(key, offered, row, loads, now).await;
        Ok(())
    }

    fn loads(&self) -> u64 {
        self.cache.snapshot().spaces[0].loads()
    }

    /// Waits for refreshes; if a load ran, the model learns what it brought.
    async fn settle(&mut self, key: u64, offered: u64, row: Row, before: u64, now: Tick) {
        until("no flight is left", || self.cache.snapshot().live_flights == 0).await;
        if self.loads() > before {
            self.model.loaded(key, offered, row, now);
        }
    }

    async fn many(&mut self, row: Row) -> Result<(), TestCaseError> {
        let keys: Vec<u64> = (0..KEYS).collect();
        let offered: Vec<u64> = keys.iter().map(|key| self.model.fresh_number(*key)).collect();
        let now = self.clock.now();
        let (asked, values) = (std::sync::Arc::new(std::sync::Mutex::new(Vec::new())), offered.clone());
        let noted = asked.clone();
        let batch = move |keys: Vec<u64>, _| {
            noted.lock().expect("no panic").extend(keys.iter().copied());
            let rows: Result<Vec<_>, LoadError> =
                keys.iter().map(|key| Ok((*key, World::loader(values[*key as usize], row)?))).collect();
            async move { rows }
        };
        let answers = soon("a batch", self.space.get_many(&keys).or_load(batch)).await;
        for (key, answer) in keys.iter().zip(&answers) {
            match answer {
                Ok(cached) => {
                    let offered = offered[*key as usize];
                    let verdict = self.model.allows(*key, Demand::Any, **cached, cached.why(), now, offered);
                    prop_assert!(verdict.is_ok(), "{:?} of key {key}: {verdict:?}", cached);
                }
                Err(error) => {
                    prop_assert!(self.model.allows_error(*key, error.why(), row, now), "{error} for key {key}");
                }
            }
        }
        until("no flight is left", || self.cache.snapshot().live_flights == 0).await;
        let mut asked = asked.lock().expect("no panic").clone();
        asked.sort_unstable();
        asked.dedup();
        for key in asked {
            self.model.loaded(key, offered[key as usize], row, now);
        }
        Ok(())
    }

    async fn step(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Get(key, demand, row) => self.get(key, demand, row).await?,
            Op::Many(row) => self.many(row).await?,
            Op::Put(key, tagged) => {
                let value = self.model.fresh_number(key);
                let loaded = Loaded::value(value);
                let kept = self.space.put(&key, if tagged { loaded.tag("tag") } else { loaded });
                prop_assert!(kept);
                self.model.invalidated(key, true);
                self.model.keys[key as usize].removed = value - 1;
                self.model.stored(key, value, self.clock.now(), tagged);
            }
            Op::Remove(key) => {
                drop(self.space.remove(&key));
                self.model.invalidated(key, true);
                self.model.keys[key as usize].failed_at = None;
            }
            Op::Expire(key) => {
                drop(self.space.expire(&key));
                self.model.invalidated(key, false);
                self.model.keys[key as usize].failed_at = None;
            }
            Op::RemoveTag => {
                self.cache.remove_tag("tag");
                self.model.tag_invalidated(true);
            }
            Op::ExpireTag => {
                self.cache.expire_tag("tag");
                self.model.tag_invalidated(false);
            }
            Op::Refresh(key) => {
                self.space.refresh(&key);
                let state = &mut self.model.keys[key as usize];
                (state.refreshed, state.failed_at) = (state.resident, None);
            }
            Op::Clear => {
                self.space.clear();
                (0..KEYS).for_each(|key| self.model.invalidated(key, true));
            }
            Op::Wait(ms) => self.clock.advance(Span(ms)),
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn g2_g5_no_history_makes_the_cache_give_what_it_must_not(rescue in any::<bool>(), ops in prop::collection::vec(any_op(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World::new(rescue);
            for op in ops {
                world.step(op).await?;
            }
            Ok::<_, TestCaseError>(())
        })?;
    }
}

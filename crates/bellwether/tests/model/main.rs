//! Does the cache give only answers that its promises allow? Random histories of reads, writes,
//! invalidations and failing loads, on a clock driven by hand, against a model that knows the rules.

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
#[path = "../common/mod.rs"]
mod common;
mod rules;

use std::time::Duration;

use bellwether::{Budget, Cache, Clock, Early, LoadError, Loaded, Policy, Space, Span, Tick, Why};
use common::{soon, until, wide};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rules::{Demand, KEYS, Model, NEGATIVE, Row, SIE, SWR, TTL};

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

struct World {
    cache: Cache,
    space: Space<u64, u64>,
    clock: Clock,
    model: Model,
    flaw: Option<Flaw>,
}

/// A broken promise, as a control: the model must notice.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    /// Values are fresh for twice as long as promised.
    StaysFresh,
    /// A removal does nothing.
    KeepsRemoved,
    /// A tag covers nothing.
    LosesTags,
    /// Every value goes under the next key's name.
    CrossesKeys,
}

impl World {
    fn new(rescue: bool, flaw: Option<Flaw>) -> World {
        let clock = Clock::manual();
        // The model knows nothing of breakers: a history of many failures would open one.
        let budget = Budget { breaker: false, ..wide() };
        let cache = Cache::builder().clock(clock.clone()).budget(budget).build().expect("a cache");
        let ttl = if flaw == Some(Flaw::StaysFresh) { 2 * TTL } else { TTL };
        let policy = Policy::ttl(Duration::from_millis(ttl))
            .stale_while_revalidate(Duration::from_millis(SWR))
            .stale_if_error(Duration::from_millis(SIE))
            .negative_ttl(Duration::from_millis(NEGATIVE))
            .rescue_invalidated(rescue)
            .early(Early::Off)
            .jitter(0.0);
        let space = cache.space("row", policy);
        let model = Model::new(rescue);
        World { cache, space, clock, model, flaw }
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
                let place = if self.flaw == Some(Flaw::CrossesKeys) { (key + 1) % KEYS } else { key };
                let kept = self.space.put(&place, if tagged { loaded.tag("tag") } else { loaded });
                prop_assert!(kept);
                self.model.invalidated(key, true);
                self.model.keys[key as usize].removed = value - 1;
                self.model.stored(key, value, self.clock.now(), tagged);
            }
            Op::Remove(key) => {
                if self.flaw != Some(Flaw::KeepsRemoved) {
                    drop(self.space.remove(&key));
                }
                self.model.invalidated(key, true);
                self.model.keys[key as usize].failed_at = None;
            }
            Op::Expire(key) => {
                drop(self.space.expire(&key));
                self.model.invalidated(key, false);
                self.model.keys[key as usize].failed_at = None;
            }
            Op::RemoveTag => {
                if self.flaw != Some(Flaw::LosesTags) {
                    self.cache.remove_tag("tag");
                }
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

/// Runs random histories; the first that breaks a rule is the error.
fn histories(cases: u32, flaw: Option<Flaw>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let history = (any::<bool>(), prop::collection::vec(any_op(), 1..60));
    let run = |(rescue, ops)| {
        runtime.block_on(async {
            let mut world = World::new(rescue, flaw);
            for op in ops {
                world.step(op).await?;
            }
            Ok(())
        })
    };
    TestRunner::new(config).run(&history, run).map_err(|error| error.to_string())
}

#[test]
fn g2_g5_no_history_makes_the_cache_give_what_it_must_not() {
    histories(400, None).unwrap();
}

#[test]
fn control_the_model_notices_every_broken_promise() {
    for flaw in [Flaw::StaysFresh, Flaw::KeepsRemoved, Flaw::LosesTags, Flaw::CrossesKeys] {
        assert!(histories(400, Some(flaw)).is_err(), "{flaw:?} went unnoticed");
    }
}

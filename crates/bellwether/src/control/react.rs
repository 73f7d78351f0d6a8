//! What becomes of a verdict? A plan for each hot key, put into force as one snapshot; undone step by step once the key
//! is hot no more.

use std::collections::HashMap;
use std::sync::Arc;

use bellwether_core::entry::Kind;
use bellwether_core::heat::course::Course;
use bellwether_core::heat::hot::{Hot, Stage};
use bellwether_core::heat::plan::{Allowed, Measure, Situation};
use bellwether_core::heat::room::{Candidate, admitted};
use bellwether_core::heat::undone::Undone;
use bellwether_core::time::{Span, Tick};

use crate::control::split::Splits;
use crate::engine::Engine;
use crate::key::{ByCarriedHash, Key};
use crate::observe::counters;
use crate::state::memory::references::References;
use crate::state::plan::{Plan, Planned, Sight, Toll, Verdict};
use crate::state::space::SpaceState;

/// A step of undoing takes at least so long.
const UNDOING: Span = Span::ms(100);
/// Ahead of the end of a value a worker refreshes it: 1.2 times the p99 of its loads, and never less than two ticks of
/// whoever looks.
const WORKER_LEAD: f64 = 1.2;
const SHORTEST_LEAD: Span = Span::ms(250);

/// What is known of the keys that are reacted to, from window to window.
#[derive(Default)]
pub(crate) struct Reactor {
    kept: HashMap<Key, Kept, ByCarriedHash>,
    /// By place: whose references threads may hold.
    places: HashMap<usize, Key>,
    splits: Splits,
}

/// A key that is reacted to.
struct Kept {
    course: Course,
    situation: Situation,
    since: Tick,
    undone: Undone,
    stepped: Tick,
    toll: Arc<Toll>,
}

type Spaces = HashMap<u32, Arc<SpaceState>>;

impl Reactor {
    /// A window is over: `seen` are all keys that are watched or hot.
    pub(crate) fn react(&mut self, engine: &Arc<Engine>, seen: &[Verdict], sight: Sight) {
        engine.memory.references.tidy(sight.now);
        let announced = engine.plans.announced(sight.now);
        if seen.is_empty() && announced.is_empty() && self.kept.is_empty() {
            return;
        }
        let spaces: Spaces = engine.spaces.read().values().map(|space| (space.id, space.clone())).collect();
        let mut wanted: HashMap<Key, (Option<Hot>, bool), ByCarriedHash> = HashMap::default();
        for verdict in seen.iter().filter(|verdict| verdict.hot.stage == Stage::Hot) {
            wanted.entry(verdict.key.clone()).or_default().0 = Some(verdict.hot);
        }
        for announced in announced {
            wanted.entry(announced.key).or_default().1 = true;
        }
        self.plan(engine, &spaces, wanted, sight);
        self.undo(&spaces, sight.now);
        self.settle(engine, &spaces);
        self.work(engine, &spaces, sight.now);
    }

    /// A key was found hot within a window: it is reacted to at once, beside those that are.
    pub(crate) fn react_now(&mut self, engine: &Arc<Engine>, verdict: &Verdict, sight: Sight) {
        let spaces: Spaces = engine.spaces.read().values().map(|space| (space.id, space.clone())).collect();
        let settled = self.kept.iter().filter(|(_, kept)| kept.undone == Undone::Nothing);
        let mut wanted: HashMap<_, _, ByCarriedHash> =
            settled.map(|(key, kept)| (key.clone(), (kept.situation.hot, kept.situation.announced))).collect();
        wanted.entry(verdict.key.clone()).or_default().0 = Some(verdict.hot);
        self.plan(engine, &spaces, wanted, sight);
        self.settle(engine, &spaces);
    }

    /// Plans for those that there is room for; the others are to be undone.
    fn plan(
        &mut self,
        engine: &Engine,
        spaces: &Spaces,
        wanted: HashMap<Key, (Option<Hot>, bool), ByCarriedHash>,
        sight: Sight,
    ) {
        let wanted: Vec<_> = wanted.into_iter().filter(|(key, _)| spaces.contains_key(&key.space)).collect();
        let candidates: Vec<Candidate> = wanted
            .iter()
            .map(|(key, (hot, announced))| Candidate {
                space: key.space,
                // What was announced is prepared before it is hot, and held whatever else is.
                share: if *announced { f64::INFINITY } else { hot.map_or(0.0, |hot| hot.share) },
                settled: self.kept.contains_key(key),
            })
            .collect();
        let mut chosen = admitted(&candidates).into_iter();
        let mut stays: HashMap<Key, (), ByCarriedHash> = HashMap::default();
        for (key, (hot, announced)) in wanted {
            let (Some(true), Some(space)) = (chosen.next(), spaces.get(&key.space)) else { continue };
            let situation = situation(engine, space, &key, hot, announced, sight);
            let before = self.kept.get(&key).filter(|kept| kept.undone == Undone::Nothing).map(|kept| kept.course);
            let course = match before {
                Some(course) => course.go_on(&situation, sight.hold, sight.now),
                None => Course::begin(&situation),
            };
            let Some(course) = course else { continue };
            stays.insert(key.clone(), ());
            let kept = self.kept.entry(key).or_insert_with(|| Kept {
                course,
                situation,
                since: sight.now,
                undone: Undone::Nothing,
                stepped: sight.now,
                toll: engine.plans.toll(),
            });
            (kept.course, kept.situation, kept.undone, kept.stepped) = (course, situation, Undone::Nothing, sight.now);
        }
        for (key, kept) in &mut self.kept {
            if kept.undone == Undone::Nothing && !stays.contains_key(key) {
                (kept.undone, kept.stepped) =
                    (Undone::Nothing.next(&kept.course.reaction(), sight.now, Span::ZERO), sight.now);
            }
        }
    }

    /// Takes the next step of undoing, where it is time.
    fn undo(&mut self, spaces: &Spaces, now: Tick) {
        self.kept.retain(|key, kept| {
            let Some(space) = spaces.get(&key.space) else { return false };
            if kept.undone != Undone::Nothing && now.since(kept.stepped) >= UNDOING {
                (kept.undone, kept.stepped) =
                    (kept.undone.next(&kept.course.reaction(), now, space.policy.timeout), now);
            }
            kept.undone != Undone::All
        });
    }

    /// Puts what is planned into force.
    fn settle(&mut self, engine: &Arc<Engine>, spaces: &Spaces) {
        let planned = |kept: &Kept| {
            let reaction = kept.undone.of(kept.course.reaction());
            Planned {
                reaction,
                undone: kept.undone,
                hot: kept.situation.hot,
                since: kept.since,
                estimate: reaction.estimate(&kept.situation),
                toll: kept.toll.clone(),
            }
        };
        let by_key: HashMap<_, _, ByCarriedHash> =
            self.kept.iter().map(|(key, kept)| (key.clone(), planned(kept))).collect();
        self.place(engine, &by_key);
        self.splits.follow(engine, spaces, &by_key);
        engine.plans.replace(Plan { by_key });
    }

    /// Gives each key whose references threads may hold its place: of those that want the same the hottest, and who has
    /// it already keeps it from those that are no hotter.
    fn place(&mut self, engine: &Engine, by_key: &HashMap<Key, Planned, ByCarriedHash>) {
        let references = &engine.memory.references;
        let share = |key: &Key| by_key.get(key).and_then(|planned| planned.hot).map_or(0.0, |hot| hot.share);
        let wants = |key: &Key| by_key.get(key).is_some_and(|planned| planned.reaction.own_copies);
        for (place, key) in &self.places {
            let toll = by_key.get(key).map(|planned| planned.toll.clone()).unwrap_or_default();
            engine.plans.saved(&toll, Measure::OwnCopies, references.take_served(*place));
        }
        let mut places: HashMap<usize, Key> = self.places.iter().filter(|(_, key)| wants(key)).map(owned).collect();
        for key in by_key.keys().filter(|key| wants(key) && key.hash != 0) {
            let held = places.entry(References::place(key.hash)).or_insert_with(|| key.clone());
            if share(key) > share(held) {
                *held = key.clone();
            }
        }
        for place in self.places.keys().filter(|place| !places.contains_key(place)) {
            references.plan(*place, None);
        }
        for (place, key) in &places {
            references.plan(*place, Some(key.hash));
        }
        self.places = places;
    }

    /// Refreshes what is due and has a worker, although nobody reads it at this moment; what was announced is loaded.
    fn work(&self, engine: &Arc<Engine>, spaces: &Spaces, now: Tick) {
        for (key, kept) in self.kept.iter().filter(|(_, kept)| kept.undone.of(kept.course.reaction()).worker) {
            let Some(space) = spaces.get(&key.space) else { continue };
            let seen = match engine.memory.peek(key.by_ref()) {
                Some(entry) if entry.kind() != Kind::Value => continue,
                Some(entry) if engine.floor_of(space, &entry).covers(entry.fence()) => None,
                Some(entry) if now + lead(space, &entry.meta()) < entry.fresh_until() => continue,
                Some(entry) => Some(entry.fence()),
                None => None,
            };
            // What was removed is loaded by its next reader; what was announced has none yet.
            if seen.is_none() && !kept.situation.announced {
                continue;
            }
            if engine.refresh_unasked(space, key, seen.unwrap_or_default()) {
                engine.plans.cost(&kept.toll, Measure::Worker, 1);
            }
        }
    }
}

fn owned((place, key): (&usize, &Key)) -> (usize, Key) {
    (*place, key.clone())
}

/// So long before the end of a value its worker refreshes it, at most a quarter of its life.
fn lead(space: &SpaceState, meta: &bellwether_core::entry::Meta) -> Span {
    let usual = space.load_times().0.unwrap_or(Span(u64::from(meta.cost_ms))).scale(WORKER_LEAD);
    let quarter = Span(meta.fresh_until.since(meta.born).0 / 4);
    usual.max(Span(u64::from(meta.early_ms))).max(SHORTEST_LEAD).at_most(quarter)
}

fn situation(
    engine: &Engine,
    space: &SpaceState,
    key: &Key,
    hot: Option<Hot>,
    announced: bool,
    sight: Sight,
) -> Situation {
    let shared = engine.tier.is_some() && space.travel.as_ref().is_some_and(|travel| travel.on_shared);
    Situation {
        hot,
        allowed: Allowed {
            budget: space.policy.staleness_budget,
            extend_ttl: sight.extend_ttl,
            memory: !space.is_braked(),
            shared,
            loads: space.loads_unasked(),
        },
        ttl: space.policy.ttl,
        value_bytes: engine.memory.peek(key.by_ref()).map_or(0, |entry| entry.value_bytes(key.bytes.len())),
        instances: sight.instances,
        nodes: engine.tier.as_ref().map_or(1, |tier| u32::try_from(tier.nodes()).unwrap_or(u32::MAX)),
        replicas: engine.tier.as_ref().map_or(0, |tier| u32::try_from(tier.replicas()).unwrap_or(u32::MAX)),
        capacity: sight.capacity,
        heard: engine.fleet.as_ref().is_some_and(|fleet| fleet.is_live()),
        degraded: space.gate.is_degraded(),
        announced,
        threads: u32::try_from(counters::threads()).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
#[path = "react_tests.rs"]
mod tests;

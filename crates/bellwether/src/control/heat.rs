//! Which keys are hot? Judged at the end of each window, and at once for a key that is hot before its window is over.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use bellwether_core::heat::board::{Seen, Sight};
use bellwether_core::heat::fleet::{Told, tells_every, top};
use bellwether_core::heat::hot::Stage;
use bellwether_core::heat::policy::{Bars, HotPolicy, WINDOW};
use bellwether_core::heat::sketch::Id;
use bellwether_core::heat::window::Counts;
use bellwether_core::time::Tick;
use bellwether_core::why::Why;

use crate::control::capacity;
use crate::control::react::Reactor;
use crate::control::whispers::Whispers;
use crate::engine::{Engine, draw};
use crate::error::SetupError;
use crate::events::Transport;
use crate::key::KeyRef;
use crate::port::clock::Clock;
use crate::state::heat::{Closed, Heat, Judged, MOST_UNTOLD, Noted, NotedKey};
use crate::state::plan::{self, Verdict};

/// What is less than this part of what a watched key has per process is not told: few see so little of a hot one.
const WORTH: f64 = 4.0;

/// Judges until the cache is gone.
pub(crate) fn start(engine: &Arc<Engine>, transport: Option<Arc<dyn Transport>>) {
    let whispers = transport.map(|transport| Whispers::start(engine, transport));
    let (reactor, noted) = (Reactor::default(), Noted::new());
    let watch = Watch { untold: HashMap::new(), told: engine.clock.now(), noted, hits: 0, reactor, whispers };
    engine.runtime().spawn(watch.run(Arc::downgrade(engine), engine.heat.clone(), engine.clock.clone()));
    capacity::start(engine);
}

/// Whether thresholds make sense.
pub(crate) fn sensible(policy: &HotPolicy) -> Result<(), SetupError> {
    let mistakes: Vec<String> = policy.mistakes().into_iter().map(|(knob, text)| format!("{knob} {text}")).collect();
    if mistakes.is_empty() { Ok(()) } else { Err(SetupError::Hot(mistakes)) }
}

/// What the task itself remembers.
struct Watch {
    /// What was counted since others were told.
    untold: HashMap<Id, Counts>,
    /// When they were.
    told: Tick,
    noted: Noted,
    /// Hits that all spaces had counted when the last window ended.
    hits: u64,
    reactor: Reactor,
    whispers: Option<Whispers>,
}

impl Watch {
    async fn run(mut self, engine: Weak<Engine>, heat: Arc<Heat>, clock: Clock) {
        let mut began = clock.now();
        loop {
            let over = tokio::select! {
                () = clock.sleep_until(began + WINDOW) => true,
                () = heat.alarm.notified() => false,
            };
            let Some(engine) = engine.upgrade() else { return };
            if over {
                let ended = clock.now();
                self.window(&engine, began, ended);
                began = ended;
            } else {
                self.inside(&engine, clock.now());
            }
        }
    }

    /// A window is over.
    fn window(&mut self, engine: &Arc<Engine>, began: Tick, now: Tick) {
        let (heat, policy, bars) = (&engine.heat, engine.heat.policy(), engine.heat.bars());
        let closed = heat.turn(&mut self.noted);
        let mut judged = heat.judged();
        judged.view.turn(now);
        judged.windows += 1;
        let instances = judged.view.instances(now);
        heat.watch_for(instances);
        let hits: u64 = engine.spaces.read().values().map(|space| space.counted(Why::Hit)).sum();
        // Fewer than before where a space is gone.
        heat.sample_for(hits.saturating_sub(std::mem::replace(&mut self.hits, hits)), instances);
        if closed.is_empty() && judged.board.ids().next().is_none() && self.untold.is_empty() {
            drop(judged);
            heat.settle(std::iter::empty());
            self.reactor.react(engine, &[], seen_by(engine, instances, now));
            return self.tell(engine, instances, now);
        }
        // The hottest first: there may not be room for the names of all.
        let mut noted: Vec<_> = self.noted.keys().collect();
        noted.sort_by_cached_key(|(key, _)| std::cmp::Reverse(closed.counts(key.hash, key.size).cost()));
        take_up(engine, &mut judged, noted, false);
        let seen = seen(engine, &mut judged, &closed);
        drop(closed);
        let sight = Sight { length: now.since(began), instances, bars: &bars, policy: &policy, now };
        judged.board.judge(&seen, &sight);
        let least = bars.local(instances);
        let above = seen.iter().filter(|one| one.here.cost() >= least).map(|one| one.id);
        heat.settle(above.chain(judged.board.ids().filter(|id| judged.board.stage(*id) == Some(Stage::Hot))));
        let spaces = engine.spaces_by_id();
        let Judged { board, known, .. } = &mut *judged;
        board.retain(|id| known.get(&id).is_some_and(|known| spaces.contains_key(&known.key.space)));
        judged.forget();
        let Judged { view, known, .. } = &*judged;
        heat.want(view.above(bars.watch).map(|(id, _)| id).filter(|id| !known.contains_key(id)));
        let verdicts: Vec<Verdict> =
            judged.board.hottest_first().into_iter().filter_map(|id| verdict(&judged, id, &bars)).collect();
        drop(judged);
        self.reactor.react(engine, &verdicts, seen_by(engine, instances, now));
        for one in seen {
            if self.untold.len() < MOST_UNTOLD || self.untold.contains_key(&one.id) {
                let sum = self.untold.entry(one.id).or_default();
                *sum = sum.plus(one.here);
            }
        }
        self.tell(engine, instances, now);
    }

    /// Tells the others, if it is time: of keys that would be watched if all saw as much of them.
    fn tell(&mut self, engine: &Engine, instances: u32, now: Tick) {
        let every = now.since(self.told);
        if every < tells_every(instances) {
            return;
        }
        self.told = now;
        let Some(whispers) = &mut self.whispers else { return self.untold.clear() };
        let watch = engine.heat.bars().watch * every.0 as f64 / 1000.0;
        let matters = |counts: &Counts| counts.cost() as f64 * f64::from(instances) * WORTH >= watch;
        let counted = self.untold.drain().filter(|(_, counts)| matters(counts));
        let counted = counted.map(|(id, counts)| Told { id, counts }).collect();
        whispers.tell(engine, top(counted, draw()), now);
    }

    /// Something is hot before its window is over.
    fn inside(&mut self, engine: &Arc<Engine>, now: Tick) {
        let (heat, policy, bars) = (&engine.heat, engine.heat.policy(), engine.heat.bars());
        let (so_far, keys) = heat.so_far();
        let mut judged = heat.judged();
        let instances = judged.view.instances(now);
        // Of a whole window, whatever is still to come.
        let sight = Sight { length: WINDOW, instances, bars: &bars, policy: &policy, now };
        let least = bars.local(instances);
        let mut news = Vec::new();
        for (key, name) in keys {
            let here = so_far.counts(key.hash, key.size);
            if here.cost() < least || heat.is_settled(key.id) || judged.board.stage(key.id) == Some(Stage::Hot) {
                continue;
            }
            heat.settle_one(key.id);
            take_up(engine, &mut judged, [(&key, &name[..])], true);
            if !judged.known.contains_key(&key.id) {
                continue;
            }
            let one = Seen { id: key.id, space: key.space, here, elsewhere: judged.view.rates(key.id) };
            if judged.board.judge_now(&one, &sight) {
                news.extend(verdict(&judged, key.id, &bars));
            } else if judged.board.stage(key.id).is_none() {
                judged.known.remove(&key.id);
            }
        }
        drop(judged);
        for verdict in news {
            self.reactor.react_now(engine, &verdict, seen_by(engine, instances, now));
        }
    }
}

/// What is said of a key to those who react.
fn verdict(judged: &Judged, id: Id, bars: &Bars) -> Option<Verdict> {
    let key = judged.known.get(&id)?.key.clone();
    Some(Verdict { key, hot: judged.board.hot(id, bars)? })
}

/// What they are told of the fleet.
fn seen_by(engine: &Engine, instances: u32, now: Tick) -> plan::Sight {
    let (capacity, policy) = (engine.heat.bars().capacity, engine.heat.policy());
    plan::Sight { now, capacity, instances, extend_ttl: policy.extend_ttl, hold: policy.hold }
}

/// Remembers the keys behind ids.
fn take_up<'a>(
    engine: &Engine,
    judged: &mut Judged,
    keys: impl IntoIterator<Item = (&'a NotedKey, &'a [u8])>,
    hot: bool,
) {
    for (key, name) in keys {
        let named = KeyRef { hash: key.hash, bytes: name, space: key.space };
        if !judged.know(key.id, named, key.size, hot) {
            engine.heat.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Reads that nobody looked at, of a value of so many bytes.
fn unseen(reads: u64, size: u32) -> Counts {
    Counts { reads, writes: 0, bytes: reads.saturating_mul(u64::from(size)) }
}

/// What the window says of all keys that are known.
fn seen(engine: &Engine, judged: &mut Judged, closed: &Closed<'_>) -> Vec<Seen> {
    let Judged { view, known, .. } = judged;
    let seen = known.iter_mut().map(|(id, known)| {
        if let Some(entry) = engine.memory.peek(known.key.by_ref()) {
            known.size = entry.value_bytes(known.key.bytes.len());
        }
        let hash = known.key.hash;
        let here = closed.counts(hash, known.size).plus(unseen(engine.memory.references.take_unseen(hash), known.size));
        Seen { id: *id, space: known.key.space, here, elsewhere: view.rates(*id) }
    });
    seen.collect()
}

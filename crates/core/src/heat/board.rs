//! Which keys are hot or watched right now? All verdicts of a process: bounded, however many keys pretend to be hot.

use std::collections::{HashMap, VecDeque};

use crate::heat::hot::{Hot, Rates, Stage};
use crate::heat::policy::{Bars, HotPolicy, LEAST};
use crate::heat::sketch::Id;
use crate::heat::verdict::{self, Turn, Verdict};
use crate::heat::window::{Counts, Meter, cost, join};
use crate::time::{Span, Tick};

/// Keys that are hot or watched at the same time.
pub const MOST_TRACKED: usize = 256;
/// Of them hot, of one space.
pub const MOST_HOT: usize = 64;
/// Keys that are remembered after they were given up, to notice those that flap.
const MOST_PAST: usize = 256;
/// A key takes another one's place if it is so many times as hot: with less, two would change places all the time.
const HOTTER: f64 = 2.0;

/// What a window says of one key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The key.
    pub id: Id,
    /// Its space, as the caller numbers them: each has a quota of hot keys.
    pub space: u32,
    /// What this process counted.
    pub here: Counts,
    /// What all others say they see.
    pub elsewhere: Rates,
}

/// In whose eyes and against what a window is judged.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// How long the window was.
    pub length: Span,
    /// Processes that share the load, this one included.
    pub instances: u32,
    /// From when on a key is hot.
    pub bars: &'a Bars,
    /// For how long.
    pub policy: &'a HotPolicy,
    /// When the window ended.
    pub now: Tick,
}

/// What was refused so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Keys that were not taken up, because all that are held are as hot.
    pub full: u64,
    /// Keys that stayed watched, because their space has as many hot ones as it may.
    pub quota: u64,
}

/// All verdicts.
#[derive(Debug, Default)]
pub struct Board {
    /// Each in a place of its own: a table has room for twice as many as it holds.
    tracked: HashMap<Id, Box<Tracked>>,
    /// Hot keys that were given up, the oldest first: when, and for how long they had been held.
    past: VecDeque<(Id, Tick, Span)>,
    /// What was refused.
    pub refused: Refused,
}

#[derive(Clone, Copy, Debug)]
struct Tracked {
    space: u32,
    here: Meter,
    fleet: Meter,
    verdict: Verdict,
}

impl Board {
    /// Whether a key is hot or watched.
    pub fn stage(&self, id: Id) -> Option<Stage> {
        self.tracked.get(&id).map(|tracked| tracked.verdict.stage)
    }

    /// Keys that are hot or watched: their counts are to be told at the end of a window.
    pub fn ids(&self) -> impl Iterator<Item = Id> + '_ {
        self.tracked.keys().copied()
    }

    /// How many are hot, and how many are watched.
    pub fn sizes(&self) -> (usize, usize) {
        let hot = self.tracked.values().filter(|tracked| tracked.verdict.stage == Stage::Hot).count();
        (hot, self.tracked.len() - hot)
    }

    /// What is said of a key: as of the last second.
    pub fn hot(&self, id: Id, bars: &Bars) -> Option<Hot> {
        self.tracked.get(&id).map(|tracked| tracked.hot(bars))
    }

    /// What was seen of a key in the last ten seconds: here, and by the fleet.
    pub fn steady(&self, id: Id) -> Option<(Rates, Rates)> {
        self.tracked.get(&id).map(|tracked| (tracked.here.ten(), tracked.fleet.ten()))
    }

    /// A window is over. Who is not in `seen` was not asked for.
    pub fn judge(&mut self, seen: &[Seen], sight: &Sight<'_>) {
        let by_id: HashMap<Id, &Seen> = seen.iter().map(|one| (one.id, one)).collect();
        for (id, tracked) in &mut self.tracked {
            let unseen = Seen { id: *id, space: tracked.space, here: Counts::default(), elsewhere: Rates::default() };
            tracked.measure(by_id.get(id).copied().unwrap_or(&unseen), sight);
        }
        for id in self.hottest_first() {
            self.turn(id, by_id.get(&id).map_or(Rate::default(), |one| rate(one, sight)), sight);
        }
        let mut new: Vec<(&Seen, Rate)> = seen
            .iter()
            .filter(|one| !self.tracked.contains_key(&one.id))
            .map(|one| (one, rate(one, sight)))
            .filter(|(_, rate)| rate.peak >= sight.bars.watch)
            .collect();
        // The hottest first, so that they find room.
        new.sort_by(|a, b| b.1.known.total_cmp(&a.1.known).then(a.0.id.cmp(&b.0.id)));
        for (at, (one, rate)) in new.iter().enumerate() {
            if !self.has_room(rate.known) {
                self.refused.full += (new.len() - at) as u64;
                break;
            }
            self.take_up(one, *rate, sight);
        }
        // Who left leaves gaps, for which the table would grow.
        self.tracked.shrink_to(MOST_TRACKED);
    }

    /// Inside a window so much was counted of a key already that it is hot, whatever comes after. `true`: it is news.
    pub fn judge_now(&mut self, one: &Seen, sight: &Sight<'_>) -> bool {
        let rate = rate(one, sight);
        match self.stage(one.id) {
            Some(Stage::Hot) => return false,
            Some(Stage::Watched) => self.turn(one.id, rate, sight),
            None if self.has_room(rate.known) => self.take_up(one, rate, sight),
            None => self.refused.full += 1,
        }
        self.stage(one.id) == Some(Stage::Hot)
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        let tracked =
            self.tracked.len() * size_of::<Tracked>() + table(self.tracked.capacity(), size_of::<(Id, Box<Tracked>)>());
        tracked + self.past.capacity() * size_of::<(Id, Tick, Span)>()
    }

    /// Forgets keys of spaces that are gone.
    pub fn retain(&mut self, mut stays: impl FnMut(Id) -> bool) {
        self.tracked.retain(|id, _| stays(*id));
    }

    /// Ids in a steady order, the hottest first.
    pub fn hottest_first(&self) -> Vec<Id> {
        let mut ids: Vec<(Id, f64)> = self.tracked.iter().map(|(id, tracked)| (*id, tracked.steady())).collect();
        ids.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        ids.into_iter().map(|(id, _)| id).collect()
    }

    fn turn(&mut self, id: Id, rate: Rate, sight: &Sight<'_>) {
        let Some(mut tracked) = self.tracked.get(&id).map(|tracked| **tracked) else { return };
        // A key may have been watched since before it was given up last.
        tracked.verdict.hold = match tracked.verdict.stage {
            Stage::Hot => tracked.verdict.hold,
            Stage::Watched => self.hold_of(id, sight),
        };
        match tracked.verdict.judge(rate.peak, tracked.steady(), sight.bars, sight.now) {
            Turn::Stays => {}
            Turn::Heats if self.may_be_hot(tracked.space, rate.known, sight.now) => {}
            Turn::Heats => {
                self.refused.quota += 1;
                return;
            }
            Turn::Leaves => return self.give_up(id, sight.now),
        }
        self.tracked.insert(id, Box::new(tracked));
    }

    /// To be called where there is room.
    fn take_up(&mut self, one: &Seen, rate: Rate, sight: &Sight<'_>) {
        let hold = self.hold_of(one.id, sight);
        let Some(mut verdict) = Verdict::first(rate.peak, sight.bars, hold, sight.now) else { return };
        if verdict.stage == Stage::Hot && !self.may_be_hot(one.space, rate.known, sight.now) {
            self.refused.quota += 1;
            verdict.cool(sight.now);
        }
        let mut tracked = Tracked { space: one.space, here: Meter::default(), fleet: Meter::default(), verdict };
        tracked.measure(one, sight);
        self.tracked.insert(one.id, Box::new(tracked));
    }

    /// Whether there is room for one more; if need be the coolest goes.
    fn has_room(&mut self, known: f64) -> bool {
        if self.tracked.len() < MOST_TRACKED {
            return true;
        }
        // Watched ones before hot ones: nothing depends on them.
        let coolest = self.tracked.iter().min_by(|(one, a), (other, b)| {
            let stages = a.verdict.stage.cmp(&b.verdict.stage);
            stages.then(a.steady().total_cmp(&b.steady())).then(one.cmp(other))
        });
        match coolest {
            Some((id, tracked)) if tracked.steady() * HOTTER <= known => {
                let id = *id;
                self.tracked.remove(&id);
                true
            }
            _ => false,
        }
    }

    /// Whether one more key of a space may be hot; if need be the coolest is hot no more. So keys that are made hot to
    /// fill the quota keep no key out that really is: that one is asked for on and on.
    fn may_be_hot(&mut self, space: u32, known: f64, now: Tick) -> bool {
        let hot = |tracked: &Tracked| tracked.space == space && tracked.verdict.stage == Stage::Hot;
        if self.tracked.values().filter(|tracked| hot(tracked)).count() < MOST_HOT {
            return true;
        }
        let hot = self.tracked.iter_mut().filter(|(_, tracked)| hot(tracked));
        match hot.min_by(|(one, a), (other, b)| a.steady().total_cmp(&b.steady()).then(one.cmp(other))) {
            Some((_, coolest)) if coolest.steady() * HOTTER <= known => {
                coolest.verdict.cool(now);
                true
            }
            _ => false,
        }
    }

    fn give_up(&mut self, id: Id, now: Tick) {
        let Some(gone) = self.tracked.remove(&id) else { return };
        if gone.verdict.stage == Stage::Hot {
            self.past.retain(|(past, ..)| *past != id);
            if self.past.len() >= MOST_PAST {
                self.past.pop_front();
            }
            self.past.push_back((id, now, gone.verdict.hold));
        }
    }

    fn hold_of(&self, id: Id, sight: &Sight<'_>) -> Span {
        let before = self.past.iter().find(|(past, ..)| *past == id).map(|(_, left, held)| (*left, *held));
        verdict::hold(sight.policy.hold, before, sight.now)
    }
}

/// Bytes of a hash table with room for so many entries of so many bytes.
pub fn table(capacity: usize, entry: usize) -> usize {
    if capacity == 0 { 0 } else { (capacity * 8 / 7).next_power_of_two() * (entry + 1) }
}

impl Tracked {
    fn measure(&mut self, one: &Seen, sight: &Sight<'_>) {
        let here = one.here.over(sight.length);
        self.here.on(here, sight.length);
        self.fleet.on(join(here, one.elsewhere, |here, elsewhere| here + elsewhere), sight.length);
    }

    /// What it cost in the last second.
    fn steady(&self) -> f64 {
        cost(self.fleet.second())
    }

    fn hot(&self, bars: &Bars) -> Hot {
        let fleet = self.fleet.second();
        Hot {
            stage: self.verdict.stage,
            here: self.here.second(),
            fleet,
            share: cost(fleet) / bars.capacity,
            since: self.verdict.since,
            hold_until: self.verdict.hold_until,
        }
    }
}

/// What a window says of a key's cost, in operations a second.
#[derive(Clone, Copy, Default)]
struct Rate {
    /// What was counted, here and elsewhere: by it keys are ranked.
    known: f64,
    /// What it must be if all see what this process sees, where that is more: by it a key heats.
    peak: f64,
}

fn rate(one: &Seen, sight: &Sight<'_>) -> Rate {
    let here = one.here.over(sight.length);
    let known = cost(join(here, one.elsewhere, |here, elsewhere| here + elsewhere));
    let implied = if one.here.cost() >= LEAST { cost(here) * f64::from(sight.instances.max(1)) } else { 0.0 };
    Rate { known, peak: known.max(implied) }
}

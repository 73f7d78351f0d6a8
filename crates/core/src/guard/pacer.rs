//! Which refreshes of a space begin now, when thousands are due at once? They are spread over its grace, hottest first.
//!
//! Entries that were stored together end together: a nightly import, a tag that was made stale, a restart. Each of
//! them is asked for once while it is stale, and each asks for a refresh. Nobody waits for those, so they need not
//! come together: a bucket lets through a little more than the space needs in the long run, and what is due waits in
//! the order of its popularity.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::bucket::Bucket;
use crate::draw::Draw;
use crate::time::{Span, Tick};

/// A space with fewer keys is not paced: all its refreshes together are no avalanche, the guard's queue holds them;
/// and the pace of a small space would be so slow that entries were stale for a good part of their lives.
pub const PACED_FROM: u64 = 1_000;
/// The pace, as a multiple of what the space needs in the long run: keys / ttl. Above 1, or a queue would never end.
const ABOVE_NEED: f64 = 1.2;
/// What waits is through after this share of the time in which it may be served meanwhile.
const SPREAD: f64 = 0.8;
/// What has less than this share of its time left goes whatever the pace: its readers would soon have to wait.
const URGENT: f64 = 0.1;
/// Processes of one fleet don't see quite the same keys, and would each have a slightly different pace: it is rounded up to
/// the next of so many steps in each doubling.
const STEPS: f64 = 2.0;
/// Processes whose turns come sooner than this one after the other take none: so many make an even pace by themselves.
const SHORTEST_TURN_MS: f64 = 100.0;
/// Of the time until the next process's turn, so much is this one's: to begin, and to find a key that nobody else has
/// refreshed. A turn that was not used is lost: used later, it would meet another's.
const TURN_LASTS: f64 = 0.5;
/// It lasts so long at least: who is woken for it may be late. Where turns follow each other more quickly they meet, and
/// that makes no peak: there are many in every second.
const SHORTEST_USE_MS: f64 = 50.0;
/// Keys that may wait; more are turned away, and ask again when they are read again.
pub const MOST_WAITING: usize = 10_000;

/// What becomes of a refresh that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It begins now.
    Go,
    /// It is in the queue; [`Pacer::advance`] will name it.
    Wait,
    /// Too many wait; the next read of the key asks again.
    Full,
}

/// What a process knows of those that share a space's refreshes with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fellows {
    /// How many there are, at the most.
    Counted,
    /// It has only just begun to listen: nothing that can wait begins, or each process of a fleet that starts would keep
    /// the pace of one that is alone.
    Unheard,
    /// How many there are, and when it is this one's turn.
    Turns(Turn),
}

/// Where a process comes among the others: so their refreshes interleave, where they would else come together by chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    /// Its place in the round, from 0 to below 1.
    pub place: f64,
    /// The time that all of them have in common, in ms: a wall clock. Nothing is ordered by it. Where clocks differ turns
    /// coincide by chance, as they do without it.
    pub wall_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    heat: u32,
    number: u64,
    /// From here on it goes whatever the pace.
    urgent: Tick,
    /// What it adds to the pace that is needed, per second.
    need: f64,
}

/// A key's place: the hottest first, then first come.
type Place = (Reverse<u32>, u64);

/// The pace of one space's refreshes in one process. Every operation costs O(log n) of those that wait.
#[derive(Clone, Debug)]
pub struct Pacer<K> {
    bucket: Option<Bucket>,
    /// Processes that share the space's refreshes; and what tells this one from the others.
    instances: u32,
    fellows: Fellows,
    /// When they were last told.
    told: Tick,
    draw: Draw,
    /// When a refresh was last let through.
    last: Tick,
    /// Per second: what the space needs in the long run, with something on top.
    steady: f64,
    /// The bucket's rate now.
    rate: f64,
    /// Sum of `need` over those that wait, and its highest since nobody waited: the pace must not fall while the
    /// queue gets shorter, or its end would never come.
    needed: f64,
    highest: f64,
    waiting: BTreeMap<K, Due>,
    queue: BTreeMap<Place, K>,
    urgent: BTreeSet<(Tick, K)>,
    next_number: u64,
}

impl<K> Default for Pacer<K> {
    /// Not paced until it was measured.
    fn default() -> Pacer<K> {
        Pacer {
            bucket: None,
            instances: 1,
            fellows: Fellows::Counted,
            told: Tick(0),
            draw: Draw(0),
            last: Tick(0),
            steady: 0.0,
            rate: 0.0,
            needed: 0.0,
            highest: 0.0,
            waiting: BTreeMap::new(),
            queue: BTreeMap::new(),
            urgent: BTreeSet::new(),
            next_number: 0,
        }
    }
}

impl<K: Ord + Clone> Pacer<K> {
    /// One of several processes, each with a draw of its own: after a rest they do not begin in the same moment.
    pub fn drawn(draw: Draw) -> Pacer<K> {
        Pacer { draw, ..Pacer::default() }
    }

    /// Tells how large the space is: its resident keys, their ttl, and how many processes share its refreshes (1 if
    /// it is alone). Call it about once a second, then [`Pacer::advance`].
    pub fn measure(&mut self, keys: u64, ttl: Span, instances: u32, now: Tick) {
        if keys < PACED_FROM || ttl == Span::ZERO {
            (self.bucket, self.steady) = (None, 0.0);
            return;
        }
        self.instances = instances.max(1);
        self.steady = ABOVE_NEED * keys as f64 * 1000.0 / ttl.0 as f64 / f64::from(instances.max(1));
        self.set_rate(now);
    }

    /// Tells what is known of the others. Call it before [`Pacer::measure`].
    pub fn meet(&mut self, fellows: Fellows, now: Tick) {
        (self.fellows, self.told) = (fellows, now);
    }

    /// A reader found `key` due for a refresh. It is read `heat` times a second, or whatever else compares keys of
    /// one space; until `until` its old value can be served meanwhile. Asked again, it may only get hotter.
    pub fn ask(&mut self, key: &K, heat: u32, until: Tick, now: Tick) -> Pace {
        if let Some(due) = self.waiting.get(key).copied() {
            if heat > due.heat {
                self.queue.remove(&(Reverse(due.heat), due.number));
                self.queue.insert((Reverse(heat), due.number), key.clone());
                self.waiting.insert(key.clone(), Due { heat, ..due });
            }
            return Pace::Wait;
        }
        let left = until.since(now);
        let Some(bucket) = &mut self.bucket else { return Pace::Go };
        let free = self.waiting.is_empty();
        if free && self.instances > 1 && now.since(self.last).0 as f64 * self.rate >= 1000.0 {
            // All of them have a whole token after a rest, and would spend it in the same moment.
            self.draw = self.draw.fork(1);
            bucket.drain_to(self.draw.unit(), now);
            self.last = now;
            self.keep_turn(now);
        }
        // Nobody overtakes those who wait, and what can't be served meanwhile can't wait.
        if left == Span::ZERO || (free && self.take(now)) {
            self.last = now;
            return Pace::Go;
        }
        if self.waiting.len() >= MOST_WAITING {
            return Pace::Full;
        }
        let number = self.next_number;
        self.next_number += 1;
        let urgent = until - left.scale(URGENT);
        // The others of the fleet see the same keys: together they keep the pace that each would keep alone.
        let need = 1000.0 / (SPREAD * left.0 as f64 * f64::from(self.instances));
        self.waiting.insert(key.clone(), Due { heat, number, urgent, need });
        self.queue.insert((Reverse(heat), number), key.clone());
        self.urgent.insert((urgent, key.clone()));
        self.needed += need;
        if self.needed > self.highest {
            self.highest = self.needed;
            self.set_rate(now);
        }
        Pace::Wait
    }

    /// Names to `out` the keys whose refreshes begin now. Returns when to call again if nobody asks before; `None`:
    /// nobody waits.
    pub fn advance(&mut self, now: Tick, out: &mut Vec<K>) -> Option<Tick> {
        while let Some((at, key)) = self.urgent.first().cloned()
            && at <= now
        {
            self.remove(&key);
            out.push(key);
        }
        while let Some(key) = self.next_in_turn(now) {
            if !self.take(now) {
                break;
            }
            self.last = now;
            self.remove(&key);
            out.push(key);
        }
        if self.waiting.is_empty() {
            (self.needed, self.highest) = (0.0, 0.0);
            self.set_rate(now);
            return None;
        }
        let urgent = self.urgent.first().map_or(Tick::NEVER, |(at, _)| *at);
        let token = self.bucket.as_mut().map_or(now, |bucket| now + bucket.wait(now));
        Some(if self.fellows == Fellows::Unheard { urgent } else { urgent.min(token) })
    }

    /// A refresh that was let through needed no load: another process had made it. Where turns are taken another one may
    /// begin instead as long as this turn lasts, and not in the midst of the next process's.
    pub fn refund(&mut self, now: Tick) {
        let over = self.turn_is_over(now);
        if let Some(bucket) = &mut self.bucket
            && !over
        {
            bucket.give_back();
        }
    }

    /// The key needs no refresh any more. `false` if it did not wait.
    pub fn withdraw(&mut self, key: &K) -> bool {
        self.remove(key).is_some()
    }

    /// Keys that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Refreshes a second that are let through now; `None`: all of them, at once.
    pub fn rate(&self) -> Option<f64> {
        self.bucket.as_ref().map(|_| self.rate)
    }

    /// Whose turn it is: the hottest key's, unless another one's time would be over before the queue is through. Those would
    /// all go at once then.
    fn next_in_turn(&self, now: Tick) -> Option<K> {
        let (urgent, soonest) = self.urgent.first()?;
        let all_through = self.waiting.len() as f64 * 1000.0 / (self.rate * f64::from(self.instances));
        if (urgent.since(now).0 as f64) < all_through {
            return Some(soonest.clone());
        }
        self.queue.first_key_value().map(|(_, key)| key.clone())
    }

    /// Takes a token, if one is there; the next one comes with this process's next turn.
    fn take(&mut self, now: Tick) -> bool {
        if self.turn_is_over(now) {
            self.keep_turn(now);
        }
        let Some(bucket) = &mut self.bucket else { return true };
        if self.fellows == Fellows::Unheard || bucket.take(now).is_err() {
            return false;
        }
        self.keep_turn(now);
        true
    }

    /// Where turns are taken, the bucket holds the part of a round that has passed since this process's turn.
    fn keep_turn(&mut self, now: Tick) {
        let passed = self.passed(now);
        if let (Some(passed), Some(bucket)) = (passed, &mut self.bucket) {
            bucket.set_to(passed, now);
        }
    }

    /// Whether this process's turn is past, used or not; `false` where none are taken.
    fn turn_is_over(&self, now: Tick) -> bool {
        let round = 1000.0 / self.rate;
        let lasts = (TURN_LASTS * round / f64::from(self.instances)).max(SHORTEST_USE_MS);
        self.passed(now).is_some_and(|passed| passed * round > lasts)
    }

    /// The part of a round that has passed since this process's turn; `None`: none are taken.
    fn passed(&self, now: Tick) -> Option<f64> {
        let Fellows::Turns(Turn { place, wall_ms }) = self.fellows else { return None };
        let round = 1000.0 / self.rate;
        let common = wall_ms.saturating_add(now.since(self.told).0);
        let taken = self.instances > 1 && round.is_finite() && round >= SHORTEST_TURN_MS;
        taken.then(|| (common as f64 / round - place).rem_euclid(1.0))
    }

    /// What this process takes of the pace that all of them keep.
    fn paced_at(&self) -> f64 {
        let rate = self.steady.max(self.highest);
        match self.fellows {
            Fellows::Turns(_) if self.instances > 1 && rate > 0.0 => {
                let all = rate * f64::from(self.instances);
                ((all.log2() * STEPS).ceil() / STEPS).exp2() / f64::from(self.instances)
            }
            _ => rate,
        }
    }

    fn set_rate(&mut self, now: Tick) {
        let rate = self.paced_at();
        let changes = rate != self.rate;
        match self.bucket.take() {
            Some(bucket) if rate == self.rate => self.bucket = Some(bucket),
            Some(bucket) => self.bucket = Some(bucket.at_rate(rate, now)),
            // Measured for the first time, or large again.
            None if self.steady > 0.0 => self.bucket = Some(Bucket::of_rate(rate)),
            None => {}
        }
        self.rate = rate;
        if changes {
            self.keep_turn(now);
        }
    }

    fn remove(&mut self, key: &K) -> Option<Due> {
        let due = self.waiting.remove(key)?;
        self.queue.remove(&(Reverse(due.heat), due.number));
        self.urgent.remove(&(due.urgent, key.clone()));
        self.needed -= due.need;
        Some(due)
    }
}

#[cfg(test)]
mod tests;

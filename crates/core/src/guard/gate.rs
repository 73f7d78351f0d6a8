//! Who may load from an origin now, who waits, who is turned away? One origin's guard, as a state machine.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::bucket::Bucket;
use crate::policy::{Budget, Priority};
use crate::time::{Span, Tick};
use crate::why::Why;

/// The least `retry_after`: below it a retry would only find the same queue.
const RETRY_FLOOR: Span = Span::ms(10);

/// One load that asks for a permit; numbers are the caller's and never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What becomes of a ticket. Each ends exactly once: `Go`, `Shed`, or withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It holds a permit, to be given back by [`Gate::release`].
    Go,
    /// It is in the queue; [`Gate::advance`] will tell.
    Wait,
    /// Turned away, why, and after which time another try makes sense: time to the next token,
    /// plus the time in which those ahead of it are gone (by the pace of late releases and by
    /// the rate, never longer than `queue_wait`, after which they are shed themselves).
    Shed(Why, Option<Span>),
}

/// The place of a ticket in the queue: class, then most waiters, then first come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    class: Reverse<Priority>,
    waiters: Reverse<u32>,
    number: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    place: Place,
    /// Enqueued + `queue_wait`.
    latest: Tick,
    /// The flight's latest caller deadline.
    give_up: Tick,
}

impl Waiting {
    /// At this moment it is shed.
    fn deadline(&self) -> Tick {
        self.latest.min(self.give_up)
    }
}

/// One origin's guard (G9): permits, rates and a queue.
///
/// After `ask` said [`Admission::Wait`], and after every `raise` and `release`, call
/// [`Gate::advance`] and again at the moment it names. Every operation costs O(log n) of the queue's length.
#[derive(Clone, Debug)]
pub struct Gate {
    max_concurrency: usize,
    queue_limit: usize,
    queue_wait: Span,
    rate: Option<Bucket>,
    /// On top of `rate`, for what nobody waits for. Such tickets are the last class of all, so
    /// one that waits for a refresh token stands in the way of its like only.
    refresh_rate: Option<Bucket>,
    running: usize,
    /// Length <= `queue_limit`, like the next three.
    waiting: BTreeMap<Ticket, Waiting>,
    queue: BTreeMap<Place, Ticket>,
    deadlines: BTreeSet<(Tick, Ticket)>,
    /// Pushed out by a higher class, not yet reported.
    victims: Vec<(Ticket, Span)>,
    per_class: [usize; Priority::ALL.len()],
    /// The number of the next ticket to be queued.
    next_number: u64,
    /// The last release, if tickets were waiting then: the gap between two such is the origin's pace.
    last_release: Option<Tick>,
    /// Microseconds between releases under load, averaged (7 parts old, 1 part new).
    pace_us: Option<u64>,
}

impl Gate {
    /// A gate with all permits free and both buckets full.
    pub fn new(budget: &Budget) -> Gate {
        Gate {
            max_concurrency: usize::try_from(budget.max_concurrency).unwrap_or(usize::MAX),
            queue_limit: budget.queue_limit,
            queue_wait: budget.queue_wait,
            rate: budget.rate.map(Bucket::of_rate),
            refresh_rate: budget.refresh_rate.map(Bucket::of_rate),
            running: 0,
            waiting: BTreeMap::new(),
            queue: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            victims: Vec::new(),
            per_class: [0; Priority::ALL.len()],
            next_number: 0,
            last_release: None,
            pace_us: None,
        }
    }

    /// Another budget from now on. Permits in use stay in use and count: where fewer are allowed
    /// than run, nobody starts until enough came back. A bucket goes on from the tokens it holds, so
    /// that a change is no second burst; who waits keeps the deadline it was queued with.
    pub fn set_budget(&mut self, budget: &Budget, now: Tick) {
        self.max_concurrency = usize::try_from(budget.max_concurrency).unwrap_or(usize::MAX);
        self.queue_limit = budget.queue_limit;
        self.queue_wait = budget.queue_wait;
        for (bucket, rate) in [(&mut self.rate, budget.rate), (&mut self.refresh_rate, budget.refresh_rate)] {
            *bucket = match (bucket.take(), rate) {
                (Some(old), Some(rate)) => Some(old.at_rate(rate, now)),
                (None, rate) => rate.map(Bucket::of_rate),
                (Some(_), None) => None,
            };
        }
    }

    /// Asks for a permit for a load of `class` that `waiters` callers wait for, the last of them
    /// until `give_up` ([`Tick::NEVER`] if nobody waits). Nobody overtakes a queued equal.
    ///
    /// A free permit is given even past `give_up`: the load still fills the cache. Otherwise a
    /// newcomer is shed for the rate only if not even the next token comes in time. Its rank
    /// does not count: followers may still carry it to the front.
    pub fn ask(&mut self, ticket: Ticket, class: Priority, waiters: u32, give_up: Tick, now: Tick) -> Admission {
        if self.waiting.contains_key(&ticket) {
            self.raise(ticket, class, waiters, give_up);
            return Admission::Wait;
        }
        let place = Place { class: Reverse(class), waiters: Reverse(waiters), number: self.next_number };
        let goes_first = self.queue.first_key_value().is_none_or(|(head, _)| place < *head);
        if goes_first && self.start(class, now) {
            return Admission::Go;
        }
        let entry = Waiting { place, latest: now + self.queue_wait, give_up };
        let dry = self.token_wait(class, now);
        if dry > Span::ZERO && now + dry >= entry.deadline() {
            return self.shed(Why::ShedRate, class, now);
        }
        if entry.deadline() <= now || !self.make_room(class, now) {
            return self.shed(Why::ShedQueue, class, now);
        }
        self.next_number += 1;
        self.insert(ticket, entry);
        Admission::Wait
    }

    /// A queued ticket inherits class, waiters and deadline of a caller who joins it; it never loses any.
    pub fn raise(&mut self, ticket: Ticket, class: Priority, waiters: u32, give_up: Tick) {
        let Some(mut entry) = self.remove(ticket) else { return };
        entry.place.class = entry.place.class.min(Reverse(class));
        entry.place.waiters = entry.place.waiters.min(Reverse(waiters));
        entry.give_up = entry.give_up.max(give_up);
        self.insert(ticket, entry);
    }

    /// Takes a ticket out of the queue. `false` if it is not there: it has ended, or
    /// [`Gate::advance`] is about to say how.
    pub fn withdraw(&mut self, ticket: Ticket) -> bool {
        self.remove(ticket).is_some()
    }

    /// A permit comes back, once for every `Go`.
    pub fn release(&mut self, now: Tick) {
        debug_assert!(self.running > 0, "a permit came back that nobody holds");
        self.running = self.running.saturating_sub(1);
        if self.waiting.is_empty() {
            self.last_release = None; // an idle gap says nothing about the origin's pace
            return;
        }
        if let Some(last) = self.last_release {
            let gap = now.since(last).at_most(self.queue_wait).0.saturating_mul(1000);
            self.pace_us = Some(self.pace_us.map_or(gap, |old| old - old / 8 + gap / 8));
        }
        self.last_release = Some(now);
    }

    /// Reports to `out` who was shed and who may go, in this order. Returns when to call again
    /// if nothing happens before: the next token somebody can use, or the next queue deadline.
    pub fn advance(&mut self, now: Tick, out: &mut Vec<(Ticket, Admission)>) -> Option<Tick> {
        let priority = |(ticket, retry)| (ticket, Admission::Shed(Why::ShedPriority, Some(retry)));
        out.extend(self.victims.drain(..).map(priority));
        while let Some(&(deadline, ticket)) = self.deadlines.first()
            && deadline <= now
            && let Some(entry) = self.remove(ticket)
        {
            let class = entry.place.class.0;
            let dry = self.has_permit() && self.token_wait(class, now) > Span::ZERO;
            out.push((ticket, self.shed(if dry { Why::ShedRate } else { Why::ShedQueue }, class, now)));
        }
        while let Some((place, &ticket)) = self.queue.first_key_value()
            && self.start(place.class.0, now)
        {
            self.remove(ticket);
            out.push((ticket, Admission::Go));
        }
        let class = self.queue.first_key_value()?.0.class.0;
        let deadline = self.deadlines.first()?.0;
        // Without a free permit a token is of no use: the release will wake us.
        let wake = if self.has_permit() { deadline.min(now + self.token_wait(class, now)) } else { deadline };
        Some(wake)
    }

    /// Permits in use.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Tickets in the queue.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Tickets of `class` in the queue.
    pub fn waiting_of(&self, class: Priority) -> usize {
        self.per_class[class as usize]
    }

    fn has_permit(&self) -> bool {
        self.running < self.max_concurrency
    }

    /// Takes a permit and the tokens of `class`: all of them or nothing.
    fn start(&mut self, class: Priority, now: Tick) -> bool {
        if !self.has_permit() || self.token_wait(class, now) > Span::ZERO {
            return false;
        }
        let taken = self.buckets(class).all(|bucket| bucket.take(now).is_ok());
        debug_assert!(taken, "every bucket has just said that it holds a token");
        self.running += 1;
        true
    }

    /// The buckets that a load of `class` draws on.
    fn buckets(&mut self, class: Priority) -> impl Iterator<Item = &mut Bucket> {
        let refresh = self.refresh_rate.as_mut().filter(|_| class == Priority::Background);
        self.rate.iter_mut().chain(refresh)
    }

    fn token_wait(&mut self, class: Priority, now: Tick) -> Span {
        self.buckets(class).map(|bucket| bucket.wait(now)).max().unwrap_or_default()
    }

    /// Room for one more of `class`, if need be at the cost of the last in the queue.
    fn make_room(&mut self, class: Priority, now: Tick) -> bool {
        if self.waiting.len() < self.queue_limit {
            return true;
        }
        match self.queue.last_key_value().map(|(place, &ticket)| (place.class.0, ticket)) {
            Some((lowest, victim)) if lowest < class && self.victims.len() < self.queue_limit => {
                self.remove(victim);
                let retry = self.retry_after(lowest, now);
                self.victims.push((victim, retry));
                true
            }
            _ => false,
        }
    }

    fn shed(&mut self, why: Why, class: Priority, now: Tick) -> Admission {
        Admission::Shed(why, Some(self.retry_after(class, now)))
    }

    fn retry_after(&mut self, class: Priority, now: Tick) -> Span {
        let ahead = self.per_class[class as usize..].iter().sum::<usize>() as u64;
        let by_rate = self.buckets(class).map(|bucket| bucket.span_of(ahead)).max().unwrap_or_default();
        let by_pace = match self.pace_us {
            _ if self.has_permit() => Span::ZERO,
            Some(pace) => Span(ahead.saturating_mul(pace) / 1000),
            None => self.queue_wait,
        };
        let gone = by_rate.max(by_pace).at_most(self.queue_wait);
        (self.token_wait(class, now) + gone).max(RETRY_FLOOR)
    }

    fn insert(&mut self, ticket: Ticket, entry: Waiting) {
        self.per_class[entry.place.class.0 as usize] += 1;
        self.queue.insert(entry.place, ticket);
        self.deadlines.insert((entry.deadline(), ticket));
        self.waiting.insert(ticket, entry);
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Waiting> {
        let entry = self.waiting.remove(&ticket)?;
        self.per_class[entry.place.class.0 as usize] -= 1;
        self.queue.remove(&entry.place);
        self.deadlines.remove(&(entry.deadline(), ticket));
        Some(entry)
    }
}

#[cfg(test)]
mod tests;

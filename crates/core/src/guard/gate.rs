//! Who may load from an origin now, who waits, who is turned away? One origin's guard, as a state machine.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::breaker::{Breaker, Position, Round, Rumour};
use super::bucket::Bucket;
use super::catch_up::{Busy, CatchUp};
pub use super::ended::Ended;
use super::limiter::Limiter;
use super::retries::Retries;
use super::shed::Shedder;
use super::standing::{Sheds, Standing};
use crate::draw::Draw;
use crate::policy::{Budget, Priority};
use crate::time::{Span, Tick};
use crate::why::Why;

/// The least `retry_after`: below it a retry would only find the same queue.
const RETRY_FLOOR: Span = Span::ms(10);
/// The `retry_after` while probes are under way: about as long as one takes.
const PROBE: Span = Span::ms(100);

/// One load that asks for a permit; numbers are the caller's and never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The right to run one load, to be given back by [`Gate::end`] once. It knows in which of the breaker's states the load
/// began, whether it is one of those that show what loads take while the limit is low, and whether nobody waited for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    round: Round,
    in_dip: bool,
    unasked: bool,
}

/// What becomes of a ticket. Each ends exactly once: `Go`, `Shed`, or withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It holds a permit.
    Go(Pass),
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
    since: Tick,
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

/// One origin's guard (G9). Who asks passes, in this order: the queue (most important class first, then most waiters,
/// and under pressure the lowest class is shed), the limit of loads at once (at most `max_concurrency`, less where
/// the origin bears less), the rates, and the breaker.
///
/// After `ask` said [`Admission::Wait`], and after every `raise` and `end`, call
/// [`Gate::advance`] and again at the moment it names. Every operation costs O(log n) of the queue's length; when the
/// breaker opens, the whole queue is told at once.
#[derive(Clone, Debug)]
pub struct Gate {
    max_concurrency: usize,
    queue_limit: usize,
    queue_wait: Span,
    rate: Option<Bucket>,
    /// On top of `rate`, for what nobody waits for. Such tickets are the last class of all, so
    /// one that waits for a refresh token stands in the way of its like only.
    refresh_rate: Option<Bucket>,
    /// `None`: the limit is `max_concurrency`.
    limiter: Option<Limiter>,
    breaker: Option<Breaker>,
    shedder: Shedder,
    retries: Retries,
    sheds: Sheds,
    retries_denied: u64,
    draw: Draw,
    catch_up: CatchUp,
    running: usize,
    /// Of those, what nobody waited for when it began.
    unasked: usize,
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
            limiter: budget.adaptive.then(|| Limiter::new(budget.max_concurrency)),
            breaker: budget.breaker.then(|| Breaker::new(Draw(0))),
            shedder: Shedder::default(),
            retries: Retries::default(),
            sheds: Sheds::default(),
            retries_denied: 0,
            draw: Draw(0),
            catch_up: CatchUp::default(),
            running: 0,
            unasked: 0,
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

    /// The same gate, whose probes come at moments of its own: a fleet must not probe in step.
    #[must_use]
    pub fn drawing(self, draw: Draw) -> Gate {
        Gate { breaker: self.breaker.map(|_| Breaker::new(draw)), draw, ..self }
    }

    /// The same gate, whose limit starts lower than `max_concurrency`.
    #[must_use]
    pub fn starting_at(self, start: u32) -> Gate {
        let pool = u32::try_from(self.max_concurrency).unwrap_or(u32::MAX);
        Gate { limiter: self.limiter.map(|_| Limiter::starting_at(start, pool)), ..self }
    }

    /// Another budget from now on. Permits in use stay in use and count: where fewer are allowed
    /// than run, nobody starts until enough came back. A bucket goes on from the tokens it holds, so
    /// that a change is no second burst; who waits keeps the deadline it was queued with.
    pub fn set_budget(&mut self, budget: &Budget, now: Tick) {
        self.max_concurrency = usize::try_from(budget.max_concurrency).unwrap_or(usize::MAX);
        self.queue_limit = budget.queue_limit;
        self.queue_wait = budget.queue_wait;
        self.limiter = budget.adaptive.then(|| {
            let mut limiter = self.limiter.take().unwrap_or_else(|| Limiter::new(budget.max_concurrency));
            limiter.set_pool(budget.max_concurrency);
            limiter
        });
        self.breaker = budget.breaker.then(|| self.breaker.take().unwrap_or_else(|| Breaker::new(self.draw)));
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
    /// does not count: followers may still carry it to the front. While the breaker is open nobody queues.
    pub fn ask(&mut self, ticket: Ticket, class: Priority, waiters: u32, give_up: Tick, now: Tick) -> Admission {
        if self.waiting.contains_key(&ticket) {
            self.raise(ticket, class, waiters, give_up);
            return Admission::Wait;
        }
        self.shedder.seen(class, now);
        if !self.breaker_allows(now) {
            return self.shed(Why::BreakerOpen, class, now);
        }
        let place = Place { class: Reverse(class), waiters: Reverse(waiters), number: self.next_number };
        let goes_first = self.queue.first_key_value().is_none_or(|(head, _)| place < *head);
        if goes_first && let Some(pass) = self.start(class, now) {
            self.shedder.waited(class, Span::ZERO, now);
            return Admission::Go(pass);
        }
        let entry = Waiting { place, since: now, latest: now + self.queue_wait, give_up };
        let dry = self.token_wait(class, now);
        if dry > Span::ZERO && now + dry >= entry.deadline() {
            return self.shed(Why::ShedRate, class, now);
        }
        if !self.shedder.admits(class, now) {
            return self.shed(Why::ShedPriority, class, now);
        }
        if entry.deadline() <= now || !self.make_room(class, now) {
            return self.shed(Why::ShedQueue, class, now);
        }
        self.next_number += 1;
        self.insert(ticket, entry);
        self.catch_up.could_not_start(class, now);
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

    /// A load has ended and its permit comes back, once for every `Go`.
    pub fn end(&mut self, pass: Pass, ended: Ended, now: Tick) {
        debug_assert!(self.running > 0, "a permit came back that nobody holds");
        self.running = self.running.saturating_sub(1);
        self.unasked = self.unasked.saturating_sub(usize::from(pass.unasked));
        if let Ended::Answered { took_us: Some(us) } = ended {
            self.catch_up.took(us, pass.unasked, now);
        }
        if let (Some(limiter), Some(sample)) = (&mut self.limiter, ended.sample()) {
            limiter.press(self.shedder.is_pressed());
            limiter.ended(sample, pass.in_dip, now);
        }
        if let Some(breaker) = &mut self.breaker {
            breaker.ended(pass.round, ended.verdict(), now);
        }
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

    /// What the shared tier told of another process's load. `true`: the breaker's position has changed, call
    /// [`Gate::advance`].
    pub fn heard(&mut self, rumour: Rumour, now: Tick) -> bool {
        let Some(breaker) = &mut self.breaker else { return false };
        let before = (breaker.position(), breaker.open_until());
        breaker.heard(rumour, now);
        before != (breaker.position(), breaker.open_until())
    }

    /// May a load that failed be tried once more? It asks for a permit like any other then.
    pub fn may_retry(&mut self, now: Tick) -> bool {
        let granted = self.retries.spend(now);
        self.retries_denied += u64::from(!granted);
        granted
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
            self.shedder.waited(class, now.since(entry.since), now);
            let dry = self.has_permit() && self.token_wait(class, now) > Span::ZERO;
            out.push((ticket, self.shed(if dry { Why::ShedRate } else { Why::ShedQueue }, class, now)));
        }
        while let Some((place, &ticket)) = self.queue.first_key_value()
            && let class = place.class.0
            && let Some(pass) = self.start(class, now)
        {
            if let Some(entry) = self.remove(ticket) {
                self.shedder.waited(class, now.since(entry.since), now);
                // It may have begun to wait as nobody's, and have been joined.
                self.catch_up.could_not_start(class, now);
            }
            out.push((ticket, Admission::Go(pass)));
        }
        if !self.waiting.is_empty() && !self.breaker_allows(now) {
            self.turn_all_away(now, out);
        }
        let class = self.queue.first_key_value()?.0.class.0;
        let deadline = self.deadlines.first()?.0;
        // Without a free permit a token is of no use: the release will wake us.
        let wake = if self.has_permit() { deadline.min(now + self.token_wait(class, now)) } else { deadline };
        Some(wake)
    }

    /// Of `wanted` loads that were asked for in vain before, so many may begin now, as nobody's.
    pub fn catch_up(&mut self, wanted: usize, now: Tick) -> usize {
        let (waiting, limit) = (self.waiting.len(), self.limit());
        self.catch_up.room(wanted, Busy { running: self.running, unasked: self.unasked, waiting, limit }, now)
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

    /// Loads that may run at once now: `max_concurrency`, or less where the origin bears less.
    pub fn limit(&self) -> usize {
        self.limiter.as_ref().map_or(self.max_concurrency, Limiter::limit)
    }

    /// The breaker is open until this moment: whoever asks before is turned away, so nobody needs to ask.
    pub fn open_until(&self) -> Option<Tick> {
        self.breaker.as_ref().and_then(Breaker::open_until)
    }

    /// The most loads that may ever run at once.
    pub fn max_concurrency(&self) -> usize {
        self.max_concurrency
    }

    /// Whether loads go through.
    pub fn breaker(&self) -> Position {
        self.breaker.as_ref().map_or(Position::Closed, Breaker::position)
    }

    /// Lower classes are being turned away so that others do not wait behind them.
    pub fn sheds_classes(&self) -> bool {
        self.shedder.is_shedding()
    }

    /// The limit is low for a moment only, to see what loads take.
    pub fn is_dipping(&self) -> bool {
        self.limiter.as_ref().is_some_and(Limiter::is_dipping)
    }

    /// Loads take longer than they usually do, by more than the limit puts up with.
    pub fn is_slow(&self) -> bool {
        self.limiter.as_ref().is_some_and(Limiter::is_slow)
    }

    /// The origin is in trouble, or has been a moment ago: it fails, it is slow, or classes are being shed.
    pub fn is_degraded(&self) -> bool {
        self.breaker() != Position::Closed || self.sheds_classes() || self.is_slow()
    }

    /// Everything that can be seen of it at `now`.
    pub fn standing(&self, now: Tick) -> Standing {
        Standing {
            running: self.running,
            waiting: self.waiting.len(),
            max_concurrency: self.max_concurrency,
            limit: self.limit(),
            adaptive: self.limiter.is_some(),
            usual_us: self.limiter.as_ref().and_then(Limiter::long_us),
            recent_us: self.limiter.as_ref().and_then(Limiter::short_us),
            slow: self.is_slow(),
            share: self.shedder.share(),
            breaker: self.breaker(),
            opened: self.breaker.as_ref().map_or(0, Breaker::opened),
            probes_in: self.open_until().map(|until| until.since(now)),
            sheds: self.sheds,
            retries_denied: self.retries_denied,
        }
    }

    fn has_permit(&self) -> bool {
        self.running < self.limit()
    }

    fn breaker_allows(&mut self, now: Tick) -> bool {
        self.breaker.as_mut().is_none_or(|breaker| breaker.allows(now))
    }

    /// Takes a permit and the tokens of `class`: all of them or nothing.
    fn start(&mut self, class: Priority, now: Tick) -> Option<Pass> {
        if !self.has_permit() || self.token_wait(class, now) > Span::ZERO || !self.breaker_allows(now) {
            return None;
        }
        let taken = self.buckets(class).all(|bucket| bucket.take(now).is_ok());
        debug_assert!(taken, "every bucket has just said that it holds a token");
        let unasked = class == Priority::Background;
        self.running += 1;
        self.unasked += usize::from(unasked);
        self.retries.earn();
        Some(Pass {
            unasked,
            round: self.breaker.as_mut().map(Breaker::start).unwrap_or_default(),
            in_dip: self.limiter.as_mut().is_some_and(|limiter| limiter.started(self.running)),
        })
    }

    /// The breaker has opened: who waits would wait in vain.
    fn turn_all_away(&mut self, now: Tick, out: &mut Vec<(Ticket, Admission)>) {
        while let Some((place, &ticket)) = self.queue.first_key_value() {
            let class = place.class.0;
            self.remove(ticket);
            out.push((ticket, self.shed(Why::BreakerOpen, class, now)));
        }
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
                let retry = self.retry_after(Why::ShedPriority, lowest, now);
                self.sheds.count(lowest, Why::ShedPriority);
                self.victims.push((victim, retry));
                true
            }
            _ => false,
        }
    }

    fn shed(&mut self, why: Why, class: Priority, now: Tick) -> Admission {
        self.sheds.count(class, why);
        self.catch_up.could_not_start(class, now);
        Admission::Shed(why, Some(self.retry_after(why, class, now)))
    }

    fn retry_after(&mut self, why: Why, class: Priority, now: Tick) -> Span {
        if why == Why::BreakerOpen {
            return self.open_until().map_or(PROBE, |until| until.since(now)).max(RETRY_FLOOR);
        }
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
mod overload;
#[cfg(test)]
mod tests;

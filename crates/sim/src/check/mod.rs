//! Was that allowed? The guarantees, checked from the outside with facts of their own.
//!
//! Nothing here asks the core or the shell whether something was right: order is the order of
//! events, rows have the origin's versions, promises are reckoned from the policy.

mod budget;
mod facts;

use std::collections::{BTreeMap, VecDeque};

use bellwether_core::entry::Kind;
use bellwether_core::fence::Invalidation;
use bellwether_core::policy::{Budget, Policy};
use bellwether_core::read::decide::Demand;
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;

use crate::guarantee::Guarantee;
use crate::process::caller::Caller;
use crate::process::entry::Entry;
use crate::report::{Report, SHOWN, Violation};
use budget::Windows;
use facts::KeyFacts;
pub(crate) use facts::{Due, LoadEnd};

/// How far the clock of the hit path may lag.
pub(crate) const COARSE_LAG: Span = Span::ms(2);
/// Violations kept of one run.
const MOST_VIOLATIONS: usize = 20;

/// One line of the trace, formatted only if it is ever shown.
#[derive(Clone, Copy)]
struct Line(Tick, &'static str, u8, u64, u64);

/// Watches one run.
pub(crate) struct Checker {
    policy: Policy,
    /// The number of the latest event that matters to an order.
    order: u64,
    keys: BTreeMap<u8, KeyFacts>,
    windows: Windows,
    last_jump: (Tick, Tick),
    answered: [u64; Why::COUNT],
    lines: VecDeque<Line>,
    pub(crate) report: Report,
}

impl Checker {
    pub(crate) fn new(seed: u64, policy: &Policy, budget: &Budget) -> Checker {
        Checker {
            policy: policy.clone(),
            order: 0,
            keys: BTreeMap::new(),
            windows: Windows::new(budget),
            last_jump: (Tick(0), Tick(0)),
            answered: [0; Why::COUNT],
            lines: VecDeque::with_capacity(SHOWN),
            report: Report { seed, ..Report::default() },
        }
    }

    /// Notes an event for the trace.
    pub(crate) fn note(&mut self, now: Tick, what: &'static str, key: u8, id: u64, number: u64) {
        self.report.events += 1;
        if self.report.violations.is_empty() {
            if self.lines.len() == SHOWN {
                self.lines.pop_front();
            }
            self.lines.push_back(Line(now, what, key, id, number));
        }
    }

    pub(crate) fn violated(&mut self, guarantee: Guarantee, at: Tick, what: String) {
        if self.report.violations.is_empty() {
            let lines = self.lines.iter();
            let shown = lines.map(|Line(at, what, key, id, n)| format!("{:>6} key {key} {what} #{id} ({n})", at.0));
            self.report.trace = shown.collect();
        }
        if self.report.violations.len() < MOST_VIOLATIONS {
            self.report.violations.push(Violation { guarantee, at, what });
        }
    }

    fn require(&mut self, holds: bool, guarantee: Guarantee, at: Tick, what: impl FnOnce() -> String) {
        if !holds {
            self.violated(guarantee, at, what());
        }
    }

    pub(crate) fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    fn facts(&mut self, key: u8) -> &mut KeyFacts {
        self.keys.entry(key).or_default()
    }

    pub(crate) fn jumped(&mut self, from: Tick, to: Tick) {
        // A second jump right after the first: nothing could happen in between.
        let began = if self.last_jump.1 == from { self.last_jump.0 } else { from };
        self.last_jump = (began, to);
    }

    /// A request comes: what will it be entitled to?
    pub(crate) fn requested(&mut self, key: u8, now: Tick) -> Due {
        self.report.requests += 1;
        self.facts(key).due(now)
    }

    pub(crate) fn gave_up(&mut self) {
        self.report.gave_up += 1;
    }

    /// A request is answered, by `entry` or by an error, because of `why`.
    pub(crate) fn answered(&mut self, caller: &Caller, entry: Option<&Entry>, why: Why, now: Tick) {
        let id = caller.id;
        let missing = entry.is_some_and(|entry| entry.meta.kind == Kind::Negative);
        self.answered[if missing { Why::Negative } else { why } as usize] += 1;
        let (from, to) = self.last_jump;
        let in_time = now <= caller.deadline || (now == to && from <= caller.deadline);
        self.require(in_time, Guarantee::BoundedWaiting, now, || {
            format!("caller {id} was to be answered by {}, got {}", caller.deadline.0, why.as_str())
        });
        self.require(!caller.done, Guarantee::BoundedWaiting, now, || format!("caller {id} was answered twice"));
        if let Some(entry) = entry {
            self.judge_answer(caller, entry, why, now);
        }
    }

    fn judge_answer(&mut self, caller: &Caller, entry: &Entry, why: Why, now: Tick) {
        let (id, due, source) = (caller.id, caller.due, entry.source);
        let least = if why == Why::RescuedInvalidated { due.removed_row } else { due.removed_row.max(due.expired_row) };
        self.require(entry.row.version >= least, Guarantee::DeleteWins, now, || {
            format!(
                "caller {id} began after row {least} was acknowledged and got row {} as {}",
                entry.row.version,
                why.as_str()
            )
        });
        let own = source.private.is_none_or(|owner| owner == Some(id));
        self.require(own, Guarantee::ReplyBelongs, now, || format!("caller {id} got another's private answer"));
        let window = match why {
            Why::Hit | Why::Negative => Some(Span::ZERO),
            Why::StaleRefreshing => Some(self.policy.stale_while_revalidate),
            Why::StaleError | Why::StaleShed | Why::RescuedInvalidated => {
                Some(self.policy.stale_while_revalidate.max(self.policy.stale_if_error))
            }
            _ => None,
        };
        let young = match window {
            Some(window) => now <= source.finished + source.ttl + window + COARSE_LAG,
            // Brought by a load: that load ended after the request began.
            None => source.finished >= due.began,
        };
        self.require(young, Guarantee::NotOlderThanPromised, now, || {
            format!("caller {id} got as {} what was loaded at {}, ttl {}", why.as_str(), source.finished.0, source.ttl)
        });
        let as_demanded = match caller.demand {
            Demand::Any | Demand::CachedOnly => true,
            Demand::Fresh => source.finished >= due.began,
            Demand::MaxAge(most) => source.started + most + COARSE_LAG >= due.began,
        };
        self.require(as_demanded, Guarantee::NotOlderThanPromised, now, || {
            format!(
                "caller {id} demanded {:?} at {} and got what began at {}",
                caller.demand, due.began.0, source.started.0
            )
        });
    }

    /// An invalidation of `key` is acknowledged, the row being at `version`.
    pub(crate) fn invalidated(&mut self, key: u8, verb: Invalidation, of_key: bool, version: u64) {
        let order = self.next_order();
        self.facts(key).invalidated(verb, of_key, version, order);
    }

    /// A caller of `key` insists on a certain age.
    pub(crate) fn insisted(&mut self, key: u8) {
        let order = self.next_order();
        self.facts(key).cause = order;
    }

    /// Somebody leads a new flight although `resident` is there.
    pub(crate) fn led(&mut self, key: u8, demand: Demand, resident: Option<&Entry>, refresh: bool, now: Tick) {
        let facts = self.keys.entry(key).or_default();
        let superfluous = demand == Demand::Any
            && resident.is_some_and(|entry| {
                entry.meta.kind != Kind::HitForMiss
                    && now < entry.meta.calm_until()
                    && !entry.expired
                    && !facts.covers(entry)
            });
        let cooling = facts.failure.filter(|failure| now < failure.until);
        let who = if refresh { "a refresh" } else { "a caller" };
        self.require(!superfluous, Guarantee::OneLoad, now, || {
            format!("{who} leads although memory of key {key} is fresh")
        });
        self.require(cooling.is_none(), Guarantee::CoolDown, now, || {
            format!("{who} leads although key {key} cools down until {}", cooling.map_or(0, |f| f.until.0))
        });
    }

    /// A permit was given.
    pub(crate) fn granted(&mut self, now: Tick, background: bool) {
        self.windows.granted(now, background);
    }

    /// A load begins to read; its place in the order of events.
    pub(crate) fn load_began(&mut self, key: u8, id: u64, flight: bool, now: Tick) -> u64 {
        let order = self.next_order();
        self.report.loads += 1;
        let running = self.windows.began();
        let limit = self.windows.most_at_once();
        self.report.most_at_once.1 = self.report.most_at_once.1.max(running);
        self.require(running <= limit, Guarantee::OriginBudget, now, || {
            format!("{running} loads run, {limit} are allowed")
        });
        if flight {
            let facts = self.keys.entry(key).or_default();
            let others = facts.reading.len();
            let caused = facts.reading.values().all(|begun| *begun < facts.cause);
            facts.reading.insert(id, order);
            self.report.most_at_once.0 = self.report.most_at_once.0.max(others + 1);
            self.require(others < 2, Guarantee::OneLoad, now, || {
                format!("{} loads read key {key} at once", others + 1)
            });
            self.require(caused, Guarantee::OneLoad, now, || {
                format!("a second load reads key {key}, and nothing called for it")
            });
        }
        order
    }

    /// A load is over.
    pub(crate) fn load_ended(&mut self, key: u8, id: u64, how: LoadEnd, now: Tick) {
        self.windows.ended();
        self.facts(key).reading.remove(&id);
        self.report.failed += u64::from(how != LoadEnd::Answered);
        self.require(how != LoadEnd::Cancelled, Guarantee::BoundedWaiting, now, || {
            format!("load {id} was cancelled with its caller")
        });
    }

    /// What is resident after an invalidation or a landing.
    pub(crate) fn resident(&mut self, key: u8, entry: Option<&Entry>, now: Tick) {
        let Some(entry) = entry else { return };
        let late = self.facts(key).late(entry);
        self.require(!late, Guarantee::NoLateWriter, now, || {
            format!("row {} of key {key}, loaded before an invalidation, is resident after it", entry.row.version)
        });
    }

    /// `new` takes the place of `old`.
    pub(crate) fn replaced(&mut self, key: u8, old: Option<&Entry>, new: &Entry, now: Tick) {
        let Some(old) = old.filter(|old| !old.expired && !self.keys.get(&key).is_some_and(|facts| facts.covers(old)))
        else {
            return;
        };
        let older = match (old.version, new.version) {
            (Some(old), Some(new)) => new < old,
            _ => new.source.begun < old.source.begun,
        };
        self.require(!older, Guarantee::NewestStays, now, || {
            format!("row {} of key {key} took the place of row {}", new.row.version, old.row.version)
        });
    }

    /// The end of a flight that had a load: its failure or success as far as the key's cool-down goes.
    pub(crate) fn flight_ended(&mut self, key: u8, begun: u64, failure: Option<(Tick, u32)>, now: Tick) {
        let order = self.next_order();
        if let Some(complaint) = self.facts(key).ended(begun, failure, order, now) {
            self.violated(Guarantee::CoolDown, now, format!("key {key}: {complaint}"));
        }
    }

    /// The key's failures are forgiven.
    pub(crate) fn forgiven(&mut self, key: u8) {
        self.facts(key).failure = None;
    }

    /// Nothing is left to happen.
    pub(crate) fn finish(mut self, noted_loads: u64, aborted: u64, left: &[(&str, usize)], now: Tick) -> Report {
        for (what, number) in left {
            self.require(*number == 0, Guarantee::NothingLost, now, || format!("{number} {what} left at the end"));
        }
        let counted: u64 = self.answered.iter().sum();
        let (requests, gave_up, loads) = (self.report.requests, self.report.gave_up, self.report.loads);
        self.require(requests == counted + gave_up, Guarantee::CountsAddUp, now, || {
            format!("{requests} requests, {counted} answered, {gave_up} gave up")
        });
        self.require(loads == noted_loads + aborted, Guarantee::CountsAddUp, now, || {
            format!("the origin saw {loads} loads, the process {noted_loads} and {aborted} aborted")
        });
        for complaint in self.windows.complaints() {
            self.violated(Guarantee::OriginBudget, now, complaint);
        }
        self.report.answered =
            Why::ALL.iter().map(|why| (*why, self.answered[*why as usize])).filter(|(_, n)| *n > 0).collect();
        self.report.ended = now;
        self.report
    }
}

//! Was that allowed? The fleet, judged from the outside by the order of events and the rows' versions.

use std::collections::{BTreeMap, VecDeque};

use bellwether_core::read::doubt::{Ageing, longest};
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;

use super::event::{Body, Life};
use super::process::{Entry, Request};
use super::scenario::{LONGEST_PAUSE, PAUSE, Scenario};
use crate::guarantee::Guarantee;
use crate::report::{Report, SHOWN, Violation};

/// Violations kept of one run.
const MOST_VIOLATIONS: usize = 20;

/// One line of the trace, formatted only if it is ever shown.
#[derive(Clone, Copy)]
struct Line(Tick, &'static str, u8, u16, u64);

#[derive(Default)]
struct Facts {
    /// The place of the newest invalidation that the tier executed.
    raised: u64,
    /// Versions whose removal the tier has executed, and when: the newest of each moment, in order.
    removed: VecDeque<(Tick, u64)>,
    /// Loads that read now, and the places where they got the right to.
    reading: BTreeMap<(u16, u64), u64>,
    /// The place of the latest grant, by who got it.
    granted: BTreeMap<(u16, u64), u64>,
}

/// Watches one run.
pub(super) struct Checker {
    calm: bool,
    /// What may pass between the moment a tier counts a window down and the moment it is used.
    slack: Span,
    oldest: Span,
    /// After so long no process serves what another one removed. `None`: nobody compares.
    late: Option<Span>,
    /// What saves callers from failures may be older.
    rescues: bool,
    order: u64,
    keys: BTreeMap<u8, Facts>,
    /// By process and key: the row that an invalidation applied there was about.
    due: BTreeMap<(u16, u8), u64>,
    answered: [u64; Why::COUNT],
    lines: VecDeque<Line>,
    pub(super) report: Report,
}

impl Checker {
    pub(super) fn new(seed: u64, scenario: &Scenario) -> Checker {
        let (policy, faults) = (&scenario.policy, &scenario.faults);
        let grace = policy.stale_while_revalidate.max(policy.stale_if_error);
        let skew = if faults.failovers > 0 { faults.skew } else { Span::ZERO };
        // What was on its way to a frozen tier counts from the thaw.
        let frozen = if faults.freezes > 0 { LONGEST_PAUSE } else { Span::ZERO };
        let slack = Span(faults.delay.0 * 4 + skew.0 + frozen.0 + 10);
        // A copy is confirmed, or a load begins, before the removal is executed; then it is believed for so long, and a
        // step or a pause more, and whoever joins a load waits for its end. What a tier forgets that fails over, nobody
        // knows.
        let late = scenario.resync.filter(|_| faults.failovers == 0).map(|resync| {
            let believed = longest(resync, scenario.budget) + Ageing::new(resync, scenario.budget, Tick(0)).step();
            believed + PAUSE + scenario.timeout + scenario.budget + slack
        });
        Checker {
            calm: faults.is_calm(),
            slack,
            late,
            rescues: policy.stale_if_error > Span::ZERO,
            oldest: Span(policy.ttl.0 + grace.0),
            order: 0,
            keys: BTreeMap::new(),
            due: BTreeMap::new(),
            answered: [0; Why::COUNT],
            lines: VecDeque::with_capacity(SHOWN),
            report: Report { seed, ..Report::default() },
        }
    }

    pub(super) fn note(&mut self, now: Tick, what: &'static str, key: u8, process: u16, number: u64) {
        self.report.events += 1;
        if self.report.violations.is_empty() {
            if self.lines.len() == SHOWN {
                self.lines.pop_front();
            }
            self.lines.push_back(Line(now, what, key, process, number));
        }
    }

    fn require(&mut self, holds: bool, guarantee: Guarantee, at: Tick, what: impl FnOnce() -> String) {
        if holds {
            return;
        }
        if self.report.violations.is_empty() {
            let lines = self.lines.iter();
            let shown = lines
                .map(|Line(at, what, key, process, n)| format!("{:>6} key {key} {what} process {process} ({n})", at.0));
            self.report.trace = shown.collect();
        }
        if self.report.violations.len() < MOST_VIOLATIONS {
            self.report.violations.push(Violation { guarantee, at, what: what() });
        }
    }

    pub(super) fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// What a request that comes now to this process is entitled to.
    pub(super) fn due(&self, process: u16, key: u8) -> u64 {
        self.due.get(&(process, key)).copied().unwrap_or(0)
    }

    /// An invalidation of the row's `version` holds in this process from now on.
    pub(super) fn applied(&mut self, process: u16, key: u8, version: u64) {
        let due = self.due.entry((process, key)).or_default();
        *due = version.max(*due);
    }

    /// The process forgot everything.
    pub(super) fn died(&mut self, process: u16) {
        self.due.retain(|(other, _), _| *other != process);
        for facts in self.keys.values_mut() {
            facts.reading.retain(|(other, _), _| *other != process);
            facts.granted.retain(|(other, _), _| *other != process);
        }
    }

    pub(super) fn raised(&mut self, key: u8, order: u64) {
        self.keys.entry(key).or_default().raised = order;
    }

    /// The tier has executed the removal of whatever is older than the row's `version`.
    pub(super) fn removed(&mut self, key: u8, version: u64, now: Tick) {
        self.keys.entry(key).or_default().removed.push_back((now, version));
    }

    /// The oldest version that a request may get that came at `began`, whatever its process has heard.
    fn promised(&self, key: u8, began: Tick) -> u64 {
        let Some((late, facts)) = self.late.zip(self.keys.get(&key)) else { return 0 };
        let known = facts.removed.iter().filter(|(at, _)| began.since(*at) > late);
        known.map(|(_, version)| *version).max().unwrap_or_default()
    }

    /// The tier granted a lease.
    pub(super) fn granted(&mut self, key: u8, process: u16, leader: u64, order: u64) {
        self.keys.entry(key).or_default().granted.insert((process, leader), order);
    }

    /// Whether the tier executed an invalidation after this place, at whatever server it was.
    pub(super) fn outdated(&self, key: u8, begun: u64) -> bool {
        self.keys.get(&key).is_some_and(|facts| begun < facts.raised)
    }

    pub(super) fn load_began(&mut self, key: u8, life: Life, id: u64, begun: u64, now: Tick) {
        self.report.loads += 1;
        let facts = self.keys.entry(key).or_default();
        let right = facts.granted.remove(&(life.process, id)).unwrap_or(begun);
        // Whose right is older than an invalidation brings nothing that will be kept.
        let newest = facts.raised;
        let beside = facts.reading.values().filter(|other| **other > newest && right > newest).count();
        facts.reading.insert((life.process, id), right);
        let reading = facts.reading.len();
        self.report.most_at_once.0 = self.report.most_at_once.0.max(reading);
        let calm = self.calm;
        self.require(!calm || beside == 0, Guarantee::OneLoad, now, || {
            format!("process {} loads key {key} beside {beside} others, and nothing called for it", life.process)
        });
    }

    pub(super) fn load_ended(&mut self, key: u8, life: Life, id: u64, failed: bool) {
        self.report.failed += u64::from(failed);
        if let Some(facts) = self.keys.get_mut(&key) {
            facts.reading.remove(&(life.process, id));
        }
    }

    /// The tier stored what was loaded before an invalidation that it had executed.
    pub(super) fn stored_late(&mut self, key: u8, body: Body, now: Tick) {
        self.require(false, Guarantee::NoLateWriter, now, || {
            format!("the tier stored row {} of key {key}, whose load began before an invalidation", body.version)
        });
    }

    /// A lease was granted to somebody whom a fresh entry would have served.
    pub(super) fn granted_beside(&mut self, key: u8, body: Body, now: Tick) {
        self.require(false, Guarantee::OneLoad, now, || {
            format!("a load of key {key} was granted while row {} is fresh and not invalidated", body.version)
        });
    }

    /// A request is answered; `excused`: its process stood still until then.
    pub(super) fn answered(
        &mut self,
        (process, id): (u16, u64),
        request: &Request,
        entry: Option<&Entry>,
        why: Why,
        now: Tick,
        excused: Tick,
    ) {
        self.note(now, why.as_str(), request.key, process, entry.map_or(0, |entry| entry.body.version));
        self.answered[why as usize] += 1;
        let latest = request.deadline.max(excused);
        self.require(now <= latest, Guarantee::BoundedWaiting, now, || {
            format!("request {id} was to be answered by {}, got {}", latest.0, why.as_str())
        });
        let Some(Entry { body, .. }) = entry else { return };
        let (least, version, oldest, slack) = (request.due, body.version, self.oldest, self.slack);
        self.require(version >= least, Guarantee::DeleteWins, now, || {
            format!(
                "request {id} came to process {process} after row {least} held there, and got row {version} as {}",
                why.as_str()
            )
        });
        let promised = self.promised(request.key, request.began);
        let saved = self.rescues && matches!(why, Why::StaleError | Why::StaleShed);
        self.require(saved || version >= promised, Guarantee::DeleteWins, now, || {
            format!(
                "request {id} came to process {process} long after row {promised} was told to the tier, and got row \
                 {version} as {}",
                why.as_str()
            )
        });
        let age = now.since(body.finished);
        self.require(age.0 <= oldest.0 + slack.0, Guarantee::NotOlderThanPromised, now, || {
            format!("request {id} got row {version}, loaded {age} ago, as {}", why.as_str())
        });
    }

    /// Nothing is left to happen.
    pub(super) fn finish(mut self, left: &[(&str, usize)], now: Tick) -> Report {
        for (what, number) in left {
            self.require(*number == 0, Guarantee::NothingLost, now, || format!("{number} {what} left at the end"));
        }
        self.report.answered =
            Why::ALL.iter().map(|why| (*why, self.answered[*why as usize])).filter(|(_, n)| *n > 0).collect();
        self.report.ended = now;
        self.report
    }
}

//! How is a run counted? From outside: requests and loads as they happen, quantiles at the end.

use std::collections::BTreeMap;

use bellwether_core::time::{Span, Tick};

use super::case::Case;
use super::outcome::{Bin, Classes, Outcome, Through, Waits};
use super::policy_set::PolicySet;

/// A fleet has recovered when a second's share of fresh answers is again this part of what is usual.
const RECOVERED: f64 = 0.95;

/// A cache is full when this part of the requests is answered without waiting,
const FULL: f64 = 0.99;
/// for so many seconds in a row.
const STEADY: usize = 3;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Fresh,
    /// This long past its ttl.
    Stale(Span),
    Failed,
}

/// All counts of a run.
pub(super) struct Record {
    start: Tick,
    bin: Span,
    bins: Vec<Bin>,
    /// Waits of the requests of each bin, zero left out.
    waits: Vec<BTreeMap<u64, u64>>,
    /// By whole seconds: loads, answers, fresh answers.
    seconds: Vec<Second>,
    blocked: u64,
    oldest: Span,
    loads_failed: u64,
    periods: u64,
    peak_at_origin: u64,
    /// Sum and number of `stamped ttl - lead`.
    stamped: (u64, u64),
    polls: u64,
    /// Of a process that died.
    lost: u64,
    /// From here on classes are counted.
    counted_from: Option<Tick>,
    /// Requests that got a value.
    good: u64,
    /// Critical requests, and those of them that did.
    critical: (u64, u64),
}

#[derive(Clone, Copy, Default)]
struct Second {
    loads: u64,
    answers: u64,
    fresh: u64,
    failed: u64,
    /// Answered without waiting.
    hits: u64,
}

impl Record {
    pub(super) fn new(case: &Case, start: Tick) -> Record {
        // Those who wait when the crowd ends are answered a timeout later at most.
        let end = case.length.0 + case.timeout.0 + 1;
        let bins = end.div_ceil(case.bin.0) as usize;
        Record {
            start,
            bin: case.bin,
            bins: vec![Bin::default(); bins],
            waits: vec![BTreeMap::new(); bins],
            seconds: vec![Second::default(); end.div_ceil(1000) as usize],
            blocked: 0,
            oldest: Span::ZERO,
            loads_failed: 0,
            periods: 0,
            peak_at_origin: 0,
            stamped: (0, 0),
            polls: 0,
            lost: 0,
            counted_from: case.classes.map(|from| start + from),
            good: 0,
            critical: (0, 0),
        }
    }

    fn bin_of(&self, at: Tick) -> usize {
        ((at.since(self.start).0 / self.bin.0) as usize).min(self.bins.len() - 1)
    }

    fn second_of(&self, at: Tick) -> usize {
        ((at.since(self.start).0 / 1000) as usize).min(self.seconds.len() - 1)
    }

    pub(super) fn arrived(&mut self, n: u32, at: Tick) {
        let bin = self.bin_of(at);
        self.bins[bin].requests += u64::from(n);
    }

    /// `n` requests ended alike at `at` after `wait`.
    pub(super) fn ended(&mut self, n: u64, ending: Ending, wait: Span, at: Tick) {
        let (bin, second) = (self.bin_of(at), self.second_of(at));
        let (bin, waits, second) = (&mut self.bins[bin], &mut self.waits[bin], &mut self.seconds[second]);
        second.answers += n;
        match ending {
            Ending::Fresh => {
                bin.fresh += n;
                second.fresh += n;
            }
            Ending::Stale(past) => {
                bin.stale += n;
                self.oldest = self.oldest.max(past);
            }
            Ending::Failed => {
                bin.failed += n;
                second.failed += n;
            }
        }
        if wait == Span::ZERO && ending != Ending::Failed {
            second.hits += n;
        }
        if wait > Span::ZERO {
            *waits.entry(wait.0).or_default() += n;
        }
    }

    /// `n` requests of a class that came at `came` have ended.
    pub(super) fn of_class(&mut self, critical: bool, n: u64, answered: bool, came: Tick) {
        if self.counted_from.is_none_or(|from| came < from) {
            return;
        }
        let good = if answered { n } else { 0 };
        self.good += good;
        if critical {
            self.critical = (self.critical.0 + n, self.critical.1 + good);
        }
    }

    fn classes(&self, case: &Case) -> Option<Classes> {
        let counted = case.length.0.checked_sub(case.classes?.0)? as f64 / 1000.0;
        let (critical, answered) = self.critical;
        Some(Classes { goodput: self.good as f64 / counted, critical: answered as f64 / critical.max(1) as f64 })
    }

    pub(super) fn blocked(&mut self, n: u64, at: Tick) {
        let bin = self.bin_of(at);
        self.bins[bin].blocked += n;
        self.blocked += n;
    }

    pub(super) fn load(&mut self, first_of_its_key: bool, at_origin: usize, at: Tick) {
        let (bin, second) = (self.bin_of(at), self.second_of(at));
        self.seconds[second].loads += 1;
        self.periods += u64::from(first_of_its_key);
        let at_origin = at_origin as u64;
        self.peak_at_origin = self.peak_at_origin.max(at_origin);
        let bin = &mut self.bins[bin];
        bin.loads += 1;
        bin.at_origin = bin.at_origin.max(at_origin);
    }

    /// `n` questions to the shared tier.
    pub(super) fn polls(&mut self, n: u64, at: Tick) {
        let bin = self.bin_of(at);
        self.bins[bin].polls += n;
        self.polls += n;
    }

    /// `n` requests end with the process that they were made of: nobody can answer them.
    pub(super) fn lost(&mut self, n: u64) {
        self.lost += n;
    }

    pub(super) fn load_failed(&mut self) {
        self.loads_failed += 1;
    }

    /// A value was kept: fresh for `ttl`, to be refreshed `lead` earlier.
    pub(super) fn stamped(&mut self, ttl: Span, lead: Span) {
        self.stamped.0 += ttl.0.saturating_sub(lead.0);
        self.stamped.1 += 1;
    }

    pub(super) fn outcome(mut self, case: &Case, policy: PolicySet, seed: u64, cut_short: bool) -> Outcome {
        let sum = |of: fn(&Bin) -> u64| self.bins.iter().map(of).sum::<u64>();
        let (requests, loads) = (sum(|bin| bin.requests), sum(|bin| bin.loads));
        let (fresh, stale, failed) = (sum(|bin| bin.fresh), sum(|bin| bin.stale), sum(|bin| bin.failed));
        let mut all = BTreeMap::new();
        for (bin, waits) in self.bins.iter_mut().zip(&self.waits) {
            bin.p99 = waits_of(waits, bin.fresh + bin.stale + bin.failed).p99;
            waits.iter().for_each(|(wait, n)| *all.entry(*wait).or_default() += n);
        }
        let peak_loads = self.seconds.iter().map(|second| second.loads).max().unwrap_or_default();
        let due = match self.stamped {
            _ if case.once => 1.0,
            (_, 0) => 0.0,
            (sum, n) => case.length.0 as f64 * f64::from(case.keys) / (sum as f64 / n as f64),
        };
        let fault = self.through(case);
        let filled = self.filled(case);
        let classes = self.classes(case);
        Outcome {
            policy,
            seed,
            requests,
            fresh,
            stale,
            failed,
            blocked: self.blocked,
            waits: waits_of(&all, fresh + stale + failed),
            oldest: self.oldest,
            loads,
            loads_failed: self.loads_failed,
            periods: self.periods,
            due,
            peak_loads,
            peak_at_origin: self.peak_at_origin,
            polls: self.polls,
            lost: self.lost,
            filled,
            fault,
            classes,
            series: self.bins,
            cut_short,
        }
    }

    /// The first of some seconds in a row in which nearly every request is a hit.
    fn filled(&self, case: &Case) -> Option<Span> {
        let seconds = &self.seconds[..((case.length.0 / 1000) as usize).min(self.seconds.len())];
        let full = |second: &Second| second.answers > 0 && second.hits as f64 >= FULL * second.answers as f64;
        let at = seconds.windows(STEADY).position(|few| few.iter().all(full))?;
        Some(Span::secs(at as u64))
    }

    fn through(&self, case: &Case) -> Option<Through> {
        let fault = case.fault?;
        let second = |span: Span| (span.0 / 1000) as usize;
        let (from, until) = (second(fault.from), second(fault.until));
        let length = until - from;
        let sum = |range: &[Second], of: fn(&Second) -> u64| range.iter().map(of).sum::<u64>() as f64;
        let during = self.seconds.get(from..until)?;
        let before = self.seconds.get(from.checked_sub(length)?..from)?;
        // Seconds of the crowd alone: after it only those end who waited.
        let after = self.seconds.get(until..second(case.length))?;
        let usual = sum(before, |second| second.fresh) / sum(before, |second| second.answers).max(1.0);
        let well = |second: &Second| second.fresh as f64 >= RECOVERED * usual * second.answers as f64;
        let recovery = match after.iter().rposition(|second| !well(second)) {
            None => Some(Span::ZERO),
            Some(last) if last + 1 == after.len() => None,
            Some(last) => Some(Span::secs(last as u64 + 1)),
        };
        let answers = sum(during, |second| second.answers).max(1.0);
        Some(Through {
            answered: 1.0 - sum(during, |second| second.failed) / answers,
            recovery,
            amplification: sum(during, |second| second.loads) / sum(before, |second| second.loads).max(1.0),
        })
    }
}

/// Quantiles of `n` waits of which those of zero are left out.
fn waits_of(waits: &BTreeMap<u64, u64>, n: u64) -> Waits {
    let waited: u64 = waits.values().sum();
    let quantile = |of_1000: u64| {
        let rank = (n * of_1000).div_ceil(1000).max(1);
        let mut seen = n - waited;
        if seen >= rank {
            return Span::ZERO;
        }
        let found = waits.iter().find(|(_, n)| {
            seen += **n;
            seen >= rank
        });
        Span(found.map_or(0, |(wait, _)| *wait))
    };
    let max = Span(waits.last_key_value().map_or(0, |(wait, _)| *wait));
    Waits { p50: quantile(500), p99: quantile(990), p999: quantile(999), max }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_count_those_who_did_not_wait() {
        let waits = BTreeMap::from([(10, 9), (500, 1)]);
        let found = waits_of(&waits, 1000);
        assert_eq!((found.p50, found.p99, found.p999, found.max), (Span(0), Span(0), Span(10), Span(500)));
        assert_eq!(waits_of(&waits, 10).p50, Span(10));
        assert_eq!(waits_of(&BTreeMap::new(), 0), Waits::default());
    }
}

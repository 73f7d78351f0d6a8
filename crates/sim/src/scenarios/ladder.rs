//! How is a run of the lease engine a case of a scenario? Its policy sets, from none to all, and its figures.

use std::collections::BTreeMap;

use bellwether_core::time::Span;

use super::figure::Figure;
use super::name::Scenario;
use super::study::{About, Goal, Height, Level, Picture, Run, Set, Sizes, Study};
use crate::fleet::{Bin, Case, Outcome, PolicySet, bits_per_key, compare};

/// A case that compares policy sets in the lease engine.
pub(super) struct Ladder {
    pub(super) scenario: Scenario,
    pub(super) case: Case,
    pub(super) sets: Vec<PolicySet>,
    pub(super) measure: Figure,
    pub(super) bound: f64,
    pub(super) bound_says: &'static str,
    pub(super) columns: Vec<Figure>,
    pub(super) goals: Vec<Goal>,
    /// What the scenario's own picture shows.
    pub(super) shows: Shows,
    /// What the whole is here, where it is more than the default.
    pub(super) full_says: Option<&'static str>,
}

/// What matters most over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    Loads,
    Failures,
    Polls,
    Answers,
}

/// What every expiry is told by.
pub(super) const COLUMNS: [Figure; 7] = [
    Figure::Loads,
    Figure::LoadsRatio,
    Figure::Blocked,
    Figure::Failed,
    Figure::Stale,
    Figure::WaitP999,
    Figure::Oldest,
];

impl Ladder {
    /// A case under the sizes that were asked for.
    pub(super) fn sized(mut self, sizes: &Sizes) -> Box<dyn Study> {
        self.case.processes = sizes.processes.unwrap_or(self.case.processes);
        self.case.rate = sizes.rate.unwrap_or(self.case.rate);
        self.case.beta = sizes.beta.unwrap_or(self.case.beta);
        Box::new(self)
    }
}

impl Study for Ladder {
    fn about(&self) -> About {
        let says = |set: &PolicySet| self.full_says.filter(|_| *set == PolicySet::Full).unwrap_or(set.says());
        let set = |set: &PolicySet| Set { word: set.as_str(), says: says(set), level: level(*set) };
        About {
            scenario: self.scenario,
            variant: self.case.variant,
            says: self.case.says.to_owned(),
            parameters: self.case.parameters(),
            sets: self.sets.iter().map(set).collect(),
            measure: self.measure,
            bound: self.bound,
            bound_says: self.bound_says,
            columns: self.columns.clone(),
            goals: self.goals.clone(),
            length: self.case.length,
            bin: self.case.bin,
            shade: self.case.fault.map(|fault| (fault.from, fault.until)),
        }
    }

    fn run(&self, sets: &[usize], seed: u64) -> Result<Vec<Run>, String> {
        let sets: Vec<PolicySet> = sets.iter().filter_map(|at| self.sets.get(*at)).copied().collect();
        let outcomes = compare(&self.case, &sets, seed)?;
        Ok(outcomes.into_iter().map(|outcome| self.told(&outcome)).collect())
    }
}

fn level(set: PolicySet) -> Level {
    match set {
        PolicySet::Naive | PolicySet::Direct => Level::Naive,
        PolicySet::Full => Level::Full,
        _ => Level::Partial,
    }
}

impl Ladder {
    fn told(&self, o: &Outcome) -> Run {
        let share = |n: u64| n as f64 / (o.requests - o.lost).max(1) as f64;
        let ms = |span: Span| span.0 as f64;
        let mut figures = BTreeMap::from([
            (Figure::Loads, o.loads as f64),
            (Figure::LoadsPerPeriod, o.loads_per_period()),
            (Figure::PeakLoads, o.peak_loads as f64),
            (Figure::OriginRate, per_second(o.loads, self.case.length)),
            (Figure::SharedReads, per_second(o.polls, self.case.length)),
            (Figure::Filled, o.filled.map_or(f64::INFINITY, ms)),
            (Figure::LoadsRatio, o.loads_ratio()),
            (Figure::Blocked, o.blocked as f64),
            (Figure::Failed, share(o.failed)),
            (Figure::Failures, o.failed as f64),
            (Figure::Stale, share(o.stale)),
            (Figure::WaitP999, ms(o.waits.p999)),
            (Figure::WaitMax, ms(o.waits.max)),
            (Figure::Oldest, ms(o.oldest)),
            (Figure::Polls, o.polls as f64),
            (Figure::PeakAtOrigin, o.peak_at_origin as f64),
            (Figure::Requests, o.requests as f64),
            (Figure::LoadsFailed, o.loads_failed as f64),
            (Figure::WaitP50, ms(o.waits.p50)),
            (Figure::WaitP99, ms(o.waits.p99)),
        ]);
        if let Some(existing) = self.case.existing {
            let bits = if o.policy.filters() { bits_per_key(existing) } else { 0.0 };
            figures.insert(Figure::BitsPerKey, bits);
        }
        if let (Some(classes), Some(workers)) = (o.classes, self.case.capacity) {
            let bears = f64::from(workers) * 1000.0 / self.case.load.0 as f64;
            figures.insert(Figure::Goodput, classes.goodput / bears);
            figures.insert(Figure::Critical, classes.critical);
        }
        if let Some(through) = o.fault {
            figures.insert(Figure::Answered, through.answered);
            figures.insert(Figure::Amplification, through.amplification);
            figures.insert(Figure::Recovered, through.recovery.map_or(f64::INFINITY, ms));
        }
        let (pictures, more) = (self.pictures(&o.series), more(&o.series));
        Run { figures, pictures, more, cut_short: o.cut_short }
    }

    /// The bound in what a picture shows, where that is one of `rates`: in a second, or in a bin that is shorter.
    fn bound_per_bin(&self, rates: &[Figure]) -> Option<f64> {
        let seconds = (self.case.bin.0 as f64 / 1000.0).min(1.0);
        rates.contains(&self.measure).then_some(self.bound * seconds)
    }

    fn pictures(&self, bins: &[Bin]) -> Vec<Picture> {
        let bin = self.case.bin;
        let series = |of: fn(&Bin) -> u64| bins.iter().map(|bin| of(bin) as f64).collect::<Vec<f64>>();
        // Bins shorter than a second show what came in them, longer ones a rate: a burst of 20,000 within
        // 20 ms is 20,000 loads, not a million a second.
        let rate = |of: fn(&Bin) -> u64| {
            let seconds = (bin.0 as f64 / 1000.0).max(1.0);
            series(of).iter().map(|n| n / seconds).collect::<Vec<f64>>()
        };
        let unit = if bin.0 < 1000 { format!("per {} ms", bin.0) } else { "per second".to_owned() };
        let loads = Picture::of(format!("loads {unit}"), Height::Decades, "loads", rate(|bin| bin.loads));
        let loads = loads.bounded(self.bound_per_bin(&[Figure::OriginRate, Figure::PeakLoads]));
        let queue = "loads at the origin, queue included";
        let own = match self.shows {
            Shows::Loads => None,
            Shows::Failures => {
                Some(Picture::of(format!("failures {unit}"), Height::Decades, "failed", rate(|bin| bin.failed)))
            }
            Shows::Answers => {
                let answered = rate(|bin| bin.fresh + bin.stale);
                Some(Picture::of(format!("answered {unit}"), Height::Even, "fresh", answered))
            }
            Shows::Polls => {
                let title = format!("questions to the shared tier {unit}");
                let asked = Picture::of(title, Height::Decades, "origin", rate(|bin| bin.polls));
                Some(asked.bounded(self.bound_per_bin(&[Figure::SharedReads])))
            }
        };
        let share = |of: fn(&Bin) -> u64| {
            let of_bin = |bin: &Bin| of(bin) as f64 / (bin.fresh + bin.stale + bin.failed).max(1) as f64;
            bins.iter().map(of_bin).collect::<Vec<f64>>()
        };
        let answers = Picture {
            title: "answers".to_owned(),
            height: Height::Stack,
            layers: vec![
                ("failed", share(|bin| bin.failed)),
                ("stale", share(|bin| bin.stale)),
                ("fresh", share(|bin| bin.fresh)),
            ],
            bound: None,
        };
        own.into_iter()
            .chain([
                loads,
                Picture::of(queue, Height::Decades, "origin", series(|bin| bin.at_origin)),
                Picture::of("p99 wait of a request", Height::Time, "wait", series(|bin| bin.p99.0)),
                answers,
            ])
            .collect()
    }
}

/// Series that no picture shows as they are.
fn more(bins: &[Bin]) -> Vec<(&'static str, Vec<f64>)> {
    let series = |of: fn(&Bin) -> u64| bins.iter().map(|bin| of(bin) as f64).collect::<Vec<f64>>();
    vec![
        ("requests", series(|bin| bin.requests)),
        ("fresh", series(|bin| bin.fresh)),
        ("stale", series(|bin| bin.stale)),
        ("failed", series(|bin| bin.failed)),
        ("blocked", series(|bin| bin.blocked)),
        ("loads", series(|bin| bin.loads)),
    ]
}

fn per_second(n: u64, length: Span) -> f64 {
    n as f64 * 1000.0 / length.0.max(1) as f64
}

//! What is said of one set's runs under several seeds? A mean, how far they differ, and which of them miss what.

use super::reading::written;
use crate::scenarios::{About, Figure, Goal, Run};

/// Seeds that are named; of more only the number is told.
const NAMED: usize = 3;

/// The runs of one set, one per seed.
#[derive(Clone, Copy)]
pub(crate) struct Seeds<'a> {
    pub(super) runs: &'a [Run],
    /// The first seed; the others follow it.
    pub(super) first: u64,
}

impl Seeds<'_> {
    fn values(&self, figure: Figure) -> Vec<f64> {
        self.runs.iter().filter_map(|run| run.get(figure)).collect()
    }

    /// The mean.
    pub(crate) fn figure(&self, figure: Figure) -> Option<f64> {
        let values = self.values(figure);
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// As people read it: what a case is judged by with its lowest and highest, "3 (2 to 4)", where seeds differ; of what is
    /// told beside it the mean alone, or the worst where it is called the longest.
    pub(crate) fn told(&self, about: &About, figure: Figure) -> String {
        let judged = figure == about.measure || about.goals.iter().any(|goal| goal.figure == figure);
        match figure {
            _ if judged => self.spread(figure),
            Figure::Oldest | Figure::WaitMax | Figure::Recovered => {
                self.values(figure).into_iter().reduce(f64::max).map_or("-".to_owned(), |value| written(figure, value))
            }
            _ => self.figure(figure).map_or("-".to_owned(), |value| written(figure, value)),
        }
    }

    /// The mean, and the range in brackets unless all read the same.
    pub(crate) fn spread(&self, figure: Figure) -> String {
        let (values, Some(mean)) = (self.values(figure), self.figure(figure)) else { return "-".to_owned() };
        let of = |end: fn(f64, f64) -> f64| written(figure, values.iter().copied().reduce(end).unwrap_or(mean));
        let (mean, low, high) = (written(figure, mean), of(f64::min), of(f64::max));
        if low == high { mean } else { format!("{mean} ({low} to {high})") }
    }

    pub(crate) fn ratio(&self, about: &About) -> Option<f64> {
        self.figure(about.measure).and_then(|value| about.ratio(value))
    }

    /// The seeds that miss a number.
    fn missing(&self, goal: &Goal) -> Vec<u64> {
        let seeds = self.runs.iter().zip(self.first..);
        seeds.filter(|(run, _)| !run.get(goal.figure).is_some_and(|value| goal.met(value))).map(|(_, n)| n).collect()
    }

    /// Whether every seed reaches every number.
    pub(crate) fn hold(&self, about: &About) -> bool {
        about.goals.iter().all(|goal| self.missing(goal).is_empty())
    }

    /// "holds", or what is missed, and by which seeds unless by all.
    pub(crate) fn verdict(&self, about: &About) -> String {
        let missed = about.goals.iter().filter_map(|goal| {
            let (by, all) = (self.missing(goal), self.runs.len());
            let heading = goal.figure.heading();
            match by.len() {
                0 => None,
                n if n == all => Some(heading.to_owned()),
                1 => Some(format!("{heading} (seed {})", by[0])),
                n if n <= NAMED => Some(format!("{heading} (seeds {})", listed(&by))),
                n => Some(format!("{heading} ({n} of {all} seeds)")),
            }
        });
        let missed: Vec<String> = missed.collect();
        if missed.is_empty() { "holds".to_owned() } else { format!("misses {}", missed.join(", ")) }
    }
}

fn listed(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<String>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::scenarios::{Scenario, Sizes, studies};

    fn runs(peaks: &[f64]) -> Vec<Run> {
        let run = |peak: &f64| Run {
            figures: BTreeMap::from([(Figure::PeakLoads, *peak), (Figure::Failed, 0.0), (Figure::Oldest, 10.0 * peak)]),
            ..Run::default()
        };
        peaks.iter().map(run).collect()
    }

    #[test]
    fn seeds_that_differ_show_how_far_and_who_misses_is_named() {
        let about = studies(Scenario::S6, &Sizes::default())[0].about();
        let told = |peaks: &[f64]| {
            let runs = runs(peaks);
            let seeds = Seeds { runs: &runs, first: 4 };
            let told = [Figure::PeakLoads, Figure::Oldest, Figure::Loads].map(|figure| seeds.told(&about, figure));
            (told.join(" | "), seeds.verdict(&about), seeds.hold(&about))
        };
        assert_eq!(told(&[2.0]), ("2 | 20 ms | -".to_owned(), "holds".to_owned(), true));
        assert_eq!(told(&[2.0, 2.0]).0, "2 | 20 ms | -");
        let misses = |who: &str| (format!("misses peak loads in 1 s{who}"), false);
        let (told_of, verdict, holds) = told(&[2.0, 4.0, 3.0, 1.0]);
        assert_eq!(told_of, "2.50 (1 to 4) | 40 ms | -");
        assert_eq!((verdict, holds), misses(" (seeds 5, 6)"));
        let verdict = |peaks: &[f64]| (told(peaks).1, told(peaks).2);
        assert_eq!(verdict(&[4.0]), misses(""));
        assert_eq!(verdict(&[2.0, 4.0]), misses(" (seed 5)"));
        assert_eq!(verdict(&[2.0, 4.0, 4.0, 4.0, 4.0]), misses(" (4 of 5 seeds)"));
    }
}

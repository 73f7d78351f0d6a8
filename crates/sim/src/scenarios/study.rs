//! What is a case of a scenario? What is said of it, the policy sets it compares, and what it must reach.

use std::collections::BTreeMap;

use bellwether_core::time::Span;

use super::figure::Figure;
use super::name::Scenario;

/// How complete a set of policies is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What most people write.
    Naive,
    /// Some of the defences.
    Partial,
    /// All that Bellwether has against this.
    Full,
}

impl Level {
    /// From none to all.
    pub const ALL: [Level; 3] = [Level::Naive, Level::Partial, Level::Full];

    /// The word on the command line and in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Naive => "naive",
            Level::Partial => "partial",
            Level::Full => "full",
        }
    }
}

/// A set of policies that a case compares with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    /// The word on the command line and in files.
    pub word: &'static str,
    /// What it does, in a line.
    pub says: &'static str,
    /// How complete it is.
    pub level: Level,
}

/// What a figure must not pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bar {
    /// At most so much.
    AtMost(f64),
    /// At least so much.
    AtLeast(f64),
}

/// A number to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// Which figure.
    pub figure: Figure,
    /// What it must not pass.
    pub bar: Bar,
}

impl Goal {
    /// At most so much.
    pub const fn at_most(figure: Figure, most: f64) -> Goal {
        Goal { figure, bar: Bar::AtMost(most) }
    }

    /// At least so much.
    pub const fn at_least(figure: Figure, least: f64) -> Goal {
        Goal { figure, bar: Bar::AtLeast(least) }
    }

    /// Whether `value` reaches it. What is no number reaches nothing.
    pub fn met(&self, value: f64) -> bool {
        match self.bar {
            Bar::AtMost(most) => value <= most,
            Bar::AtLeast(least) => value >= least,
        }
    }
}

/// Everything that is said of a case before it is run.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// Of which scenario.
    pub scenario: Scenario,
    /// What sets it apart from the scenario's other cases; empty if it has none.
    pub variant: &'static str,
    /// What happens, in a line.
    pub says: String,
    /// Every parameter that a reader needs to judge the figures, in words.
    pub parameters: Vec<(&'static str, String)>,
    /// From no defence to all of them.
    pub sets: Vec<Set>,
    /// What is measured against the bound.
    pub measure: Figure,
    /// What nothing can do better than; 0 where nothing at all is the bound.
    pub bound: f64,
    /// Why.
    pub bound_says: &'static str,
    /// The figures of its table, after the measure.
    pub columns: Vec<Figure>,
    /// The numbers to reach.
    pub goals: Vec<Goal>,
    /// Of the run.
    pub length: Span,
    /// Width of a point in the plots.
    pub bin: Span,
    /// A time of trouble, from and until.
    pub shade: Option<(Span, Span)>,
}

impl About {
    /// "S6, no jitter".
    pub fn name(&self) -> String {
        match self.variant {
            "" => self.scenario.as_str().to_owned(),
            variant => format!("{}, {variant}", self.scenario.as_str()),
        }
    }

    /// How far a measured value is from the bound: 1 is perfect. Where the bound is 0 there is no ratio.
    pub fn ratio(&self, measured: f64) -> Option<f64> {
        let ratio = match self.goals.iter().find(|goal| goal.figure == self.measure).map(|goal| goal.bar) {
            // Less is worse.
            Some(Bar::AtLeast(_)) => self.bound / measured,
            _ => measured / self.bound,
        };
        (self.bound > 0.0 && !ratio.is_nan()).then_some(ratio)
    }

    /// Which numbers these figures miss.
    pub fn missed(&self, figure: impl Fn(Figure) -> Option<f64>) -> Vec<Goal> {
        self.goals.iter().filter(|goal| !figure(goal.figure).is_some_and(|value| goal.met(value))).copied().collect()
    }
}

/// How the heights of a picture are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Height {
    /// Decades.
    Decades,
    /// From nothing to the highest.
    Even,
    /// Milliseconds, from nothing to the highest.
    Time,
    /// Shares of a whole, stacked.
    Stack,
}

/// A quantity over time, as it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// What it shows. Pictures of the same title share a scale within a case.
    pub title: String,
    /// How its heights are read.
    pub height: Height,
    /// What is drawn, each with its class (its colour), a value for each bin.
    pub layers: Vec<(&'static str, Vec<f64>)>,
    /// The case's bound, where the picture shows what is measured.
    pub bound: Option<f64>,
}

impl Picture {
    /// One area.
    pub fn of(title: impl Into<String>, height: Height, class: &'static str, values: Vec<f64>) -> Picture {
        Picture { title: title.into(), height, layers: vec![(class, values)], bound: None }
    }

    /// The same with a line where the bound lies.
    #[must_use]
    pub fn bounded(self, bound: Option<f64>) -> Picture {
        Picture { bound, ..self }
    }
}

/// What came out of one set under one seed. The same case, set and seed give the same run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// All that was measured.
    pub figures: BTreeMap<Figure, f64>,
    /// What happened when. The first one is the scenario's own.
    pub pictures: Vec<Picture>,
    /// Series for programs that no picture shows.
    pub more: Vec<(&'static str, Vec<f64>)>,
    /// The run was ended because it grew too large.
    pub cut_short: bool,
}

impl Run {
    /// A figure, if it was measured.
    pub fn get(&self, figure: Figure) -> Option<f64> {
        self.figures.get(&figure).copied()
    }
}

/// One case of a scenario.
pub trait Study: Send + Sync {
    /// What is said of it.
    fn about(&self) -> About;

    /// Runs the sets named by their places in [`About::sets`], in that order.
    ///
    /// # Errors
    /// A sentence, if the case is too large or makes no sense.
    fn run(&self, sets: &[usize], seed: u64) -> Result<Vec<Run>, String>;
}

/// How large scenarios are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sizes {
    /// Small enough for an unoptimized build.
    pub small: bool,
    /// Processes, instead of the scenario's own number.
    pub processes: Option<u32>,
    /// Requests a second, instead of the scenario's own.
    pub rate: Option<f64>,
    /// XFetch's beta.
    pub beta: Option<f64>,
}

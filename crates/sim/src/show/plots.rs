//! What does a case look like? Its own picture, a card for each policy set on the same scales, bars against the bound.

use std::fmt::Write as _;

use bellwether_core::time::Span;

use super::comparison::Comparison;
use super::html;
use super::overview::{chosen, overview};
use super::plot::{Plot, Scale};
use super::reading::{goal, written};
use super::words::{self, escaped};
use crate::scenarios::{About, Height, Level, Picture, Run, Set};

/// Heights of pictures.
const TALL: f64 = 72.0;
const SHORT: f64 = 46.0;
/// Of a scenario's own picture, on a desk and on a phone: drawn for both, as words would be too small or too large.
const WIDE: f64 = 760.0;
const NARROW: f64 = 340.0;
const OWN_TALL: f64 = 150.0;
/// Colours of its lines: the worst, the one between, the best.
const LINES: [&str; 3] = ["failed", "stale", "fresh"];

/// The page of simulated scenarios. `command` is what makes it again.
pub fn scenarios(comparisons: &[Comparison], command: &str) -> String {
    let sections: String = comparisons.iter().map(section).collect();
    let lead = "The same requests and the same origin, in virtual time, for each set of policies: what reaches the \
                origin, who waits, and how far that is from what nothing can do better.";
    let body = overview(comparisons) + &sections;
    html::page("One request leads, the herd follows", lead, command, &body)
}

/// The section of one case: the first seed's course, the mean of all seeds in bars and table.
fn section(comparison: &Comparison) -> String {
    let about = &comparison.about;
    let (name, says) = (escaped(&about.name()), escaped(&about.says));
    let mut text = format!("<section id=\"{}\">\n<h2><span>{name}</span> {says}</h2>\n", comparison.anchor());
    text.push_str("<ul class=\"facts\">");
    for (name, value) in &about.parameters {
        // Writing into a String can't fail, here and below.
        let _ = write!(text, "<li>{} <b>{}</b></li>", escaped(name), escaped(&words::grouped(value)));
    }
    text.push_str("</ul>\n");
    text.push_str(&own(comparison));
    text.push_str(&bars(comparison));
    text.push_str("<details><summary>Each set over time");
    text.push_str(&seed_says(comparison));
    text.push_str("</summary>\n<div class=\"cards\">\n");
    for (set, runs) in &comparison.sets {
        if let Some(run) = runs.first() {
            text.push_str(&card(comparison, set, run, &comparison.seeds(runs).verdict(about)));
        }
    }
    text.push_str("</div>\n</details>\n<details><summary>All figures</summary>\n");
    text.push_str(&html::table(&comparison.figures()));
    text.push_str("</details>\n</section>\n");
    text
}

/// The scenario's own picture: what it is about, for one set of each level.
fn own(comparison: &Comparison) -> String {
    let about = &comparison.about;
    let chosen = Level::ALL.into_iter().filter_map(|level| chosen(comparison, level));
    let lines: Vec<(&Set, &Picture)> =
        chosen.filter_map(|(set, runs)| Some((set, runs.first()?.pictures.first()?))).collect();
    let Some((_, first)) = lines.first() else { return String::new() };
    let all: Vec<Vec<f64>> = lines.iter().map(|(_, picture)| summed(picture)).collect();
    let bin = about.bin.0 as f64;
    let until = about.shade.map_or(0, |(_, until)| (until.0 as f64 / bin).ceil() as usize);
    let Stretch { shown, quiet_from } = Stretch::of(&all, until);
    let whole = bin * shown as f64;
    let top = top_of(comparison, &first.title);
    let (scale, label) = scale(first.height, top);
    let mut legend = String::new();
    for (set, _) in &lines {
        let (class, word, says) = (line_of(set), escaped(set.word), escaped(set.says));
        let _ = write!(legend, "<span><i class=\"{class}\"></i> {word}: {says}</span>");
    }
    if let Some(bound) = first.bound {
        let says = escaped(about.bound_says);
        let _ = write!(legend, "<span><i class=\"bound\"></i> bound {}: {says}</span>", words::number(bound));
    }
    let drawn = |width: f64| {
        let mut plot = Plot::wide(width, OWN_TALL, scale, label);
        let drawn = lines.iter().zip(&all);
        drawn.for_each(|((set, _), values)| plot.outline(&values[..shown.min(values.len())], line_of(set)));
        first.bound.into_iter().for_each(|bound| plot.level(bound));
        if let Some((from, until)) = shade(about, whole) {
            plot.shade(from, until);
        }
        plot.foot(&clock(whole));
        plot.svg(&escaped(&first.title))
    };
    format!(
        "<figure><figcaption>{}{}{}{}</figcaption>\n<div class=\"on-desk\">{}</div><div class=\"on-phone\">{}</div>\
         <p class=\"legend\">{legend}</p></figure>\n",
        escaped(&first.title),
        scale_says(first.height),
        quiet_from
            .map(|at| format!("; nothing after {}", words::time(Span((bin * at as f64) as u64))))
            .unwrap_or_default(),
        seed_says(comparison),
        drawn(WIDE),
        drawn(NARROW)
    )
}

/// How much of a picture's time is drawn: what happens in a moment would be a line at the edge of a long rest.
#[derive(Debug, PartialEq, Eq)]
struct Stretch {
    /// So many values.
    shown: usize,
    /// From here on all of them are nothing, where that is not drawn to its end.
    quiet_from: Option<usize>,
}

impl Stretch {
    /// Of what is drawn together; the first `least` values are shown in any case.
    fn of(lines: &[Vec<f64>], least: usize) -> Stretch {
        let length = lines.iter().map(Vec::len).max().unwrap_or(0);
        let busy = |values: &Vec<f64>| values.iter().rposition(|value| *value > 0.0).map_or(0, |at| at + 1);
        let quiet = lines.iter().map(busy).max().unwrap_or(0);
        // A quarter more, so that its end is seen.
        let enough = (quiet + quiet / 4 + 1).max(least.min(length));
        match quiet > 0 && 2 * enough <= length {
            true => Stretch { shown: enough, quiet_from: Some(quiet) },
            false => Stretch { shown: length, quiet_from: None },
        }
    }
}

/// The colour of a set's line.
fn line_of(set: &Set) -> &'static str {
    LINES[Level::ALL.iter().position(|level| *level == set.level).unwrap_or(0)]
}

/// How far each set is from the bound; a bar's length counts decades.
fn bars(comparison: &Comparison) -> String {
    let about = &comparison.about;
    let heading = if about.bound > 0.0 { ", as a multiple of the bound" } else { "" };
    let seeds = comparison.seeds_say().map(|says| format!(" {}.", escaped(&says))).unwrap_or_default();
    let goals: Vec<String> = about.goals.iter().map(goal).collect();
    let mut text = format!(
        "<h3>{}{heading} <small>bound {}: {}. To reach: {}. Lengths are \
         logarithmic.{seeds}</small></h3>\n<div class=\"bars\">\n",
        escaped(about.measure.heading()),
        escaped(&written(about.measure, about.bound)),
        escaped(about.bound_says),
        escaped(&goals.join(", "))
    );
    // Where the bound is nothing at all, lengths are those of the figures themselves.
    let length = |runs: &[Run]| match about.bound > 0.0 {
        true => comparison.seeds(runs).ratio(about).unwrap_or(1.0),
        false => comparison.seeds(runs).figure(about.measure).unwrap_or(0.0),
    };
    let finite = comparison.sets.iter().map(|(_, runs)| length(runs)).filter(|length| length.is_finite());
    let top = finite.fold(10.0, f64::max);
    for (set, runs) in &comparison.sets {
        let all = comparison.seeds(runs);
        // Where the bound is 1, the measure is its own multiple; what never came is none of anything.
        let multiple = match all.ratio(about) {
            Some(ratio) if about.bound != 1.0 && ratio.is_finite() => {
                format!(" <small>{} x</small>", words::number(ratio))
            }
            _ => String::new(),
        };
        let class = match (all.hold(about), set.level) {
            (true, _) => "good",
            (false, Level::Full) => "poor",
            (false, _) if length(runs) <= 10.0 => "fair",
            (false, _) => "poor",
        };
        let share = 100.0 * (length(runs).clamp(1.0, top).log10() / top.log10());
        let _ = writeln!(
            text,
            "<div class=\"name\">{}</div><div class=\"track\"><div class=\"bar {class}\" style=\"width:{:.1}%\"></div>\
             </div><div class=\"figure\"><b>{}</b>{multiple}</div><div class=\"verdict {class}\">{}</div>",
            escaped(set.word),
            share.clamp(0.8, 100.0),
            escaped(&all.spread(about.measure)),
            escaped(&all.verdict(about)),
        );
    }
    text.push_str("</div>\n");
    text
}

/// A picture's layers as one.
fn summed(picture: &Picture) -> Vec<f64> {
    let length = picture.layers.first().map_or(0, |(_, values)| values.len());
    (0..length).map(|at| picture.layers.iter().filter_map(|(_, values)| values.get(at)).sum()).collect()
}

/// The highest of all pictures with a title: they share a scale.
fn top_of(comparison: &Comparison, title: &str) -> f64 {
    let runs = comparison.sets.iter().filter_map(|(_, runs)| runs.first());
    let pictures = runs.flat_map(|run| &run.pictures).filter(|picture| picture.title == title);
    pictures.flat_map(summed).fold(0.0, f64::max)
}

type Label = fn(f64) -> String;

fn scale(height: Height, top: f64) -> (Scale, Label) {
    match height {
        Height::Decades => (Scale::Log(top), short),
        Height::Even => (Scale::Linear(round_up(top)), short),
        Height::Time => (Scale::Linear(round_up(top)), ms),
        Height::Stack => (Scale::Linear(1.0), |mark| format!("{:.0}%", mark * 100.0)),
    }
}

/// Of several seeds the first one is drawn.
fn seed_says(comparison: &Comparison) -> String {
    comparison.seeds_say().map(|_| format!(", seed {}", comparison.seed)).unwrap_or_default()
}

/// Said beside a title, where equal steps up are not equal amounts.
fn scale_says(height: Height) -> &'static str {
    match height {
        Height::Decades => " (logarithmic scale)",
        Height::Even | Height::Time | Height::Stack => "",
    }
}

/// The next of 10, 15, 20, 50, 100, …: a scale whose marks read well.
fn round_up(value: f64) -> f64 {
    if value <= 2.0 {
        return 2.0;
    }
    let decade = 10f64.powf(value.log10().floor());
    [1.0, 1.5, 2.0, 5.0, 10.0].into_iter().map(|step| step * decade).find(|top| *top >= value).unwrap_or(value)
}

/// The time that a picture spans, in ms.
fn whole(about: &About, picture: &Picture) -> f64 {
    about.bin.0 as f64 * picture.layers.first().map_or(0, |(_, values)| values.len()) as f64
}

/// What is shaded, as shares of `whole` milliseconds.
fn shade(about: &About, whole: f64) -> Option<(f64, f64)> {
    about.shade.map(|(from, until)| (from.0 as f64 / whole, until.0 as f64 / whole))
}

fn card(comparison: &Comparison, set: &Set, run: &Run, verdict: &str) -> String {
    let about = &comparison.about;
    let mut text = format!(
        "<article><h4>{} <small>{}</small></h4>\n<p>{}</p>\n",
        escaped(set.word),
        escaped(verdict),
        escaped(set.says)
    );
    for (at, picture) in run.pictures.iter().enumerate() {
        let (scale, label) = scale(picture.height, top_of(comparison, &picture.title));
        let mut plot = Plot::new(if at == 0 { TALL } else { SHORT }, scale, label);
        if picture.height == Height::Stack {
            let layers: Vec<(&str, Vec<f64>)> = picture.layers.clone();
            plot.stack(&layers);
        } else {
            picture.layers.iter().for_each(|(class, values)| plot.area(values, class));
        }
        let whole = whole(about, picture);
        if let Some((from, until)) = shade(about, whole) {
            plot.shade(from, until);
        }
        if at + 1 == run.pictures.len() {
            plot.foot(&clock(whole));
        }
        let title = escaped(&picture.title);
        let legend = if picture.height == Height::Stack {
            ": <i class=\"fresh\"></i> fresh <i class=\"stale\"></i> stale <i class=\"failed\"></i> none"
        } else {
            scale_says(picture.height)
        };
        let _ = write!(text, "<h5>{title}{legend}</h5>{}", plot.svg(&title));
    }
    text.push_str("</article>\n");
    text
}

/// "1", "7.5", "100", "1.5k", "10k".
fn short(n: f64) -> String {
    let (n, unit) = match n {
        n if n >= 1e6 => (n / 1e6, "M"),
        n if n >= 1e3 => (n / 1e3, "k"),
        n => (n, ""),
    };
    if n.fract() == 0.0 { format!("{n:.0}{unit}") } else { format!("{n:.1}{unit}") }
}

fn ms(mark: f64) -> String {
    if mark > 0.0 { words::time(Span(mark as u64)).replace(' ', "") } else { "0".to_owned() }
}

/// Marks of a time axis: at most six, at round times.
fn clock(whole_ms: f64) -> Vec<(f64, String)> {
    const STEPS: [u64; 18] = [
        10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 600_000, 1_200_000,
        1_800_000, 3_600_000,
    ];
    let step = STEPS.into_iter().find(|step| whole_ms / (*step as f64) < 6.0).unwrap_or(whole_ms as u64 / 5).max(1);
    (0..6)
        .map(|n| n * step)
        .filter(|at| *at as f64 <= whole_ms)
        .map(|at| (at as f64 / whole_ms, words::time(Span(at))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_rest_is_not_drawn_and_what_has_none_is_drawn_whole() {
        let mut moment = vec![0.0; 200];
        moment[..5].fill(4_000.0);
        let all = |shown: usize| Stretch { shown, quiet_from: None };
        let of = |lines: &[Vec<f64>], least: usize| Stretch::of(lines, least);
        let rest = vec![0.0; 200];
        assert_eq!(of(&[moment.clone(), rest.clone()], 0), Stretch { shown: 7, quiet_from: Some(5) });
        assert_eq!(of(&[moment.clone()], 60), Stretch { shown: 60, quiet_from: Some(5) }, "what is shaded is shown");
        assert_eq!(of(&[moment.clone()], 150), all(200));
        moment[120] = 1.0;
        assert_eq!(of(&[rest.clone(), moment], 0), all(200), "something comes late");
        assert_eq!((of(&[rest], 0), of(&[], 0)), (all(200), all(0)), "nothing happens at all");
    }

    #[test]
    fn marks_of_a_time_axis_are_few_and_round() {
        let words = |whole: f64| clock(whole).into_iter().map(|(_, word)| word).collect::<Vec<_>>().join(" ");
        assert_eq!(words(140.0), "0 50 ms 100 ms");
        assert_eq!(words(11_000.0), "0 2 s 4 s 6 s 8 s 10 s");
    }
}

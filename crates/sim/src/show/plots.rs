//! What does a case look like? A card for each policy set, all on the same scales, and bars against the bound.

use std::fmt::Write as _;

use bellwether_core::time::Span;

use super::comparison::{Comparison, Mean};
use super::html;
use super::plot::{Plot, Scale};
use super::words::{self, escaped};
use crate::fleet::{Bin, Outcome};

/// Heights of pictures.
const TALL: f64 = 72.0;
const SHORT: f64 = 46.0;

/// The page of simulated scenarios. `command` is what makes it again.
pub fn scenarios(comparisons: &[Comparison], command: &str) -> String {
    let sections: String = comparisons.iter().map(section).collect();
    let lead = "The same requests and the same origin, in virtual time, for each set of policies: what reaches the \
                origin, who waits, and how far that is from what nothing can do better.";
    html::page("One request leads, the herd follows", lead, command, &sections)
}

/// The section of one case: the first seed's course, the mean of all seeds in bars and table.
fn section(comparison: &Comparison) -> String {
    let case = &comparison.case;
    let mut text = format!("<section>\n<h2><span>{}</span> {}</h2>\n", escaped(&case.name()), escaped(case.says));
    text.push_str("<ul class=\"facts\">");
    for (name, value) in case.parameters() {
        // Writing into a String can't fail, here and below.
        let _ = write!(text, "<li>{} <b>{}</b></li>", escaped(name), escaped(&value));
    }
    text.push_str("</ul>\n");
    text.push_str(&bars(comparison));
    text.push_str("<div class=\"cards\">\n");
    let tops = Tops::of(comparison);
    for outcome in comparison.outcomes.iter().filter_map(|all| all.first()) {
        text.push_str(&card(comparison, outcome, &tops));
    }
    text.push_str("</div>\n<details><summary>All figures</summary>\n");
    text.push_str(&html::table(&comparison.figures()));
    text.push_str("</details>\n</section>\n");
    text
}

/// How far each set is from the bound; a bar's length counts decades.
fn bars(comparison: &Comparison) -> String {
    let case = &comparison.case;
    let mut text = format!(
        "<h3>{}, as a multiple of the bound <small>bound: {}</small></h3>\n<div class=\"bars\">\n",
        escaped(case.scenario.measure()),
        escaped(case.scenario.bound_says())
    );
    let top = comparison.outcomes.iter().map(|all| Mean(all).of(Outcome::ratio)).fold(10.0, f64::max);
    for all in &comparison.outcomes {
        let Some(first) = all.first() else { continue };
        let (ratio, measured) = (Mean(all).of(Outcome::ratio), Mean(all).of(|o| o.measured));
        // Where the bound is 1, the measure is its own multiple.
        let multiple =
            if case.bound() == 1.0 { String::new() } else { format!(" <small>{} x</small>", words::number(ratio)) };
        let figure = format!("<b>{}</b>{multiple}", words::number(measured));
        let length = 100.0 * (ratio.max(1.0).log10() / top.log10());
        let _ = writeln!(
            text,
            "<div class=\"name\">{}</div><div class=\"track\"><div class=\"bar {}\" style=\"width:{:.1}%\"></div></div>\
             <div class=\"figure\">{}</div>",
            first.policy,
            verdict(ratio),
            length.clamp(0.8, 100.0),
            figure,
        );
    }
    text.push_str("</div>\n");
    text
}

fn verdict(ratio: f64) -> &'static str {
    match ratio {
        ratio if ratio <= 1.1 => "good",
        ratio if ratio <= 10.0 => "fair",
        _ => "poor",
    }
}

/// The scales that all cards of a case share.
struct Tops {
    loads: f64,
    at_origin: f64,
    wait: f64,
}

impl Tops {
    fn of(comparison: &Comparison) -> Tops {
        let most = |of: fn(&Bin) -> u64| {
            let firsts = comparison.outcomes.iter().filter_map(|all| all.first());
            firsts.flat_map(|outcome| &outcome.series).map(of).max().unwrap_or_default() as f64
        };
        Tops {
            loads: per_second(most(|bin| bin.loads), comparison.case.bin),
            at_origin: most(|bin| bin.at_origin),
            wait: round_up(most(|bin| bin.p99.0)),
        }
    }
}

/// The next of 10, 20, 50, 100, …: a scale whose marks read well.
fn round_up(value: f64) -> f64 {
    let decade = 10f64.powf(value.max(10.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * decade).find(|top| *top >= value).unwrap_or(value)
}

/// Bins shorter than a second show what came in them, longer ones a rate: a burst of 20,000 within
/// 20 ms is 20,000 loads, not a million a second.
fn per_second(count: f64, bin: Span) -> f64 {
    count / (bin.0 as f64 / 1000.0).max(1.0)
}

fn card(comparison: &Comparison, outcome: &Outcome, tops: &Tops) -> String {
    let case = &comparison.case;
    let bins = &outcome.series;
    let series = |of: fn(&Bin) -> u64| bins.iter().map(|bin| of(bin) as f64).collect::<Vec<f64>>();
    let whole = case.bin.0 as f64 * bins.len() as f64;
    let shade = case.fault.map(|fault| (fault.from.0 as f64 / whole, fault.until.0 as f64 / whole));
    let count = |mark: f64| short(mark);
    let picture = |mut plot: Plot, values: &[f64], class: &str, last: bool, title: &str| {
        plot.area(values, class);
        if let Some((from, until)) = shade {
            plot.shade(from, until);
        }
        if last {
            plot.foot(&clock(whole));
        }
        plot.svg(title)
    };
    let loads: Vec<f64> = series(|bin| bin.loads).iter().map(|n| per_second(*n, case.bin)).collect();
    let unit =
        if case.bin.0 < 1000 { format!("loads per {}", words::time(case.bin)) } else { "loads per second".to_owned() };
    let mut text = format!(
        "<article><h4>{} <small>{}</small></h4>\n<p>{}</p>\n",
        outcome.policy,
        escaped(&gist(outcome)),
        escaped(outcome.policy.says())
    );
    let _ = write!(
        text,
        "<h5>{unit}</h5>{}",
        picture(Plot::new(TALL, Scale::Log(tops.loads), count), &loads, "loads", false, &unit)
    );
    let at_origin = series(|bin| bin.at_origin);
    let title = "loads at the origin, queue included";
    let _ = write!(
        text,
        "<h5>{title}</h5>{}",
        picture(Plot::new(SHORT, Scale::Log(tops.at_origin), count), &at_origin, "origin", false, title)
    );
    let title = "p99 wait of a request";
    let waits = series(|bin| bin.p99.0);
    let ms = |mark: f64| if mark > 0.0 { words::time(Span(mark as u64)).replace(' ', "") } else { "0".to_owned() };
    let _ = write!(
        text,
        "<h5>{title}</h5>{}",
        picture(Plot::new(SHORT, Scale::Linear(tops.wait), ms), &waits, "wait", false, title)
    );
    let title = "answers: fresh, stale, none";
    let _ = write!(
        text,
        "<h5>answers: <i class=\"fresh\"></i> fresh <i class=\"stale\"></i> stale <i class=\"failed\"></i> none</h5>{}",
        answers(bins, whole, shade, title)
    );
    text.push_str("</article>\n");
    text
}

/// Shares of the answers of each bin.
fn answers(bins: &[Bin], whole: f64, shade: Option<(f64, f64)>, title: &str) -> String {
    let share = |of: fn(&Bin) -> u64| {
        let of_bin = |bin: &Bin| of(bin) as f64 / (bin.fresh + bin.stale + bin.failed).max(1) as f64;
        bins.iter().map(of_bin).collect::<Vec<f64>>()
    };
    let mut plot = Plot::new(SHORT, Scale::Linear(1.0), |mark| format!("{:.0}%", mark * 100.0));
    plot.stack(&[
        ("failed", share(|bin| bin.failed)),
        ("stale", share(|bin| bin.stale)),
        ("fresh", share(|bin| bin.fresh)),
    ]);
    if let Some((from, until)) = shade {
        plot.shade(from, until);
    }
    plot.foot(&clock(whole));
    plot.svg(title)
}

/// What matters most, in a line.
fn gist(outcome: &Outcome) -> String {
    if let Some(through) = outcome.fault {
        return format!("{} answered in the fault", words::percent(through.answered, 1.0));
    }
    let failed = if outcome.failed > 0 { format!(", {} failed", words::whole(outcome.failed)) } else { String::new() };
    format!("{} loads, {} blocked{failed}", words::whole(outcome.loads), words::whole(outcome.blocked))
}

/// "1", "100", "10k".
fn short(n: f64) -> String {
    match n {
        n if n >= 1e6 => format!("{:.0}M", n / 1e6),
        n if n >= 1e3 => format!("{:.0}k", n / 1e3),
        n if n.fract() == 0.0 => format!("{n:.0}"),
        n => format!("{n:.1}"),
    }
}

/// Marks of a time axis: at most six, at round times.
fn clock(whole_ms: f64) -> Vec<(f64, String)> {
    const STEPS: [u64; 14] = [
        100, 200, 500, 1_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 600_000, 1_200_000, 1_800_000, 3_600_000,
    ];
    let step = STEPS.into_iter().find(|step| whole_ms / (*step as f64) < 6.0).unwrap_or(whole_ms as u64 / 5);
    (0..6)
        .map(|n| n * step)
        .filter(|at| *at as f64 <= whole_ms)
        .map(|at| (at as f64 / whole_ms, words::time(Span(at))))
        .collect()
}

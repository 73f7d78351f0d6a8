//! How does a "what if" read? The same trace in every setup: table, JSON, CSV and a page.

use std::fmt::Write as _;

use bellwether_core::time::Span;
use serde_json::{Value, json};

use super::html;
use super::plot::{Plot, Scale};
use super::table::Table;
use super::words::{self, escaped};
use crate::replay::{Figures, Format, Setup, Trace};

/// Height of the curves.
const HEIGHT: f64 = 150.0;

/// A trace and what came of it in each setup. The first setup of each ttl and grace has no limit.
pub struct WhatIf<'a> {
    /// As the user named it.
    pub file: &'a str,
    /// The trace.
    pub trace: &'a Trace,
    /// Setups and their figures.
    pub rows: &'a [(Setup, Figures)],
}

impl WhatIf<'_> {
    /// What the trace is, and the table.
    pub fn table(&self) -> String {
        let mut text = format!("{}: {}\n", self.file, self.facts().join(" · "));
        for (number, what) in &self.trace.malformed.first {
            // Writing into a String can't fail, here and below.
            let _ = writeln!(text, "  {number}: {what}");
        }
        let left = self.trace.malformed.count - self.trace.malformed.first.len() as u64;
        if left > 0 {
            let _ = writeln!(text, "  … and {} more", words::whole(left));
        }
        let _ = write!(text, "\n{}", self.figures());
        text
    }

    fn facts(&self) -> Vec<String> {
        let (trace, whole) = (self.trace, |n: usize| words::whole(n as u64));
        let mut facts =
            vec![format!("{} requests", whole(trace.requests.len())), format!("{} keys", whole(trace.keys.len()))];
        if trace.format != Format::Auto {
            facts.insert(0, format!("read as {}", trace.format.as_str()));
        }
        let span = Span(trace.requests.last().map_or(0, |request| request.at));
        match (trace.timed, self.rows.first()) {
            (true, _) => facts.push(format!("over {}", words::time(span))),
            (false, Some((setup, _))) => facts.push(format!("no times: {}/s assumed", words::number(setup.rate))),
            (false, None) => {}
        }
        if let Some((setup, _)) = self.rows.first()
            && let without @ 1.. = trace.requests.iter().filter(|request| request.size.is_none()).count()
        {
            let which = if without == trace.requests.len() {
                "no sizes".to_owned()
            } else {
                format!("{} without a size", words::whole(without as u64))
            };
            facts.push(format!("{which}: values of {} assumed", words::size(u64::from(setup.size))));
        }
        if trace.cut {
            facts.push("the first of more".to_owned());
        }
        if trace.out_of_order > 0 {
            facts.push(format!("{} out of order", words::whole(trace.out_of_order)));
        }
        if trace.malformed.count > 0 {
            facts.push(format!("{} malformed, skipped", words::whole(trace.malformed.count)));
        }
        facts
    }

    fn figures(&self) -> Table {
        let mut table = Table::new(&[
            "eviction",
            "memory",
            "ttl",
            "grace",
            "hit ratio",
            "fresh",
            "stale",
            "loads",
            "x least",
            "loaded",
            "evicted fresh",
            "too large",
            "peak",
        ]);
        for (setup, figures) in self.rows {
            let reads = figures.reads as f64;
            table.row(vec![
                setup.memory.map_or("any".to_owned(), |_| setup.eviction.to_string()),
                setup.memory.map_or("unlimited".to_owned(), words::size),
                setup.ttl.to_string(),
                setup.grace.to_string(),
                words::percent(figures.hit_ratio(), 1.0),
                words::percent(figures.hits as f64, reads),
                words::percent(figures.stale as f64, reads),
                words::whole(figures.loads()),
                words::number(self.ratio(setup, figures)),
                words::size(figures.loaded_bytes),
                words::whole(figures.evicted_fresh),
                words::whole(figures.too_large),
                words::size(figures.peak_bytes),
            ]);
        }
        table
    }

    /// Loads / the loads that this ttl and grace cost with all the memory one could want.
    fn ratio(&self, setup: &Setup, figures: &Figures) -> f64 {
        let alike = |other: &&(Setup, Figures)| other.0.ttl == setup.ttl && other.0.grace == setup.grace;
        let least = self.rows.iter().filter(alike).find(|(other, _)| other.memory.is_none());
        figures.loads() as f64 / least.map_or(0, |(_, least)| least.loads()).max(1) as f64
    }

    /// Everything, for programs. `command` is what makes it again.
    pub fn json(&self, command: &str) -> Value {
        let (trace, malformed) = (self.trace, &self.trace.malformed);
        let first: Vec<Value> =
            malformed.first.iter().map(|(number, what)| json!({ "line": number, "what": what })).collect();
        let row = |(setup, figures): &(Setup, Figures)| {
            json!({
                "eviction": setup.eviction.as_str(),
                "memory_bytes": setup.memory,
                "ttl_ms": setup.ttl.0,
                "grace_ms": setup.grace.0,
                "reads": figures.reads,
                "hits": figures.hits,
                "stale": figures.stale,
                "misses": figures.misses,
                "loads": figures.loads(),
                "hit_ratio": figures.hit_ratio(),
                "loads_ratio": self.ratio(setup, figures),
                "loaded_bytes": figures.loaded_bytes,
                "writes": figures.writes,
                "evicted": figures.evicted,
                "evicted_fresh": figures.evicted_fresh,
                "too_large": figures.too_large,
                "peak_bytes": figures.peak_bytes,
            })
        };
        json!({
            "command": command,
            "trace": {
                "file": self.file,
                "requests": trace.requests.len(),
                "keys": trace.keys.len(),
                "timed": trace.timed,
                "span_ms": trace.requests.last().map_or(0, |request| request.at),
                "out_of_order": trace.out_of_order,
                "cut": trace.cut,
                "malformed": { "count": malformed.count, "first": first },
            },
            "assumed": self.rows.first().map(|(setup, _)| json!({ "rate": setup.rate, "size": setup.size })),
            "results": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }

    /// A heading and a line for each setup.
    pub fn csv(&self) -> String {
        let mut text = "eviction,memory_bytes,ttl_ms,grace_ms,reads,hits,stale,misses,loads,hit_ratio,loads_ratio,\
                        loaded_bytes,writes,evicted,evicted_fresh,too_large,peak_bytes\n"
            .to_owned();
        for (setup, f) in self.rows {
            let memory = setup.memory.map(|bytes| bytes.to_string()).unwrap_or_default();
            let _ = writeln!(
                text,
                "{},{memory},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
                setup.eviction,
                setup.ttl.0,
                setup.grace.0,
                f.reads,
                f.hits,
                f.stale,
                f.misses,
                f.loads(),
                f.hit_ratio(),
                self.ratio(setup, f),
                f.loaded_bytes,
                f.writes,
                f.evicted,
                f.evicted_fresh,
                f.too_large,
                f.peak_bytes
            );
        }
        text
    }

    /// The page. `command` is what makes it again.
    pub fn html(&self, command: &str) -> String {
        let facts: String = self.facts().iter().map(|fact| format!("<li>{}</li>", escaped(fact))).collect();
        let mut sections = format!(
            "<section>\n<h2><span>Trace</span> {}</h2>\n<ul class=\"facts\">{facts}</ul>\n",
            escaped(self.file)
        );
        sections.push_str("<h3>Hit ratio by memory <small>fresh and stale answers together; the dotted line: unlimited memory</small></h3>\n");
        let mut terms: Vec<(Span, Span)> = Vec::new();
        for (setup, _) in self.rows {
            if !terms.contains(&(setup.ttl, setup.grace)) {
                terms.push((setup.ttl, setup.grace));
            }
        }
        sections.push_str("<div class=\"cards wide\">\n");
        terms.iter().for_each(|(ttl, grace)| sections.push_str(&self.curves(*ttl, *grace)));
        sections.push_str("</div>\n<h3>All figures</h3>\n");
        sections.push_str(&html::table(&self.figures()));
        sections.push_str("</section>\n");
        let lead = "A recorded trace asked of Bellwether's memory tier as it is, under other limits: what would have been \
                    answered from memory, and what the origin would have been asked.";
        html::page("What if?", lead, command, &sections)
    }

    /// A line for each eviction: memory against hit ratio.
    fn curves(&self, ttl: Span, grace: Span) -> String {
        let rows: Vec<&(Setup, Figures)> =
            self.rows.iter().filter(|(setup, _)| setup.ttl == ttl && setup.grace == grace).collect();
        let sizes: Vec<u64> = rows.iter().filter_map(|(setup, _)| setup.memory).collect();
        let (least, most) = (sizes.iter().min().copied().unwrap_or(1), sizes.iter().max().copied().unwrap_or(1));
        let width = (most as f64 / least.max(1) as f64).ln();
        let place = |bytes: u64| if width > 0.0 { (bytes as f64 / least as f64).ln() / width } else { 0.5 };
        let mut plot = Plot::new(HEIGHT, window(&rows), |mark| format!("{:.0}%", mark * 100.0));
        if let Some((_, unlimited)) = rows.iter().find(|(setup, _)| setup.memory.is_none()) {
            plot.level(unlimited.hit_ratio());
        }
        let mut policies = Vec::new();
        for (setup, _) in &rows {
            if setup.memory.is_some() && !policies.contains(&setup.eviction) {
                policies.push(setup.eviction);
            }
        }
        let mut legend = String::new();
        for (number, policy) in policies.iter().enumerate() {
            let of_policy = rows.iter().filter(|(setup, _)| setup.eviction == *policy);
            let mut points: Vec<(f64, f64)> =
                of_policy.filter_map(|(setup, figures)| Some((place(setup.memory?), figures.hit_ratio()))).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let class = format!("c{}", number % 6);
            plot.line(&points, &class);
            let _ = write!(legend, "<i class=\"{class}\"></i> {policy} ");
        }
        let mut marks: Vec<u64> = sizes;
        marks.sort_unstable();
        marks.dedup();
        plot.foot(&marks.iter().map(|bytes| (place(*bytes), words::size(*bytes))).collect::<Vec<_>>());
        let title = format!("ttl {ttl}, grace {grace}");
        format!("<article><h4>{title}</h4>\n<h5>{legend}</h5>{}</article>\n", plot.svg(&title))
    }
}

/// Tenths around all hit ratios: policies differ by a few percent.
fn window(rows: &[&(Setup, Figures)]) -> Scale {
    let ratios = || rows.iter().map(|(_, figures)| figures.hit_ratio());
    let low = (ratios().fold(1.0, f64::min) * 10.0).floor() / 10.0;
    let high = (ratios().fold(0.0, f64::max) * 10.0).ceil() / 10.0;
    Scale::Window(low, high.max(low + 0.1))
}

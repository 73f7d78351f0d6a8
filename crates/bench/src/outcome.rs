//! What is told in the end? Everybody's figures, the ratios of ours to theirs beside what we aim at, and who is missing.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::contender::Contender;
use crate::load::CONNECTIONS;
use crate::machine;
use crate::report::{Bar, number, table};
use crate::run::{Lane, Measured, Options, Run};
use crate::stats::Spread;
use crate::wire::{KEYS, VALUE};

/// From start to `ready` we want at most so many ms.
const START_AIM: f64 = 50.0;

/// Why somebody has no figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    NotInstalled,
    Failed(String),
}

/// What came of it: [`Comparison::text`] for people, [`Comparison::json`] for programs.
pub struct Comparison {
    apart: bool,
    rounds: usize,
    seconds: f64,
    machine: String,
    pub(crate) versions: Vec<(Contender, Option<String>)>,
    pub(crate) absent: Vec<(Contender, Absent)>,
    measured: Vec<(Contender, Vec<Measured>)>,
}

/// What a run says that is compared.
#[derive(Clone, Copy)]
enum Figure {
    Cpu,
    Rate,
    P50,
    P99,
}

impl Figure {
    const ALL: [Figure; 4] = [Figure::Cpu, Figure::Rate, Figure::P50, Figure::P99];

    const fn heading(self) -> &'static str {
        match self {
            Figure::Cpu => "CPU us per GET",
            Figure::Rate => "thousand GET/s",
            Figure::P50 => "p50 ms",
            Figure::P99 => "p99 ms",
        }
    }

    /// In JSON.
    const fn name(self) -> &'static str {
        match self {
            Figure::Cpu => "cpu_us",
            Figure::Rate => "thousand_per_second",
            Figure::P50 => "p50_ms",
            Figure::P99 => "p99_ms",
        }
    }

    const fn of(self, run: &Run) -> f64 {
        match self {
            Figure::Cpu => run.cpu_us,
            Figure::Rate => run.rate,
            Figure::P50 => run.p50_ms,
            Figure::P99 => run.p99_ms,
        }
    }
}

/// Ours beside another's in one lane, a ratio per figure.
struct Beside {
    other: Contender,
    depth: usize,
    ratios: [Spread; Figure::ALL.len()],
}

impl Beside {
    /// The figure beside what we aim at, if we aim at something.
    fn bar(&self, figure: Figure) -> Option<Bar> {
        let (aims, value) = (self.other.aims(self.depth), self.ratios[figure as usize].median);
        match figure {
            Figure::Cpu => aims.cpu.map(|aim| Bar::at_most("CPU", value, aim)),
            Figure::Rate => aims.rate.map(|aim| Bar::at_least("throughput", value, aim)),
            Figure::P50 => None,
            Figure::P99 => aims.p99.map(|aim| Bar::at_most("p99", value, aim)),
        }
    }

    fn cell(&self, figure: Figure) -> String {
        let Spread { median, q1, q3, .. } = self.ratios[figure as usize];
        let ratio = format!("{} [{}..{}]", number(median), number(q1), number(q3));
        match self.bar(figure) {
            Some(bar) => format!("{ratio}, aim {}", bar.verdict()),
            None => ratio,
        }
    }
}

impl Comparison {
    pub(crate) fn new(machine: String, apart: bool, options: &Options) -> Comparison {
        Comparison {
            apart,
            rounds: options.rounds,
            seconds: options.seconds,
            machine,
            versions: Vec::new(),
            absent: Vec::new(),
            measured: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, contender: Contender, turn: Measured) {
        match self.measured.iter_mut().find(|(known, _)| *known == contender) {
            Some((_, turns)) => turns.push(turn),
            None => self.measured.push((contender, vec![turn])),
        }
    }

    /// Half of its rounds would be compared with all of ours: it has none.
    pub(crate) fn leave_out(&mut self, contender: Contender, why: String) {
        self.measured.retain(|(known, _)| *known != contender);
        self.absent.push((contender, Absent::Failed(why)));
    }

    pub(crate) fn failed(&self, contender: Contender) -> bool {
        self.absent.iter().any(|(known, _)| *known == contender)
    }

    /// Those that are installed, or asked for, and could not be measured, with the reason.
    pub fn failures(&self) -> impl Iterator<Item = (Contender, &str)> {
        self.absent.iter().filter_map(|(contender, absent)| match absent {
            Absent::Failed(why) => Some((*contender, why.as_str())),
            Absent::NotInstalled => None,
        })
    }

    fn version(&self, contender: Contender) -> &str {
        let known = self.versions.iter().find(|(known, _)| *known == contender);
        known.and_then(|(_, version)| version.as_deref()).unwrap_or("unknown")
    }

    fn turns(&self, contender: Contender) -> &[Measured] {
        self.measured.iter().find(|(known, _)| *known == contender).map_or(&[], |(_, turns)| turns)
    }

    /// The lanes that a server was asked in, in their order.
    fn lanes(&self, contender: Contender) -> Vec<Lane> {
        self.turns(contender).first().map(|turn| turn.runs.iter().map(|(lane, _)| *lane).collect()).unwrap_or_default()
    }

    fn values(&self, contender: Contender, lane: Lane, figure: Figure) -> Vec<f64> {
        let runs = self.turns(contender).iter().flat_map(|turn| &turn.runs);
        runs.filter(|(of, _)| *of == lane).map(|(_, run)| figure.of(run)).collect()
    }

    fn starts(&self, contender: Contender) -> Spread {
        let ms = |turn: &Measured| turn.start.as_secs_f64() * 1000.0;
        Spread::of(&self.turns(contender).iter().map(ms).collect::<Vec<_>>())
    }

    /// Ours beside each of the others, lane by lane, each round's figures with each other.
    fn beside(&self) -> Vec<Beside> {
        let others = Contender::OTHERS
            .into_iter()
            .flat_map(|other| self.lanes(other).into_iter().map(move |lane| (other, lane)));
        others
            .map(|(other, lane)| {
                let ours = Lane { wire: other.beside(), ..lane };
                let ratios = Figure::ALL.map(|figure| {
                    let ours = self.values(Contender::Bellwether, ours, figure);
                    let pairs = ours.into_iter().zip(self.values(other, lane, figure));
                    Spread::of(&pairs.map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>())
                });
                Beside { other, depth: lane.depth, ratios }
            })
            .collect()
    }

    fn everybody(&self) -> impl Iterator<Item = Contender> + '_ {
        self.measured.iter().map(|(contender, _)| *contender)
    }

    fn places(&self) -> &'static str {
        if self.apart { "the server on one core, its load from another" } else { "server and load share one core" }
    }

    /// For people: tables with every figure, the ratios, and who is missing.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}\nGET of 1 KiB out of {KEYS} keys, {CONNECTIONS} connections, {}; rounds: {}, of {} s each.\n\
             A cell is the median of the rounds [first quartile..third quartile] and the minimum.\n\n",
            self.machine,
            self.places(),
            self.rounds,
            self.seconds
        );
        let mut rows = Vec::new();
        for contender in self.everybody() {
            for lane in self.lanes(contender) {
                let cell = |figure| Spread::of(&self.values(contender, lane, figure)).to_string();
                let mut row = vec![
                    format!("{} {}", contender.name(), self.version(contender)),
                    lane.wire.name().to_owned(),
                    lane.depth.to_string(),
                ];
                row.extend(Figure::ALL.map(cell));
                rows.push(row);
            }
        }
        let head: Vec<&str> =
            ["server", "protocol", "depth"].into_iter().chain(Figure::ALL.map(Figure::heading)).collect();
        text += &table(&head, &rows);
        let beside = self.beside();
        if !beside.is_empty() {
            let rows = beside.iter().map(|beside| {
                let cells = [Figure::Cpu, Figure::Rate, Figure::P99].map(|figure| beside.cell(figure));
                [beside.other.name().to_owned(), beside.depth.to_string()].into_iter().chain(cells).collect()
            });
            let rows: Vec<Vec<String>> = rows.collect();
            text +=
                "\nBellwether's figure by the other's: below 1 is better for CPU and p99, above 1 for throughput.\n\n";
            text += &table(&["beside", "depth", "CPU per GET", "throughput", "p99"], &rows);
        }
        let rows: Vec<Vec<String>> = self
            .everybody()
            .map(|contender| {
                let start = self.starts(contender);
                let aim = match contender {
                    Contender::Bellwether => Bar::at_most("start", start.median, START_AIM).verdict(),
                    _ => String::new(),
                };
                vec![contender.name().to_owned(), start.to_string(), aim]
            })
            .collect();
        text += "\n";
        text += &table(&["server", "from start to first answer, ms", "aim"], &rows);
        for (contender, absent) in &self.absent {
            // Writing to a String can't fail.
            let _ = match absent {
                Absent::NotInstalled => writeln!(
                    text,
                    "\nnot measured: {}: no {} here (Debian: apt-get install {})",
                    contender.name(),
                    contender.program(),
                    contender.package()
                ),
                Absent::Failed(why) => writeln!(text, "\nnot measured: {}: {why}", contender.name()),
            };
        }
        let _ = writeln!(text, "\nload average at the end {}", machine::load());
        text
    }

    /// For programs: the same as the text, every spread whole.
    pub fn json(&self) -> Value {
        let servers: Vec<Value> = self
            .everybody()
            .map(|contender| {
                let lanes = self.lanes(contender).into_iter().map(|lane| {
                    let mut told = json!({ "protocol": lane.wire.name(), "depth": lane.depth });
                    for figure in Figure::ALL {
                        told[figure.name()] = spread(Spread::of(&self.values(contender, lane, figure)));
                    }
                    told
                });
                json!({
                    "name": contender.name(),
                    "version": self.version(contender),
                    "start_ms": spread(self.starts(contender)),
                    "lanes": lanes.collect::<Vec<_>>(),
                })
            })
            .collect();
        let ratios = self.beside().into_iter().map(|beside| {
            let mut told = json!({ "beside": beside.other.name(), "depth": beside.depth });
            for figure in Figure::ALL {
                let mut ratio = spread(beside.ratios[figure as usize]);
                if let Some(bar) = beside.bar(figure) {
                    ratio["aim"] = json!({ "at_most": bar.at_most, "at_least": bar.at_least, "met": bar.met() });
                }
                told[figure.name()] = ratio;
            }
            told
        });
        let absent = self.absent.iter().map(|(contender, absent)| match absent {
            Absent::NotInstalled => json!({
                "name": contender.name(), "why": "not installed", "package": contender.package()
            }),
            Absent::Failed(why) => json!({ "name": contender.name(), "why": why }),
        });
        json!({
            "machine": self.machine,
            "load_average_at_the_end": machine::load(),
            "build": if cfg!(debug_assertions) { "debug" } else { "release" },
            "cores_apart": self.apart,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "connections": CONNECTIONS,
            "keys": KEYS,
            "value_bytes": VALUE,
            "servers": servers,
            "ratios": ratios.collect::<Vec<_>>(),
            "not_measured": absent.collect::<Vec<_>>(),
        })
    }
}

fn spread(spread: Spread) -> Value {
    let Spread { min, q1, median, q3 } = spread;
    json!({ "median": median, "q1": q1, "q3": q3, "min": min })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Wire;
    use std::time::Duration;

    fn measured(cpu_us: f64, rate: f64) -> Measured {
        let run = Run { cpu_us, rate, p50_ms: 1.0, p99_ms: 2.0 };
        Measured { start: Duration::from_millis(7), runs: vec![(Lane { wire: Wire::Resp, depth: 16 }, run)] }
    }

    fn comparison() -> Comparison {
        let options = Options { program: "bellwether".into(), rounds: 3, seconds: 1.0, only: Vec::new() };
        let mut comparison = Comparison::new("a machine".to_owned(), true, &options);
        for (ours, theirs) in [(1.0, 2.0), (3.0, 4.0), (1.0, 1.0)] {
            comparison.add(Contender::Bellwether, measured(ours, 100.0));
            comparison.add(Contender::Redis, measured(theirs, 50.0));
        }
        comparison
    }

    #[test]
    fn ratios_are_those_of_each_round_and_stand_beside_their_aims() {
        let mut comparison = comparison();
        comparison.absent.push((Contender::Nginx, Absent::NotInstalled));
        let json = comparison.json();
        let ratio = &json["ratios"][0];
        assert_eq!((ratio["beside"].as_str(), ratio["depth"].as_u64()), (Some("redis"), Some(16)));
        assert_eq!(ratio["cpu_us"]["median"], 0.75, "the median of 0.5, 0.75 and 1, not 1 / 2");
        assert_eq!(ratio["cpu_us"]["aim"]["met"], false, "0.75 is above 0.7");
        assert_eq!(ratio["thousand_per_second"]["aim"]["met"], true, "2 is above 1.5");
        let text = comparison.text();
        assert!(text.contains("0.75 [0.62..0.88], aim <= 0.70: MISSED by 7 %"), "{text}");
        assert!(text.contains("no nginx here (Debian: apt-get install nginx-light)"), "{text}");
    }

    #[test]
    fn who_fails_in_one_round_has_no_figures_at_all() {
        let mut comparison = comparison();
        comparison.leave_out(Contender::Redis, "it burned".to_owned());
        assert!(comparison.failed(Contender::Redis) && comparison.beside().is_empty());
        assert_eq!(comparison.failures().collect::<Vec<_>>(), [(Contender::Redis, "it burned")]);
        assert!(comparison.text().contains("not measured: redis: it burned"));
    }
}

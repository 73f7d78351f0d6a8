//! What came of it? Both sides' figures, what is claimed and whether it holds, and where Bellwether loses.

use serde::Serialize;

use crate::claims::{Claim, Rule};
use crate::hop::Hop;
use crate::incident::Incident;
use crate::measured::Measured;
use crate::side::Side;
use crate::words::{count, millis, seconds};

/// What the columns say.
const LEGEND: [&str; 6] = [
    "  queries, peak   seen by the database; peak: the most at once",
    "  failed, late    no page; an answer half a second past the deadline, or none",
    "  stale           older than a removal acknowledged before the request",
    "  oldest          age of the oldest answer, in s",
    "  p50, p99        half and 99 % of the answers came within so many ms",
    "  hits            % not waiting for the database, by the cache's own count",
];

/// One incident, played to both sides and judged.
pub(crate) struct Played {
    pub(crate) incident: Incident,
    pub(crate) plain: Measured,
    pub(crate) ours: Measured,
    pub(crate) claims: Vec<Claim>,
}

/// Everything that was played.
pub(crate) struct Verdict {
    pub(crate) played: Vec<Played>,
    pub(crate) hop: Hop,
}

/// A claim that does not hold.
#[derive(Serialize)]
pub(crate) struct Broken {
    pub(crate) incident: &'static str,
    pub(crate) rule: Rule,
    pub(crate) words: String,
}

impl Verdict {
    /// Claims in all.
    pub(crate) fn claims(&self) -> usize {
        self.played.iter().map(|played| played.claims.len()).sum()
    }

    /// Those that don't hold.
    pub(crate) fn broken(&self) -> Vec<Broken> {
        let of_incident = |played: &Played| {
            let incident = played.incident.name();
            let failing = played.claims.iter().filter(|claim| !claim.holds);
            let broken = failing.map(|claim| Broken {
                incident,
                rule: claim.rule,
                words: format!("{incident}: {}: found {}, wanted {}", claim.rule.words(), claim.measured, claim.wanted),
            });
            broken.collect::<Vec<_>>()
        };
        self.played.iter().flat_map(of_incident).collect()
    }

    /// The table, the claims, the loss: lines of at most 80 characters, except where a claim fails.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            "Verdict, by what the databases counted and the callers got".to_owned(),
            String::new(),
            format!(
                "  {:<10}{:>7}{:>8}{:>5}{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}{:>6}",
                "", "asked", "queries", "peak", "failed", "late", "stale", "oldest", "p50", "p99", "hits"
            ),
        ];
        for played in &self.played {
            lines.push(heading(played));
            lines.push(figures(Side::Plain, &played.plain));
            lines.push(figures(Side::Bellwether, &played.ours));
        }
        lines.extend(LEGEND.map(str::to_owned));
        lines.push(String::new());
        lines.extend(self.claimed());
        lines.push(String::new());
        lines.extend(self.hop.lines());
        lines.extend(self.losses());
        lines
    }

    /// Where the table shows Bellwether behind: incident, figure, plain, Bellwether.
    fn losses(&self) -> Vec<String> {
        let of_incident = |Played { incident, plain, ours, .. }: &Played| {
            // A tenth of a millisecond, a percent and a tenth of a second are nothing to speak of.
            let slower = |ours: u32, plain: u32| ours > plain + 100;
            let seen = [
                (slower(ours.p50_us, plain.p50_us), "p50", "ms", millis(plain.p50_us), millis(ours.p50_us)),
                (slower(ours.p99_us, plain.p99_us), "p99", "ms", millis(plain.p99_us), millis(ours.p99_us)),
                (
                    ours.oldest_ms > plain.oldest_ms + 100,
                    "oldest",
                    "s",
                    seconds(plain.oldest_ms),
                    seconds(ours.oldest_ms),
                ),
                (
                    ours.hit_rate + 1.0 < plain.hit_rate,
                    "hits",
                    "%",
                    format!("{:.1}", plain.hit_rate),
                    format!("{:.1}", ours.hit_rate),
                ),
            ];
            let line = |(_, what, unit, plain, ours)| {
                format!("  {:<12}{what:<8}{ours:>9} {unit:<3} plain cache-aside {plain} {unit}", incident.name())
            };
            seen.into_iter().filter(|(behind, ..)| *behind).map(line).collect::<Vec<_>>()
        };
        let mut lines: Vec<String> = self.played.iter().flat_map(of_incident).collect();
        if !lines.is_empty() {
            lines.insert(0, "And where the table shows it behind:".to_owned());
        }
        lines
    }

    /// A line for each rule that was judged, and one for each claim that fails.
    fn claimed(&self) -> Vec<String> {
        let broken = self.broken();
        let all = self.claims();
        let mut lines = vec![match broken.len() {
            0 => format!("All {all} claims hold:"),
            some => format!("{some} of {all} claims FAIL:"),
        }];
        for rule in Rule::ALL {
            let judged = self.played.iter().flat_map(|played| &played.claims).filter(|claim| claim.rule == rule);
            let (holding, failing): (Vec<_>, Vec<_>) = judged.partition(|claim| claim.holds);
            match (holding.len(), failing.len()) {
                (0, 0) => {}
                (holds, 0) => lines.push(format!("  holds {holds:>2} x  {}", rule.words())),
                (_, fails) => lines.push(format!("  FAILS {fails:>2} x  {}", rule.words())),
            }
            let words = broken.iter().filter(|broken| broken.rule == rule);
            lines.extend(words.map(|broken| format!("              {}", broken.words)));
        }
        lines
    }
}

/// What happened, and the queries for the product that it happened to.
fn heading(played: &Played) -> String {
    let (plain, ours) = (count(played.plain.star_queries), count(played.ours.star_queries));
    let title = format!("{}: {}", played.incident, played.incident.title());
    match played.incident {
        Incident::HotKey | Incident::Influencer | Incident::Removal => {
            format!("{title}; queries for it: {plain}, {ours}")
        }
        Incident::Cold | Incident::Outage | Incident::Slow | Incident::Avalanche => title,
    }
}

fn figures(side: Side, measured: &Measured) -> String {
    format!(
        "  {:<10}{:>7}{:>8}{:>5}{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}{:>6}",
        side.name(),
        count(measured.asked),
        count(measured.queries),
        measured.peak,
        count(measured.failed),
        count(measured.late),
        count(measured.stale),
        seconds(measured.oldest_ms),
        millis(measured.p50_us),
        millis(measured.p99_us),
        format!("{:.1}", measured.hit_rate),
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::claims::{Duel, judge};
    use crate::script::{Scale, Script};

    /// A verdict over one incident with these figures.
    pub(crate) fn verdict(ours: Measured) -> Verdict {
        let incident = Incident::Cold;
        let script = Script::of(incident, &Scale::FULL, 42);
        let plain = Measured { asked: 20_000, star_queries: 320, failed: 19_000, ..Measured::default() };
        let claims = judge(incident, &script, &Scale::FULL, Duel { plain: &plain, ours: &ours });
        let hop = Hop { bellwether_us: 40.0, plain_us: 38.0, map_us: 0.2 };
        Verdict { played: vec![Played { incident, plain, ours, claims }], hop }
    }

    pub(crate) fn good() -> Measured {
        Measured { asked: 20_000, queries: 1, peak: 1, star_queries: 1, waited: 20_000, ..Measured::default() }
    }

    #[test]
    fn a_bad_measurement_is_a_broken_claim_that_is_named() {
        assert_eq!(verdict(good()).broken().len(), 0, "control");
        let bad = verdict(Measured { star_queries: 2, ..good() });
        let broken = bad.broken();
        assert_eq!(broken.len(), 1);
        assert!(broken[0].words.contains("cold") && broken[0].words.contains("2 queries"), "{}", broken[0].words);
        let text = bad.lines().join("\n");
        assert!(text.contains("claims FAIL") && text.contains("found 2 queries"), "{text}");
    }

    #[test]
    fn the_table_fits_into_80_columns_and_says_what_holds() {
        let large = Measured { asked: 50_000, queries: 50_000, failed: 50_000, p99_us: 3_999_000, ..good() };
        let large = Measured { late: 19_920, oldest_ms: 35_000, p50_us: 17_856_000, ..large };
        let behind = verdict(large.clone()).lines().join("\n");
        assert!(behind.contains(" 19,920 ") && behind.contains("cold        p50"), "{behind}");
        for verdict in [verdict(good()), verdict(large)] {
            for line in verdict.lines().iter().filter(|line| !line.contains("found ")) {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
        let text = verdict(good()).lines().join("\n");
        assert!(text.contains("All 7 claims hold") && text.contains("19,000"), "{text}");
        assert!(!text.contains("behind"), "{text}");
    }
}

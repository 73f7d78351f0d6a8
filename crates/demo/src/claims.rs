//! What is claimed, and does it hold? Judged from both sides' figures alone: no clock, no I/O.

use serde::Serialize;

use crate::database::POOL;
use crate::incident::Incident;
use crate::measured::Measured;
use crate::script::{Scale, Script};

/// Of an incident's requests, so many percent don't wait for the database.
const HIT_RATE: f64 = 95.0;
/// The shortest freshness period as a share of the ttl: jitter takes off 10 %, an early refresh at most a quarter.
const SHORTEST_PERIOD: f64 = 0.65;
/// Of those who ask at once, so many percent wait for the one query.
const CROWD: u64 = 90;
/// Plain cache-aside sends at least so many times the queries, where a stampede is the incident.
const STAMPEDE: u64 = 3;

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rule {
    /// G1: one query per key and freshness period; two at once at most, around a removal.
    OneLoad,
    /// G4: a page for everybody.
    Answered,
    /// G4: by the deadline.
    InTime,
    /// G2: nothing older than an acknowledged removal.
    DeleteWins,
    /// G5: an answer belongs to its question.
    OwnAnswer,
    /// G9: the database's limit is kept.
    Budget,
    /// Requests don't wait for the database.
    HitRate,
    /// A slow database is not felt.
    Prompt,
    /// The same herd does harm to plain cache-aside: without it the other figures would prove nothing.
    Control,
    /// Those who ask at once are there at once: without it one query for them all would prove nothing.
    Together,
}

impl Rule {
    pub(crate) const ALL: [Rule; 10] = [
        Rule::OneLoad,
        Rule::Answered,
        Rule::InTime,
        Rule::DeleteWins,
        Rule::OwnAnswer,
        Rule::Budget,
        Rule::HitRate,
        Rule::Prompt,
        Rule::Control,
        Rule::Together,
    ];

    /// What it says, in a line.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Rule::OneLoad => "one query per key and freshness period, at most two at once",
            Rule::Answered => "everybody gets a page",
            Rule::InTime => "nobody waits past the deadline",
            Rule::DeleteWins => "nothing older than an acknowledged removal",
            Rule::OwnAnswer => "every answer belongs to its question",
            Rule::Budget => "never more queries at once than the database takes",
            Rule::HitRate => "more than 95 % don't wait for the database",
            Rule::Prompt => "a database that is slow or busy is not felt",
            Rule::Control => "control: the same herd does harm to plain cache-aside",
            Rule::Together => "control: the crowd is there before its one query ends",
        }
    }
}

/// One promise in one incident.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Claim {
    pub(crate) rule: Rule,
    pub(crate) holds: bool,
    /// What was measured, and what is wanted.
    pub(crate) measured: String,
    pub(crate) wanted: String,
}

/// Both sides of one incident.
#[derive(Clone, Copy)]
pub(crate) struct Duel<'a> {
    pub(crate) plain: &'a Measured,
    pub(crate) ours: &'a Measured,
}

/// Every claim about `incident`.
pub(crate) fn judge(incident: Incident, script: &Script, scale: &Scale, duel: Duel<'_>) -> Vec<Claim> {
    let ours = duel.ours;
    let late = (scale.deadline + scale.slack).as_millis();
    let mut claims = vec![
        none(Rule::Answered, ours.failed, "requests without a page"),
        none(Rule::InTime, ours.late, &format!("answers after {late} ms")),
        none(Rule::OwnAnswer, ours.crossed, "crossed answers"),
        at_most(Rule::Budget, ours.peak, u64::from(POOL), "queries at once"),
    ];
    claims.extend(of_incident(incident, script, scale, ours));
    claims.extend(control(incident, duel));
    claims
}

/// What this incident is about.
fn of_incident(incident: Incident, script: &Script, scale: &Scale, ours: &Measured) -> Vec<Claim> {
    let hits = || {
        let holds = ours.hit_rate > HIT_RATE;
        claim(Rule::HitRate, holds, format!("{:.1} %", ours.hit_rate), format!("more than {HIT_RATE} %"))
    };
    let prompt = || {
        let holds = u128::from(ours.p99_us) < scale.prompt.as_micros();
        let measured = format!("99 % answered within {:.1} ms", f64::from(ours.p99_us) / 1e3);
        claim(Rule::Prompt, holds, measured, format!("below {} ms", scale.prompt.as_millis()))
    };
    let one_load = |most| at_most(Rule::OneLoad, ours.star_queries, most, "queries for the product");
    match incident {
        Incident::HotKey | Incident::Influencer => vec![one_load(periods(script, ours)), hits()],
        Incident::Cold => vec![one_load(1), together(ours)],
        Incident::Removal => vec![
            none(Rule::DeleteWins, ours.stale, "stale answers"),
            at_most(Rule::OneLoad, ours.star_peak, 2, "queries for the product at once"),
            // One after each removal, and one that had begun before the first.
            one_load(2 * script.removals.len() as u64 + 1),
        ],
        Incident::Outage | Incident::Slow | Incident::Avalanche => vec![hits(), prompt()],
    }
}

/// Most of the crowd waits for the query, by the cache's own count: who is read after its end finds a value, as anybody would.
fn together(ours: &Measured) -> Claim {
    let least = ours.asked / 100 * CROWD;
    claim(
        Rule::Together,
        ours.waited >= least,
        format!("{} requests that waited", ours.waited),
        format!("at least {least}"),
    )
}

/// Freshness periods that may begin while the incident lasts; the product was in the cache before.
fn periods(script: &Script, ours: &Measured) -> u64 {
    let shortest = SHORTEST_PERIOD * script.ttl.as_secs_f64() * 1e3;
    1 + (ours.took_ms as f64 / shortest) as u64
}

/// The harm that the same herd does without the defence.
fn control(incident: Incident, Duel { plain, ours }: Duel<'_>) -> Vec<Claim> {
    let more = |measured: u64, ours: u64, what: &str| {
        let least = STAMPEDE * ours.max(1);
        claim(Rule::Control, measured >= least, format!("{measured} {what}"), format!("at least {least}"))
    };
    let some =
        |count: u64, what: &str| claim(Rule::Control, count > 0, format!("{count} {what}"), "at least 1".to_owned());
    match incident {
        Incident::HotKey | Incident::Cold | Incident::Influencer => {
            vec![more(plain.star_queries, ours.star_queries, "queries for the product")]
        }
        Incident::Removal => vec![some(plain.stale, "stale answers")],
        Incident::Outage => vec![some(plain.failed, "requests without a page")],
        Incident::Slow | Incident::Avalanche => {
            vec![more(plain.waited, ours.waited, "requests that waited for the database")]
        }
    }
}

fn claim(rule: Rule, holds: bool, measured: String, wanted: String) -> Claim {
    Claim { rule, holds, measured, wanted }
}

fn none(rule: Rule, count: u64, what: &str) -> Claim {
    claim(rule, count == 0, format!("{count} {what}"), "none".to_owned())
}

fn at_most(rule: Rule, count: u64, most: u64, what: &str) -> Claim {
    claim(rule, count <= most, format!("{count} {what}"), format!("at most {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(incident: Incident) -> (Measured, Measured) {
        let plain = Measured {
            asked: 1_000,
            star_queries: 100,
            failed: 9,
            stale: 3,
            hit_rate: 90.0,
            waited: 100,
            took_ms: 2_000,
            ..Measured::default()
        };
        let ours = Measured {
            asked: 1_000,
            queries: 1,
            peak: 1,
            star_queries: 1,
            star_peak: 1,
            p99_us: 1_000,
            hit_rate: 99.0,
            waited: if incident == Incident::Cold { 1_000 } else { 1 },
            took_ms: 2_000,
            ..Measured::default()
        };
        (plain, ours)
    }

    type Change = fn(&mut Measured);

    fn broken(incident: Incident, plain: &Measured, ours: &Measured) -> Vec<Rule> {
        let script = Script::of(incident, &Scale::FULL, 42);
        let claims = judge(incident, &script, &Scale::FULL, Duel { plain, ours });
        claims.iter().filter(|claim| !claim.holds).map(|claim| claim.rule).collect()
    }

    #[test]
    fn good_figures_break_no_claim() {
        for incident in Incident::ALL {
            let (plain, ours) = good(incident);
            assert_eq!(broken(incident, &plain, &ours), [], "{incident}");
        }
    }

    #[test]
    fn each_bad_figure_breaks_the_claim_that_is_about_it() {
        let cases: [(Incident, Change, Rule); 10] = [
            (Incident::HotKey, |m| m.star_queries = 9, Rule::OneLoad),
            (Incident::Cold, |m| m.star_queries = 2, Rule::OneLoad),
            (Incident::Cold, |m| m.waited = 899, Rule::Together),
            (Incident::Removal, |m| m.star_peak = 3, Rule::OneLoad),
            (Incident::Removal, |m| m.stale = 1, Rule::DeleteWins),
            (Incident::Outage, |m| m.failed = 1, Rule::Answered),
            (Incident::Slow, |m| m.late = 1, Rule::InTime),
            (Incident::Slow, |m| m.crossed = 1, Rule::OwnAnswer),
            (Incident::Avalanche, |m| m.peak = 17, Rule::Budget),
            (Incident::Influencer, |m| m.hit_rate = 95.0, Rule::HitRate),
        ];
        let changed = |incident, change: Change| {
            let (plain, mut ours) = good(incident);
            change(&mut ours);
            broken(incident, &plain, &ours)
        };
        for (incident, change, rule) in cases {
            assert_eq!(changed(incident, change), [rule], "{incident}");
        }
        assert!(changed(Incident::Slow, |m| m.p99_us = 500_000).contains(&Rule::Prompt));
    }

    #[test]
    fn a_plain_side_that_suffers_nothing_breaks_the_control() {
        for incident in Incident::ALL {
            let (_, ours) = good(incident);
            assert_eq!(broken(incident, &ours, &ours), [Rule::Control], "{incident}");
        }
    }
}

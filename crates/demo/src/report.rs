//! How is the verdict said to programs?

use serde_json::{Value, json};

use crate::database::POOL;
use crate::script::{Scale, Script};
use crate::verdict::{Played, Verdict};

/// The verdict with all that it depends on.
pub(crate) fn json(verdict: &Verdict, scale: &Scale, seed: u64, quick: bool) -> Value {
    let millis = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let incident = |played: &Played| {
        json!({
            "number": played.incident.number(),
            "name": played.incident.name(),
            "title": played.incident.title(),
            // Until the incident itself changes that.
            "query_ms": millis(Script::of(played.incident, scale, seed).query),
            "plain": played.plain,
            "bellwether": played.ours,
            "claims": played.claims,
        })
    };
    let broken = verdict.broken();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "seed": seed,
        "quick": quick,
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "database": { "pool": POOL },
        "deadline_ms": millis(scale.deadline),
        "late_after_ms": millis(scale.deadline + scale.slack),
        "incidents": verdict.played.iter().map(incident).collect::<Vec<_>>(),
        "hop": verdict.hop,
        "claims": verdict.claims(),
        "failed": broken,
        "passed": broken.is_empty(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests::{good, verdict};

    #[test]
    fn a_verdict_says_what_was_claimed_and_measured() {
        let report = json(&verdict(good()), &Scale::FULL, 42, false);
        assert_eq!((&report["passed"], &report["seed"], &report["claims"]), (&json!(true), &json!(42), &json!(7)));
        let incident = &report["incidents"][0];
        assert_eq!((&incident["plain"]["star_queries"], &incident["query_ms"]), (&json!(320), &json!(500)));
    }

    #[test]
    fn a_failed_claim_is_in_the_report() {
        let mut bad = good();
        bad.failed = 3;
        let report = json(&verdict(bad), &Scale::FULL, 42, false);
        assert_eq!((&report["passed"], &report["failed"][0]["rule"]), (&json!(false), &json!("answered")));
        assert_eq!(report["failed"][0]["incident"], "cold");
    }
}

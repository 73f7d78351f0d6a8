//! The origin becomes slow, or fails, while values go stale under callers.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::control::FleetFlaw;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::herd::{failed, first_failure, meanwhile_these, p99};
use crate::incidents::incident::Incident;
use crate::incidents::kind::Kind;
use crate::incidents::plays::overload::overload;
use crate::incidents::space::{BUDGET, Space};
use crate::incidents::stage::Stage;
use crate::origin::Mode;

/// `origin-slow`
pub(super) const ORIGIN_SLOW: Incident = Incident {
    name: "origin-slow",
    what: "the origin takes ten times as long, while values go stale; then it is asked three times what it bears",
    kinds: &[Kind::Redis],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Coalescing, FleetFlaw::Lock],
    elsewhere: true,
    budget: BUDGET,
    filters: false,
    play: |stage| {
        Box::pin(async move {
            let mut checks = play(stage, Ailment::Slow).await?;
            checks.extend(overload(stage).await?);
            Ok(checks)
        })
    },
};

/// `origin-dead`
pub(super) const ORIGIN_DEAD: Incident = Incident {
    name: "origin-dead",
    what: "the origin answers errors alone, while values go stale under callers",
    kinds: &[Kind::Redis],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Coalescing, FleetFlaw::Lock],
    elsewhere: true,
    budget: BUDGET,
    filters: false,
    play: |stage| Box::pin(play(stage, Ailment::Dead)),
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ailment {
    Slow,
    Dead,
}

const SERVERS: usize = 3;
/// Loads at once, of each server.
const PERMITS: u64 = 16;
const LOAD: Duration = Duration::from_millis(50);
const SLOWER: u32 = 10;
const KEYS: u64 = 20;
/// A copy is given at once; what a busy machine may add.
const SLACK: Duration = Duration::from_millis(150);
/// From the end of the trouble until every server gives what was written at that moment: a key whose loads failed is left
/// alone for 10 s at most.
const RECOVERY: Duration = Duration::from_secs(13);

async fn play(stage: &Stage, ailment: Ailment) -> Result<Vec<Check>, DrillError> {
    let (everyone, keys) = ((0..SERVERS).collect::<Vec<_>>(), stage.keys(Space::Short, KEYS));
    stage.origin.delay(LOAD);
    for &server in &everyone {
        stage.read(server, &keys).await?;
    }
    let begun = Instant::now();
    let script = async {
        sleep(stage.scale.before).await;
        let (from, loads) = (begun.elapsed(), stage.loads(&keys));
        match ailment {
            Ailment::Slow => stage.origin.delay(LOAD * SLOWER),
            Ailment::Dead => stage.origin.mode(Mode::Status(503)),
        }
        sleep(stage.scale.trouble).await;
        let (to, during) = (begun.elapsed(), stage.loads(&keys) - loads);
        stage.origin.delay(LOAD);
        stage.origin.mode(Mode::Answer);
        keys.iter().for_each(|key| stage.write(key, 2));
        let well = until_new(stage, &everyone, &keys).await?;
        Ok((from, to, during, well))
    };
    let ((from, to, during, well), calls) = meanwhile_these(stage, &everyone, &keys, script).await?;
    let slow = p99(&calls, from, to).unwrap_or_default();
    // One load for each key and period, a tenth more, and those under way.
    let due = KEYS * to.saturating_sub(from).div_duration_f64(Space::SHORT).ceil() as u64;
    let note = first_failure(&calls).unwrap_or_else(|| "all served".into());
    let recovered = well.map_or_else(|| "not".to_owned(), |took| format!("{:.1}", took.as_secs_f64()));
    Ok(vec![
        Check::none("errors", "calls without the row, before, meanwhile and after", failed(&calls), calls.len() as u64)
            .note(note),
        Check {
            name: "p99",
            what: "meanwhile: p99 of all answers, ms".into(),
            measured: slow.as_millis().to_string(),
            wanted: format!("<= {}", SLACK.as_millis()).into(),
            ok: slow <= SLACK,
        },
        Check::most(
            "loads",
            format!("meanwhile: loads of {KEYS} keys with a ttl of 1 s; {due} are due"),
            during,
            due * 11 / 10 + KEYS,
        ),
        Check {
            name: "recovered",
            what: "every server gives what was written at the end of it, s after".into(),
            measured: recovered,
            wanted: format!("<= {}", RECOVERY.as_secs()).into(),
            ok: well.is_some(),
        },
    ])
}

/// How long it took until every server had the second version of all; none if it never did.
async fn until_new(stage: &Stage, servers: &[usize], keys: &[crate::key::Key]) -> Result<Option<Duration>, DrillError> {
    let begun = Instant::now();
    while begun.elapsed() < RECOVERY {
        let mut old = 0;
        for &server in servers {
            old += stage.not_at(server, keys, 2).await?;
        }
        if old == 0 {
            return Ok(Some(begun.elapsed()));
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(None)
}

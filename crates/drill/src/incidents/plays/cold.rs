//! A fleet without a single entry is asked for one key by everybody at once.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::control::FleetFlaw;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::herd::{failed, first_failure, meanwhile};
use crate::incidents::incident::Incident;
use crate::incidents::kind::Kind;
use crate::incidents::space::{BUDGET, Space};
use crate::incidents::stage::Stage;

/// `fleet-cold`
pub(super) const FLEET_COLD: Incident = Incident {
    name: "fleet-cold",
    what: "every caller of every server asks for one key that nobody holds, then for keys that expire",
    kinds: &[Kind::Redis],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Coalescing],
    elsewhere: true,
    budget: BUDGET,
    filters: false,
    play: |stage| Box::pin(play(stage)),
};

const SERVERS: usize = 4;
/// Loads at once, of each server.
const PERMITS: u64 = 16;
const LOAD: Duration = Duration::from_millis(200);
const SHORT_LOAD: Duration = Duration::from_millis(100);
const ROUNDS: u64 = 3;
/// Keys that expire under callers.
const KEYS: u64 = 10;

async fn play(stage: &Stage) -> Result<Vec<Check>, DrillError> {
    let everyone: Vec<usize> = (0..SERVERS).collect();
    let mut checks = cold(stage, &everyone).await?;
    checks.extend(expiring(stage, &everyone).await?);
    Ok(checks)
}

async fn cold(stage: &Stage, everyone: &[usize]) -> Result<Vec<Check>, DrillError> {
    stage.origin.delay(LOAD);
    let (mut loads, mut refused, mut slowest, mut asked) = (0, 0, Duration::ZERO, 0);
    for _ in 0..ROUNDS {
        let key = stage.key(Space::Long);
        let clients = stage.connect_many(everyone, stage.scale.herd).await?;
        let answers = stage.herd(clients, &key).await;
        loads += stage.loads(std::slice::from_ref(&key));
        refused += answers.iter().filter(|answered| !answered.answer.served()).count() as u64;
        slowest = answers.iter().map(|answered| answered.took).chain([slowest]).max().unwrap_or_default();
        asked += answers.len() as u64;
    }
    let what = format!("{} callers at {SERVERS} servers, {ROUNDS} cold keys: loads", asked / ROUNDS);
    let slowest = format!("slowest {} ms, a load takes {}", slowest.as_millis(), LOAD.as_millis());
    Ok(vec![
        Check {
            name: "loads",
            what: what.into(),
            measured: loads.to_string(),
            wanted: ROUNDS.to_string().into(),
            ok: loads == ROUNDS,
        },
        Check::none("served", "callers without the row", refused, asked).note(slowest),
    ])
}

/// One load for each key and period, whoever asks, and nobody waits for it.
async fn expiring(stage: &Stage, everyone: &[usize]) -> Result<Vec<Check>, DrillError> {
    stage.origin.delay(SHORT_LOAD);
    let keys = stage.keys(Space::Short, KEYS);
    for &server in everyone {
        stage.read(server, &keys).await?;
    }
    let (before, begun) = (stage.loads(&keys), Instant::now());
    let ((), calls) = meanwhile(stage, everyone, &keys, async {
        sleep(stage.scale.after).await;
        Ok(())
    })
    .await?;
    let elapsed = begun.elapsed();
    let loads = stage.loads(&keys) - before;
    // A period is the ttl and the load that ends it; each key may begin one more.
    let periods = elapsed.div_duration_f64(Space::SHORT).ceil() + 1.0;
    let due = KEYS * periods as u64;
    let what = format!("{KEYS} keys with a ttl of 1 s for {:.1} s: loads", elapsed.as_secs_f64());
    let (bad, all) = (failed(&calls), calls.len() as u64);
    let note = first_failure(&calls).unwrap_or_else(|| "all served".into());
    Ok(vec![
        Check::most("expiry", what, loads, due),
        Check::none("errors", "calls without the row meanwhile", bad, all).note(note),
    ])
}

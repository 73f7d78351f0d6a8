//! Everybody wants one key from one moment to the next; then the node that holds it dies.

use std::time::{Duration, Instant};

use bellwether_servers::ServerError;
use tokio::time::sleep;

use crate::control::FleetFlaw;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::engine::Engine;
use crate::incidents::herd::{Call, failed, first_failure, meanwhile_these, p99};
use crate::incidents::incident::Incident;
use crate::incidents::kind::Kind;
use crate::incidents::plays::spike::spike;
use crate::incidents::space::{BUDGET, Space};
use crate::incidents::stage::Stage;

/// `viral`
pub(super) const VIRAL: Incident = Incident {
    name: "viral",
    what: "one key of a cluster goes viral: every caller of every server asks for it, from one moment to the next",
    kinds: &[Kind::Cluster],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Coalescing],
    elsewhere: false,
    budget: BUDGET,
    filters: false,
    play: |stage| {
        Box::pin(async move {
            let mut checks = viral(stage).await?;
            checks.extend(spike(stage).await?);
            Ok(checks)
        })
    },
};

/// `hot-node-dies`
pub(super) const HOT_NODE_DIES: Incident = Incident {
    name: "hot-node-dies",
    what: "the node of the key that everybody asks for is killed",
    kinds: &[Kind::Cluster],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Coalescing],
    elsewhere: false,
    budget: BUDGET,
    filters: false,
    play: |stage| Box::pin(dies(stage)),
};

const SERVERS: usize = 3;
/// Loads at once, of each server.
const PERMITS: u64 = 16;
const LOAD: Duration = Duration::from_millis(100);
const KEYS: u64 = 30;
const SLACK: Duration = Duration::from_millis(150);
/// Of all calls a node of the engine answers at most this share.
const NODE_SHARE: f64 = 0.05;
/// Beside the mean of those that live, the busiest answers at most so much.
const NEXT_NODE: f64 = 1.3;
/// Comparisons of copies and the like: too few to say anything of a node.
const FEW: u64 = 300;

async fn viral(stage: &Stage) -> Result<Vec<Check>, DrillError> {
    let (everyone, keys) = ((0..SERVERS).collect::<Vec<_>>(), stage.keys(Space::Long, KEYS));
    for &server in &everyone {
        stage.read(server, &keys).await?;
    }
    stage.origin.delay(LOAD);
    let calm = meanwhile_these(stage, &everyone, &keys, rest(stage.scale.before)).await?.1;
    let (hot, before) = (stage.keys(Space::Long, 1), stage.reads_by_node().await?);
    let calls = meanwhile_these(stage, &everyone, &hot, rest(stage.scale.trouble)).await?.1;
    let reads = since(&before, &stage.reads_by_node().await?);
    let busiest = reads.iter().copied().max().unwrap_or_default();
    let most = (calls.len() as f64 * NODE_SHARE) as u64;
    let (usual, now) = (slowest_of(&calm), slowest_of(&calls));
    let note = first_failure(&calls).unwrap_or_else(|| "all served".into());
    Ok(vec![
        Check::none("errors", "calls without the row", failed(&calls), calls.len() as u64).note(note),
        Check::most("loads", "loads of the key", stage.loads(&hot), 1),
        Check::most("node", format!("{} calls: reads at the busiest node of the cluster", calls.len()), busiest, most)
            .note(format!("{reads:?}")),
        Check {
            name: "p99",
            what: "p99 of all answers, ms; once a load is waited for".into(),
            measured: format!("{} (before: {})", now.as_millis(), usual.as_millis()),
            wanted: format!("<= {}", (usual + LOAD + SLACK).as_millis()).into(),
            ok: now <= usual + LOAD + SLACK,
        },
    ])
}

async fn dies(stage: &Stage) -> Result<Vec<Check>, DrillError> {
    let (everyone, hot) = ((0..SERVERS).collect::<Vec<_>>(), stage.keys(Space::Short, 1));
    for &server in &everyone {
        stage.read(server, &hot).await?;
    }
    stage.origin.delay(LOAD);
    let name = stage.stored(&hot[0]);
    let begun = Instant::now();
    let script = async {
        sleep(stage.scale.before).await;
        let (before, loads, from) = (stage.reads_by_node().await?, stage.loads(&hot), begun.elapsed());
        stage.with_engine(move |engine| kill(engine, name.as_bytes())).await?;
        sleep(stage.scale.trouble).await;
        Ok((since(&before, &stage.reads_by_node().await?), stage.loads(&hot) - loads, from, begun.elapsed()))
    };
    let ((reads, loads, from, to), calls) = meanwhile_these(stage, &everyone, &hot, script).await?;
    // Three primaries had the keys; of six nodes the two that copy nothing more answer nothing.
    let (busiest, sum) = (reads.iter().copied().max().unwrap_or_default(), reads.iter().sum::<u64>());
    let mean = sum as f64 / f64::from(PRIMARIES);
    let most = (mean * NEXT_NODE) as u64 + FEW;
    let slow = p99(&calls, from, to).unwrap_or_default();
    // Each server by itself while nobody can be asked for a lease.
    let alone = SERVERS as u64 * (to.saturating_sub(from).div_duration_f64(Space::SHORT).ceil() as u64 + 1);
    let note = first_failure(&calls).unwrap_or_else(|| "all served".into());
    let allowed = BUDGET + LOAD + SLACK;
    Ok(vec![
        Check::none("errors", "calls without the row, before, meanwhile and after", failed(&calls), calls.len() as u64)
            .note(note),
        Check::most("next", "from the kill on: reads at the busiest node that lives", busiest, most)
            .note(format!("{reads:?}")),
        Check::most("loads", "loads of the key from the kill on, each server alone at worst", loads, alone),
        Check {
            name: "p99",
            what: "from the kill on: p99 of all answers, ms".into(),
            measured: slow.as_millis().to_string(),
            wanted: format!("<= {}", allowed.as_millis()).into(),
            ok: slow <= allowed,
        },
    ])
}

const PRIMARIES: u32 = 3;

async fn rest(time: Duration) -> Result<(), DrillError> {
    sleep(time).await;
    Ok(())
}

fn since(before: &[u64], after: &[u64]) -> Vec<u64> {
    after.iter().zip(before).map(|(after, before)| after.saturating_sub(*before)).collect()
}

fn slowest_of(calls: &[Call]) -> Duration {
    p99(calls, Duration::ZERO, Duration::MAX).unwrap_or_default()
}

fn kill(engine: &Engine, key: &[u8]) -> Result<(), ServerError> {
    let Engine::Cluster(cluster) = engine else { return Ok(()) };
    cluster.kill_primary_of_key(key).map(drop)
}

//! A primary is killed under load, and a replica takes its place.

use std::time::{Duration, Instant};

use bellwether_servers::ServerError;
use tokio::time::sleep;

use crate::answer::Answer;
use crate::control::FleetFlaw;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::engine::Engine;
use crate::incidents::herd::{failed, first_failure, meanwhile, p99};
use crate::incidents::incident::Incident;
use crate::incidents::kind::Kind;
use crate::incidents::space::{BUDGET, Space};
use crate::incidents::stage::Stage;

/// `failover`
pub(super) const FAILOVER: Incident = Incident {
    name: "failover",
    what: "a primary of a Cluster, then one under Sentinels, is killed, and a replica takes its place",
    kinds: &[Kind::Cluster, Kind::Sentinel],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Coalescing],
    elsewhere: false,
    budget: BUDGET,
    filters: false,
    play: |stage| Box::pin(play(stage)),
};

const SERVERS: usize = 2;
/// Loads at once, of each server.
const PERMITS: u64 = 16;
const LOAD: Duration = Duration::from_millis(100);
/// Enough that each primary has some.
const KEYS: u64 = 30;
const SLACK: Duration = Duration::from_millis(150);
/// From the new primary on until all is as before: a client may look for it so long.
const RECOVERY: Duration = Duration::from_secs(3);
/// How late a removal may reach another process then.
const ARRIVAL: Duration = Duration::from_secs(3);

/// Names of the rows.
struct Names {
    errors: &'static str,
    wrong: &'static str,
    p99: &'static str,
    after: &'static str,
    healed: &'static str,
}

const CLUSTER: Names = Names {
    errors: "cluster-errors",
    wrong: "cluster-wrong",
    p99: "cluster-p99",
    after: "cluster-after",
    healed: "cluster-healed",
};
const SENTINEL: Names = Names {
    errors: "sentinel-errors",
    wrong: "sentinel-wrong",
    p99: "sentinel-p99",
    after: "sentinel-after",
    healed: "sentinel-healed",
};

async fn play(stage: &Stage) -> Result<Vec<Check>, DrillError> {
    let names = if stage.kind == Kind::Cluster { CLUSTER } else { SENTINEL };
    let (everyone, keys) = ((0..SERVERS).collect::<Vec<_>>(), stage.keys(Space::Short, KEYS));
    for &server in &everyone {
        stage.read(server, &keys).await?;
    }
    stage.origin.delay(LOAD);
    let (begun, name) = (Instant::now(), keys[0].name.clone());
    let script = async {
        sleep(stage.scale.before).await;
        let from = begun.elapsed();
        stage.with_engine(move |engine| kill_primary(engine, name.as_bytes())).await?;
        let to = begun.elapsed();
        sleep(RECOVERY).await;
        let (recovered, loads) = (begun.elapsed(), stage.loads(&keys));
        sleep(stage.scale.after).await;
        Ok((from, to, recovered, stage.loads(&keys) - loads))
    };
    let ((from, to, recovered, after), calls) = meanwhile(stage, &everyone, &keys, script).await?;
    let foreign = calls.iter().filter(|call| call.answer == Answer::Foreign).count() as u64;
    let during = p99(&calls, from, recovered).unwrap_or_default();
    stage.origin.delay(Duration::ZERO);
    stage.overwrite(0, &keys, 2).await?;
    let mut old = stage.not_at(0, &keys, 2).await?;
    sleep(ARRIVAL).await;
    for server in everyone {
        old += stage.not_at(server, &keys, 2).await?;
    }
    let note = first_failure(&calls).unwrap_or_else(|| "all served".into());
    let new_primary = format!("another primary after {:.1} s", to.saturating_sub(from).as_secs_f64());
    let together = KEYS * (stage.scale.after.div_duration_f64(Space::SHORT).ceil() as u64 + 1);
    let allowed = BUDGET + LOAD + SLACK;
    let all = calls.len() as u64;
    Ok(vec![
        Check::none(names.errors, "calls without the row, before, meanwhile and after", failed(&calls), all).note(note),
        Check::none(names.wrong, "calls that were given another key's value", foreign, all),
        Check {
            name: names.p99,
            what: "from the kill to 3 s after the new primary: p99, ms".into(),
            measured: format!("{} ({new_primary})", during.as_millis()),
            wanted: format!("<= {}", allowed.as_millis()).into(),
            ok: during <= allowed,
        },
        Check::most(names.after, "after that: loads of 30 keys with a ttl of 1 s, one for the fleet", after, together),
        Check::none(
            names.healed,
            "after writes and DELs: older rows, at the remover at once, elsewhere 3 s later",
            old,
            3 * KEYS,
        ),
    ])
}

/// Returns once another primary is there.
fn kill_primary(engine: &Engine, key: &[u8]) -> Result<(), ServerError> {
    match engine {
        Engine::Cluster(cluster) => {
            let old = cluster.kill_primary_of_key(key)?;
            cluster.until_primary_is_not(key, old).map(drop)
        }
        Engine::Sentinel(sentinel) => {
            let old = sentinel.kill_primary()?;
            sentinel.until_primary_is_not(old).map(drop)
        }
        Engine::Redis(_) | Engine::Memcached(_) | Engine::Elsewhere(_) => Ok(()),
    }
}

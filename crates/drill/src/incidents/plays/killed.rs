//! The process that loads a key is killed, or stopped for longer than anybody waits for it.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::control::FleetFlaw;
use crate::error::{ClientError, DrillError};
use crate::incidents::check::{Check, part};
use crate::incidents::engine::Engine;
use crate::incidents::incident::Incident;
use crate::incidents::kind::Kind;
use crate::incidents::scale::Scale;
use crate::incidents::space::{BUDGET, Space};
use crate::incidents::stage::Stage;
use crate::key::Key;

/// `leader-killed`
pub(super) const LEADER_KILLED: Incident = Incident {
    name: "leader-killed",
    what: "the process that loads a key is killed, or stopped past its lease",
    kinds: &[Kind::Redis],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Lock, FleetFlaw::Coalescing],
    elsewhere: true,
    budget: BUDGET,
    filters: false,
    play: |stage| Box::pin(play(stage)),
};

const SERVERS: usize = 3;
/// Loads at once, of each server: those that are stopped at once, with room.
const PERMITS: u64 = 2_600;
/// Who is killed, and who is not.
const LEADER: usize = 0;
const OTHERS: [usize; 2] = [1, 2];
const LOAD: Duration = Duration::from_millis(400);
/// The longest lease of a key whose loads are not known yet, as its servers are configured: 2 s.
const LEASE: Duration = Duration::from_secs(2);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_millis(600);
/// Loads of other keys before, so that connections are open.
const WARM: u64 = 4;
const MAX_POLLS: u64 = 1_000;
/// What a load takes that is stopped: all of a round have begun before the first ends.
const STOPPED_LOAD: Duration = Duration::from_millis(1_500);

async fn play(stage: &mut Stage) -> Result<Vec<Check>, DrillError> {
    let mut checks = part("copy", copies(stage).await)?;
    checks.extend(part("cold", cold(stage).await)?);
    checks.extend(part("stopped", stopped(stage).await.map(|check| vec![check]))?);
    Ok(checks)
}

/// While a copy exists nobody waits for whoever refreshes it.
async fn copies(stage: &Stage) -> Result<Vec<Check>, DrillError> {
    let keys = stage.keys(Space::Short, 1);
    for server in 0..SERVERS {
        stage.read(server, &keys).await?;
    }
    let key = &keys[0];
    sleep(Space::SHORT + SLACK / 2).await;
    stage.origin.delay(LOAD);
    let loads = stage.loads(&keys);
    let mut asker = stage.connect(LEADER).await?;
    let others = stage.connect_many(&OTHERS, stage.scale.herd).await?;
    // It is given the copy, or, by a naive server, has to wait.
    asker.send(&[&["GET", &key.name]]).await.map_err(lost)?;
    stage.until_loads(key, loads + 1).await?;
    stage.fleet[LEADER].kill()?;
    let answers = stage.herd(others, key).await;
    let waited = answers.iter().filter(|answered| !answered.answer.served() || answered.took > LOAD / 2).count();
    stage.fleet[LEADER].restart().await?;
    let what = "its refresh is killed: callers of the others who wait, though there is a copy";
    Ok(vec![Check::none("copy", what, waited as u64, answers.len() as u64)])
}

/// Without a copy they wait for its lease at most.
async fn cold(stage: &Stage) -> Result<Vec<Check>, DrillError> {
    stage.origin.delay(Duration::ZERO);
    for server in 0..SERVERS {
        stage.read(server, &stage.keys(Space::Long, WARM)).await?;
    }
    stage.origin.delay(LOAD);
    let key = stage.key(Space::Long);
    let others = stage.connect_many(&OTHERS, stage.scale.herd).await?;
    let leader = stage.connect(LEADER).await?;
    let before = polls(stage).await?;
    let leading = async {
        let mut leader = leader;
        leader.send(&[&["GET", &key.name]]).await.map_err(lost)?;
        stage.until_loads(&key, 1).await?;
        sleep(LOAD / 4).await;
        stage.fleet[LEADER].kill()
    };
    let waiting = async {
        stage.until_loads(&key, 1).await?;
        let begun = Instant::now();
        let answers = stage.herd(others, &key).await;
        Ok::<_, DrillError>((answers, begun.elapsed()))
    };
    let (killed, waited) = tokio::join!(leading, waiting);
    killed?;
    let (answers, took) = waited?;
    let polls = polls(stage).await?.zip(before).map(|(after, before)| after - before);
    stage.fleet[LEADER].restart().await?;
    let refused = answers.iter().filter(|answered| !answered.answer.served()).count() as u64;
    let loads = stage.loads(std::slice::from_ref(&key));
    let within = LEASE + LOAD + SLACK;
    let mut checks = vec![
        Check::none(
            "cold",
            "its cold load is killed: callers of the others without the row",
            refused,
            answers.len() as u64,
        ),
        Check {
            name: "waited",
            what: "the slowest of them, ms (a lease, a load)".into(),
            measured: took.as_millis().to_string(),
            wanted: format!("<= {}", within.as_millis()).into(),
            ok: took <= within,
        },
        Check::most("loads", "loads of that key", loads, 2),
    ];
    if let Some(polls) = polls {
        checks.push(Check::most("polls", "commands at Redis meanwhile", polls, MAX_POLLS - 1));
    }
    Ok(checks)
}

/// What Redis counts of commands that readers and waiters send; none if it is not ours to ask.
async fn polls(stage: &Stage) -> Result<Option<u64>, DrillError> {
    stage
        .with_engine(|engine| {
            let Engine::Redis(redis) = engine else {
                return Ok(None);
            };
            let info = redis.call(&["INFO", "commandstats"])?.to_string();
            let calls = |line: &str| {
                let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
                let counted = ["get", "mget", "set", "getrange", "eval", "evalsha"].contains(&name);
                rest.split(',').next()?.parse::<u64>().ok().filter(|_| counted)
            };
            Ok(Some(info.lines().filter_map(calls).sum()))
        })
        .await
}

/// What it publishes once it goes on is older than what has been written meanwhile.
async fn stopped(stage: &Stage) -> Result<Check, DrillError> {
    // A naive fleet answers one key after the other, and fails with few of them.
    let (rounds, keys) = if stage.is_naive() { Scale::QUICK.stops } else { stage.scale.stops };
    let mut stale = 0;
    for _ in 0..rounds {
        stale += stopped_once(stage, &stage.keys(Space::Long, keys)).await?;
    }
    let what =
        format!("{keys} loads at once go on past their lease, after a write and a DEL: older rows read elsewhere");
    Ok(Check::none("stopped", what, stale, 3 * rounds * keys))
}

/// The older rows that are read although they were overwritten while the leader stood still.
async fn stopped_once(stage: &Stage, keys: &[Key]) -> Result<u64, DrillError> {
    stage.origin.delay(STOPPED_LOAD);
    // A connection each: not every server begins a second load before the first has ended.
    let mut leaders = Vec::with_capacity(keys.len());
    for key in keys {
        let mut leader = stage.connect(LEADER).await?;
        leader.send(&[&["GET", &key.name]]).await.map_err(lost)?;
        leaders.push(leader);
    }
    for key in keys {
        stage.until_loads(key, 1).await?;
    }
    stage.fleet[LEADER].freeze()?;
    // For the others: those of the leader take their time.
    stage.origin.delay(Duration::ZERO);
    stage.overwrite(OTHERS[0], keys, 2).await?;
    let mut stale = stage.not_at(OTHERS[0], keys, 2).await?;
    sleep(LEASE + SLACK).await;
    stage.fleet[LEADER].thaw()?;
    sleep(STOPPED_LOAD + SLACK).await;
    // The one that removed them, one that holds nothing yet, and what is left when both have nothing in memory.
    stage.fleet[OTHERS[0]].restart().await?;
    for server in [OTHERS[1], OTHERS[0]] {
        stale += stage.not_at(server, keys, 2).await?;
    }
    Ok(stale)
}

fn lost(error: ClientError) -> DrillError {
    DrillError::Unreachable { target: "the leader".into(), error }
}

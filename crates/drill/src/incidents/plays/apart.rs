//! One server reaches neither the entries nor the others, while keys that it holds are removed elsewhere: the rest of
//! the fleet is well. And servers that stand still for a moment: what do they say first?

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::watching::{ARRIVAL, CUT_OFF, KEYS, LISTENER, REMOVER, last_old, watch};
use crate::answer::Answer;
use crate::error::{ClientError, DrillError};
use crate::incidents::check::Check;
use crate::incidents::space::{BUDGET, RESYNC, Space};
use crate::incidents::stage::Stage;

/// How long a copy may be served that nobody could confirm: a quarter of `resync` longer, or three budgets, and a step
/// of the mark that rises; a busy machine may add one second.
const BELIEVED: Duration = Duration::from_millis(
    RESYNC.as_millis() as u64 + 3 * BUDGET.as_millis() as u64 + RESYNC.as_millis() as u64 / 8 + 1_000,
);
/// What is loaded alone is good for so long.
const LONE: Duration = Duration::from_secs(1);
/// How long servers stand still: longer than a busy machine keeps all threads of a process waiting.
const PAUSE: Duration = Duration::from_millis(350);

/// Cut off from everything.
pub(super) async fn apart(stage: &Stage) -> Result<Vec<Check>, DrillError> {
    let keys = stage.keys(Space::Long, KEYS);
    for server in [REMOVER, CUT_OFF] {
        stage.read(server, &keys).await?;
    }
    sleep(ARRIVAL).await;
    let before = stage.loads(&keys);
    stage.fleet[CUT_OFF].cut_off();
    stage.overwrite(REMOVER, &keys, 2).await?;
    let removed = Instant::now();
    let alone = watch(stage, CUT_OFF, &keys, removed).await?;
    let loads = stage.loads(&keys) - before;
    let seconds = removed.elapsed().div_duration_f64(LONE).ceil() as u64;
    stage.fleet[CUT_OFF].reconnect();
    sleep(2 * ARRIVAL).await;
    let healed = stage.not_at(CUT_OFF, &keys, 2).await?;
    Ok(vec![
        last_old(
            "apart",
            "the server that reaches nothing but the origin: the last older row, ms after the removal",
            &alone,
            BELIEVED,
        ),
        Check::none("apart-errors", "its calls without the row", alone.lost, alone.asked),
        Check::most("apart-loads", "loads of 30 keys meanwhile: one a key and second", loads, KEYS * (seconds + 1)),
        Check::none("apart-healed", "older rows at it, 2 s after it is back", healed, KEYS),
    ])
}

/// Stopped and continued, with a removal in between.
pub(super) async fn stopped(stage: &Stage) -> Result<Vec<Check>, DrillError> {
    let (mut old, mut lost, mut asked) = (0, 0, 0);
    for round in 0..stage.scale.pauses {
        let key = stage.key(Space::Long);
        let keys = [key.clone()];
        let mut clients = Vec::new();
        for server in [LISTENER, CUT_OFF] {
            // Twice: memory has it by then.
            stage.read(server, &keys).await?;
            stage.read(server, &keys).await?;
            clients.push((server, stage.connect(server).await?));
        }
        for (server, _) in &clients {
            stage.fleet[*server].freeze()?;
        }
        stage.overwrite(REMOVER, &keys, 2).await?;
        sleep(PAUSE).await;
        // Every other time the question is there before the server goes on.
        let waits = round % 2 == 0;
        for (server, client) in &mut clients {
            let broken = |error: ClientError| DrillError::Unreachable { target: format!("server {server}"), error };
            if waits {
                client.send(&[&["GET", &key.name]]).await.map_err(broken)?;
            }
            stage.fleet[*server].thaw()?;
            if !waits {
                client.send(&[&["GET", &key.name]]).await.map_err(broken)?;
            }
            asked += 1;
            match Answer::of(client.read().await, &key) {
                Answer::Version(2) => {}
                Answer::Version(_) => old += 1,
                _ => lost += 1,
            }
        }
    }
    let note = if lost > 0 { format!("{lost} without the row") } else { "all served".into() };
    let what = "servers that stood still while a key was removed elsewhere: older rows as first answers";
    Ok(vec![Check::none("stopped", what, old + lost, asked).note(note)])
}

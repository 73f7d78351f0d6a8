//! Callers go away: who pays for it?

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use tokio::time::{sleep, timeout};

use super::together::served;
use crate::error::ClientError;
use crate::races::row::{Outcome, Row};
use crate::races::scale::{CALLERS, Scale};
use crate::races::space::Space;
use crate::races::stage::Stage;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "follower",
        race: "the leader's connection drops during its load; a follower: loads, served",
        wanted: "1, yes",
        run: |stage| Box::pin(follower(stage)),
    },
    Row {
        name: "killed",
        race: "the leader's client is killed half-way, 99 followers: loads, failed",
        wanted: "1, 0",
        run: |stage| Box::pin(killed(stage)),
    },
    Row {
        name: "alone",
        race: "the leader's client is killed, nobody else waits; a later caller: loads, served",
        wanted: "1, yes",
        run: |stage| Box::pin(alone(stage)),
    },
    Row {
        name: "impatient",
        race: "callers come one by one, and give up after half a load's time: loads, served",
        wanted: "1, >= 85 %",
        run: |stage| Box::pin(impatient(stage)),
    },
];

const LOAD: Duration = Duration::from_millis(200);
/// From the last caller's request until the leader goes: time for it to arrive.
const HALF: Duration = Duration::from_millis(80);

/// `followers` wait for a leader that goes away: loads and served followers.
async fn abandoned(stage: &Stage, followers: usize) -> Result<(u64, usize), ClientError> {
    stage.origin.delay(LOAD);
    let key = stage.key(Space::Row);
    let clients = stage.connect_many(followers).await?;
    let leader = stage.leader(&key).await?;
    let leave = async {
        sleep(HALF).await;
        leader.kill();
    };
    let ((_, answers), ()) = join(stage.herd(clients, &key), leave).await;
    Ok((stage.loads(&key), served(&answers)))
}

async fn follower(stage: &Stage) -> Result<Outcome, ClientError> {
    let (loads, served) = abandoned(stage, 1).await?;
    Ok(Outcome::new(format!("{loads}, {}", yes(served == 1)), (loads, served) == (1, 1)))
}

async fn killed(stage: &Stage) -> Result<Outcome, ClientError> {
    let (loads, served) = abandoned(stage, CALLERS - 1).await?;
    let failed = CALLERS - 1 - served;
    Ok(Outcome::new(format!("{loads}, {failed}"), (loads, failed) == (1, 0)))
}

async fn alone(stage: &Stage) -> Result<Outcome, ClientError> {
    stage.origin.delay(LOAD);
    let key = stage.key(Space::Row);
    let leader = stage.leader(&key).await?;
    sleep(HALF).await;
    leader.kill();
    stage.until(&key, |seen| seen.ended == seen.requests).await?;
    let served = stage.get(&mut stage.connect().await?, &key).await.served();
    let loads = stage.loads(&key);
    Ok(Outcome::new(format!("{loads}, {}", yes(served)), loads == 1 && served))
}

/// The first few callers can't be served: they leave before the load's end, whatever the endpoint does.
async fn impatient(stage: &Stage) -> Result<Outcome, ClientError> {
    let Scale { impatient: count, over, patience, .. } = stage.scale;
    stage.origin.delay(patience * 2);
    let key = stage.key(Space::Row);
    let clients = stage.connect_many(count as usize).await?;
    let begun = Instant::now();
    let calls = (0..count).zip(clients).map(|(n, mut client)| {
        let key = &key;
        async move {
            sleep((over * n / count).saturating_sub(begun.elapsed())).await;
            let answer = timeout(patience, stage.get(&mut client, key)).await;
            let served = answer.is_ok_and(|answer| answer.served());
            client.kill();
            served
        }
    });
    let served = join_all(calls).await.into_iter().filter(|&served| served).count();
    let (loads, share) = (stage.loads(&key), 100 * served / count as usize);
    Ok(Outcome::new(format!("{loads}, {served} of {count}"), loads == 1 && share >= 85))
}

fn yes(truth: bool) -> &'static str {
    if truth { "yes" } else { "no" }
}

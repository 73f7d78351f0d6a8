//! Callers go away: who pays for it?

use std::time::{Duration, Instant};

use futures_util::future::{join, poll_immediate};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::contender::Contender;
use crate::origin::Origin;
use crate::row::Row;
use crate::stage::{Answered, CALLERS, KEY, call, count, herd, later, leader, until, yes};

pub(super) fn rows<C: Contender>() -> Vec<Row> {
    vec![
        Row {
            name: "unpolled",
            race: "the leader's future alive but not polled; a follower: loads, served",
            wanted: "1, yes",
            run: || Box::pin(unpolled::<C>()),
        },
        Row {
            name: "follower",
            race: "the leader's task is aborted during its load; a follower: loads, served",
            wanted: "1, yes",
            run: || Box::pin(follower::<C>()),
        },
        Row {
            name: "killed",
            race: "the leader's task is aborted half-way, 99 followers: loads, failed",
            wanted: "1, 0",
            run: || Box::pin(killed::<C>()),
        },
        Row {
            name: "alone",
            race: "the leader's task is aborted, nobody else waits; a later caller: loads, served",
            wanted: "1, yes",
            run: || Box::pin(alone::<C>()),
        },
        Row {
            name: "impatient",
            race: "100 callers over 1 s give up at 50 ms, a load takes 95 ms: loads, served",
            wanted: "1, >= 95",
            run: || Box::pin(impatient::<C>()),
        },
    ]
}

const LOAD: Duration = Duration::from_millis(100);
const HALF: Duration = Duration::from_millis(50);
/// Between two callers that come one by one.
const EVERY: Duration = Duration::from_millis(10);
/// Five callers give up before its end whatever a cache does; no deadline falls on its very end.
const IMPATIENT_LOAD: Duration = Duration::from_millis(95);

async fn unpolled<C: Contender>() -> String {
    let (cache, origin) = (C::new(), Origin::new(1, HALF));
    let mut leader = cache.get(KEY, &origin);
    assert!(poll_immediate(&mut leader).await.is_none(), "a load takes time");
    let served = later(&cache, &origin).await;
    format!("{}, {served}", origin.loads())
}

/// `followers` wait for a leader that goes away.
async fn abandoned<C: Contender>(origin: &Origin, followers: usize) -> Vec<Answered> {
    let cache = C::new();
    let leader = leader(&cache, origin).await;
    let leave = async {
        sleep(HALF).await;
        leader.abort();
    };
    join(herd(followers, &cache, origin), leave).await.0
}

async fn follower<C: Contender>() -> String {
    let origin = Origin::new(1, LOAD);
    let answers = abandoned::<C>(&origin, 1).await;
    let served = count(&answers, Answered::served) == 1;
    format!("{}, {}", origin.loads(), yes(served))
}

async fn killed<C: Contender>() -> String {
    let origin = Origin::new(1, LOAD);
    let answers = abandoned::<C>(&origin, CALLERS - 1).await;
    let failed = answers.len() - count(&answers, Answered::served);
    match count(&answers, |answered| answered.hung) {
        0 => format!("{}, {failed}", origin.loads()),
        hung => format!("{}, {failed} ({hung} hang)", origin.loads()),
    }
}

async fn alone<C: Contender>() -> String {
    let (cache, origin) = (C::new(), Origin::new(1, LOAD));
    let leader = leader(&cache, &origin).await;
    sleep(HALF).await;
    leader.abort();
    drop(leader.await);
    until(&origin, |seen| seen.running == 0).await;
    let served = later(&cache, &origin).await;
    format!("{}, {served}", origin.loads())
}

async fn impatient<C: Contender>() -> String {
    let (cache, origin, begun) = (C::new(), Origin::new(1, IMPATIENT_LOAD), Instant::now());
    let mut tasks = JoinSet::new();
    for n in 0..CALLERS as u32 {
        sleep((EVERY * n).saturating_sub(begun.elapsed())).await;
        let call = call(&cache, &origin);
        tasks.spawn(async move { matches!(timeout(HALF, call).await, Ok(Ok(Some(_)))) });
    }
    let served = tasks.join_all().await.into_iter().filter(|&served| served).count();
    format!("{}, {served}", origin.loads())
}

//! Callers are cancelled at random moments: does every value still belong to the key that was asked for?

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::contender::Contender;
use crate::origin::{Answer, Origin};
use crate::row::Row;
use crate::stage::PATIENCE;

pub(super) fn rows<C: Contender>() -> Vec<Row> {
    vec![Row {
        name: "identity",
        race: "callers are cancelled at random while keys are removed: another key's answers, failed",
        wanted: "0, 0",
        run: || Box::pin(identity::<C>()),
    }]
}

const CLIENTS: usize = 40;
const KEYS: u64 = 50;
/// Keys of one call, or of calls that are awaited together.
const AT_ONCE: usize = 4;
const CHAOS: Duration = Duration::from_secs(2);
/// About as long as a caller waits before it is cancelled: often enough in the middle of a load.
const LOAD: Duration = Duration::from_millis(4);
/// One call in so many is cancelled.
const CANCELS: usize = 3;
/// Between two calls of a client: those that never wait for anything would keep all others from their turns.
const PAUSE: Duration = Duration::from_millis(1);
/// Between two rounds of removals, of so many keys: so that most callers wait for a load.
const REMOVAL_EVERY: Duration = Duration::from_millis(3);
const REMOVED: usize = 10;
/// A value is its key's number times this, and a version.
const VERSIONS: u64 = 1_000_000;

type Rows = Arc<[(String, Origin)]>;

/// Fewer answers, or calls that were cancelled, show nothing.
const LEAST: usize = 500;

#[derive(Default)]
struct Tally {
    answers: usize,
    cancelled: usize,
    foreign: usize,
    failed: usize,
}

async fn identity<C: Contender>() -> String {
    let cache = C::new();
    let rows: Rows = (0..KEYS).map(|n| (format!("key-{n}"), Origin::new(n * VERSIONS, LOAD))).collect();
    let until = Instant::now() + CHAOS;
    let mut callers = JoinSet::new();
    for _ in 0..CLIENTS {
        callers.spawn(come_and_go(cache.clone(), rows.clone(), until));
    }
    for version in 1.. {
        if Instant::now() >= until {
            break;
        }
        for _ in 0..REMOVED {
            let n = fastrand::u64(..KEYS);
            let (key, origin) = &rows[n as usize];
            origin.write(Some(n * VERSIONS + version));
            cache.remove(key).await;
        }
        sleep(REMOVAL_EVERY).await;
    }
    let mut sum = Tally::default();
    while let Some(tally) = callers.join_next().await {
        // A panic that reached the caller is a failure.
        let tally = tally.unwrap_or(Tally { failed: 1, ..Tally::default() });
        sum.answers += tally.answers;
        sum.cancelled += tally.cancelled;
        sum.foreign += tally.foreign;
        sum.failed += tally.failed;
    }
    let Tally { answers, cancelled, foreign, failed } = sum;
    match answers.min(cancelled) {
        0..LEAST => format!("{foreign}, {failed} (only {answers} answers, {cancelled} cancelled)"),
        _ => format!("{foreign}, {failed}"),
    }
}

async fn come_and_go<C: Contender>(cache: C, rows: Rows, until: Instant) -> Tally {
    let mut tally = Tally::default();
    while Instant::now() < until {
        sleep(PAUSE).await;
        let asked: Vec<usize> = (0..AT_ONCE).map(|_| fastrand::usize(..rows.len())).collect();
        if fastrand::usize(..CANCELS) == 0 {
            // The point is to stop in the middle; what came until then is not looked at.
            let cut = timeout(LOAD.mul_f64(2.0 * fastrand::f64()), ask(&cache, &rows, &asked)).await;
            tally.cancelled += usize::from(cut.is_err());
            continue;
        }
        let answers = timeout(PATIENCE, ask(&cache, &rows, &asked)).await.unwrap_or_default();
        let values = answers.iter().zip(&asked).filter_map(|(answer, n)| Some((answer.as_ref().ok()?.as_ref()?, n)));
        tally.answers += AT_ONCE;
        tally.failed += AT_ONCE - values.clone().count();
        tally.foreign += values.filter(|(value, n)| *value / VERSIONS != **n as u64).count();
    }
    tally
}

/// One call of many keys where there is such a call, or calls awaited together.
async fn ask<C: Contender>(cache: &C, rows: &Rows, asked: &[usize]) -> Vec<Answer> {
    let asked: Vec<&(String, Origin)> = asked.iter().map(|&n| &rows[n]).collect();
    match cache.get_many(&asked) {
        Some(many) if fastrand::bool() => many.await,
        _ => join_all(asked.iter().map(|(key, origin)| cache.get(key, origin))).await,
    }
}

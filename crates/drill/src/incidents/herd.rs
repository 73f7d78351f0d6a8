//! What are callers told who ask again and again while something happens?

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use tokio::time::sleep;

use crate::answer::Answer;
use crate::client::Client;
use crate::error::DrillError;
use crate::incidents::space::Space;
use crate::incidents::stage::{Stage, get};
use crate::key::Key;

/// Calls that are kept; later ones are made, and not told.
const MAX_CALLS: usize = 400_000;
/// Between an answer and a caller's next call.
const PAUSE: Duration = Duration::from_millis(20);
/// Before a caller connects again.
const RECONNECT: Duration = Duration::from_millis(50);
/// Every so many calls of a caller one is for a key that nobody has asked for yet.
const COLD_EVERY: u64 = 25;

/// One call.
pub(crate) struct Call {
    /// When it began, from the herd's start.
    pub(crate) at: Duration,
    pub(crate) took: Duration,
    pub(crate) answer: Answer,
}

/// Asks `servers` for `keys`, and now and then for one that nobody has asked for yet, while `script` runs; what came out
/// of it, and all calls.
pub(crate) async fn meanwhile<T>(
    stage: &Stage,
    servers: &[usize],
    keys: &[Key],
    script: impl Future<Output = Result<T, DrillError>>,
) -> Result<(T, Vec<Call>), DrillError> {
    asking(stage, servers, keys, Some(COLD_EVERY), script).await
}

/// As [`meanwhile`], for `keys` alone.
pub(crate) async fn meanwhile_these<T>(
    stage: &Stage,
    servers: &[usize],
    keys: &[Key],
    script: impl Future<Output = Result<T, DrillError>>,
) -> Result<(T, Vec<Call>), DrillError> {
    asking(stage, servers, keys, None, script).await
}

async fn asking<T>(
    stage: &Stage,
    servers: &[usize],
    keys: &[Key],
    cold_every: Option<u64>,
    script: impl Future<Output = Result<T, DrillError>>,
) -> Result<(T, Vec<Call>), DrillError> {
    let (over, calls, begun) = (AtomicBool::new(false), Mutex::new(Vec::new()), Instant::now());
    let (over, calls) = (&over, &calls);
    let callers = (0..stage.scale.callers).flat_map(|_| servers.iter());
    let asking = join_all(callers.map(|&server| async move {
        let mut client = None;
        for number in fastrand::u64(0..COLD_EVERY).. {
            if over.load(Ordering::SeqCst) {
                return;
            }
            let cold = cold_every.is_some_and(|every| number % every == 0);
            let call = ask(stage, server, keys, cold, &mut client, begun).await;
            let lost = call.answer == Answer::Lost;
            {
                let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
                if calls.len() < MAX_CALLS {
                    calls.push(call);
                }
            }
            if lost {
                client = None;
                sleep(RECONNECT).await;
            }
            sleep(PAUSE).await;
        }
    }));
    let telling = async {
        let told = script.await;
        over.store(true, Ordering::SeqCst);
        told
    };
    let (told, _) = join(telling, asking).await;
    let calls = std::mem::take(&mut *calls.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((told?, calls))
}

async fn ask(
    stage: &Stage,
    server: usize,
    keys: &[Key],
    cold: bool,
    client: &mut Option<Client>,
    begun: Instant,
) -> Call {
    let at = begun.elapsed();
    let fresh = cold.then(|| stage.key(Space::Long));
    let key = fresh.as_ref().or_else(|| keys.get(fastrand::usize(..keys.len().max(1))));
    if client.is_none() {
        *client = stage.connect(server).await.ok();
    }
    let answer = match (client, key) {
        (Some(client), Some(key)) => get(client, key).await,
        _ => Answer::Lost,
    };
    Call { at, took: begun.elapsed().saturating_sub(at), answer }
}

/// Calls of which some were answered with anything but the row, between two moments.
pub(crate) fn failed(calls: &[Call]) -> u64 {
    calls.iter().filter(|call| !call.answer.served()).count() as u64
}

/// The first answer that was none, in words.
pub(crate) fn first_failure(calls: &[Call]) -> Option<String> {
    calls.iter().find(|call| !call.answer.served()).map(|call| format!("{:?} after {:?}", call.answer, call.at))
}

/// The time that 99 of 100 calls begun between two moments did not exceed; none if there were no calls.
pub(crate) fn p99(calls: &[Call], from: Duration, to: Duration) -> Option<Duration> {
    let mut times: Vec<Duration> =
        calls.iter().filter(|call| (from..to).contains(&call.at)).map(|call| call.took).collect();
    times.sort_unstable();
    times.get((times.len() * 99 / 100).min(times.len().saturating_sub(1))).copied()
}

//! Clients cancel at random moments: does every value still belong to the key that was asked for?

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use tokio::time::{sleep, timeout};

use crate::answer::Answer;
use crate::client::Client;
use crate::error::ClientError;
use crate::key::Key;
use crate::races::row::{Outcome, Row};
use crate::races::space::Space;
use crate::races::stage::Stage;

pub(super) const ROWS: &[Row] = &[Row {
    name: "identity",
    race: "clients cancel and reset at random: another key's answers, failed",
    wanted: "0, 0",
    run: |stage| Box::pin(identity(stage)),
}];

const CLIENTS: usize = 40;
const KEYS: usize = 50;
/// Keys of one command or pipeline.
const AT_ONCE: usize = 4;
/// About as long as a client waits before it cancels: often enough in the middle of a load.
const LOAD: Duration = Duration::from_millis(4);
/// One client in so many cancels.
const CANCELS: usize = 3;
/// Between two removals: so that loads go on.
const DEL_EVERY: Duration = Duration::from_millis(3);

#[derive(Default)]
struct Tally {
    answers: u64,
    cancelled: u64,
    foreign: u64,
    failed: u64,
}

async fn identity(stage: &Stage) -> Result<Outcome, ClientError> {
    stage.origin.delay(LOAD);
    let keys: Vec<Key> = (0..KEYS).map(|_| stage.key(Space::Row)).collect();
    let until = Instant::now() + stage.scale.chaos;
    let clients = join_all((0..CLIENTS).map(|_| come_and_go(stage, &keys, until)));
    let (tallies, removed) = join(clients, remove(stage, &keys, until)).await;
    removed?;
    let mut sum = Tally::default();
    for tally in tallies {
        let tally = tally?;
        sum.answers += tally.answers;
        sum.cancelled += tally.cancelled;
        sum.foreign += tally.foreign;
        sum.failed += tally.failed;
    }
    let shown = format!("{}, {} ({} answers, {} cancelled)", sum.foreign, sum.failed, sum.answers, sum.cancelled);
    let happened = sum.answers > 0 && sum.cancelled > 0;
    Ok(Outcome::new(shown, happened && sum.foreign == 0 && sum.failed == 0))
}

/// Asks, cancels now and then, and comes back on a new connection.
async fn come_and_go(stage: &Stage, keys: &[Key], until: Instant) -> Result<Tally, ClientError> {
    let mut tally = Tally::default();
    let mut client = stage.connect().await?;
    while Instant::now() < until {
        let asked: Vec<&Key> = (0..AT_ONCE).map(|_| &keys[fastrand::usize(..keys.len())]).collect();
        if fastrand::usize(..CANCELS) > 0 {
            for answer in ask(&mut client, &asked).await {
                tally.answers += 1;
                tally.foreign += u64::from(answer == Answer::Foreign);
                tally.failed += u64::from(!answer.served() && answer != Answer::Foreign);
            }
        } else {
            let moment = LOAD.mul_f64(2.0 * fastrand::f64());
            // The point is to stop in the middle; what came until then is not looked at.
            let _ = timeout(moment, ask(&mut client, &asked)).await;
            tally.cancelled += 1;
            client.kill();
            client = stage.connect().await?;
        }
    }
    Ok(tally)
}

/// One `MGET`, or a pipeline of `GET`s.
async fn ask(client: &mut Client, keys: &[&Key]) -> Vec<Answer> {
    let names = keys.iter().map(|key| key.name.as_str());
    if fastrand::bool() {
        let words: Vec<&str> = ["MGET"].into_iter().chain(names).collect();
        return match client.call(&words).await {
            Ok(value) => match value.as_slice() {
                Some(values) if values.len() == keys.len() => {
                    values.iter().zip(keys).map(|(value, key)| Answer::read(value, key)).collect()
                }
                _ => keys.iter().map(|key| Answer::read(&value, key)).collect(),
            },
            error => vec![Answer::of(error, keys[0])],
        };
    }
    let commands: Vec<[&str; 2]> = names.map(|name| ["GET", name]).collect();
    let commands: Vec<&[&str]> = commands.iter().map(|words| words.as_slice()).collect();
    if client.send(&commands).await.is_err() {
        return vec![Answer::Lost];
    }
    let mut answers = Vec::with_capacity(keys.len());
    for key in keys {
        answers.push(Answer::of(client.read().await, key));
    }
    answers
}

async fn remove(stage: &Stage, keys: &[Key], until: Instant) -> Result<(), ClientError> {
    let mut client = stage.connect().await?;
    while Instant::now() < until {
        client.call(&["DEL", &keys[fastrand::usize(..keys.len())].name]).await?;
        sleep(DEL_EVERY).await;
    }
    Ok(())
}

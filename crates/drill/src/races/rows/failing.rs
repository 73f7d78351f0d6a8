//! The origin fails, breaks off, is slow or down: what does it cost, and what are callers told?

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::together::served;
use crate::client::Client;
use crate::error::ClientError;
use crate::key::Key;
use crate::origin::Mode;
use crate::races::row::{Outcome, Row};
use crate::races::scale::CALLERS;
use crate::races::space::Space;
use crate::races::stage::{Answered, Stage};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "error",
        race: "the origin answers 500: calls, then calls of a second wave at once",
        wanted: "1, then 0",
        run: |stage| Box::pin(error(stage)),
    },
    Row {
        name: "broken",
        race: "the origin closes half-way, then talks garbage: calls, callers told so",
        wanted: "1 + 1, 200",
        run: |stage| Box::pin(broken(stage)),
    },
    Row {
        name: "deadline",
        race: "a load longer than the callers' deadline: loads, told before its end, served after it",
        wanted: "1, 100, yes",
        run: |stage| Box::pin(deadline(stage)),
    },
    Row {
        name: "grace",
        race: "100 callers of an expired key with grace: made to wait, loads, fresh afterwards",
        wanted: "0, 1, yes",
        run: |stage| Box::pin(grace(stage)),
    },
    Row {
        name: "down",
        race: "the same while the origin fails: failed, calls",
        wanted: "0, 1",
        run: |stage| Box::pin(down(stage)),
    },
];

const LOAD: Duration = Duration::from_millis(20);
/// A second wave that ends within this time of the first's beginning is one "at once": key and origin were
/// left alone for 160 ms at least after a failure, if they were left alone at all.
const AT_ONCE: Duration = Duration::from_millis(170);
/// From the origin's answer until callers get it, at most.
const LANDING: Duration = Duration::from_secs(1);
/// How often a machine may be too busy to say so.
const ATTEMPTS: usize = 4;

fn refused(answers: &[Answered]) -> usize {
    answers.iter().filter(|answered| answered.answer.refused()).count()
}

async fn error(stage: &Stage) -> Result<Outcome, ClientError> {
    stage.origin.mode(Mode::Status(500));
    stage.origin.delay(LOAD);
    let mut clients = stage.connect_many(CALLERS).await?;
    for attempt in 1.. {
        let key = stage.key(Space::Row);
        let begun = Instant::now();
        let (back, answers) = stage.herd(clients, &key).await;
        let (first, told) = (stage.loads(&key), refused(&answers));
        let (back, answers) = stage.herd(back, &key).await;
        let (second, told) = (stage.loads(&key) - first, told + refused(&answers));
        if second == 0 || begun.elapsed() < AT_ONCE || attempt == ATTEMPTS {
            let wrong = 2 * CALLERS - told;
            let note = if wrong == 0 { String::new() } else { format!(", {wrong} not told") };
            let ok = (first, second, wrong) == (1, 0, 0);
            return Ok(Outcome::new(format!("{first}, then {second}{note}"), ok));
        }
        clients = back;
    }
    unreachable!("the last attempt is judged")
}

async fn broken(stage: &Stage) -> Result<Outcome, ClientError> {
    stage.origin.delay(LOAD);
    let mut clients = stage.connect_many(CALLERS).await?;
    let (mut calls, mut told) = ([0; 2], 0);
    for (calls, mode) in calls.iter_mut().zip([Mode::CloseHalfway, Mode::Garbage]) {
        stage.origin.mode(mode);
        let key = stage.key(Space::Row);
        let (back, answers) = stage.herd(clients, &key).await;
        (*calls, clients) = (stage.loads(&key), back);
        told += refused(&answers);
    }
    Ok(Outcome::new(format!("{} + {}, {told}", calls[0], calls[1]), calls == [1, 1] && told == 2 * CALLERS))
}

async fn deadline(stage: &Stage) -> Result<Outcome, ClientError> {
    stage.origin.delay(Space::DEADLINE * 5);
    let key = stage.key(Space::Hasty);
    let (clients, answers) = stage.herd(stage.connect_many(CALLERS).await?, &key).await;
    let told = answers.iter().filter(|answered| answered.answer.refused() && answered.seen.ended == 0).count();
    stage.until(&key, |seen| seen.ended > 0).await?;
    let mut client = clients.into_iter().next().ok_or(ClientError::Broken(std::io::ErrorKind::NotFound.into()))?;
    let later = stage.get(&mut client, &key).await.served();
    let loads = stage.loads(&key);
    let shown = format!("{loads}, {told}, {}", if later { "yes" } else { "no" });
    Ok(Outcome::new(shown, loads == 1 && told == CALLERS && later))
}

/// A key whose first version is resident and stale by now, and 100 clients.
async fn gone_stale(stage: &Stage) -> Result<(Key, Vec<Client>), ClientError> {
    let key = stage.key(Space::Grace);
    let mut clients = stage.connect_many(CALLERS).await?;
    if let Some(first) = clients.first_mut() {
        stage.get(first, &key).await;
    }
    sleep(Space::SHORT_TTL + Space::SHORT_TTL / 3).await;
    Ok((key, clients))
}

async fn grace(stage: &Stage) -> Result<Outcome, ClientError> {
    let (key, clients) = gone_stale(stage).await?;
    stage.write(&key, 2);
    stage.origin.delay(Space::SHORT_TTL * 2);
    let before = stage.seen(&key);
    let (mut clients, answers) = stage.herd(clients, &key).await;
    let at_once = |answered: &&Answered| answered.answer.version() == Some(1) && answered.seen.ended == before.ended;
    let waited = CALLERS - answers.iter().filter(at_once).count();
    stage.until(&key, |seen| seen.ended > before.ended).await?;
    let loads = stage.loads(&key) - before.requests;
    let fresh = lands(stage, &key, &mut clients).await;
    let shown = format!("{waited}, {loads}, {}", if fresh { "yes" } else { "no" });
    Ok(Outcome::new(shown, (waited, loads) == (0, 1) && fresh))
}

/// Does the refresh that the origin has answered reach callers within a moment?
async fn lands(stage: &Stage, key: &Key, clients: &mut [Client]) -> bool {
    let begun = Instant::now();
    for client in clients {
        if stage.get(client, key).await.version() == Some(2) {
            return true;
        }
        if begun.elapsed() > LANDING {
            return false;
        }
        sleep(LOAD).await;
    }
    false
}

async fn down(stage: &Stage) -> Result<Outcome, ClientError> {
    let (key, clients) = gone_stale(stage).await?;
    stage.origin.mode(Mode::Status(503));
    stage.origin.delay(LOAD * 5);
    let before = stage.loads(&key);
    let (_, answers) = stage.herd(clients, &key).await;
    stage.until(&key, |seen| seen.ended == seen.requests && seen.requests > before).await?;
    let (failed, calls) = (CALLERS - served(&answers), stage.loads(&key) - before);
    Ok(Outcome::new(format!("{failed}, {calls}"), (failed, calls) == (0, 1)))
}

//! How is a script played to a server? Requests go out at their moments, whatever has become of earlier ones.

mod back_office;
mod wire;

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::LocalSet;

use crate::database::{Database, Fault};
use crate::failure::Failure;
use crate::ledger::{Asked, Ledger};
use crate::script::{Ask, Scale, Script};
use crate::side::Running;
use back_office::BackOffice;
use wire::{Herd, Wire};

/// Requests that go out together while a cache is warmed: few enough for the guard's queue.
const WARM_BATCH: usize = 64;
/// Rounds in which a cache must be warm.
const WARM_ROUNDS: usize = 3;
/// A round of warming takes at most this long.
const WARM_LIMIT: Duration = Duration::from_secs(10);
/// How often it is looked whether the last answers have come.
const LOOK: Duration = Duration::from_millis(5);

/// Fills the side's cache as the script says. The database answers at once meanwhile, so that nobody has to watch it.
pub(crate) async fn warm(running: &Running, script: &Script, scale: &Scale) -> Result<(), String> {
    running.database().suffer(Fault::Takes(Duration::ZERO));
    for (ids, pause) in &script.warm {
        let mut missing: VecDeque<u32> = ids.iter().copied().collect();
        let mut words = String::new();
        for _ in 0..WARM_ROUNDS {
            (missing, words) = LocalSet::new().run_until(warm_round(running, missing, scale)).await;
            if missing.is_empty() {
                break;
            }
        }
        if !missing.is_empty() {
            return Err(format!("{} of {} pages could not be loaded: {words}", missing.len(), ids.len()));
        }
        tokio::time::sleep(*pause).await;
    }
    Ok(())
}

/// Asks for each page; those that could not be had, and what was said instead.
async fn warm_round(running: &Running, ids: VecDeque<u32>, scale: &Scale) -> (VecDeque<u32>, String) {
    let limit = Instant::now() + WARM_LIMIT;
    let herd = Herd::new(Arc::new(Mutex::new(Ledger::default())), running.database().clone(), scale);
    let wire = match Wire::open(running.address(), 0, &herd).await {
        Ok(wire) => wire,
        Err(error) => return (ids, error.to_string()),
    };
    let (mut rest, mut failed, mut words) = (ids, VecDeque::new(), String::new());
    while !rest.is_empty() {
        let batch: Vec<u32> = rest.drain(..rest.len().min(WARM_BATCH)).collect();
        let before = herd.ledger.lock().failed;
        let asked = wire.ask(batch.iter().map(|id| Asked { id: *id, at: Instant::now(), price: 0 })).await;
        while asked.is_ok() && wire.outstanding() > 0 && Instant::now() < limit {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ledger = herd.ledger.lock();
        if asked.is_err() || wire.outstanding() > 0 || ledger.failed > before {
            words = ledger.words.keys().next_back().cloned().unwrap_or_else(|| "no answer".to_owned());
            failed.extend(batch);
        }
    }
    (failed, words)
}

/// Plays the script to its end and answers how long it took. What the callers got goes into `ledger`.
pub(crate) async fn play(
    running: &Running,
    script: &Script,
    scale: &Scale,
    ledger: &Arc<Mutex<Ledger>>,
    connections: usize,
) -> Result<Duration, Failure> {
    let herd = Herd::new(ledger.clone(), running.database().clone(), scale);
    LocalSet::new().run_until(played(running, script, scale, herd, connections)).await
}

async fn played(
    running: &Running,
    script: &Script,
    scale: &Scale,
    herd: Rc<Herd>,
    connections: usize,
) -> Result<Duration, Failure> {
    let mut wires = Vec::new();
    for number in 0..connections.min(script.connections).max(1) {
        wires.push(Wire::open(running.address(), number, &herd).await?);
    }
    running.database().suffer(Fault::Takes(script.query));
    running.database().reset();
    let begun = Instant::now();
    let faults = tokio::task::spawn_local(suffer(running.database().clone(), script.faults.clone(), begun));
    let office = BackOffice::open(running, script, begun)?;
    let sent = send(&wires, &herd, script, begun, office.price()).await;
    let answered = wait(&wires, begun + script.length() + scale.deadline + scale.slack).await;
    faults.abort();
    herd.give_up(&wires);
    office.close()?;
    sent?;
    Ok(answered.saturating_duration_since(begun))
}

/// Sends each request at its moment. Those that are due together go out together, evenly over the idle connections.
async fn send(
    wires: &[Rc<Wire>],
    herd: &Herd,
    script: &Script,
    begun: Instant,
    price: &AtomicU64,
) -> Result<(), io::Error> {
    let mut rest: &[Ask] = &script.asks;
    while let Some(first) = rest.first() {
        tokio::time::sleep_until((begun + first.at).into()).await;
        let passed = begun.elapsed();
        let due = rest.partition_point(|ask| ask.at <= passed);
        let (mut now, later) = rest.split_at(due);
        rest = later;
        while !now.is_empty() {
            let (wire, share) = herd.next(wires, now.len());
            let (batch, others) = now.split_at(share);
            now = others;
            herd.ledger.lock().asked += batch.len() as u64;
            // Removals that were acknowledged by now count against what comes back.
            let price = price.load(Ordering::Acquire);
            let at = Instant::now();
            let asked = |ask: &Ask| Asked { id: ask.id, at, price: if ask.id == script.star { price } else { 0 } };
            wire.ask(batch.iter().map(asked)).await?;
        }
    }
    Ok(())
}

/// Until everything is answered, at most until `limit`; when that was.
async fn wait(wires: &[Rc<Wire>], limit: Instant) -> Instant {
    while Instant::now() < limit && wires.iter().any(|wire| wire.outstanding() > 0) {
        tokio::time::sleep(LOOK).await;
    }
    Instant::now()
}

async fn suffer(database: Arc<Database>, faults: Vec<(Duration, Fault)>, begun: Instant) {
    for (at, fault) in faults {
        tokio::time::sleep_until((begun + at).into()).await;
        database.suffer(fault);
    }
}

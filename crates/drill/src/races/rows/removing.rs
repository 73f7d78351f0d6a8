//! A row is written and its key removed while a load runs: does anybody get the older value?

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use tokio::time::{sleep, sleep_until};

use crate::answer::Answer;
use crate::client::Client;
use crate::error::ClientError;
use crate::key::Key;
use crate::origin::Seen;
use crate::races::row::{Outcome, Row};
use crate::races::space::Space;
use crate::races::stage::Stage;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "kept",
        race: "a write and a DEL during a load: the older value is kept",
        wanted: "0",
        run: |stage| Box::pin(kept(stage)),
    },
    Row {
        name: "read",
        race: "a read that begins after DEL was answered, during the older load: stale",
        wanted: "0",
        run: |stage| Box::pin(read(stage)),
    },
    Row {
        name: "ordered",
        race: "DEL and GET in one pipeline, during the older load: stale",
        wanted: "0",
        run: |stage| Box::pin(ordered(stage)),
    },
    Row {
        name: "storm",
        race: "500 DEL/s and 10,000 GET/s on one key: stale, failed, loads at once",
        wanted: "0, 0, <= 2",
        run: |stage| Box::pin(storm(stage)),
    },
];

const LOAD: Duration = Duration::from_millis(60);
const STORM_LOAD: Duration = Duration::from_millis(5);
/// 500 a second.
const DEL_EVERY: Duration = Duration::from_millis(2);
/// 20 connections, each 10 reads every 20 ms: 10,000 a second.
const READERS: usize = 20;
const READS: usize = 10;
const READS_EVERY: Duration = Duration::from_millis(20);

/// A load that has read version 1 is under way, and version 2 is written.
async fn overtaken(stage: &Stage) -> Result<(Key, Client), ClientError> {
    stage.origin.delay(LOAD);
    let key = stage.key(Space::Row);
    let leader = stage.leader(&key).await?;
    stage.write(&key, 2);
    Ok((key, leader))
}

async fn kept(stage: &Stage) -> Result<Outcome, ClientError> {
    let (mut client, mut stale) = (stage.connect().await?, 0);
    for _ in 0..stage.scale.tries {
        let (key, mut leader) = overtaken(stage).await?;
        client.call(&["DEL", &key.name]).await?;
        // What the leader gets began before: it may be either version.
        leader.read().await?;
        stale += u64::from(stage.get(&mut client, &key).await != Answer::Version(2));
    }
    Ok(Outcome::none_of(stale, stage.scale.tries))
}

async fn read(stage: &Stage) -> Result<Outcome, ClientError> {
    let (mut client, mut stale) = (stage.connect().await?, 0);
    for _ in 0..stage.scale.tries {
        let (key, mut leader) = overtaken(stage).await?;
        client.call(&["DEL", &key.name]).await?;
        stale += u64::from(stage.get(&mut client, &key).await != Answer::Version(2));
        leader.read().await?;
    }
    Ok(Outcome::none_of(stale, stage.scale.tries))
}

async fn ordered(stage: &Stage) -> Result<Outcome, ClientError> {
    let (mut client, mut stale) = (stage.connect().await?, 0);
    for _ in 0..stage.scale.tries {
        let (key, mut leader) = overtaken(stage).await?;
        client.send(&[&["DEL", &key.name], &["GET", &key.name]]).await?;
        client.read().await?;
        stale += u64::from(Answer::of(client.read().await, &key) != Answer::Version(2));
        leader.read().await?;
    }
    Ok(Outcome::none_of(stale, stage.scale.tries))
}

/// What a storm is judged by.
#[derive(Default)]
struct Storm {
    /// The newest version whose DEL was answered: no read that begins now may get an older one.
    acknowledged: AtomicU64,
    over: AtomicBool,
    removals: AtomicU64,
    reads: AtomicU64,
    stale: AtomicU64,
    failed: AtomicU64,
}

async fn storm(stage: &Stage) -> Result<Outcome, ClientError> {
    stage.origin.delay(STORM_LOAD);
    let (key, storm) = (stage.key(Space::Row), Storm::default());
    let mut writer = stage.connect().await?;
    let readers = stage.connect_many(READERS).await?;
    let begun = Instant::now();
    let writing = async {
        let written = write(stage, &key, &storm, &mut writer).await;
        storm.over.store(true, Ordering::SeqCst);
        written
    };
    let reading = join_all(readers.into_iter().map(|client| read_on(&key, &storm, client)));
    let (written, _) = join(writing, reading).await;
    written?;
    let per_second = |count: &AtomicU64| count.load(Ordering::SeqCst) as f64 / begun.elapsed().as_secs_f64();
    let rates = (per_second(&storm.removals), per_second(&storm.reads));
    let (stale, failed) = (storm.stale.load(Ordering::SeqCst), storm.failed.load(Ordering::SeqCst));
    let Seen { peak, requests: loads, .. } = stage.seen(&key);
    let shown = format!("{stale}, {failed}, {peak} ({:.0} DEL/s, {:.0} GET/s, {loads} loads)", rates.0, rates.1);
    Ok(Outcome::new(shown, stale == 0 && failed == 0 && (1..=2).contains(&peak)))
}

async fn write(stage: &Stage, key: &Key, storm: &Storm, client: &mut Client) -> Result<(), ClientError> {
    let begun = tokio::time::Instant::now();
    for n in 1.. {
        let due = begun + DEL_EVERY * n;
        if due > begun + stage.scale.storm {
            break;
        }
        sleep_until(due).await;
        let version = u64::from(n) + 1;
        stage.write(key, version);
        client.call(&["DEL", &key.name]).await?;
        storm.acknowledged.store(version, Ordering::SeqCst);
        storm.removals.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

async fn read_on(key: &Key, storm: &Storm, mut client: Client) {
    let get = ["GET", key.name.as_str()];
    let batch = [get.as_slice(); READS];
    while !storm.over.load(Ordering::SeqCst) {
        let next = tokio::time::Instant::now() + READS_EVERY;
        let floor = storm.acknowledged.load(Ordering::SeqCst);
        if client.send(&batch).await.is_err() {
            storm.failed.fetch_add(1, Ordering::SeqCst);
            return;
        }
        for _ in 0..READS {
            match Answer::of(client.read().await, key) {
                Answer::Version(version) => storm.stale.fetch_add(u64::from(version < floor), Ordering::SeqCst),
                Answer::Lost => {
                    storm.failed.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                _ => storm.failed.fetch_add(1, Ordering::SeqCst),
            };
            storm.reads.fetch_add(1, Ordering::SeqCst);
        }
        sleep(next.saturating_duration_since(tokio::time::Instant::now())).await;
    }
}

//! One key is asked for 160 times as often, from one moment to the next: how soon does the fleet say that it is hot?

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::answer::Answer;
use crate::client::Client;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::space::Space;
use crate::incidents::stage::Stage;
use crate::key::Key;

/// Of a node, as these servers are told: at the spike a server sees its share of a hot key within a quarter of a window.
const NODES: &str = "\n[hot]\ncapacity = \"4800/s\"\n";
/// Before: one call of each server in so much time.
const SLOWLY: Duration = Duration::from_millis(50);
/// Then so many in a pipeline: 3,200 a second, 320 in a window.
const QUICKLY: Duration = Duration::from_millis(5);
const AT_ONCE: usize = 16;
/// The least that a spike is.
const TIMES: f64 = 100.0;
/// It is over, whether it was seen or not.
const LIMIT: Duration = Duration::from_secs(2);
/// It goes on for so long at least.
const LEAST: Duration = Duration::from_millis(500);
/// Between two looks at a server's list.
const LOOK: Duration = Duration::from_millis(3);
/// Where a server sees it by itself: 30 ms, and 70 for the looks and a busy machine.
const HERE: Duration = Duration::from_millis(100);
/// Everywhere: 300 ms, and 100 for the same.
const EVERYWHERE: Duration = Duration::from_millis(400);
/// A call that takes longer is one that its caller gave up.
const PATIENCE: Duration = Duration::from_secs(1);

/// What callers of one server were told.
#[derive(Clone, Copy, Default)]
struct Told {
    asked: u64,
    failed: u64,
}

pub(super) async fn spike(stage: &mut Stage) -> Result<Vec<Check>, DrillError> {
    stage.fleet_told(NODES).await?;
    stage.origin.delay(Duration::ZERO);
    let (key, everyone) = (stage.key(Space::Long), 0..stage.fleet.len());
    let (usual, mut callers) = (Instant::now(), stage.connect_many(&everyone.clone().collect::<Vec<_>>(), 1).await?);
    let before = calmly(&mut callers, &key, stage.scale.before / 2).await;
    let before_rate = before.asked as f64 / usual.elapsed().as_secs_f64();
    let mut lookers = stage.connect_many(&everyone.collect::<Vec<_>>(), 1).await?;

    let (over, begun) = (AtomicBool::new(false), Instant::now());
    let looking = async {
        let seen = join_all(lookers.iter_mut().map(|looker| until_hot(looker, &key, begun))).await;
        sleep(LEAST.saturating_sub(begun.elapsed())).await;
        over.store(true, Ordering::SeqCst);
        seen
    };
    let asking = join_all(callers.iter_mut().map(|caller| storm(caller, &key, &over)));
    let (seen, told) = join(looking, asking).await;
    let rate = told.iter().map(|told| told.asked).sum::<u64>() as f64 / begun.elapsed().as_secs_f64();
    let times = rate / before_rate.max(1.0);

    let here = seen.iter().flatten().min().copied();
    let everywhere = seen.iter().copied().collect::<Option<Vec<_>>>().and_then(|seen| seen.into_iter().max());
    let failed = before.failed + told.iter().map(|told| told.failed).sum::<u64>();
    let asked = before.asked + told.iter().map(|told| told.asked).sum::<u64>();
    Ok(vec![
        soon("hot", "a key asked for 160 times as often: ms until a server says that it is hot", here, HERE, times),
        soon("hot-all", "the same, until all of the fleet say so", everywhere, EVERYWHERE, times),
        Check::none("timeouts", "calls without the row in 1 s, before and meanwhile", failed, asked)
            .note(format!("{rate:.0}/s, before {before_rate:.0}/s")),
    ])
}

fn soon(name: &'static str, what: &'static str, took: Option<Duration>, limit: Duration, times: f64) -> Check {
    let measured = took.map_or_else(|| "never".to_owned(), |took| took.as_millis().to_string());
    let wanted = format!("<= {}", limit.as_millis()).into();
    // A machine that can't ask so much more shows nothing.
    let ok = took.is_some_and(|took| took <= limit) && times >= TIMES;
    Check { name, what: what.into(), measured, wanted, ok }.note(format!("{times:.0} x"))
}

/// As often as ever, at every server.
async fn calmly(callers: &mut [Client], key: &Key, length: Duration) -> Told {
    let all = join_all(callers.iter_mut().map(|caller| async move {
        let (mut told, begun) = (Told::default(), Instant::now());
        while begun.elapsed() < length {
            several(caller, key, 1, &mut told).await;
            sleep(SLOWLY).await;
        }
        told
    }));
    let sum = |sum: Told, of: Told| Told { asked: sum.asked + of.asked, failed: sum.failed + of.failed };
    all.await.into_iter().fold(Told::default(), sum)
}

/// Until the spike is over.
async fn storm(caller: &mut Client, key: &Key, over: &AtomicBool) -> Told {
    let (mut told, begun, mut ticks) = (Told::default(), Instant::now(), interval(QUICKLY));
    // What a busy machine is late with is made up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while !over.load(Ordering::SeqCst) && begun.elapsed() < LIMIT {
        ticks.tick().await;
        several(caller, key, AT_ONCE, &mut told).await;
    }
    told
}

/// So many calls in one pipeline.
async fn several(caller: &mut Client, key: &Key, count: usize, told: &mut Told) {
    let words: &[&str] = &["GET", &key.name];
    let sent = caller.send(&vec![words; count]).await;
    told.asked += count as u64;
    let mut replies = pin!(async {
        let mut served = 0;
        for _ in 0..count {
            served += u64::from(Answer::of(caller.read().await, key).served());
        }
        served
    });
    let served = if sent.is_ok() { timeout(PATIENCE, &mut replies).await.unwrap_or_default() } else { 0 };
    told.failed += count as u64 - served;
}

/// How long it took until a server said of a key that it is hot; none if it never did.
async fn until_hot(looker: &mut Client, key: &Key, begun: Instant) -> Option<Duration> {
    while begun.elapsed() < LIMIT {
        let rows = looker.call(&["BW.HOTKEYS"]).await.ok()?;
        let says = |row: &bellwether_resp::Value, name: &str, word: &str| {
            let pairs = row.pairs().unwrap_or_default();
            let mut fields = pairs.into_iter().filter(|(field, _)| field.as_bytes() == Some(name.as_bytes()));
            fields.any(|(_, value)| value.as_bytes() == Some(word.as_bytes()))
        };
        // Naive servers know no such command.
        let rows = rows.as_slice()?;
        if rows.iter().any(|row| says(row, "key", &key.name) && says(row, "stage", "hot")) {
            return Some(begun.elapsed());
        }
        sleep(LOOK).await;
    }
    None
}

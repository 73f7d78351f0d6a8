//! Three times what the origin bears is asked for, by classes: who is answered, and is the origin's work of use?

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use crate::answer::Answer;
use crate::client::Client;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::engine::Nodes;
use crate::incidents::space::Space;
use crate::incidents::stage::{Stage, get};

/// What the origin works on at once, and for how long: a hundred rows a second.
const WORKERS: usize = 5;
const LOAD: Duration = Duration::from_millis(50);
const BEARS: u32 = 100;
const TIMES: u32 = 3;
/// A caller's, and twice what the longest wait should be: half a second for a permit, and as much at the origin.
const PATIENCE: Duration = Duration::from_secs(2);
/// Until then the limit is looked for; rows are counted from here on.
const SETTLED: Duration = Duration::from_secs(1);
/// Of a hundred.
const CRITICAL: f64 = 99.9;
const GOODPUT: f64 = 95.0;
/// A machine that is too busy to ask for this much more shows nothing.
const MORE: f64 = 2.5;
/// One caller in four is of each.
const CLASSES: [&str; 4] = ["critical", "normal", "normal", "low"];

/// One call for a row that nobody has asked for.
struct Call {
    class: &'static str,
    /// From the phase's start.
    ended: Duration,
    answer: Answer,
}

/// So many connections as are open and unused, of each server.
type Idle = Vec<Mutex<Vec<Client>>>;

pub(super) async fn overload(stage: &mut Stage) -> Result<Vec<Check>, DrillError> {
    // Servers that have seen nothing yet: what was slow before is not what is usual.
    stage.replace_fleet(Nodes::First).await?;
    stage.origin.delay(LOAD);
    stage.origin.workers(Some(WORKERS));
    let (usual, over) = (stage.scale.before, stage.scale.trouble.min(MOST));
    let peak = rows(&ask(stage, BEARS, usual).await, usual);
    let calls = ask(stage, BEARS * TIMES, over).await;
    stage.origin.workers(None);
    let (goodput, asked) = (rows(&calls, over), calls.len() as f64 / over.as_secs_f64());
    let share = 100.0 * goodput / peak.max(1.0);
    let critical = answered(&calls, "critical");
    let others = ["normal", "low"].map(|class| format!("{class} {:.0}", answered(&calls, class))).join(", ");
    let count = calls.iter().filter(|call| call.class == "critical").count();
    Ok(vec![
        Check {
            name: "critical",
            what: "asked three times what it bears: critical callers given the row in 2 s, of 100".into(),
            measured: format!("{critical:.1} (of {count}; {others})"),
            wanted: format!(">= {CRITICAL}").into(),
            ok: critical >= CRITICAL,
        },
        Check {
            name: "goodput",
            what: "meanwhile: rows that callers were given a second, of 100 as it is asked what it bears".into(),
            measured: format!("{share:.0} ({goodput:.0}/s, before {peak:.0}/s; {asked:.0}/s asked)"),
            wanted: format!(">= {GOODPUT:.0}, {MORE} x asked").into(),
            ok: share >= GOODPUT && asked >= MORE * peak,
        },
    ])
}

/// Beyond this a naive fleet would hold thousands of connections open at the origin.
const MOST: Duration = Duration::from_secs(6);

/// Calls at a rate, whatever becomes of those before, each for another row.
async fn ask(stage: &Stage, rate: u32, length: Duration) -> Vec<Call> {
    let idle: Idle = stage.fleet.iter().map(|_| Mutex::default()).collect();
    let (idle, begun) = (&idle, Instant::now());
    let (gap, servers) = (Duration::from_secs(1) / rate, idle.len().max(1));
    let count = usize::try_from(length.as_nanos() / gap.as_nanos()).unwrap_or_default();
    let calls = (0..count).map(|number| async move {
        sleep(gap * u32::try_from(number).unwrap_or(u32::MAX)).await;
        let class = CLASSES[number / servers % CLASSES.len()];
        let asking = one(stage, idle, number % servers, class);
        let answer = timeout(PATIENCE, asking).await.unwrap_or(Answer::Lost);
        Call { class, ended: begun.elapsed(), answer }
    });
    join_all(calls).await
}

async fn one(stage: &Stage, idle: &Idle, server: usize, class: &str) -> Answer {
    let (key, idle) = (stage.key(Space::Long), &idle[server]);
    let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let client = match kept {
        Some(client) => Ok(client),
        None => stage.connect(server).await,
    };
    let Ok(mut client) = client else { return Answer::Lost };
    let answer = if stage.is_naive() {
        // It knows of no classes.
        get(&mut client, &key).await
    } else {
        Answer::of_terms(client.call(&["BW.GET", &key.name, "PRIORITY", class]).await, &key)
    };
    if answer != Answer::Lost {
        idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
    }
    answer
}

/// Rows that callers were given, a second, once all has settled and until the phase's end.
fn rows(calls: &[Call], length: Duration) -> f64 {
    let counted = calls.iter().filter(|call| call.answer.served() && (SETTLED..length).contains(&call.ended));
    counted.count() as f64 / length.saturating_sub(SETTLED).as_secs_f64()
}

/// Of a hundred calls of a class.
fn answered(calls: &[Call], class: &str) -> f64 {
    let of_class = || calls.iter().filter(|call| call.class == class);
    let served = of_class().filter(|call| call.answer.served()).count();
    100.0 * served as f64 / of_class().count().max(1) as f64
}

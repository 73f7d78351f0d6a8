//! A whole fleet ends and starts again at once, and nothing is left in the engine that it shared: what do callers and the
//! origin notice, where each process has its hot list and its disk?

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::time::sleep;

use crate::answer::Answer;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::fleet::Member;
use crate::incidents::herd::{Call, meanwhile_these, p99};
use crate::incidents::space::Space;
use crate::incidents::stage::Stage;

const KEYS: u64 = 200;
const LOAD: Duration = Duration::from_millis(50);
/// What the origin works on at once: 320 rows a second, less than four servers ask for that have nothing.
const WORKERS: usize = 16;
/// Loads beside the number of keys.
const LOADS: f64 = 1.25;
/// Entries and the hot list outlive the process.
const SNAPSHOTS: &str = "\n[disk]\npath = \"disk\"\nlimit = \"16 MiB\"\n";

pub(super) async fn together(stage: &mut Stage) -> Result<Vec<Check>, DrillError> {
    stage.fleet_told(SNAPSHOTS).await?;
    let (everyone, keys) = ((0..stage.fleet.len()).collect::<Vec<_>>(), stage.keys(Space::Long, KEYS));
    for &server in &everyone {
        stage.read(server, &keys).await?;
    }
    stage.origin.delay(LOAD);
    stage.origin.workers(Some(WORKERS));
    let begun = Instant::now();
    let script = async {
        // They are asked for what their lists will name.
        sleep(stage.scale.after / 3).await;
        let before = stage.loads(&keys);
        try_join_all(stage.fleet.iter().map(Member::end)).await?;
        stage.empty().await?;
        try_join_all(stage.fleet.iter().map(Member::restart)).await?;
        let up = begun.elapsed();
        sleep(stage.scale.after).await;
        Ok((up, stage.loads(&keys) - before))
    };
    let ((up, loads), calls) = meanwhile_these(stage, &everyone, &keys, script).await?;
    stage.origin.workers(None);
    let (bad, lost) = calls.iter().filter(|call| !call.answer.served()).partition::<Vec<_>, _>(|call| failed(call, up));
    let slow = p99(&calls, up, Duration::MAX).unwrap_or_default().as_millis();
    let what = format!("all {} restarted at once, Redis empty: loads of {KEYS} keys", everyone.len());
    let asked = calls.iter().filter(|call| call.at >= up).count();
    Ok(vec![
        Check::most("together", what, loads, (KEYS as f64 * LOADS) as u64),
        Check::none(
            "meanwhile",
            "answers other than the row, and calls lost once they listen",
            bad.len() as u64,
            calls.len() as u64,
        )
        .note(format!("{} calls while they were down; from then on {asked}, p99 {slow} ms", lost.len())),
    ])
}

/// Who calls a server that is down has no answer; nobody fails otherwise.
fn failed(call: &Call, up: Duration) -> bool {
    call.answer != Answer::Lost || call.at >= up
}

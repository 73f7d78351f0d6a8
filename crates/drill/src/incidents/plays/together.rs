//! A whole fleet ends and starts again at once, and nothing is left in the engine that it shared: what do callers and the
//! origin notice, where each process has its hot list and no entries?

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::time::sleep;

use crate::answer::Answer;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::fleet::Member;
use crate::incidents::herd::{Call, meanwhile_these, p99};
use crate::incidents::pulse::felt;
use crate::incidents::space::{PATIENT, Space};
use crate::incidents::stage::Stage;

const KEYS: u64 = 200;
/// Of them so many are asked for all the time, the others some times before, and nobody asks for them meanwhile.
const ASKED: usize = 100;
const LOAD: Duration = Duration::from_millis(50);
/// What the origin works on at once: 320 rows a second, less than four servers ask for that have nothing.
const WORKERS: usize = 16;
/// Loads beside the number of keys.
const LOADS: f64 = 1.25;
/// Reads of each key at each server: a list names what was found, not what was loaded.
const READS: usize = 6;
/// Loads of keys that the lists named and nobody had asked for yet, of a hundred: nine tenths are loaded before.
const LATE: u64 = 10;
/// The hot list outlives the process, its entries do not: with them nobody would notice much.
const LISTS: &str = "\n[disk]\npath = \"disk\"\nlimit = \"16 MiB\"\non_restart = \"drop\"\n";

pub(super) async fn together(stage: &mut Stage) -> Result<Vec<Check>, DrillError> {
    stage.fleet_told(LISTS).await?;
    let (everyone, keys) = ((0..stage.fleet.len()).collect::<Vec<_>>(), stage.keys(Space::Long, KEYS));
    for &server in everyone.iter().cycle().take(READS * everyone.len()) {
        stage.read(server, &keys).await?;
    }
    stage.origin.delay(LOAD);
    stage.origin.workers(Some(WORKERS));
    let (asked, unasked) = keys.split_at(ASKED);
    let begun = Instant::now();
    let script = async {
        sleep(stage.scale.after / 3).await;
        let before = stage.loads(&keys);
        let asked_to_end = Instant::now();
        try_join_all(stage.fleet.iter().map(Member::end)).await?;
        let ended = asked_to_end.elapsed();
        stage.empty().await?;
        try_join_all(stage.fleet.iter().map(Member::restart)).await?;
        let up = begun.elapsed();
        sleep(stage.scale.after).await;
        Ok((ended, up, stage.loads(&keys) - before))
    };
    let meanwhile = meanwhile_these(stage, &everyone, asked, script);
    let (((ended, up, loads), calls), pulse) = felt(stage, PATIENT, meanwhile).await?;
    let (ahead, listed) = (stage.loads(unasked), unasked.len() as u64);
    let absent = try_join_all(everyone.iter().map(|&server| stage.not_at(server, unasked, 1))).await?;
    let absent = absent.into_iter().sum::<u64>();
    let late = stage.loads(unasked) - ahead;
    stage.origin.workers(None);
    let (bad, lost) = calls.iter().filter(|call| !call.answer.served()).partition::<Vec<_>, _>(|call| failed(call, up));
    let slow = p99(&calls, up, Duration::MAX).unwrap_or_default().as_millis();
    let what = format!("all {} restarted at once, Redis empty: loads of {KEYS} keys", everyone.len());
    let after = calls.iter().filter(|call| call.at >= up).count();
    Ok(vec![
        Check::most("together", what, loads, (KEYS as f64 * LOADS) as u64).note(pulse.to_string()),
        Check::none(
            "meanwhile",
            "answers other than the row, and calls lost once they listen",
            bad.len() as u64,
            calls.len() as u64,
        )
        .note(format!("{} calls while they were down; from then on {after}, p99 {slow} ms", lost.len())),
        Check::most(
            "ahead",
            format!("loads of {listed} other keys of the lists, as all servers are asked at last"),
            late,
            LATE,
        )
        // One that is not done in five seconds is killed, and leaves no list.
        .note(format!("{absent} answers other than the row; all had ended after {:.1} s", ended.as_secs_f64())),
    ])
}

/// Who calls a server that is down has no answer; nobody fails otherwise.
pub(super) fn failed(call: &Call, up: Duration) -> bool {
    call.answer != Answer::Lost || call.at >= up
}

//! Many keys are loaded in the same moment, and so would expire in the same moment, again and again.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::time::{sleep, timeout_at};

use crate::control::FleetFlaw;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::herd::{failed, first_failure, meanwhile_these};
use crate::incidents::incident::Incident;
use crate::incidents::kind::Kind;
use crate::incidents::space::{BUDGET, Space};
use crate::incidents::stage::Stage;
use crate::key::Key;

/// `avalanche`
pub(super) const AVALANCHE: Incident = Incident {
    name: "avalanche",
    what: "many keys are loaded in one moment, and all expire together unless somebody spreads them",
    kinds: &[Kind::Redis],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Coalescing],
    elsewhere: true,
    budget: BUDGET,
    filters: false,
    play: |stage| Box::pin(play(stage)),
};

const SERVERS: usize = 2;
/// Loads at once, of each server.
const PERMITS: u64 = 64;
const LOAD: Duration = Duration::from_millis(5);
/// Keys at least: of few nothing is spread, their refreshes cost nothing.
const KEYS: u64 = 2_000;
/// Connections to each server that read them.
const READERS: usize = 20;
/// Between two rounds over all keys.
const ROUND: Duration = Duration::from_millis(250);
/// Loads are counted by so long.
const SECOND: Duration = Duration::from_secs(1);
/// Waves that are watched.
const WAVES: u32 = 2;

async fn play(stage: &Stage) -> Result<Vec<Check>, DrillError> {
    let (everyone, keys) = ((0..SERVERS).collect::<Vec<_>>(), stage.keys(Space::Wave, stage.scale.keys.max(KEYS)));
    stage.origin.delay(LOAD);
    // Over many connections: not every server works on two commands of one at once.
    let parts: Vec<&[Key]> = keys.chunks(keys.len() / READERS).collect();
    let read_all =
        async |server: usize| try_join_all(parts.iter().map(|part| stage.read(server, part))).await.map(|_| ());
    let missing = async |server: usize| {
        let missing = try_join_all(parts.iter().map(|part| stage.not_at(server, part, 1))).await?;
        Ok::<u64, DrillError>(missing.into_iter().sum())
    };
    for &server in &everyone {
        read_all(server).await?;
        // Who was turned away, because so many came at once, asks again.
        let begun = Instant::now();
        while missing(server).await? > 0 && begun.elapsed() < Space::WAVE / 4 {}
    }
    let reading = async |server: usize, until: Instant| {
        while Instant::now() < until {
            // A slow server's last round is not waited for.
            if let Ok(read) = timeout_at(until.into(), read_all(server)).await {
                read?;
            }
            sleep(ROUND).await;
        }
        Ok::<_, DrillError>(())
    };
    let script = async {
        // The first wave comes when the first values expire. It is let pass: a fleet that has just been started does not
        // know yet how many it is, and each of its servers goes by itself.
        sleep(Space::WAVE * 3 / 2).await;
        let until = Instant::now() + Space::WAVE * WAVES;
        let counting = async {
            let mut counts = Vec::new();
            let mut before = stage.loads(&keys);
            while Instant::now() + SECOND <= until {
                sleep(SECOND).await;
                let now = stage.loads(&keys);
                counts.push(now - before);
                before = now;
            }
            Ok(counts)
        };
        let (counts, one, two) = tokio::join!(counting, reading(0, until), reading(1, until));
        one.and(two)?;
        counts
    };
    let (counts, calls) = meanwhile_these(stage, &everyone, &keys, script).await?;
    let (all, peak) = (counts.iter().sum::<u64>(), counts.iter().copied().max().unwrap_or_default());
    let mean = all as f64 / counts.len().max(1) as f64;
    let note = first_failure(&calls).unwrap_or_else(|| "all served".into());
    let due = keys.len() as u64 * u64::from(WAVES + 1);
    Ok(vec![
        Check::none("errors", "calls without the row", failed(&calls), calls.len() as u64).note(note),
        Check {
            name: "peak",
            what: format!("{} keys with a ttl of 8 s: loads in the busiest second", keys.len()).into(),
            measured: format!("{peak} ({counts:?})"),
            wanted: format!("<= {:.0}, twice the mean", 2.0 * mean).into(),
            ok: peak as f64 <= 2.0 * mean && all > 0,
        },
        Check::most("loads", format!("loads in {WAVES} periods, one for each key and ttl"), all, due),
    ])
}

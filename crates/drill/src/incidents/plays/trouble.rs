//! The shared engine freezes, or dies, and comes back, under load.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::control::FleetFlaw;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::herd::{failed, first_failure, meanwhile, p99};
use crate::incidents::incident::Incident;
use crate::incidents::kind::Kind;
use crate::incidents::space::{BUDGET, Space};
use crate::incidents::stage::Stage;

/// `redis-frozen`
pub(super) const REDIS_FROZEN: Incident = Incident {
    name: "redis-frozen",
    what: "the shared Redis stops in the middle of what it does, and goes on later",
    kinds: &[Kind::Redis],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Coalescing, FleetFlaw::Lock],
    elsewhere: true,
    budget: BUDGET,
    filters: false,
    play: |stage| Box::pin(play(stage, Trouble::Frozen)),
};

/// `redis-down`
pub(super) const REDIS_DOWN: Incident = Incident {
    name: "redis-down",
    what: "the shared Redis is killed, and comes back empty",
    kinds: &[Kind::Redis],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Coalescing, FleetFlaw::Lock],
    elsewhere: true,
    budget: BUDGET,
    filters: false,
    play: |stage| Box::pin(play(stage, Trouble::Down)),
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Frozen,
    Down,
}

const SERVERS: usize = 3;
/// Loads at once, of each server.
const PERMITS: u64 = 16;
const LOAD: Duration = Duration::from_millis(100);
const KEYS: u64 = 20;
/// What a busy machine may add to an answer.
const SLACK: Duration = Duration::from_millis(150);
/// From the end of the trouble until all is as before.
const RECOVERY: Duration = Duration::from_secs(2);

async fn play(stage: &Stage, trouble: Trouble) -> Result<Vec<Check>, DrillError> {
    let (everyone, keys) = ((0..SERVERS).collect::<Vec<_>>(), stage.keys(Space::Short, KEYS));
    for &server in &everyone {
        stage.read(server, &keys).await?;
    }
    stage.origin.delay(LOAD);
    let begun = Instant::now();
    let script = async {
        sleep(stage.scale.before).await;
        let (from, loads) = (begun.elapsed(), stage.loads(&keys));
        begin(stage, trouble).await?;
        sleep(stage.scale.trouble).await;
        let (to, during) = (begun.elapsed(), stage.loads(&keys) - loads);
        end(stage, trouble).await?;
        sleep(RECOVERY).await;
        let recovered = stage.loads(&keys);
        sleep(stage.scale.after).await;
        Ok((from, to, during, stage.loads(&keys) - recovered))
    };
    let ((from, to, during, after), calls) = meanwhile(stage, &everyone, &keys, script).await?;
    let slow = p99(&calls, from, to).unwrap_or_default();
    let normal = p99(&calls, Duration::ZERO, from).unwrap_or_default();
    let allowed = BUDGET + LOAD + SLACK;
    // One load for each key, process and ttl, and one under way.
    let alone = KEYS * SERVERS as u64 * (periods(to.saturating_sub(from)) + 1);
    let together = KEYS * (periods(stage.scale.after) + 1);
    let note = first_failure(&calls).unwrap_or_else(|| "all served".into());
    Ok(vec![
        Check::none("errors", "calls without the row, before, meanwhile and after", failed(&calls), calls.len() as u64)
            .note(note),
        Check {
            name: "p99",
            what: "meanwhile: p99 of all answers, ms (the budget, a load)".into(),
            measured: format!("{} (before: {})", slow.as_millis(), normal.as_millis()),
            wanted: format!("<= {}", allowed.as_millis()).into(),
            ok: slow <= allowed,
        },
        Check::most("loads", "meanwhile: loads of 20 keys with a ttl of 1 s, each process alone", during, alone),
        Check::most("limits", "loads at once, all told", stage.origin.peak(), PERMITS * SERVERS as u64),
        Check::most("after", "from 2 s after on: loads of these keys, one for the fleet", after, together),
    ])
}

fn periods(time: Duration) -> u64 {
    time.div_duration_f64(Space::SHORT).ceil() as u64
}

async fn begin(stage: &Stage, trouble: Trouble) -> Result<(), DrillError> {
    if stage.engine.process().is_some() {
        return stage
            .with_engine(move |engine| match (engine.process(), trouble) {
                (Some(redis), Trouble::Frozen) => redis.freeze(),
                (Some(redis), Trouble::Down) => redis.kill(),
                (None, _) => Ok(()),
            })
            .await;
    }
    // Somebody's own is not touched: the way to it is.
    for member in &stage.fleet {
        match trouble {
            Trouble::Frozen => member.cut_off(),
            Trouble::Down => member.lose().await,
        }
    }
    Ok(())
}

async fn end(stage: &Stage, trouble: Trouble) -> Result<(), DrillError> {
    if stage.engine.process().is_some() {
        return stage
            .with_engine(move |engine| match (engine.process(), trouble) {
                (Some(redis), Trouble::Frozen) => redis.thaw(),
                (Some(redis), Trouble::Down) => redis.restart(),
                (None, _) => Ok(()),
            })
            .await;
    }
    for member in &stage.fleet {
        match trouble {
            Trouble::Frozen => member.reconnect(),
            Trouble::Down => member.find_again().await?,
        }
    }
    Ok(())
}

//! One popular key expires, and is written, under everybody who wants it.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::control::FleetFlaw;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::herd::{failed, first_failure, meanwhile_these, p99};
use crate::incidents::incident::Incident;
use crate::incidents::kind::Kind;
use crate::incidents::space::{BUDGET, Space};
use crate::incidents::stage::Stage;

/// `flash-sale`
pub(super) const FLASH_SALE: Incident = Incident {
    name: "flash-sale",
    what: "one popular key expires, then is written ten times a second, under everybody who wants it",
    kinds: &[Kind::Redis],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Coalescing, FleetFlaw::Lock],
    elsewhere: true,
    budget: BUDGET,
    filters: false,
    play: |stage| Box::pin(play(stage)),
};

const SERVERS: usize = 3;
/// Loads at once, of each server.
const PERMITS: u64 = 16;
const LOAD: Duration = Duration::from_millis(200);
const WRITE_EVERY: Duration = Duration::from_millis(100);

async fn play(stage: &Stage) -> Result<Vec<Check>, DrillError> {
    let everyone: Vec<usize> = (0..SERVERS).collect();
    let keys = stage.keys(Space::Short, 1);
    let key = std::slice::from_ref(&keys[0]);
    stage.origin.delay(LOAD);
    for &server in &everyone {
        stage.read(server, key).await?;
    }
    let (begun, loads) = (Instant::now(), stage.loads(key));
    let script = async {
        sleep(stage.scale.before + Space::SHORT).await;
        let (expired, expiries) = (begun.elapsed(), stage.loads(key) - loads);
        let (mut version, mut older) = (1, 0);
        while begun.elapsed() < expired + stage.scale.trouble {
            version += 1;
            stage.overwrite(0, key, version).await?;
            older += stage.not_at(0, key, version).await?;
            sleep(WRITE_EVERY).await;
        }
        Ok((expired, expiries, older, version - 1))
    };
    let ((expired, expiries, older, writes), calls) = meanwhile_these(stage, &everyone, key, script).await?;
    let waited = p99(&calls, Duration::ZERO, expired).unwrap_or_default();
    let periods = expired.div_duration_f64(Space::SHORT).ceil() as u64 + 1;
    let note = first_failure(&calls).unwrap_or_else(|| "all served".into());
    Ok(vec![
        Check::none("errors", "calls without the row", failed(&calls), calls.len() as u64).note(note),
        Check {
            name: "copy",
            what: "while it expires: p99 of all answers, ms; a load takes 200".into(),
            measured: waited.as_millis().to_string(),
            wanted: format!("< {}", (LOAD / 2).as_millis()).into(),
            ok: waited < LOAD / 2,
        },
        Check::most("expiry", "loads of it meanwhile, one for each ttl of 1 s", expiries, periods),
        Check::most("at-once", "loads of it at once while it is written", stage.seen(&keys[0]).peak, 2),
        Check::none("older", "reads at the writer right after its DEL: an older row", older, writes),
    ])
}

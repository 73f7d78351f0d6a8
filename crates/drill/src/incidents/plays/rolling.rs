//! The servers of a fleet are restarted one after the other, under load.

use tokio::time::sleep;

use crate::answer::Answer;
use crate::control::FleetFlaw;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::herd::meanwhile_these;
use crate::incidents::incident::Incident;
use crate::incidents::kind::Kind;
use crate::incidents::plays::kept::kept;
use crate::incidents::plays::together::together;
use crate::incidents::pulse::felt;
use crate::incidents::space::{PATIENT, Space};
use crate::incidents::stage::Stage;

/// `rolling-restart`
pub(super) const ROLLING_RESTART: Incident = Incident {
    name: "rolling-restart",
    what: "the servers are restarted one after the other under load, then all at once with nothing in the engine",
    kinds: &[Kind::Redis],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Alone],
    elsewhere: true,
    budget: PATIENT,
    filters: false,
    play: |stage| {
        Box::pin(async move {
            let mut checks = play(stage).await?;
            checks.extend(together(stage).await?);
            checks.extend(kept(stage).await?);
            Ok(checks)
        })
    },
};

const SERVERS: usize = 4;
/// Loads at once, of each server.
const PERMITS: u64 = 16;
const KEYS: u64 = 200;

async fn play(stage: &Stage) -> Result<Vec<Check>, DrillError> {
    let (everyone, keys) = ((0..SERVERS).collect::<Vec<_>>(), stage.keys(Space::Long, KEYS));
    for &server in &everyone {
        stage.read(server, &keys).await?;
    }
    let warm = stage.loads(&keys);
    let script = async {
        for member in &stage.fleet {
            sleep(stage.scale.after / 4).await;
            member.restart().await?;
        }
        sleep(stage.scale.after / 2).await;
        Ok(())
    };
    let (((), calls), pulse) = felt(stage, PATIENT, meanwhile_these(stage, &everyone, &keys, script)).await?;
    // Who was connected to a server that is killed loses its call.
    let lost = calls.iter().filter(|call| call.answer == Answer::Lost).count();
    let wrong = calls.iter().filter(|call| !call.answer.served() && call.answer != Answer::Lost).count() as u64;
    // What their new lives have in memory they were given by the engine.
    let mut missing = 0;
    for &server in &everyone {
        missing += stage.not_at(server, &keys, 1).await?;
    }
    let what = "answers other than the row";
    Ok(vec![
        Check::none("errors", what, wrong, calls.len() as u64)
            .note(format!("{lost} calls at a server as it was killed")),
        Check::none("loads", format!("loads of {KEYS} keys that the fleet has"), stage.loads(&keys) - warm, KEYS)
            .note(pulse.to_string()),
        Check::none("after", "rows that a server does not give afterwards", missing, KEYS * SERVERS as u64),
    ])
}

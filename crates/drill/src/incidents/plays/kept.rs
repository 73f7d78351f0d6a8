//! A whole fleet ends and starts again at once with what it kept, all of it stale, while the origin answers errors alone: is
//! anybody told of it?

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::time::sleep;

use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::fleet::Member;
use crate::incidents::herd::meanwhile_these;
use crate::incidents::plays::together::failed;
use crate::incidents::space::Space;
use crate::incidents::stage::Stage;
use crate::origin::Mode;

const KEYS: u64 = 100;
/// Disks as they are by default: what they kept is served as stale. The engine is asked first, and has kept the same.
const DISKS: &str = "\n[disk]\npath = \"disk\"\nlimit = \"16 MiB\"\n";

pub(super) async fn kept(stage: &mut Stage) -> Result<Vec<Check>, DrillError> {
    stage.origin.delay(Duration::ZERO);
    stage.fleet_told(DISKS).await?;
    let (everyone, keys) = ((0..stage.fleet.len()).collect::<Vec<_>>(), stage.keys(Space::Short, KEYS));
    for &server in &everyone {
        stage.read(server, &keys).await?;
    }
    let begun = Instant::now();
    let script = async {
        sleep(stage.scale.after / 3).await;
        try_join_all(stage.fleet.iter().map(Member::end)).await?;
        stage.origin.mode(Mode::Status(503));
        try_join_all(stage.fleet.iter().map(Member::restart)).await?;
        let up = begun.elapsed();
        sleep(stage.scale.after).await;
        stage.origin.mode(Mode::Answer);
        Ok(up)
    };
    let (up, calls) = meanwhile_these(stage, &everyone, &keys, script).await?;
    let bad = calls.iter().filter(|call| !call.answer.served() && failed(call, up)).count() as u64;
    let after = calls.iter().filter(|call| call.at >= up).count() as u64;
    let what = "all restarted with what they kept, which is stale, 503 of the origin: answers other than the row";
    Ok(vec![Check::none("kept", what, bad, after).note("of those made once they listen")])
}

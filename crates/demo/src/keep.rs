//! What remains to be tried by hand? Bellwether before the weak shop, until Ctrl-C.

use std::path::Path;
use std::time::Duration;

use bellwether_server::connections::Face;

use crate::database::{Fault, QUERY};
use crate::failure::Failure;
use crate::run::Stage;
use crate::script::Scale;
use crate::side::{Running, Side, Terms};
use crate::view::Say;

/// Long enough to look at an entry, short enough to see it refreshed.
const TTL: Duration = Duration::from_secs(10);

/// Serves until somebody wants to leave.
pub(crate) fn serve(stage: &mut Stage, home: &Path, scale: &Scale, say: Say) -> Result<(), Failure> {
    let running = Running::start(Side::Bellwether, home, 42, Terms { ttl: TTL, deadline: scale.deadline })?;
    running.database().suffer(Fault::Takes(QUERY));
    let redis = running.address();
    say("\nBellwether keeps running before the weak shop, pages fresh for 10 s. Try:");
    say(&format!("  redis-cli -p {} GET product:42", redis.port()));
    say(&format!("  redis-cli -p {} DEL product:42", redis.port()));
    if let (Some(http), Some(admin)) = (running.face(Face::Http), running.face(Face::Admin)) {
        say(&format!("  curl -i http://{http}/v1/product:42"));
        say(&format!("  curl -s http://{admin}/metrics"));
        say(&format!("  bellwether explain product:42 --admin http://{admin}"));
    }
    say(&format!("  redis-benchmark -p {} -n 100000 -c 50 GET product:42", redis.port()));
    say("Ctrl-C ends it.");
    stage.wait();
    let seen = running.database().seen();
    running.stop();
    say(&format!("\nthe database answered {} queries meanwhile, {} at once at most", seen.arrivals, seen.peak));
    Ok(())
}

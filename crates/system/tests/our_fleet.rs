//! Does our own fleet come through the incidents that naive ones lose?
//!
//! Apart from the controls' tests, because these incidents want the machine for themselves.

use std::process::Command;
use std::time::Duration;

use bellwether_system::{Bellwether, Process};

/// A quick drill takes 5 to 30 s on a quiet machine; it ends itself within a minute for each engine.
const LIMIT: Duration = Duration::from_secs(150);

fn command(incident: &str) -> Command {
    let mut command = Bellwether::command(&["drill", incident, "--quick"]);
    command.env_remove("BELLWETHER_DRILL_PASSWORD");
    command
}

#[test]
fn our_fleet_holds_where_naive_ones_do_not() {
    let incidents =
        ["fleet-cold", "leader-killed", "delete-during-load", "backplane-lost", "viral", "penetration", "origin-dead"];
    for incident in incidents {
        let mut drill = Process::spawn(command(incident));
        let code = drill.wait(LIMIT).code();
        assert_eq!(code, Some(0), "{incident}: {}\n{}", drill.stdout(), drill.stderr());
    }
}

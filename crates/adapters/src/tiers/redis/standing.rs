//! Is a replica in step with its primary?
//!
//! By no clock but this process's own: the primary is asked how much it has written, and after that the replica how much
//! of it it has. If that is as much, the replica holds everything that was there when the primary was asked; from then
//! on it may lag by the time that has passed since. Nobody asks while no key is read from replicas.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Value;

use super::lane::Purpose;
use super::node::Node;

/// So often a replica is asked, a little apart, whether it has caught up with what the primary had.
const TRIES: u32 = 4;
const APART: Duration = Duration::from_millis(3);

/// Looks at `replica` in the background if that is due, for readers who allow so much lag.
pub(super) fn look(primary: &Arc<Node>, replica: &Arc<Node>, lag: Duration) {
    if replica.step.begins(lag) {
        let (primary, replica) = (primary.clone(), replica.clone());
        primary.clone().runtime().spawn(async move {
            let as_of = in_step(&primary, &replica).await;
            replica.step.looked(as_of);
        });
    }
}

/// Since when `replica` is known to hold what `primary` had; `None`: it does not, or does not say.
async fn in_step(primary: &Arc<Node>, replica: &Arc<Node>) -> Option<Instant> {
    let asked = Instant::now();
    let theirs = standing(primary).await.filter(|standing| standing.is_primary)?;
    for _ in 0..TRIES {
        let its = standing(replica).await?;
        if its.follows(&theirs) {
            return Some(asked);
        }
        tokio::time::sleep(APART).await;
    }
    None
}

async fn standing(node: &Arc<Node>) -> Option<Standing> {
    match node.call(Purpose::Main, redis::cmd("INFO").arg("replication")).await {
        Ok(Value::BulkString(text)) => Standing::read(&String::from_utf8_lossy(&text)),
        Ok(Value::VerbatimString { text, .. }) => Standing::read(&text),
        // Without the right to ask, or out of reach: then nobody reads from it.
        _ => None,
    }
}

/// How far a server's data is, by its own words.
#[derive(Debug, PartialEq, Eq)]
struct Standing {
    is_primary: bool,
    /// A replica's link to its primary is up.
    is_up: bool,
    /// Of which history of writes.
    history: String,
    /// How much of it.
    offset: u64,
}

impl Standing {
    fn read(text: &str) -> Option<Standing> {
        let of = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim)
        };
        let is_primary = of("role")? == "master";
        let offset = if is_primary { of("master_repl_offset") } else { of("slave_repl_offset") };
        Some(Standing {
            is_primary,
            is_up: of("master_link_status") == Some("up"),
            history: of("master_replid")?.to_owned(),
            offset: offset?.parse().ok()?,
        })
    }

    /// Whether this replica holds everything that the primary had.
    fn follows(&self, primary: &Standing) -> bool {
        !self.is_primary && self.is_up && self.history == primary.history && self.offset >= primary.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: &str = "# Replication\r\nrole:master\r\nconnected_slaves:1\r\n\
        slave0:ip=127.0.0.1,port=7001,state=online,offset=90,lag=0\r\nmaster_failover_state:no-failover\r\n\
        master_replid:abc\r\nmaster_replid2:000\r\nmaster_repl_offset:100\r\nsecond_repl_offset:-1\r\n";

    fn replica(link: &str, offset: u64, history: &str) -> Standing {
        let text = format!(
            "# Replication\r\nrole:slave\r\nmaster_host:127.0.0.1\r\nmaster_link_status:{link}\r\n\
             slave_read_repl_offset:{offset}\r\nslave_repl_offset:{offset}\r\nmaster_replid:{history}\r\n\
             master_repl_offset:{offset}\r\n"
        );
        Standing::read(&text).expect("a replica's words")
    }

    #[test]
    fn a_replica_follows_a_primary_whose_writes_it_has_and_no_other() {
        let primary = Standing::read(PRIMARY).expect("a primary's words");
        assert_eq!((primary.is_primary, primary.offset, primary.history.as_str()), (true, 100, "abc"));
        assert!(replica("up", 100, "abc").follows(&primary) && replica("up", 101, "abc").follows(&primary));
        assert!(!replica("up", 99, "abc").follows(&primary), "it lags");
        assert!(!replica("down", 100, "abc").follows(&primary), "nobody tells it what comes");
        assert!(!replica("up", 100, "def").follows(&primary), "it follows another");
        assert!(!primary.follows(&primary), "it was promoted meanwhile");
        assert_eq!(Standing::read("-NOPERM"), None);
    }
}

//! Which servers does the rest of the fleet use, and did it use others a while ago?
//!
//! Each server holds what is known of it under a name of the tier's own. A process reads that with every new
//! connection, before anything else, and from time to time; and writes it where it knows more. So whoever starts
//! with another set of servers tells those who come later, by all servers that are in both sets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bellwether_core::ring::roster::Roster;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::fault::Fault;
use super::link::Link;
use super::options::{MemcachedOptions, Placement};
use super::place::Placed;
use super::proto::{Item, Reply, Request, Swap};

/// The first line of what is written down.
const TITLE: &str = "bellwether fleet 1";
/// Tries to write it before the next roll call does.
const TRIES: usize = 8;
/// While processes are of two minds about the servers, each says its own at most so often.
const INSIST: Duration = Duration::from_secs(30);

/// What a process knows of the fleet's servers.
pub(super) struct Fleet {
    /// Placement and servers, as written down.
    mine: String,
    name: Bytes,
    known: RwLock<Arc<Known>>,
    ready: watch::Sender<bool>,
    outvoted: Mutex<Option<Instant>>,
}

/// A state of that knowledge.
struct Known {
    roster: Roster<String>,
    /// Every set of the roster, ready to be asked.
    placed: BTreeMap<String, Placed>,
    /// Under which new values are stored. Zero: not known yet.
    epoch: u32,
}

impl Fleet {
    pub(super) fn new(name: Bytes, options: &MemcachedOptions, labels: &[String]) -> Fleet {
        let known = Known { roster: Roster::default(), placed: BTreeMap::new(), epoch: 0 };
        Fleet {
            mine: written(options.placement, labels),
            name,
            known: RwLock::new(Arc::new(known)),
            ready: watch::channel(false).0,
            outvoted: Mutex::default(),
        }
    }

    /// Ends when new values have an epoch.
    pub(super) async fn ready(&self) {
        // Its sender lives as long as the fleet does.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// Under which new values are stored.
    pub(super) fn epoch(&self) -> u32 {
        self.known.read().epoch
    }

    /// Whether what lies on a server under `name`, stored in `epoch`, can be what was said of it last.
    pub(super) fn trusts(&self, epoch: u32, name: &[u8], label: &str) -> bool {
        let known = self.known.read().clone();
        known.roster.trusts(epoch, |members| {
            *members == self.mine || known.placed.get(members).is_some_and(|placed| placed.owner_label(name) == label)
        })
    }

    /// All servers were asked that can be: this set is in use from now on.
    pub(super) fn enter(&self) {
        self.change(|roster| {
            roster.enter(self.mine.clone(), unix_seconds());
        });
        self.ready.send_replace(true);
    }

    /// Whether others use another set. True once in a while: it is time to insist on this one.
    pub(super) fn is_outvoted(&self) -> bool {
        let mut since = self.outvoted.lock();
        if self.known.read().roster.is_current(&self.mine) {
            *since = None;
            return false;
        }
        let since = since.get_or_insert_with(|| {
            tracing::warn!(
                mine = self.mine,
                "other processes use other Memcached servers: keys that move are loaded anew"
            );
            Instant::now()
        });
        since.elapsed() >= INSIST
    }

    /// Compares notes with one server.
    pub(super) async fn roll_call(&self, link: &Link) -> Result<(), Fault> {
        for _ in 0..TRIES {
            let (swap, theirs) = match link.call(Request::Get(self.name.clone())).await? {
                Reply::Found(Item { data, cas, .. }) => (Swap::Unchanged(cas), read(&data)),
                Reply::Nothing => (Swap::Absent, None),
                Reply::Refused(text) => return Err(Fault::told(&text)),
                Reply::TooLong(_) | Reply::Done | Reply::Lost => return Err(Fault::Refused("no roster".to_owned())),
            };
            if let Some(theirs) = &theirs {
                self.change(|roster| roster.merge(theirs));
            }
            let known = self.known.read().clone();
            // Nothing is said before all were heard.
            if known.epoch == 0 || theirs.as_ref() == Some(&known.roster) {
                return Ok(());
            }
            let data = Bytes::from(noted(&known.roster));
            let set = Request::Set { name: self.name.clone(), swap, ttl: None, flags: 0, data };
            match link.call(set).await? {
                Reply::Done => return Ok(()),
                Reply::Refused(text) => return Err(Fault::told(&text)),
                Reply::Lost | Reply::Found(_) | Reply::TooLong(_) | Reply::Nothing => {}
            }
        }
        // Others write as well: the next roll call will see.
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&mut Roster<String>)) {
        let mut known = self.known.write();
        let mut roster = known.roster.clone();
        change(&mut roster);
        if roster == known.roster {
            return;
        }
        let placed =
            roster.past().iter().filter_map(|(_, members)| Some((members.clone(), placed(members)?))).collect();
        let epoch = roster.epoch(&self.mine).unwrap_or(0);
        if epoch == 0 && known.epoch != 0 {
            // Sets that came later have pushed it out: what is stored under it is trusted by nobody until it insists.
            *known = Arc::new(Known { epoch: known.epoch, roster, placed });
            return;
        }
        *known = Arc::new(Known { roster, placed, epoch });
    }
}

fn unix_seconds() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

/// A set, the same whatever the order in which its servers are named.
fn written(placement: Placement, labels: &[String]) -> String {
    let mut labels = labels.to_vec();
    labels.sort_unstable();
    let word = match placement {
        Placement::Rendezvous => "rendezvous",
        Placement::Ketama => "ketama",
    };
    format!("{word} {}", labels.join(","))
}

fn placed(members: &str) -> Option<Placed> {
    let (word, labels) = members.split_once(' ')?;
    let placement = match word {
        "rendezvous" => Placement::Rendezvous,
        "ketama" => Placement::Ketama,
        _ => return None,
    };
    Some(Placed::new(placement, labels.split(',').map(str::to_owned).collect()))
}

fn noted(roster: &Roster<String>) -> String {
    let sets = roster.past().iter().map(|(epoch, members)| format!("\n{epoch} {members}"));
    format!("{TITLE}\n{}{}", roster.floor(), sets.collect::<String>())
}

/// `None`: it is not ours, or of another version: then it is written anew.
fn read(bytes: &[u8]) -> Option<Roster<String>> {
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    if lines.next()? != TITLE {
        return None;
    }
    let floor = lines.next()?.parse().ok()?;
    let set = |line: &str| {
        let (epoch, members) = line.split_once(' ')?;
        Some((epoch.parse().ok()?, members.to_owned()))
    };
    Some(Roster::new(floor, lines.map(set).collect::<Option<Vec<_>>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_reads_back_and_what_is_not_ours_does_not() {
        let mut roster = Roster::default();
        roster.enter("rendezvous a:1,b:2".to_owned(), 1_700_000_000);
        roster.enter("ketama a:1".to_owned(), 5);
        assert_eq!(read(noted(&roster).as_bytes()), Some(roster));
        for other in
            [&b""[..], b"x", b"bellwether fleet 2\n1", b"bellwether fleet 1\n-1", b"bellwether fleet 1\n1\nx", b"\xFF"]
        {
            assert_eq!(read(other), None);
        }
    }

    #[test]
    fn a_set_is_the_same_in_any_order_and_another_by_another_placement() {
        let labels = |all: [&str; 2]| all.map(str::to_owned).to_vec();
        let of = |placement, all| written(placement, &labels(all));
        assert_eq!(of(Placement::Rendezvous, ["a:1", "b:2"]), of(Placement::Rendezvous, ["b:2", "a:1"]));
        assert_ne!(of(Placement::Rendezvous, ["a:1", "b:2"]), of(Placement::Ketama, ["a:1", "b:2"]));
    }
}

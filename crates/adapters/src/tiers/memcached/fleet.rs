//! Which servers does the rest of the fleet use, and did it use others a while ago?
//!
//! Each server holds what is known of it under a name of the tier's own. A process reads that with every new
//! connection, before anything else, and from time to time; and writes it where it knows more. So whoever starts
//! with another set of servers tells all others, by the servers that are in both sets; and they use it from then on, whatever
//! their own configuration says: a key has one place (ADR 47).

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bellwether_core::ring::roster::Roster;
use bytes::Bytes;
use futures_util::future::FutureExt;
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::fault::Fault;
use super::link::Link;
use super::node::{Greet, Node};
use super::options::{MemcachedOptions, Placement};
use super::place::Placed;
use super::proto::{Item, Reply, Request, Swap};
use crate::tiers::address::{MEMCACHED_PORT, ServerAddress};

/// The first line of what is written down.
const TITLE: &str = "bellwether fleet 1";
/// Tries to write it before the next roll call does.
const TRIES: usize = 8;
/// A set that others have named is given up for one's own once a server of it could not be reached for so many roll calls.
const INSIST: u32 = 15;

/// What a process knows of the fleet's servers.
pub(super) struct Fleet {
    me: Weak<Fleet>,
    options: MemcachedOptions,
    runtime: Handle,
    /// Placement and servers of this process's own configuration, as written down.
    mine: String,
    own: OnceLock<Vec<Arc<Node>>>,
    name: Bytes,
    known: RwLock<Arc<Known>>,
    ready: watch::Sender<bool>,
    /// The set that was used until another was followed, and what was changed there is to be looked after.
    left: Mutex<Option<String>>,
    moved: Notify,
    /// Since when a server that only others have named can't be reached.
    lost: Mutex<Option<Instant>>,
}

/// A state of that knowledge.
#[derive(Clone)]
pub(super) struct Known {
    roster: Roster<String>,
    /// Every set of the roster, ready to be asked.
    placed: BTreeMap<String, Placed>,
    /// The set that is used, which servers it places keys on, and these.
    used: String,
    pub(super) ring: Placed,
    pub(super) nodes: Vec<Arc<Node>>,
    /// Under which new values are stored. Zero: not known yet.
    epoch: u32,
    stage: Stage,
}

/// How far a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It listens.
    Begins,
    /// It uses what others use: a server that only its own configuration names does not answer yet.
    Follows,
    /// Its own configuration was in use, or is.
    Declared,
}

impl Known {
    /// The server that has a name.
    pub(super) fn node(&self, name: &[u8]) -> Option<&Arc<Node>> {
        self.nodes.get(self.ring.owner(name))
    }
}

impl Fleet {
    /// Begins to connect.
    pub(super) fn open(
        name: Bytes,
        servers: Vec<ServerAddress>,
        options: &MemcachedOptions,
        runtime: Handle,
    ) -> Arc<Fleet> {
        let labels: Vec<String> = servers.iter().map(ToString::to_string).collect();
        let mine = written(options.placement, &labels);
        let known = Known {
            roster: Roster::default(),
            placed: BTreeMap::new(),
            used: mine.clone(),
            ring: Placed::new(options.placement, labels),
            nodes: Vec::new(),
            epoch: 0,
            stage: Stage::Begins,
        };
        let fleet = Arc::new_cyclic(|me| Fleet {
            me: me.clone(),
            options: options.clone(),
            runtime,
            mine,
            own: OnceLock::new(),
            name,
            known: RwLock::new(Arc::new(known)),
            ready: watch::channel(false).0,
            left: Mutex::default(),
            moved: Notify::new(),
            lost: Mutex::default(),
        });
        let own: Vec<_> = servers.into_iter().map(|address| fleet.connect(address, false)).collect();
        fleet.change(|known| known.nodes.clone_from(&own));
        // It is set here alone.
        let _ = fleet.own.set(own);
        fleet
    }

    fn connect(&self, address: ServerAddress, is_strange: bool) -> Arc<Node> {
        let me = self.me.clone();
        let greet: Greet = Arc::new(move |link| {
            let fleet = me.upgrade();
            async move {
                let Some(fleet) = fleet else { return Err(Fault::Down("the tier is closed".to_owned())) };
                fleet.roll_call(&link, is_strange).await
            }
            .boxed()
        });
        Arc::new(Node::new(address, self.options.clone(), &self.runtime, greet))
    }

    /// What is known at the moment.
    pub(super) fn known(&self) -> Arc<Known> {
        self.known.read().clone()
    }

    /// The servers of this process's own configuration.
    pub(super) fn own(&self) -> &[Arc<Node>] {
        self.own.get().map_or(&[], Vec::as_slice)
    }

    /// These, and those that are used beside them.
    pub(super) fn all(&self) -> Vec<Arc<Node>> {
        let (own, known) = (self.own(), self.known());
        let others = known.nodes.iter().filter(|node| !is_among(own, node));
        own.iter().chain(others).cloned().collect()
    }

    /// Whether others are used than this process's own.
    pub(super) fn follows(&self) -> bool {
        self.known().used != self.mine
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
        let known = self.known();
        known
            .roster
            .trusts(epoch, |members| known.placed.get(members).is_some_and(|placed| placed.owner_label(name) == label))
    }

    /// All servers were asked that can be: what the fleet uses is used from now on, or this process's own.
    pub(super) fn enter(&self) {
        self.change(|known| known.stage = known.stage.max(Stage::Follows));
        self.declare();
        self.ready.send_replace(true);
    }

    /// Sees whether this process's own servers are to come into use, from time to time.
    pub(super) fn review(&self) {
        let known = self.known();
        let foreign = known.nodes.iter().filter(|node| !is_among(self.own(), node));
        let is_lost = foreign.clone().any(|node| node.is_up() == Some(false));
        let mut lost = self.lost.lock();
        let since = is_lost.then(|| lost.unwrap_or_else(Instant::now));
        *lost = since;
        let is_over = since.is_some_and(|since| since.elapsed() >= self.options.roll_call * INSIST);
        if is_over {
            *lost = None;
        }
        drop(lost);
        if known.stage != Stage::Declared || is_over {
            self.declare();
        }
    }

    /// This process's own servers come into use, unless one of them that others don't use can't be reached: then nobody
    /// is made to look for keys where nobody answers.
    fn declare(&self) {
        let known = self.known();
        let is_used = |node: &Arc<Node>| known.ring.labels().contains(&node.label);
        let is_new = known.roster.current().is_some_and(|current| *current != self.mine);
        if is_new && self.own().iter().any(|node| !is_used(node) && node.is_up() != Some(true)) {
            return;
        }
        self.change(|known| {
            known.roster.enter(self.mine.clone(), unix_seconds());
            known.stage = Stage::Declared;
        });
    }

    /// Who was left, once it is known that another set is used.
    pub(super) fn left(&self) -> Option<String> {
        self.left.lock().take()
    }

    /// Ends when there is something to be looked after.
    pub(super) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// More was changed on the servers of `left` than could be done again on those that are used.
    pub(super) fn was_used(&self, left: String) {
        self.change(|known| known.roster.was_used(left));
    }

    /// Compares notes with one server. One that others have named must have notes of the set that is used.
    pub(super) async fn roll_call(&self, link: &Link, is_strange: bool) -> Result<(), Fault> {
        for _ in 0..TRIES {
            let (swap, theirs) = match link.call(Request::Get(self.name.clone())).await? {
                Reply::Found(Item { data, cas, .. }) => (Swap::Unchanged(cas), read(&data)),
                Reply::Nothing => (Swap::Absent, None),
                Reply::Refused(text) => return Err(Fault::told(&text)),
                Reply::TooLong(_) | Reply::Done | Reply::Lost => return Err(Fault::Refused("no roster".to_owned())),
            };
            let is_ours = |theirs: &Roster<String>| theirs.epoch(&self.known().used).is_some();
            if is_strange && !theirs.as_ref().is_some_and(is_ours) {
                return Err(Fault::Refused("others have named it, and it has no notes of their fleet".to_owned()));
            }
            if let Some(theirs) = &theirs {
                self.change(|known| known.roster.merge(theirs));
            }
            let known = self.known();
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

    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.write();
        let mut next = Known::clone(&known);
        change(&mut next);
        // Servers are only added by hand before the first set is used.
        if next.roster == known.roster && next.stage == known.stage && next.nodes.len() == known.nodes.len() {
            return;
        }
        if next.stage > Stage::Begins {
            next.roster.part();
            self.pass_over(&mut next.roster);
        }
        let sets = next.roster.past().iter();
        next.placed = sets.filter_map(|(_, members)| Some((members.clone(), placed(members)?))).collect();
        if next.stage > Stage::Begins {
            self.use_current(&mut next);
        }
        if next.used != known.used {
            tracing::warn!(
                uses = next.used,
                configured = self.mine,
                "the fleet uses other Memcached servers from now on: keys that move are loaded anew"
            );
            self.left.lock().get_or_insert_with(|| known.used.clone());
            self.moved.notify_one();
        }
        *known = Arc::new(next);
    }

    /// Where the set in use can't be placed here, this process's own comes into use: nobody could trust what is stored under
    /// another set than the newest, and each read would be a load.
    fn pass_over(&self, roster: &mut Roster<String>) {
        if let Some(strange) = roster.current().filter(|members| placed(members).is_none()).cloned() {
            roster.enter(self.mine.clone(), unix_seconds());
            tracing::error!(
                noted = strange,
                configured = self.mine,
                "the notes on the Memcached servers name a set that can't be used (written by hand, or by a newer version): \
                 the configured set comes into use"
            );
        }
    }

    /// The newest set is used: all processes that can hear one another agree on it.
    fn use_current(&self, known: &mut Known) {
        let Known { roster, placed, used, ring, nodes, epoch, .. } = known;
        // A set that this version can't place is passed over; values that may have moved with it are not trusted.
        let newest =
            roster.past().iter().rev().find_map(|(epoch, members)| Some((*epoch, members, placed.get(members)?)));
        let Some((newest, members, place)) = newest else { return };
        *epoch = newest;
        if members == used {
            return;
        }
        let node = |label: &String| {
            let mut there = self.own().iter().chain(nodes.iter());
            let address = || ServerAddress::parse(label, MEMCACHED_PORT).ok();
            there.find(|node| node.label == *label).cloned().or_else(|| Some(self.connect(address()?, true)))
        };
        let Some(all) = place.labels().iter().map(node).collect::<Option<Vec<_>>>() else { return };
        (*nodes, *ring, *used) = (all, place.clone(), members.clone());
    }
}

fn is_among(nodes: &[Arc<Node>], node: &Arc<Node>) -> bool {
    nodes.iter().any(|other| Arc::ptr_eq(other, node))
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
    let labels: Vec<String> = labels.split(',').map(str::to_owned).collect();
    // What names no server can't be connected to either.
    labels
        .iter()
        .all(|label| ServerAddress::parse(label, MEMCACHED_PORT).is_ok())
        .then(|| Placed::new(placement, labels))
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
    fn a_set_that_names_no_servers_or_an_unknown_placement_is_no_set() {
        assert!(placed("rendezvous a:1,b:2").is_some() && placed("ketama a:1").is_some());
        for strange in ["", "rendezvous", "rendezvous ", "maglev a:1", "ketama a:1,,b:2", "ketama a:notaport"] {
            assert!(placed(strange).is_none(), "{strange}");
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

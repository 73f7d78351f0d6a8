//! How is a cluster's map kept? Asked for when it is first wanted, after every sign that it changed, and often while a
//! primary can't be reached.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{Notify, watch};

use super::common::Common;
use super::fault::Fault;
use super::lane::Purpose;
use super::node::Node;
use super::options::Reads;
use super::slots::{Run, SLOTS, redirected, runs};
use crate::tiers::address::ServerAddress;

/// Nobody has the slot.
const NOBODY: u16 = u16::MAX;
/// More nodes than this are not looked at.
const MOST_NODES: usize = 2000;
/// So many nodes are asked for the map at most before it is given up for now.
const MOST_ASKED: usize = 8;
/// Between two looks at the map while all is well.
const CALM: Duration = Duration::from_secs(30);
/// The same while a primary can't be reached.
const TROUBLED: Duration = Duration::from_millis(200);
/// Never closer than this: a burst of redirects asks once.
const CLOSEST: Duration = Duration::from_millis(20);

/// A cluster, seen from here.
pub(super) struct Cluster {
    common: Arc<Common>,
    seeds: Vec<Arc<Node>>,
    map: RwLock<Arc<Map>>,
    /// Looks at the map that have ended, and why the last brought none.
    looks: watch::Sender<(u64, Option<String>)>,
    kick: Arc<Notify>,
    kept: AtomicBool,
}

#[derive(Default)]
struct Map {
    nodes: Vec<Member>,
    /// Slot to primary, by its place in `nodes`. Empty: not known yet.
    slots: Vec<u16>,
}

#[derive(Clone)]
struct Member {
    address: ServerAddress,
    node: Arc<Node>,
    /// Who copies it.
    replicas: Vec<Arc<Node>>,
}

impl Cluster {
    pub(super) fn new(common: Arc<Common>, seeds: Vec<Arc<Node>>) -> Arc<Cluster> {
        Arc::new(Cluster {
            common,
            seeds,
            map: RwLock::default(),
            looks: watch::Sender::new((0, None)),
            kick: Arc::new(Notify::new()),
            kept: AtomicBool::new(false),
        })
    }

    /// Who has the slot.
    pub(super) async fn owner(self: &Arc<Cluster>, slot: u16) -> Result<Arc<Node>, Fault> {
        self.member(slot).await.map(|member| member.node)
    }

    /// Who has the slot, once the map is there.
    pub(super) fn known(&self, slot: u16) -> Option<Arc<Node>> {
        let map = self.map.read();
        let at = map.slots.get(usize::from(slot))?;
        Some(map.nodes.get(usize::from(*at))?.node.clone())
    }

    /// How many nodes have slots, once the map is there.
    pub(super) fn owners(&self) -> usize {
        self.map.read().nodes.len().max(1)
    }

    /// The place of the slot's owner in the map, once it is there.
    pub(super) fn place(&self, slot: u16) -> Option<u16> {
        self.map.read().slots.get(usize::from(slot)).copied().filter(|place| *place != NOBODY)
    }

    /// The slot's primary, and who copies it.
    pub(super) async fn copied_by(self: &Arc<Cluster>, slot: u16) -> Result<(Arc<Node>, Vec<Arc<Node>>), Fault> {
        self.member(slot).await.map(|member| (member.node, member.replicas))
    }

    /// How many replicas each primary has at least, once the map is there.
    pub(super) fn replicas(&self) -> usize {
        self.map.read().nodes.iter().map(|member| member.replicas.len()).min().unwrap_or(0)
    }

    /// Who answers a plain read of the slot, by the policy.
    pub(super) async fn reader(self: &Arc<Cluster>, slot: u16) -> Result<Arc<Node>, Fault> {
        let member = self.member(slot).await?;
        if self.common.options.reads == Reads::Replica {
            let up: Vec<&Arc<Node>> = member.replicas.iter().filter(|node| !node.breaker.is_open()).collect();
            if !up.is_empty() {
                return Ok(up[fastrand::usize(..up.len())].clone());
            }
        }
        Ok(member.node)
    }

    async fn member(self: &Arc<Cluster>, slot: u16) -> Result<Member, Fault> {
        if self.map.read().slots.is_empty() {
            self.first_look().await?;
        }
        let map = self.map.read().clone();
        let at = map.slots.get(usize::from(slot)).copied().unwrap_or(NOBODY);
        match map.nodes.get(usize::from(at)) {
            Some(member) => Ok(member.clone()),
            None => {
                self.look_again();
                Err(Fault::Later(format!("nobody has slot {slot}")))
            }
        }
    }

    /// Waits for the map, or for word that it can't be had: then callers are turned away at once.
    async fn first_look(self: &Arc<Cluster>) -> Result<(), Fault> {
        let mut looks = self.looks.subscribe();
        self.keep();
        // The sender lives in `self`.
        let _ = looks.wait_for(|(ended, _)| *ended > 0).await;
        if !self.map.read().slots.is_empty() {
            return Ok(());
        }
        self.common.counters.turned_away.add();
        let why = looks.borrow().1.clone();
        Err(Fault::Open(why.unwrap_or_else(|| "no node answers".into())))
    }

    /// The map may have changed.
    pub(super) fn look_again(self: &Arc<Cluster>) {
        self.keep();
        self.kick.notify_one();
    }

    /// `node` says that another has the slot now.
    pub(super) fn moved(self: &Arc<Cluster>, slot: u16, to: &str, node: &Node) {
        self.look_again();
        let Some(address) = redirected(to, host(&node.label)) else { return };
        let Some(node) = self.find(&address) else { return };
        let mut held = self.map.write();
        let mut map = Map { nodes: held.nodes.clone(), slots: held.slots.clone() };
        let at = map.nodes.iter().position(|member| member.address == address).unwrap_or_else(|| {
            map.nodes.push(Member { address, node, replicas: Vec::new() });
            map.nodes.len() - 1
        });
        if let Some(place) = map.slots.get_mut(usize::from(slot)) {
            *place = at as u16;
            *held = Arc::new(map);
        }
    }

    /// The node that ASK names.
    pub(super) fn asked(&self, to: &str, node: &Node) -> Option<Arc<Node>> {
        self.find(&redirected(to, host(&node.label))?)
    }

    /// A node by its address, known or not.
    fn find(&self, address: &ServerAddress) -> Option<Arc<Node>> {
        let map = self.map.read().clone();
        let label = address.to_string();
        let known = map.nodes.iter().flat_map(|member| std::iter::once(&member.node).chain(&member.replicas));
        match known.chain(&self.seeds).find(|node| node.label == label) {
            Some(node) => Some(node.clone()),
            None if map.nodes.len() >= MOST_NODES => None,
            // The options were good for the seeds: they are for this one.
            None => Node::at(&self.common, address).ok(),
        }
    }

    pub(super) fn nodes(&self) -> Vec<Arc<Node>> {
        let map = self.map.read().clone();
        if map.nodes.is_empty() {
            return self.seeds.clone();
        }
        map.nodes.iter().flat_map(|member| std::iter::once(&member.node).chain(&member.replicas)).cloned().collect()
    }

    /// Whether plain reads go to replicas.
    pub(super) fn reads_replicas(&self) -> bool {
        self.common.options.reads == Reads::Replica
    }

    /// Whether the map has it as somebody's replica alone.
    pub(super) fn is_replica(&self, node: &Arc<Node>) -> bool {
        let map = self.map.read();
        let is = |other: &Arc<Node>| Arc::ptr_eq(other, node);
        map.nodes.iter().any(|member| member.replicas.iter().any(is)) && !map.nodes.iter().any(|m| is(&m.node))
    }

    /// The primaries, once the map is there.
    pub(super) async fn primaries(self: &Arc<Cluster>) -> Result<Vec<Arc<Node>>, Fault> {
        if self.map.read().slots.is_empty() {
            self.first_look().await?;
        }
        Ok(self.map.read().nodes.iter().map(|member| member.node.clone()).collect())
    }

    fn keep(self: &Arc<Cluster>) {
        if !self.kept.swap(true, Ordering::AcqRel) {
            self.common.runtime.spawn(keep(Arc::downgrade(self), self.kick.clone()));
        }
    }

    /// Asks for the map. True: all primaries can be reached.
    async fn look(self: &Arc<Cluster>) -> bool {
        let mut why = None;
        for node in self.to_be_asked() {
            match self.ask(&node).await {
                Ok(map) => {
                    let well = map.nodes.iter().all(|member| !member.node.breaker.is_open());
                    *self.map.write() = Arc::new(map);
                    self.looks.send_modify(|looks| *looks = (looks.0 + 1, None));
                    return well;
                }
                Err(fault) => why = Some(fault.into_error(&node.label).text),
            }
        }
        self.looks.send_modify(|looks| *looks = (looks.0 + 1, why.take()));
        false
    }

    /// Those that can be reached first, in a random order; seeds last.
    fn to_be_asked(&self) -> Vec<Arc<Node>> {
        let mut nodes = self.nodes();
        fastrand::shuffle(&mut nodes);
        nodes.extend(self.seeds.iter().cloned());
        nodes.sort_by_key(|node| node.breaker.is_open());
        let mut seen: Vec<String> = Vec::new();
        nodes.retain(|node| {
            !seen.contains(&node.label) && {
                seen.push(node.label.clone());
                true
            }
        });
        nodes.truncate(MOST_ASKED);
        nodes
    }

    async fn ask(self: &Arc<Cluster>, node: &Arc<Node>) -> Result<Map, Fault> {
        let answer = node.call(Purpose::Main, redis::cmd("CLUSTER").arg("SLOTS")).await?;
        let runs =
            runs(&answer, host(&node.label)).ok_or_else(|| Fault::Other("CLUSTER SLOTS answered no map".into()))?;
        if runs.is_empty() {
            return Err(Fault::Other("it knows of no slots: is it a cluster, and formed?".into()));
        }
        Ok(self.map_of(&runs))
    }

    fn map_of(&self, runs: &[Run]) -> Map {
        let mut map = Map { nodes: Vec::new(), slots: vec![NOBODY; SLOTS] };
        let mut places: HashMap<&ServerAddress, u16> = HashMap::new();
        for run in runs {
            let place = match places.get(&run.primary) {
                Some(place) => *place,
                None => {
                    let Some(node) = self.find(&run.primary).filter(|_| map.nodes.len() < MOST_NODES) else { continue };
                    let replicas = run.replicas.iter().filter_map(|address| self.find(address)).collect();
                    map.nodes.push(Member { address: run.primary.clone(), node, replicas });
                    let place = (map.nodes.len() - 1) as u16;
                    places.insert(&run.primary, place);
                    place
                }
            };
            if run.first <= run.last {
                map.slots[usize::from(run.first)..=usize::from(run.last)].fill(place);
            }
        }
        map
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kick.notify_one();
    }
}

/// The host of "host:port".
fn host(label: &str) -> &str {
    label.rsplit_once(':').map_or(label, |(host, _)| host.trim_start_matches('[').trim_end_matches(']'))
}

/// Looks at the map for as long as somebody has the cluster.
async fn keep(cluster: Weak<Cluster>, kick: Arc<Notify>) {
    loop {
        let Some(held) = cluster.upgrade() else { return };
        let well = held.look().await;
        let common = held.common.clone();
        drop(held);
        let pause = if well { CALM } else { TROUBLED.mul_f64(0.5 + fastrand::f64()) };
        tokio::time::sleep(CLOSEST).await;
        // Whichever comes first: its time, a redirect, or a node that can't be reached.
        let _ = tokio::time::timeout(pause, async {
            tokio::select! { () = kick.notified() => {}, () = common.trouble.notified() => {} }
        })
        .await;
    }
}

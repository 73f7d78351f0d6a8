//! Who is asked about a key, and what is done when the answer is "not me" or "not now"?

use std::sync::Arc;
use std::time::Duration;

use bellwether::shared::TierError;
use redis::{Cmd, ConnectionAddr, Value};

use super::clock::Local;
use super::cluster::Cluster;
use super::common::Common;
use super::counters::NodeState;
use super::fault::Fault;
use super::lane::Purpose;
use super::node::Node;
use super::options::Reads;
use super::sentinel::Sentinels;
use super::slots::slot;
use super::standing::look;
use crate::SetupError;
use crate::tiers::address::RedisShape;

/// So often one call is sent at most: redirects, retries and scripts in full included.
const ATTEMPTS: u32 = 6;
/// Keys that are made up at most to find one of a node's.
const MOST_KEYS: usize = 1_000;
/// The first wait for a node that is not ready; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(5);

/// The way to the node of a key.
pub(super) enum Route {
    One(Arc<Node>),
    Cluster(Arc<Cluster>),
    Sentinels(Arc<Sentinels>),
}

/// What is asked, and how.
pub(super) struct Question<'a> {
    /// With its prefix.
    pub(super) key: &'a [u8],
    pub(super) purpose: Purpose,
    /// A plain read: a replica may answer it.
    pub(super) read: bool,
    /// Whether it may be done twice: if not, a broken connection ends it, for it may have been done once.
    pub(super) twice: bool,
}

/// What was answered.
pub(super) struct Answer {
    pub(super) value: Value,
    pub(super) node: Arc<Node>,
    pub(super) asked: Local,
}

impl Route {
    pub(super) fn new(common: &Arc<Common>) -> Result<Route, SetupError> {
        Ok(match &common.target.shape {
            RedisShape::One(address) => Route::One(Node::at(common, address)?),
            RedisShape::Unix(path) => {
                Route::One(Node::behind(common, ConnectionAddr::Unix(path.clone()), path.display().to_string())?)
            }
            RedisShape::Cluster(seeds) => {
                let seeds = seeds.iter().map(|seed| Node::at(common, seed)).collect::<Result<Vec<_>, _>>()?;
                Route::Cluster(Cluster::new(common.clone(), seeds))
            }
            RedisShape::Sentinel { sentinels, name } => {
                Route::Sentinels(Sentinels::new(common.clone(), sentinels.clone(), name.clone()))
            }
        })
    }

    /// Who holds the key, and orders what happens to it.
    pub(super) async fn owner(&self, key: &[u8]) -> Result<Arc<Node>, Fault> {
        match self {
            Route::One(node) => Ok(node.clone()),
            Route::Cluster(cluster) => cluster.owner(slot(key)).await,
            Route::Sentinels(sentinels) => sentinels.primary().await,
        }
    }

    /// Who answers a plain read.
    pub(super) async fn reader(&self, key: &[u8]) -> Result<Arc<Node>, Fault> {
        match self {
            Route::Cluster(cluster) => cluster.reader(slot(key)).await,
            _ => self.owner(key).await,
        }
    }

    /// Replicas that each node has at least, as far as is known. One server by itself: whom it names may not be meant for
    /// us.
    pub(super) fn replicas(&self) -> usize {
        match self {
            Route::One(_) => 0,
            Route::Cluster(cluster) => cluster.replicas(),
            Route::Sentinels(sentinels) => sentinels.replicas().len(),
        }
    }

    /// A replica of the key's node that is known to lag by no more than `lag`. `None` as well where it is the primary's
    /// turn: all of them have their share.
    pub(super) async fn near(&self, key: &[u8], lag: Duration) -> Option<Arc<Node>> {
        let (primary, replicas) = match self {
            Route::One(_) => return None,
            Route::Cluster(cluster) => cluster.copied_by(slot(key)).await.ok()?,
            Route::Sentinels(sentinels) => (sentinels.primary().await.ok()?, sentinels.replicas()),
        };
        replicas.iter().for_each(|replica| look(&primary, replica, lag));
        let in_step = |replica: &&Arc<Node>| !replica.breaker.is_open() && replica.step.is_within(lag);
        let usable: Vec<&Arc<Node>> = replicas.iter().filter(in_step).collect();
        usable.get(fastrand::usize(..=usable.len())).map(|node| Arc::clone(node))
    }

    /// How many nodes share the keys, as far as is known.
    pub(super) fn nodes(&self) -> usize {
        match self {
            Route::Cluster(cluster) => cluster.owners(),
            _ => 1,
        }
    }

    /// Which of them holds a key, if that is known without asking.
    pub(super) fn place(&self, key: &[u8]) -> Option<u16> {
        match self {
            Route::Cluster(cluster) => cluster.place(slot(key)),
            _ => Some(0),
        }
    }

    /// All nodes that hold keys of their own.
    pub(super) async fn primaries(&self) -> Result<Vec<Arc<Node>>, Fault> {
        match self {
            Route::One(node) => Ok(vec![node.clone()]),
            Route::Cluster(cluster) => cluster.primaries().await,
            Route::Sentinels(sentinels) => Ok(vec![sentinels.primary().await?]),
        }
    }

    pub(super) fn states(&self, wall_us: u64) -> Vec<NodeState> {
        let nodes = match self {
            Route::One(node) => vec![node.clone()],
            Route::Cluster(cluster) => {
                let of = |node: &Arc<Node>| {
                    let (state, writes) = (node.state(wall_us), !cluster.is_replica(node));
                    let in_use = writes || cluster.reads_replicas();
                    NodeState { trouble: state.trouble.filter(|_| writes), in_use, ..state }
                };
                return cluster.nodes().iter().map(of).collect();
            }
            Route::Sentinels(sentinels) => sentinels.nodes(),
        };
        nodes.iter().map(|node| node.state(wall_us)).collect()
    }

    /// A key that `node` has, of those that `make` makes.
    pub(super) async fn key_at(&self, node: &Arc<Node>, make: impl Fn() -> Vec<u8>) -> Option<Vec<u8>> {
        let Route::Cluster(cluster) = self else { return Some(make()) };
        for _ in 0..MOST_KEYS {
            let key = make();
            if cluster.owner(slot(&key)).await.is_ok_and(|owner| Arc::ptr_eq(&owner, node)) {
                return Some(key);
            }
        }
        None
    }

    /// A node did not do its part: it may not be the right one any more.
    fn doubt(&self, fault: &Fault) {
        match self {
            Route::One(_) => {}
            Route::Cluster(cluster) => cluster.look_again(),
            Route::Sentinels(sentinels) => sentinels.ask_again(matches!(fault, Fault::ReadOnly)),
        }
    }

    /// Whom it concerns, where that is known without waiting.
    fn at_once(&self, common: &Common, question: &Question<'_>) -> Option<Arc<Node>> {
        match self {
            Route::One(node) => Some(node.clone()),
            Route::Cluster(cluster) if !question.read || common.options.reads == Reads::Primary => {
                cluster.known(slot(question.key))
            }
            Route::Cluster(_) | Route::Sentinels(_) => None,
        }
    }

    /// Sends one command to whom it concerns, and again where that is of use. `command` makes it: by a script's hash,
    /// or (true) in full.
    ///
    /// Nearly always the first answer is all, and what may have to be done then is kept apart: every caller makes room for
    /// this future, and moves it.
    pub(super) async fn ask(
        &self,
        common: &Common,
        question: &Question<'_>,
        command: impl Fn(bool) -> Cmd + Send + Sync,
    ) -> Result<Answer, TierError> {
        let Some(node) = self.at_once(common, question) else {
            return Box::pin(self.ask_until(common, question, command, None)).await;
        };
        let (cmd, asked) = (command(false), Local::now());
        match node.call(question.purpose, &cmd).await {
            Ok(value) => Ok(Answer { value, node, asked }),
            Err(fault) => Box::pin(self.ask_until(common, question, command, Some((node, fault)))).await,
        }
    }

    /// Asks as often as that is of use. `failed`: the first attempt was made.
    async fn ask_until(
        &self,
        common: &Common,
        question: &Question<'_>,
        command: impl Fn(bool) -> Cmd + Send + Sync,
        mut failed: Option<(Arc<Node>, Fault)>,
    ) -> Result<Answer, TierError> {
        let (mut in_full, mut wait, mut asking) = (false, FIRST_WAIT, None::<Arc<Node>>);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let replica = question.read && common.options.reads == Reads::Replica && attempt == 1;
            let (node, fault, ask_first) = match failed.take() {
                Some((node, fault)) => (node, fault, false),
                None => {
                    let (node, ask_first) = match (asking.take(), replica) {
                        (Some(node), _) => (Ok(node), true),
                        (None, true) => (self.reader(question.key).await, false),
                        (None, false) => (self.owner(question.key).await, false),
                    };
                    let node = match node {
                        Ok(node) => node,
                        Err(Fault::Later(_)) if attempt < ATTEMPTS => {
                            pause(&mut wait).await;
                            continue;
                        }
                        Err(fault) => return Err(fault.into_error("the Redis")),
                    };
                    let (cmd, asked) = (command(in_full), Local::now());
                    let called = if ask_first {
                        node.call_asking(question.purpose, &cmd).await
                    } else {
                        node.call(question.purpose, &cmd).await
                    };
                    match called {
                        Ok(value) => return Ok(Answer { value, node, asked }),
                        Err(fault) => (node, fault, ask_first),
                    }
                }
            };
            let known = node.health.trouble() == Some(fault.trouble());
            if fault.is_of_the_server() {
                node.health.refused(&node.label, fault.trouble(), &fault.text(&node.label));
            }
            if attempt >= ATTEMPTS {
                return Err(fault.into_error(&node.label));
            }
            match &fault {
                // That is how it has been for a while, and nobody is there to take its place: no caller waits for it.
                Fault::ReadOnly | Fault::Later(_) if known && matches!(self, Route::One(_)) => {
                    return Err(fault.into_error(&node.label));
                }
                Fault::NoScript if !in_full => {
                    common.counters.script_fallbacks.add();
                    in_full = true;
                    asking = ask_first.then(|| node.clone());
                }
                Fault::Moved(..) | Fault::Ask(_) => {
                    common.counters.redirects.add();
                    let Route::Cluster(cluster) = self else { return Err(fault.into_error(&node.label)) };
                    match &fault {
                        Fault::Moved(slot, to) => cluster.moved(*slot, to, &node),
                        Fault::Ask(to) => asking = cluster.asked(to, &node),
                        _ => {}
                    }
                }
                Fault::ReadOnly | Fault::Later(_) => {
                    self.doubt(&fault);
                    pause(&mut wait).await;
                }
                Fault::Lost(_) if question.twice && !node.breaker.is_open() => self.doubt(&fault),
                // The primary can still be asked.
                Fault::Open(_) | Fault::Lost(_) | Fault::Silent(_) if replica => self.doubt(&fault),
                Fault::Open(_) | Fault::Lost(_) | Fault::Silent(_) => {
                    self.doubt(&fault);
                    return Err(fault.into_error(&node.label));
                }
                _ => return Err(fault.into_error(&node.label)),
            }
        }
    }
}

/// Waits a little, by a half more or less, and next time twice as long.
async fn pause(wait: &mut Duration) {
    tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64())).await;
    *wait *= 2;
}

//! Which tier is it? Redis, Valkey or Memcached, behind one face.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bellwether::Span;
use bellwether::shared::{Tier, TierTrouble};
use bellwether_adapters::SetupError;
use bellwether_adapters::tiers::memcached::{self, MemcachedOptions, MemcachedTier};
use bellwether_adapters::tiers::redis::{Reads, RedisOptions, RedisTier, RedisTls, Weight};
use tokio::runtime::Handle;

use crate::config::{Placement, Shared, SharedAt, SharedTls};

/// A tier that is open, for the cache and for those who ask how it is.
#[derive(Clone)]
pub(crate) enum SharedTier {
    Redis(Arc<RedisTier>),
    Memcached(Arc<MemcachedTier>),
}

/// How the tier that several processes share is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedState {
    /// Connections made.
    pub connects: u64,
    /// Connections lost.
    pub lost: u64,
    /// What else happened between this process and its servers, by the words of its kind.
    pub events: Vec<(&'static str, u64)>,
    /// What was there and could not be read, by reason.
    pub misread: Vec<(&'static str, u64)>,
    /// Its servers, and whether each can be reached right now.
    pub nodes: Vec<(String, bool)>,
    /// Of these: those that take no writes, and why.
    pub unwritable: Vec<(String, TierTrouble)>,
    /// Other servers are used than are configured, because the fleet uses them.
    pub follows: bool,
    /// Others use it by other settings, which was found out too late to refuse the start.
    pub stranger: bool,
}

impl SharedState {
    /// Whether some of it can't be used: this process loads for itself where the tier would have spared it.
    pub fn is_degraded(&self) -> bool {
        let unused = || self.nodes.iter().any(|(_, up)| !up) || !self.unwritable.is_empty();
        self.nodes.is_empty() || self.stranger || unused()
    }

    /// What is wrong with it, in words of closed lists; nothing: all is well.
    pub fn troubles(&self) -> Vec<&'static str> {
        let mut words: Vec<&'static str> = self.unwritable.iter().map(|(_, trouble)| trouble.as_str()).collect();
        if self.nodes.is_empty() || self.nodes.iter().any(|(_, up)| !up) {
            words.push(TierTrouble::Unreachable.as_str());
        }
        words.extend(self.stranger.then_some("other_fleet"));
        words.sort_unstable();
        words.dedup();
        words
    }

    /// How it is, in a word.
    pub fn word(&self) -> &'static str {
        if self.is_degraded() { "degraded" } else { "up" }
    }
}

/// What a look at the servers found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// It can't be used as it is: what, and what to do.
    pub(crate) fatal: Vec<(String, String)>,
    /// It works, but not as well as it could.
    pub(crate) advice: Vec<(String, String)>,
}

impl SharedTier {
    /// Opens what `shared` names. Nobody needs to be there.
    pub(crate) fn open(shared: &Shared, runtime: &Handle) -> Result<SharedTier, (String, String)> {
        let told = |error: SetupError| (error.problem().to_owned(), error.hint().to_owned());
        Ok(match &shared.at {
            SharedAt::Redis(target) => {
                let usual = RedisOptions::default();
                let options = RedisOptions {
                    answer_timeout: answer_within(shared.timeout, usual.answer_timeout),
                    bulk_timeout: answer_within(shared.timeout, usual.bulk_timeout),
                    patience: patience(shared.timeout),
                    prefix: shared.prefix.clone().into_bytes(),
                    tls: certificates(&shared.tls)?,
                    reads: if shared.replica_reads { Reads::Replica } else { Reads::Primary },
                    runtime: Some(runtime.clone()),
                    ..usual
                };
                SharedTier::Redis(Arc::new(RedisTier::open(target.clone(), options).map_err(told)?))
            }
            SharedAt::Memcached { nodes, placement } => {
                let usual = MemcachedOptions::default();
                let options = MemcachedOptions {
                    answer_timeout: answer_within(shared.timeout, usual.answer_timeout),
                    patience: patience(shared.timeout),
                    prefix: shared.prefix.clone().into_bytes(),
                    placement: match placement {
                        Placement::Rendezvous => memcached::Placement::Rendezvous,
                        Placement::Ketama => memcached::Placement::Ketama,
                    },
                    runtime: Some(runtime.clone()),
                    ..usual
                };
                SharedTier::Memcached(Arc::new(MemcachedTier::open_at(nodes.clone(), options).map_err(told)?))
            }
        })
    }

    /// Asks the servers themselves.
    pub(crate) async fn look(&self) -> Look {
        match self {
            SharedTier::Redis(tier) => {
                let report = Box::pin(tier.check()).await;
                let (fatal, advice): (Vec<_>, Vec<_>) =
                    report.problems.into_iter().partition(|problem| problem.weight == Weight::Fatal);
                let told = |problems: Vec<bellwether_adapters::tiers::redis::Problem>| {
                    problems.into_iter().map(|of| (of.found(), of.hint)).collect()
                };
                Look { fatal: told(fatal), advice: told(advice) }
            }
            SharedTier::Memcached(tier) => {
                let hint = "is the address right, and does it run? Memcached 1.6.12 or later is enough";
                let told = |(server, why): (String, String)| (format!("{server}: {why}"), hint.to_owned());
                Look { fatal: tier.check().await.into_iter().map(told).collect(), advice: Vec::new() }
            }
        }
    }

    pub(crate) fn state(&self) -> SharedState {
        match self {
            SharedTier::Redis(tier) => {
                let mut counts = tier.counts();
                // A replica that is not asked may be connected or not: nobody misses anything.
                counts.nodes.retain(|node| node.in_use);
                SharedState {
                    events: counts.events().to_vec(),
                    connects: counts.connects,
                    lost: counts.lost,
                    misread: counts.misread,
                    unwritable: counts.nodes.iter().filter_map(|n| Some((n.address.clone(), n.trouble?))).collect(),
                    nodes: counts.nodes.into_iter().map(|node| (node.address, node.connected && !node.open)).collect(),
                    follows: false,
                    stranger: false,
                }
            }
            SharedTier::Memcached(tier) => {
                let counts = tier.counts();
                SharedState {
                    events: counts.events().to_vec(),
                    misread: counts.misread,
                    nodes: counts.servers,
                    unwritable: counts.troubles,
                    follows: counts.follows,
                    ..SharedState::default()
                }
            }
        }
    }

    /// Writes a little to every server: whether they take writes is known then although nobody asks.
    pub(crate) async fn probe(&self) {
        match self {
            SharedTier::Redis(tier) => tier.probe().await,
            SharedTier::Memcached(tier) => tier.probe().await,
        }
    }

    /// Before the process ends: what it alone knows is told.
    pub(crate) async fn leave(&self) {
        match self {
            SharedTier::Redis(_) => {}
            SharedTier::Memcached(tier) => tier.leave().await,
        }
    }

    /// The tier itself, as the cache uses it: whatever it can do.
    pub(crate) fn tier(&self) -> Arc<dyn Tier> {
        match self {
            SharedTier::Redis(tier) => tier.clone(),
            SharedTier::Memcached(tier) => tier.clone(),
        }
    }
}

impl fmt::Debug for SharedTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedTier")
    }
}

/// The files that are named, read; or which can't be, and what to do.
pub(crate) fn certificates(tls: &SharedTls) -> Result<RedisTls, (String, String)> {
    let read = |key: &str, path: &Path| {
        std::fs::read(path).map_err(|error| {
            let found = format!("`{key}` names {}, which can't be read: {error}", path.display());
            (found, "name a file in PEM that this process may read".to_owned())
        })
    };
    let identity = match &tls.identity {
        Some((cert, key)) => Some((read("tls_cert", cert)?, read("tls_key", key)?)),
        None => None,
    };
    Ok(RedisTls { authority: tls.ca.as_deref().map(|ca| read("tls_ca", ca)).transpose()?, identity })
}

/// How long one answer may take: never less than a request may wait for it, so that the budget that was set is the one
/// that holds.
fn answer_within(budget: Span, usual: Duration) -> Duration {
    usual.max(budget.into())
}

/// Who gives up after so long counts it against the node. Less than the budget, which a request may spend on several
/// answers; and however short that is, a node that is silent is left alone.
fn patience(budget: Span) -> Duration {
    (Duration::from(budget) * 2 / 5).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// The tier of `[shared] url = …`; nobody is there.
    fn opened(url: &str) -> Arc<dyn Tier> {
        let text = format!("[shared]\nurl = \"{url}\"\n[[space]]\nmatch = \"kv:{{k}}\"\nttl = \"1m\"\n");
        let config = config::parse(&text, "b.toml", Path::new(""), [], false).expect("a configuration");
        let shared = config.shared.expect("a tier");
        SharedTier::open(&shared, &Handle::current()).expect("a tier").tier()
    }

    #[tokio::test]
    async fn a_server_knows_over_how_many_nodes_its_tier_spreads_a_hot_key() {
        let fleet = opened("memcached://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3");
        assert_eq!((fleet.nodes(), fleet.salts(b"kv:hot", 2).len()), (3, 2));
        let one = opened("redis://127.0.0.1:1");
        assert_eq!((one.nodes(), one.salts(b"kv:hot", 2).len()), (1, 0), "the control");
    }
}

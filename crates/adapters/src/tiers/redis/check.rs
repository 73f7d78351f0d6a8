//! Is the Redis that a tier points at one that it can work with? Asked by the operator, told in sentences.

use std::fmt;
use std::sync::Arc;

use bellwether::shared::{TierError, TierTrouble};
use bellwether::{Fence, Invalidation, Span};
use redis::Value;

use super::RedisTier;
use super::fault::Fault;
use super::lane::Purpose;
use super::node::Node;
use super::script;

/// The oldest major version of Redis that is enough: RESP3, ACLs, effects of scripts replicated.
const OLDEST: (u64, u64) = (6, 0);
/// What an ACL user must be allowed.
const RIGHTS: &str = "+get +getrange +set +setrange +del +exists +strlen +pttl +pexpireat +time +eval +evalsha \
    +client|tracking +hello +ping +info (in a cluster +cluster|slots +readonly +asking, with sentinels +role)";

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// It works, but not as well as it could.
    Advice,
    /// The tier can't be used.
    Fatal,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How much it matters.
    pub weight: Weight,
    /// The node, or what stands for all of them.
    pub node: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub hint: String,
}

impl Problem {
    /// Where, and what is wrong: the node is named once.
    pub fn found(&self) -> String {
        match self.problem.starts_with(&*self.node) {
            true => self.problem.clone(),
            false => format!("{}: {}", self.node, self.problem),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.found(), self.hint)
    }
}

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Nodes that answered: address and version.
    pub nodes: Vec<(String, String)>,
    /// What is not as it should be.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Whether the tier can be used as it is.
    pub fn is_usable(&self) -> bool {
        self.problems.iter().all(|problem| problem.weight < Weight::Fatal)
    }

    fn add(&mut self, weight: Weight, node: &str, problem: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem { weight, node: node.to_owned(), problem: problem.into(), hint: hint.into() });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (node, version) in &self.nodes {
            writeln!(f, "{node}: reachable, {version}")?;
        }
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl RedisTier {
    /// Asks whoever is there: reachable? a version that is enough? a memory limit, a policy that fits? all rights? It
    /// writes nothing but one key of its own, for a moment.
    pub async fn check(&self) -> Report {
        let mut report = Report::default();
        match self.route.primaries().await {
            Ok(nodes) => {
                for node in nodes {
                    self.check_node(&node, &mut report).await;
                }
            }
            Err(fault) => {
                let text = fault.into_error("the Redis").text;
                report.add(Weight::Fatal, "the Redis", text, reach(self.common.target.tls));
            }
        }
        if report.is_usable() {
            self.check_rights(&mut report).await;
        }
        report
    }

    async fn check_node(&self, node: &Arc<Node>, report: &mut Report) {
        let mut info = String::new();
        for section in ["server", "memory"] {
            match node.call(Purpose::Main, redis::cmd("INFO").arg(section)).await {
                Ok(Value::BulkString(text)) => info.push_str(&String::from_utf8_lossy(&text)),
                Ok(Value::VerbatimString { text, .. }) => info.push_str(&text),
                Ok(_) => {}
                // INFO may be forbidden: then only what it would have told is not known.
                Err(Fault::Denied(why)) if why.starts_with("NOPERM") => {}
                Err(fault) => {
                    let hint = match &fault {
                        Fault::Denied(_) | Fault::Lost(_) | Fault::Open(_)
                            if told(&fault).contains("turns us away")
                                || told(&fault).contains("NOAUTH")
                                || told(&fault).contains("WRONGPASS") =>
                        {
                            "check user and password"
                        }
                        _ => reach(self.common.target.tls),
                    };
                    report.add(Weight::Fatal, &node.label, fault.into_error(&node.label).text, hint);
                    return;
                }
            }
        }
        self.judge(&node.label, &info, report);
    }

    /// What INFO tells.
    fn judge(&self, node: &str, info: &str, report: &mut Report) {
        report.nodes.push((node.to_owned(), version_text(info)));
        if let Some(version) = fact(info, "redis_version").and_then(version)
            && version < OLDEST
        {
            let (major, minor) = version;
            report.add(
                Weight::Fatal,
                node,
                format!("Redis {major}.{minor} is too old"),
                "6.0 or newer is needed, or any Valkey",
            );
        }
        let policy = fact(info, "maxmemory_policy").unwrap_or_default();
        match fact(info, "maxmemory").and_then(|bytes| bytes.parse::<u64>().ok()) {
            Some(0) => report.add(
                Weight::Advice,
                node,
                "maxmemory is not set: it grows until the machine is full",
                "set maxmemory, and maxmemory-policy allkeys-lfu or allkeys-lru",
            ),
            Some(_) if policy == "noeviction" => report.add(
                Weight::Advice,
                node,
                "maxmemory-policy is noeviction: once it is full nothing more is stored, and the fleet loads as if the tier were gone",
                "set maxmemory-policy allkeys-lfu or allkeys-lru",
            ),
            _ => {}
        }
        if policy == "volatile-ttl" {
            report.add(
                Weight::Advice,
                node,
                "maxmemory-policy is volatile-ttl: leases, which are short, go first, and loads lose their right to publish",
                "set maxmemory-policy allkeys-lfu or allkeys-lru",
            );
        }
    }

    /// Every script and command once, on a key of our own.
    async fn check_rights(&self, report: &mut Report) {
        let name = format!("check:{:016x}", fastrand::u64(..));
        let key = self.stored(name.as_bytes());
        let ask = bellwether::shared::Ask {
            lease: Span(1000),
            mode: bellwether::Mode::Miss,
            holds: Fence::ZERO,
            at_least: Fence::ZERO,
            draw: bellwether::shared::Draw::default(),
        };
        let tried = async {
            let (words, node) = self.run(&key, &script::acquire(&ask, 0), false).await?;
            let token = match words.acquire() {
                Ok(script::Acquire::Granted { token, .. }) => token,
                _ => Fence::ZERO,
            };
            self.run(&key, &script::release(token, None), false).await?;
            self.read(&key).await?;
            self.run(&key, &script::invalidate(Invalidation::Remove, 1, Fence::ZERO, 0, Span::ZERO), true).await?;
            Ok::<_, TierError>(node)
        };
        let error = match tried.await {
            Ok(node) => return self.check_tracking(&node, &key, report).await,
            Err(error) => error,
        };
        let prefix = String::from_utf8_lossy(&self.common.options.prefix).into_owned();
        let hint = match error.kind {
            TierTrouble::Full => "it is full: raise maxmemory, or set maxmemory-policy allkeys-lfu".into(),
            _ if error.text.contains("replica") => {
                "name the primary, or the sentinels: redis+sentinel://HOST:26379/NAME".into()
            }
            _ if error.text.contains("node of a cluster") => "write redis+cluster:// in its address".into(),
            _ => format!("the user needs ~{prefix}* {RIGHTS}"),
        };
        report.add(Weight::Fatal, "the Redis", error.text, hint);
    }

    async fn check_tracking(&self, node: &Arc<Node>, key: &[u8], report: &mut Report) {
        if !self.common.options.tracking {
            return;
        }
        if let Err(fault) = node.call(Purpose::Wait, redis::cmd("GETRANGE").arg(key).arg(0).arg(1)).await {
            report.add(
                Weight::Advice,
                &node.label,
                format!("waiters can't be woken by it ({}): they poll", fault.into_error(&node.label).text),
                "allow CLIENT TRACKING (ACL: +client|tracking), or switch tracking off",
            );
        }
    }
}

/// What to look at where nobody answers in words that can be read. Whoever waits for TLS says nothing to one who speaks
/// without, and the other way round.
pub(crate) fn reach(tls: bool) -> &'static str {
    match tls {
        false => "is the address right, does it run, and without TLS? With TLS it is rediss:// instead of redis://",
        true => "is the address right, does it run, and with TLS? Without TLS it is redis:// instead of rediss://",
    }
}

fn told(fault: &Fault) -> &str {
    match fault {
        Fault::Open(why) | Fault::Lost(why) | Fault::Denied(why) => why,
        _ => "",
    }
}

/// A line of INFO.
fn fact<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn version(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

fn version_text(info: &str) -> String {
    match (fact(info, "valkey_version"), fact(info, "redis_version")) {
        (Some(version), _) => format!("Valkey {version}"),
        (None, Some(version)) => format!("Redis {version}"),
        (None, None) => "version unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiers::redis::{RedisOptions, RedisTarget};

    fn judged(info: &str) -> Report {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let options = RedisOptions { runtime: Some(runtime.handle().clone()), ..RedisOptions::default() };
        let target = RedisTarget::parse("redis://h").expect("an address");
        let mut report = Report::default();
        RedisTier::open(target, options).expect("a tier").judge("h:1", info, &mut report);
        report
    }

    fn problems(info: &str) -> Vec<String> {
        judged(info).problems.into_iter().map(|problem| problem.problem).collect()
    }

    #[test]
    fn what_is_too_old_is_refused_and_what_is_new_enough_is_not() {
        for old in ["5.0.14", "2.8.0", "4.0"] {
            let report = judged(&format!("redis_version:{old}\r\nmaxmemory:1\r\n"));
            assert!(!report.is_usable() && report.problems[0].problem.contains("too old"), "{old}");
        }
        for new in ["6.0.0", "6.2.7", "7.0.15", "8.2.1", "10.0.0", "unknown"] {
            assert!(judged(&format!("redis_version:{new}\r\nmaxmemory:1\r\n")).is_usable(), "{new}");
        }
        let valkey = judged("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\nmaxmemory:1\r\n");
        assert_eq!(valkey.nodes[0].1, "Valkey 8.1.0");
    }

    #[test]
    fn a_memory_policy_that_hurts_is_told_with_what_to_set() {
        assert!(problems("maxmemory:0\r\nmaxmemory_policy:noeviction\r\n")[0].contains("not set"));
        assert!(problems("maxmemory:5\r\nmaxmemory_policy:noeviction\r\n")[0].contains("noeviction"));
        assert!(problems("maxmemory:5\r\nmaxmemory_policy:volatile-ttl\r\n")[0].contains("volatile-ttl"));
        assert!(problems("maxmemory:5\r\nmaxmemory_policy:allkeys-lfu\r\n").is_empty());
    }
}

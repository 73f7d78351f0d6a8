//! What does INFO say? The fields that clients and tools read, by section.

use std::fmt::Write as _;

use bellwether::{Eviction, Snapshot, Why};

use super::clients::Clients;
use crate::service::Service;

/// The Redis version whose commands and words these are: clients switch features on by it.
pub(super) const VERSION: &str = "7.4.0";

/// Reads that memory answered.
const HITS: [Why; 6] =
    [Why::Hit, Why::StaleRefreshing, Why::StaleError, Why::StaleShed, Why::RescuedInvalidated, Why::Default];
/// Requests that looked nothing up.
const NO_LOOKUPS: [Why; 3] = [Why::NoSpace, Why::ReadOnly, Why::InvalidationQueued];

const SECTIONS: [&str; 7] = ["server", "clients", "memory", "persistence", "stats", "replication", "keyspace"];

/// The sections that `wanted` names; all of them if it names none, or `all`, `default` or `everything`.
pub(super) fn text(service: &Service, clients: &Clients, wanted: &[String]) -> String {
    let all = wanted.is_empty() || wanted.iter().any(|word| ["all", "default", "everything"].contains(&word.as_str()));
    let snapshot = service.snapshot();
    let mut out = String::new();
    for section in SECTIONS.into_iter().filter(|section| all || wanted.iter().any(|word| word == section)) {
        if !out.is_empty() {
            out.push_str("\r\n");
        }
        let title = section[..1].to_uppercase() + &section[1..];
        // Writing to a string can't fail.
        let _ = write!(out, "# {title}\r\n");
        for (name, value) in fields(section, service, clients, &snapshot) {
            let _ = write!(out, "{name}:{value}\r\n");
        }
    }
    out
}

/// The policy in the form of Redis's words: any key may go. Redis has no word for some, and none
/// for `auto`, which comes nearest to LFU: what is asked for often stays.
pub(super) const fn maxmemory_policy(eviction: Eviction) -> &'static str {
    match eviction {
        Eviction::Auto | Eviction::Lfu => "allkeys-lfu",
        Eviction::Lru => "allkeys-lru",
        Eviction::Fifo => "allkeys-fifo",
        Eviction::S3Fifo => "allkeys-s3-fifo",
        Eviction::Sieve => "allkeys-sieve",
    }
}

fn fields(section: &str, service: &Service, clients: &Clients, snapshot: &Snapshot) -> Vec<(&'static str, String)> {
    let memory = &snapshot.memory;
    match section {
        "server" => vec![
            ("redis_version", VERSION.to_owned()),
            ("redis_mode", "standalone".to_owned()),
            ("bellwether_version", env!("CARGO_PKG_VERSION").to_owned()),
            ("os", std::env::consts::OS.to_owned()),
            ("arch_bits", usize::BITS.to_string()),
            ("process_id", std::process::id().to_string()),
            ("tcp_port", clients.port().to_string()),
            ("uptime_in_seconds", clients.uptime_secs().to_string()),
            ("uptime_in_days", (clients.uptime_secs() / 86_400).to_string()),
        ],
        "clients" => vec![
            ("connected_clients", clients.connected().to_string()),
            ("maxclients", super::MAX_CLIENTS.to_string()),
            ("blocked_clients", clients.waiting().to_string()),
            ("tracking_clients", service.watch().counts()[0].to_string()),
        ],
        "memory" => vec![
            ("used_memory", memory.bytes.to_string()),
            ("used_memory_human", human(memory.bytes)),
            ("used_memory_dataset", memory.bytes.to_string()),
            ("maxmemory", service.memory_limit().to_string()),
            ("maxmemory_human", human(service.memory_limit())),
            ("maxmemory_policy", maxmemory_policy(service.eviction()).to_owned()),
            ("bellwether_eviction", service.eviction().to_string()),
        ],
        "persistence" => {
            ["loading", "async_loading", "rdb_changes_since_last_save", "rdb_bgsave_in_progress", "aof_enabled"]
                .into_iter()
                .chain(["aof_rewrite_in_progress"])
                .map(|name| (name, "0".to_owned()))
                .collect()
        }
        "stats" => stats(service, clients, snapshot),
        "replication" => vec![("role", "master".to_owned()), ("connected_slaves", "0".to_owned())],
        _ if memory.entries > 0 => {
            vec![("db0", format!("keys={n},expires={n}", n = memory.entries))]
        }
        _ => Vec::new(),
    }
}

fn stats(service: &Service, clients: &Clients, snapshot: &Snapshot) -> Vec<(&'static str, String)> {
    let requests = || snapshot.spaces.iter().flat_map(|space| &space.requests);
    let sum = |wanted: &dyn Fn(&Why) -> bool| requests().filter(|(why, _)| wanted(why)).map(|(_, n)| n).sum::<u64>();
    let hits = sum(&|why| HITS.contains(why));
    let misses = sum(&|why| !HITS.contains(why) && !NO_LOOKUPS.contains(why));
    let memory = &snapshot.memory;
    let [_, keys, prefixes, followers] = service.watch().counts();
    vec![
        ("total_connections_received", clients.accepted().to_string()),
        ("total_commands_processed", clients.commands().to_string()),
        ("instantaneous_ops_per_sec", clients.rate(service.now()).to_string()),
        ("rejected_connections", clients.refused().to_string()),
        ("expired_keys", memory.expired.to_string()),
        ("evicted_keys", memory.evicted.to_string()),
        ("keyspace_hits", hits.to_string()),
        ("keyspace_misses", misses.to_string()),
        ("tracking_total_keys", keys.to_string()),
        ("tracking_total_prefixes", prefixes.to_string()),
        ("pubsub_channels", usize::from(followers > 0).to_string()),
        ("pubsub_patterns", "0".to_owned()),
        ("bellwether_followers", followers.to_string()),
        ("bellwether_loads", snapshot.spaces.iter().map(bellwether::SpaceCounts::loads).sum::<u64>().to_string()),
        ("bellwether_stampedes", snapshot.stampedes.to_string()),
        ("bellwether_shared", service.shared_state().map_or("none", |state| state.word()).to_owned()),
    ]
}

fn human(bytes: u64) -> String {
    let units = [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    match units.into_iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{:.2}{unit}", bytes as f64 / size as f64),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_as_redis_shows_them() {
        assert_eq!((human(0), human(1536), human(256 << 20)), ("0B".into(), "1.50K".into(), "256.00M".into()));
    }

    #[test]
    fn every_reason_is_a_hit_a_miss_or_no_lookup() {
        assert!(HITS.iter().all(|why| !NO_LOOKUPS.contains(why)));
    }
}

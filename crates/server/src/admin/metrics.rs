//! What does a scraper read? Every count of the service, in OpenMetrics text.
//!
//! Nothing is counted here: each scrape renders one snapshot.

mod ahead;
mod heat;
mod penetration;

use std::fmt;

use bellwether::disk::DiskState;
use bellwether::shared::TierTrouble;
use bellwether::{HeatCounts, HistogramCounts, MeasureCounts, SharedCounts, Snapshot, SpaceCounts};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text::encode};
use prometheus_client::registry::Registry;

use super::family::Out;
use super::guards::guards;
use crate::connections::{Connections, Crowded, Face};
use crate::service::{PenetrationView, Readiness, Reload, Service, SharedState};

/// The text of one scrape.
pub(super) fn text(service: &Service, connections: Connections) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("bellwether");
    let reloads = Reload::ALL.map(|reload| (reload, service.reloads().ended(reload)));
    let last_good = service.reloads().last_good().as_secs();
    let (snapshot, shared) = (service.snapshot(), service.shared_state());
    registry.register_collector(Box::new(Scrape {
        snapshot,
        heat: service.heat(),
        shared,
        connections,
        reloads,
        last_good,
        readiness: service.readiness(),
        penetration: service.penetration(),
    }));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Scrape {
    snapshot: Snapshot,
    heat: HeatCounts,
    shared: Option<SharedState>,
    connections: Connections,
    reloads: [(Reload, u64); Reload::ALL.len()],
    last_good: u64,
    readiness: Readiness,
    penetration: Vec<PenetrationView>,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        self.requests(&mut out)?;
        self.loads(&mut out)?;
        self.backplane(&mut out)?;
        self.brakes(&mut out)?;
        self.memory(&mut out)?;
        self.reactions(&mut out)?;
        self.ahead(&mut out)?;
        self.penetration(&mut out)?;
        self.heat(&mut out)?;
        self.origins(&mut out)?;
        self.shared(&mut out)?;
        self.disk(&mut out)?;
        self.connections(&mut out)?;
        self.reloads(&mut out)?;
        out.gauge("build_info", "Always 1; the version is in its label", |family| {
            family.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1)
        })
    }
}

impl Scrape {
    fn requests(&self, out: &mut Out<'_>) -> fmt::Result {
        let spaces = &self.snapshot.spaces;
        out.counter(
            "requests",
            "Requests by space and outcome; requests that no space matches have an empty space",
            |family| {
                for space in spaces {
                    for (why, count) in &space.requests {
                        family.sample(&[("space", space.name.as_str()), ("why", why.as_str())], *count)?;
                    }
                }
                Ok(())
            },
        )?;
        let help = "Time to answer. Contains every request: those that never left the hit path are not timed, and are \
                    counted in the first bucket with a time of 0";
        out.histogram("request_seconds", help, |family| {
            spaces
                .iter()
                .try_for_each(|space| family.histogram(&[("space", space.name.as_str())], &all_requests(space)))
        })
    }

    fn loads(&self, out: &mut Out<'_>) -> fmt::Result {
        let spaces = &self.snapshot.spaces;
        out.counter("loads", "Loads that ended, by result", |family| {
            for space in spaces.iter().filter(|space| !space.name.is_empty()) {
                family.sample(&[("space", space.name.as_str()), ("result", "success")], space.loads_succeeded)?;
                family.sample(&[("space", space.name.as_str()), ("result", "failure")], space.loads_failed)?;
            }
            Ok(())
        })?;
        out.histogram("load_seconds", "Time of the loads", |family| {
            let mut spaces = spaces.iter().filter(|space| !space.name.is_empty());
            spaces.try_for_each(|space| family.histogram(&[("space", space.name.as_str())], &space.load_seconds))
        })?;
        let help = "Flights that ended with ten followers or more: each a stampede that reached the origin once";
        out.counter("stampedes", help, |family| family.one(self.snapshot.stampedes))?;
        out.histogram("flight_followers", "Callers that waited for another's load, per flight", |family| {
            family.histogram(&[], &self.snapshot.flight_followers)
        })?;
        out.gauge("flights", "Flights under way", |family| family.sample(&[], self.snapshot.live_flights as u64))
    }

    /// Nothing where there is no backplane.
    fn backplane(&self, out: &mut Out<'_>) -> fmt::Result {
        let Some(backplane) = &self.snapshot.backplane else { return Ok(()) };
        let help = "1: every invalidation of the fleet is heard; 0: some may be missing, and copies are compared";
        out.gauge("backplane_live", help, |family| family.sample(&[], u64::from(backplane.live)))?;
        out.counter("backplane_sent", "Invalidations told to other processes", |family| family.one(backplane.sent))?;
        let help = "Invalidations heard, one's own included";
        out.counter("backplane_heard", help, |family| family.one(backplane.heard))?;
        out.counter("backplane_gaps", "Times that an invalidation might have been missed, by cause", |family| {
            let mut gaps = backplane.gaps.iter();
            gaps.try_for_each(|(cause, count)| family.sample(&[("cause", cause.as_str())], *count))
        })?;
        let help = "Times that all copies in memory became suspect";
        out.counter("backplane_suspicions", help, |family| family.one(backplane.suspicions))?;
        let help = "How long the oldest message has been waiting to be told";
        out.gauge("backplane_waiting_seconds", help, |family| family.sample(&[], backplane.waiting.0 / 1000))
    }

    /// Which spaces' memory tier is off, because more is invalidated than served from it.
    fn brakes(&self, out: &mut Out<'_>) -> fmt::Result {
        let spaces = self.snapshot.spaces.iter().filter(|space| !space.name.is_empty());
        out.gauge("memory_tier_off", "1: more is invalidated than memory serves, so it is passed by", |family| {
            spaces
                .clone()
                .try_for_each(|space| family.sample(&[("space", space.name.as_str())], u64::from(space.memory_off)))
        })
    }

    /// What is done about hot keys, by kind.
    fn reactions(&self, out: &mut Out<'_>) -> fmt::Result {
        let reactions = &self.snapshot.reactions;
        out.gauge("hot_reacting", "Keys at which this is in force", |family| {
            reactions.iter().try_for_each(|of| family.sample(&[("kind", of.measure.as_str())], of.keys))
        })?;
        let mut counter = |name, help, count: fn(&MeasureCounts) -> u64| {
            out.counter(name, help, |family| {
                reactions.iter().try_for_each(|of| family.sample(&[("kind", of.measure.as_str())], count(of)))
            })
        };
        counter("hot_reactions", "Times that this came into force at a key", |of| of.begun)?;
        counter("hot_saved", "Operations that this spared the store, the shared tier or readers", |of| of.saved)?;
        counter("hot_cost", "Operations that this cost; for gathered writes, milliseconds held back", |of| of.cost)?;
        counter("hot_saved_bytes", "Bytes that did not travel to and from the shared tier", |of| of.saved_bytes)?;
        counter("hot_cpu_us", "Microseconds of work that this took, where it is counted", |of| of.cpu_us)?;
        let Some(split) = &self.snapshot.spread else { return Ok(()) };
        out.counter("hot_split", "Reads of split keys by who answered, and copies that were made", |family| {
            let answered = [("from_copy", split.from_copies), ("from_replica", split.from_replicas)];
            let rest = [("no_copy", split.missed), ("filled", split.filled)];
            let mut events = answered.into_iter().chain(rest);
            events.try_for_each(|(event, count)| family.sample(&[("event", event)], count))
        })
    }

    fn memory(&self, out: &mut Out<'_>) -> fmt::Result {
        let memory = &self.snapshot.memory;
        out.gauge("memory_bytes", "Resident bytes, overhead included", |family| family.sample(&[], memory.bytes))?;
        out.gauge("memory_limit_bytes", "The limit of resident bytes", |family| family.sample(&[], memory.limit))?;
        out.gauge("memory_eviction", "Always 1: the policy by which entries make room", |family| {
            family.sample(&[("policy", memory.eviction.as_str())], 1u64)
        })?;
        out.gauge("entries", "Resident entries, negatives included", |family| family.sample(&[], memory.entries))?;
        out.counter("evictions", "Entries dropped (or never kept: too_large), by cause", |family| {
            let causes = [
                ("pressure", memory.evicted),
                ("expired", memory.expired),
                ("invalidated", memory.invalidated),
                ("too_large", memory.too_large),
            ];
            causes.into_iter().try_for_each(|(cause, count)| family.sample(&[("cause", cause)], count))
        })?;
        let help = "Entries evicted for room while still fresh: a sign that the memory limit is too low";
        out.counter("evicted_fresh", help, |family| family.one(memory.evicted_fresh))
    }

    fn origins(&self, out: &mut Out<'_>) -> fmt::Result {
        let origins = &self.snapshot.origins;
        out.gauge("origin_running", "Loads that run now", |family| {
            origins.iter().try_for_each(|o| family.sample(&[("origin", o.name.as_str())], o.running as u64))
        })?;
        out.gauge("origin_waiting", "Loads that wait for a permit now", |family| {
            origins.iter().try_for_each(|o| family.sample(&[("origin", o.name.as_str())], o.waiting as u64))
        })?;
        out.gauge("origin_limit", "Loads that may run at once now: fewer where the origin is slow", |family| {
            origins.iter().try_for_each(|o| family.sample(&[("origin", o.name.as_str())], o.guard.limit as u64))
        })?;
        out.gauge("origin_max_concurrency", "The most loads that may ever run at once", |family| {
            origins.iter().try_for_each(|o| family.sample(&[("origin", o.name.as_str())], u64::from(o.max_concurrency)))
        })?;
        guards(origins, out)
    }

    fn shared(&self, out: &mut Out<'_>) -> fmt::Result {
        let Some(state) = &self.shared else { return Ok(()) };
        if let Some(counts) = &self.snapshot.shared {
            out.counter("shared", "What was asked of the shared tier, and what came of it", |family| {
                events(counts).into_iter().try_for_each(|(event, count)| family.sample(&[("event", event)], count))
            })?;
            let help = "Invalidations that hold here and that the shared tier could not be told yet";
            out.gauge("shared_pending", help, |family| family.sample(&[], counts.pending))?;
        }
        out.counter("shared_connects", "Connections made to the shared tier", |family| family.one(state.connects))?;
        out.counter("shared_lost", "Connections to the shared tier that were lost", |family| family.one(state.lost))?;
        let help = "What else happened between this process and the servers of the shared tier";
        out.counter("shared_node_events", help, |family| {
            state.events.iter().try_for_each(|(event, count)| family.sample(&[("event", *event)], *count))
        })?;
        out.counter("shared_misread", "What the shared tier had and could not be read, by reason", |family| {
            let mut misread = state.misread.iter();
            misread.try_for_each(|(reason, count)| family.sample(&[("reason", *reason)], *count))
        })?;
        out.gauge("shared_node_up", "Whether a server of the shared tier can be used", |family| {
            let mut nodes = state.nodes.iter();
            nodes.try_for_each(|(node, up)| family.sample(&[("node", node.as_str())], u64::from(*up)))
        })?;
        let help = "Servers of the shared tier that take no writes, by cause";
        out.gauge("shared_unwritable", help, |family| {
            TierTrouble::ALL.into_iter().filter(|cause| !cause.is_of_the_key()).try_for_each(|cause| {
                let servers = state.unwritable.iter().filter(|(_, trouble)| *trouble == cause).count();
                family.sample(&[("cause", cause.as_str())], servers as u64)
            })
        })?;
        let help = "Whether other Memcached servers are used than are configured here, because the fleet uses them";
        out.gauge("shared_follows", help, |family| family.sample(&[], u64::from(state.follows)))?;
        let help = "Whether any part of the shared tier can't be used: this process loads for itself";
        out.gauge("shared_degraded", help, |family| family.sample(&[], u64::from(state.is_degraded())))
    }

    fn disk(&self, out: &mut Out<'_>) -> fmt::Result {
        let Some(counts) = &self.snapshot.disk else { return Ok(()) };
        out.gauge("disk_up", "Whether the disk tier works", |family| {
            family.sample(&[], u64::from(counts.state == DiskState::On))
        })?;
        out.gauge("disk_used_bytes", "Bytes that entries take in the disk tier's file", |family| {
            family.sample(&[], counts.used)
        })?;
        out.gauge("disk_limit_bytes", "Bytes that the disk tier's files may take", |family| {
            family.sample(&[], counts.limit)
        })?;
        out.counter("disk", "What was asked of the disk tier, and what came of it", |family| {
            let events = [
                ("hit", counts.hits),
                ("hit_earlier", counts.hits_earlier),
                ("miss", counts.misses),
                ("skipped", counts.skipped),
                ("stored", counts.stored),
                ("dropped", counts.dropped),
                ("outdated", counts.outdated),
                ("too_large", counts.too_large),
                ("removed", counts.removed),
                ("expired", counts.expired),
                ("evicted", counts.evicted),
                ("unreadable", counts.unreadable),
                ("set_aside", counts.set_aside),
                ("failure", counts.failures),
            ];
            events.into_iter().try_for_each(|(event, count)| family.sample(&[("event", event)], count))
        })
    }

    fn reloads(&self, out: &mut Out<'_>) -> fmt::Result {
        out.counter("reloads", "Times the configuration was read again, by what came of it", |family| {
            let mut reloads = self.reloads.iter();
            reloads.try_for_each(|(reload, count)| family.sample(&[("outcome", reload.as_str())], *count))
        })?;
        let help = "When the configuration at work was last found right, in seconds since 1970";
        out.gauge("config_last_good_seconds", help, |family| family.sample(&[], self.last_good))
    }

    fn connections(&self, out: &mut Out<'_>) -> fmt::Result {
        let connections = &self.connections;
        out.gauge("connections", "Connections that are open now", |family| {
            let mut faces = Face::ALL.into_iter();
            faces.try_for_each(|face| family.sample(&[("face", face.as_str())], connections.open(face) as u64))
        })?;
        let help = "Connections that were turned away: too many of all clients, or of their address";
        out.counter("connections_refused", help, |family| {
            for face in [Face::Redis, Face::Http] {
                for crowded in Crowded::ALL {
                    let labels = [("face", face.as_str()), ("cause", crowded.as_str())];
                    family.sample(&labels, connections.refused(face, crowded))?;
                }
            }
            Ok(())
        })?;
        out.counter("connections_accepted", "Connections accepted", |family| {
            let mut faces = Face::ALL.into_iter();
            faces.try_for_each(|face| family.sample(&[("face", face.as_str())], connections.accepted(face)))
        })
    }
}

/// Every count of the shared tier by its word.
fn events(counts: &SharedCounts) -> Vec<(&'static str, u64)> {
    vec![
        ("get", counts.gets),
        ("hit", counts.hits),
        ("adopted", counts.adopted),
        ("granted", counts.granted),
        ("backup", counts.backups),
        ("denied", counts.denied),
        ("wait", counts.waits),
        ("published", counts.published),
        ("refused", counts.refused),
        ("released", counts.released),
        ("lone", counts.lone),
        ("verified", counts.verified),
        ("dropped", counts.dropped),
        ("told", counts.told),
        ("retried", counts.retried),
        ("overtaken", counts.overtaken),
        ("forgotten", counts.forgotten),
        ("stood_still", counts.stood_still),
        ("unreachable", counts.unreachable),
        ("full", counts.full),
        ("read_only", counts.read_only),
        ("turned_away", counts.turned_away),
        ("not_ready", counts.not_ready),
        ("wrong_type", counts.wrong_type),
        ("too_large", counts.too_large),
        ("failed", counts.failed),
    ]
}

/// The timed requests of a space, and those too short to be timed.
fn all_requests(space: &SpaceCounts) -> HistogramCounts {
    let mut counts = space.request_seconds.clone();
    // Counts are read one after another while requests go on: a timed one may be ahead of its count.
    let untimed = space.total().saturating_sub(counts.count());
    if let Some((_, first)) = counts.buckets.first_mut() {
        *first += untimed;
    }
    counts
}

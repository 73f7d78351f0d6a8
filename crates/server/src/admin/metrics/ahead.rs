//! What is ahead? Values that end together, refreshes that wait for their turn, and what has no value.

use std::fmt;

use super::{Out, Scrape};

impl Scrape {
    pub(super) fn ahead(&self, out: &mut Out<'_>) -> fmt::Result {
        let memory = &self.snapshot.memory;
        let percent = |share: f64| (share * 100.0).round() as u64;
        let help = "The share of traffic that this process is good for, in percent; 0 while it warms up";
        out.gauge("ready_weight_percent", help, |family| family.sample(&[], percent(self.readiness.weight)))?;
        let help = "How much of what was read most before the restart was there when the warm phase ended, in percent";
        out.gauge("warm_percent", help, |family| family.sample(&[], percent(self.readiness.warm)))?;
        out.gauge("missing_entries", "Entries without a value: rows known not to exist, and markers", |family| {
            family.sample(&[], memory.nothings)
        })?;
        out.gauge("missing_bytes", "Their bytes", |family| family.sample(&[], memory.nothing_bytes))?;
        let help = "The part of the memory limit that is theirs alone";
        out.gauge("missing_limit_bytes", help, |family| family.sample(&[], memory.nothing_limit))?;
        let help = "Entries without a value that were pushed out by others of the kind";
        out.counter("missing_evictions", help, |family| family.one(memory.nothings_evicted))?;
        let spaces = || self.snapshot.spaces.iter().filter(|space| !space.name.is_empty());
        out.gauge("space_values", "Values that memory holds", |family| {
            spaces().try_for_each(|space| family.sample(&[("space", &space.name)], space.held.values))
        })?;
        out.gauge("ending_values", "Values in memory that stop being fresh within this time", |family| {
            for space in spaces() {
                for (ahead, keys) in &space.held.ending {
                    let within = (ahead.0 / 1000).to_string();
                    family.sample(&[("space", &space.name), ("within_seconds", &within)], *keys)?;
                }
            }
            Ok(())
        })?;
        let help = "Values in the largest crowd that stops being fresh together; 0: there is none";
        out.gauge("crowd_values", help, |family| {
            spaces().try_for_each(|space| {
                let keys = space.held.crowd.as_ref().map_or(0, |crowd| crowd.keys);
                family.sample(&[("space", &space.name)], keys)
            })
        })?;
        let help = "How far ahead that crowd is";
        out.gauge("crowd_ahead_seconds", help, |family| {
            spaces()
                .filter_map(|space| Some((space, space.held.crowd.as_ref()?)))
                .try_for_each(|(space, crowd)| family.sample(&[("space", &space.name)], crowd.ahead.start.0 / 1000))
        })?;
        out.gauge("refreshes_waiting", "Refreshes that wait for their turn", |family| {
            spaces().try_for_each(|space| family.sample(&[("space", &space.name)], space.refreshes_waiting as u64))
        })?;
        let help = "Keys that were asked for in vain while the origin was busy, and are loaded once there is room";
        out.gauge("unmet_keys", help, |family| {
            spaces().try_for_each(|space| family.sample(&[("space", &space.name)], space.unmet as u64))
        })?;
        out.gauge("unmet_bytes", "Bytes of those keys, beside what memory may hold", |family| {
            spaces().try_for_each(|space| family.sample(&[("space", &space.name)], space.unmet_bytes as u64))
        })
    }
}

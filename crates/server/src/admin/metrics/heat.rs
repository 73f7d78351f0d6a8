//! How many keys are hot, and what does the detector take a node to bear? Counts alone: a key is no label.

use std::fmt;

use bellwether::CapacitySource;

use super::{Out, Scrape};

impl Scrape {
    pub(super) fn heat(&self, out: &mut Out<'_>) -> fmt::Result {
        let heat = &self.heat;
        out.gauge("hot_keys", "Keys that are hot or watched now", |family| {
            family.sample(&[("stage", "hot")], heat.hot as u64)?;
            family.sample(&[("stage", "watched")], heat.watched as u64)
        })?;
        let help = "Processes that tell each other which keys they see, this one included: an estimate";
        out.gauge("hot_instances", help, |family| family.sample(&[], u64::from(heat.instances)))?;
        out.gauge("hot_capacity", "Operations a second that one node is taken to bear", |family| {
            for source in [CapacitySource::Configured, CapacitySource::Measured, CapacitySource::Assumed] {
                let known = if source == heat.capacity_source { heat.capacity.round() as u64 } else { continue };
                family.sample(&[("from", source.as_str())], known)?;
            }
            Ok(())
        })?;
        out.gauge("hot_bytes", "Bytes that detection takes", |f| f.one(heat.bytes as u64))?;
        out.counter("hot_windows", "Windows of about 100 ms in which keys were judged", |f| f.one(heat.windows))?;
        out.counter("hot_unseen", "Keys that stood out and could not be taken up, by cause", |family| {
            family.sample(&[("cause", "no_room_for_names")], heat.dropped)?;
            family.sample(&[("cause", "others_are_as_hot")], heat.refused_full)?;
            family.sample(&[("cause", "quota_of_the_space")], heat.refused_quota)
        })
    }
}

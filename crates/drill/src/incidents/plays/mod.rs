//! Which incidents are there?

mod added;
mod apart;
mod backplane;
mod cold;
mod deleted;
mod failover;
mod killed;
mod trouble;
mod watching;

use crate::incidents::incident::Incident;

/// Every incident, in the order of `drill list`.
pub const ALL: [&Incident; 8] = [
    &cold::FLEET_COLD,
    &killed::LEADER_KILLED,
    &deleted::DELETE_DURING_LOAD,
    &trouble::REDIS_FROZEN,
    &trouble::REDIS_DOWN,
    &failover::FAILOVER,
    &backplane::BACKPLANE_LOST,
    &added::NODE_ADDED,
];

//! Which incidents are there?

mod added;
mod ailing;
mod apart;
mod backplane;
mod cold;
mod deleted;
mod failover;
mod kept;
mod killed;
mod overload;
mod removed;
mod rolling;
mod sale;
mod spike;
mod strangers;
mod together;
mod trouble;
mod viral;
mod watching;
mod wave;

use crate::incidents::incident::Incident;

/// Every incident, in the order of `drill list`.
pub const ALL: [&Incident; 18] = [
    &cold::FLEET_COLD,
    &killed::LEADER_KILLED,
    &deleted::DELETE_DURING_LOAD,
    &trouble::REDIS_FROZEN,
    &trouble::REDIS_DOWN,
    &failover::FAILOVER,
    &backplane::BACKPLANE_LOST,
    &added::NODE_ADDED,
    &removed::NODE_REMOVED,
    &viral::VIRAL,
    &viral::HOT_NODE_DIES,
    &sale::FLASH_SALE,
    &wave::AVALANCHE,
    &rolling::ROLLING_RESTART,
    &ailing::ORIGIN_SLOW,
    &ailing::ORIGIN_DEAD,
    &strangers::PENETRATION,
    &strangers::CACHE_BUSTING,
];

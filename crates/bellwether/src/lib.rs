//! A stampede-proof cache for tokio programs: one request leads, the herd follows.
//!
//! However many callers ask for a key and whatever breaks, its loader runs about once per
//! freshness period, nobody gets an answer older than promised, and nobody waits past their
//! deadline.
//!
//! ```
//! use bellwether::{Cache, Loaded, Policy};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cache = Cache::builder().memory("256 MiB").build()?;
//! let users = cache.space::<u64, String>("user", Policy::ttl("60s").grace("6h"));
//!
//! let user = users.get(&42)
//!     .fresh_within("10s")
//!     .or_load(|ctx| async move { Ok::<_, std::io::Error>(Loaded::value(format!("user {}", ctx.key()))) })
//!     .await?;
//! assert_eq!(*user, "user 42");
//! drop(users.remove(&42)); // from here on no read that begins gets the older value
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]
#![allow(
    clippy::manual_async_fn,
    reason = "an `async fn` keeps each argument twice: a block makes hits cheap and followers small"
)]

mod acknowledged;
mod asked;
mod body;
mod builder;
mod cache;
mod cached;
mod codec;
mod common;
mod control;
mod ctx;
pub mod disk;
mod engine;
mod entry;
mod error;
pub mod events;
mod eviction;
#[cfg(feature = "shuttle")]
#[doc(hidden)]
pub mod flight_table;
mod get;
mod heat;
mod hit;
mod key;
mod load;
mod observe;
mod or_load;
mod place;
mod policy;
mod popular;
mod port;
mod revision;
pub mod shared;
mod space;
mod state;
pub mod testing;
mod token;
mod weigh;

pub use acknowledged::{Cleared, Ended, Invalidated, Written};
pub use bellwether_core::cell::{Only, When};
pub use bellwether_core::entry::Kind;
pub use bellwether_core::failure::FailClass;
pub use bellwether_core::fence::{Fence, Invalidation};
pub use bellwether_core::guard::breaker::Position as BreakerPosition;
pub use bellwether_core::guard::standing::{Sheds, Standing};
pub use bellwether_core::heat::hot::{Rates, Stage};
pub use bellwether_core::heat::plan::{Measure, Reaction};
pub use bellwether_core::heat::policy::HotPolicy;
pub use bellwether_core::lease::Mode;
pub use bellwether_core::policy::{Budget, Early, Priority};
pub use bellwether_core::position::Position;
pub use bellwether_core::read::decide::Demand;
pub use bellwether_core::time::{Span, Tick};
pub use bellwether_core::why::Why;
pub use bellwether_core::write::ends::Crowd;
pub use builder::CacheBuilder;
pub use cache::{Cache, Origin};
pub use cached::Cached;
pub use ctx::{BatchCtx, LoadCtx};
pub use engine::debts::{Owing, Retried};
pub use engine::told::Acknowledged;
pub use error::{Error, OptionalExt, SetupError};
pub use eviction::Eviction;
pub use get::{Get, GetMany};
pub use heat::{AnnouncedKey, BigKey, HeatCounts, HotKey};
pub use hit::HIT_MANY;
pub use key::CacheKey;
pub use load::{LoadError, Loaded};
pub use observe::counters::{FOLLOWER_BOUNDS, HistogramCounts, TIME_BOUNDS};
pub use observe::explain::{Explain, ExplainEntry, ExplainFlight, ExplainReaction, ExplainShared};
pub use observe::shared::SharedCounts;
pub use observe::snapshot::{MemoryCounts, OriginCounts, Snapshot, SpaceCounts, SpaceHeld};
pub use policy::{Human, Policy};
pub use popular::Popular;
pub use port::clock::Clock;
pub use revision::Revision;
pub use shared::{Envelope, Stored, Tier, TierError};
pub use space::{Conditional, Lease, OnDisk, Since, Space};
pub use state::fleet::BackplaneCounts;
pub use state::heat::CapacitySource;
pub use state::plan::{MOST_ANNOUNCED, MeasureCounts};
pub use state::spread::{SpreadCounts, SpreadTier};
pub use token::{NoToken, Token};
pub use weigh::{Value, Weigh};

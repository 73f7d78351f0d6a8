//! What does plain cache-aside look like? The code that most people write, with nothing left out to make it fail:
//! an in-process map with a ttl, a pool of connections, a deadline for every caller.

mod cache;
mod pool;
mod socket;

pub(crate) use cache::CacheAside;
pub(crate) use socket::PlainServer;

//! Where is a tier? One address: its scheme says what it is, the rest where, and who asks.
//!
//! The library, the configuration of the server and the command line read it here, so that an address which works in
//! one of them works in all.

mod mistake;
mod nouns;
mod read;
mod shown;
#[cfg(test)]
mod tests;

pub use mistake::AddressMistake;
pub use nouns::{MAX_DATABASE, MOST_SERVERS, RedisShape, RedisTarget, ServerAddress, Servers, TierAddress};
#[cfg(feature = "memcached")]
pub(super) use read::MEMCACHED_PORT;
pub use shown::{up_to_secret, without_secrets};

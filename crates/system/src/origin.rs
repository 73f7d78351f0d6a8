//! How do tests get the drill's origin? On a free port, or not at all.

use std::net::Ipv4Addr;
use std::ops::Deref;

pub use bellwether_drill::Mode;

/// The origin that misbehaves on demand.
pub struct Origin(bellwether_drill::Origin);

impl Origin {
    /// Starts one that answers at once.
    #[track_caller]
    pub fn start() -> Self {
        Self(bellwether_drill::Origin::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port and a thread"))
    }
}

impl Deref for Origin {
    type Target = bellwether_drill::Origin;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

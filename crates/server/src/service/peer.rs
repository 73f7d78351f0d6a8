//! Who asks? A client by its address, as budgets tell them apart.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// Whose request it is: an address by a number that nobody outside can aim at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(u64);

impl Peer {
    /// The client at this address. Of IPv6 the first 64 bits: whoever has one such address has all of them.
    pub(super) fn of(hasher: &RandomState, address: IpAddr) -> Peer {
        Peer(match address.to_canonical() {
            IpAddr::V4(address) => hasher.hash_one(address),
            IpAddr::V6(address) => hasher.hash_one(&address.octets()[..8]),
        })
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_client_and_a_network_of_ipv6_as_well() {
        let hasher = RandomState::new();
        let peer = |text: &str| Peer::of(&hasher, text.parse().expect("an address"));
        assert_eq!(peer("10.0.0.1"), peer("::ffff:10.0.0.1"));
        assert_ne!(peer("10.0.0.1"), peer("10.0.0.2"));
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:2"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
    }
}

//! How much may one client of a space ask in vain? Its address has a budget; whoever changes addresses wins little.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use bellwether::{Span, Tick, Why};
use bellwether_core::guard::client::{Clients, Standing};
use parking_lot::Mutex;

use super::outcome::Outcome;
use crate::config::Strangers;

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
}

/// The budgets of one space's clients.
pub(super) struct Budgets {
    pub(super) rates: (Option<f64>, Option<f64>),
    absent: Option<Mutex<Clients>>,
    loads: Option<Mutex<Clients>>,
    lowered: AtomicU64,
    refused: AtomicU64,
}

/// How clients fare.
#[derive(Clone, Copy, Debug, Default)]
pub struct BudgetView {
    /// Loads that were put behind all others.
    pub lowered: u64,
    /// Requests that were turned away.
    pub refused: u64,
    /// Clients that have nothing left now.
    pub over: usize,
}

impl Budgets {
    /// `None`: nobody has asked for any.
    pub(super) fn of(strangers: &Strangers) -> Option<Budgets> {
        let rates = (strangers.absent_per_client, strangers.loads_per_client);
        let clients = |rate: Option<f64>| rate.map(|rate| Mutex::new(Clients::new(rate)));
        let budgets = || Budgets {
            rates,
            absent: clients(rates.0),
            loads: clients(rates.1),
            lowered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        };
        (rates != (None, None)).then(budgets)
    }

    fn both(&self) -> impl Iterator<Item = &Mutex<Clients>> {
        self.absent.iter().chain(&self.loads)
    }

    /// How the client stands by its worse budget, before something is loaded for it.
    pub(super) fn standing(&self, peer: Peer, now: Tick) -> Standing {
        let worse = |worse: Standing, one: &Mutex<Clients>| match (worse, one.lock().standing(peer.0, now)) {
            (Standing::Refused(a), Standing::Refused(b)) => Standing::Refused(Span(a.0.max(b.0))),
            (refused @ Standing::Refused(_), _) | (_, refused @ Standing::Refused(_)) => refused,
            (Standing::Within, Standing::Within) => Standing::Within,
            _ => Standing::Lowest,
        };
        let standing = self.both().fold(Standing::Within, worse);
        match standing {
            Standing::Within => {}
            Standing::Lowest => _ = self.lowered.fetch_add(1, Ordering::Relaxed),
            Standing::Refused(_) => _ = self.refused.fetch_add(1, Ordering::Relaxed),
        }
        standing
    }

    /// Whether the client may ask for so many keys at once, and one more, as if it had asked for nothing.
    pub(super) fn has_room(&self, peer: Peer, keys: usize, now: Tick) -> bool {
        let most = [self.rates.0, self.rates.1].into_iter().flatten().fold(f64::INFINITY, f64::min);
        (keys as f64) < most && self.both().all(|one| one.lock().standing(peer.0, now) == Standing::Within)
    }

    /// What came of it.
    pub(super) fn spend(&self, peer: Peer, outcome: &Outcome, now: Tick) {
        let in_vain = matches!(outcome, Outcome::Missing(Why::Negative));
        for budget in self.absent.iter().filter(|_| in_vain).chain(&self.loads) {
            budget.lock().spend(peer.0, now);
        }
    }

    pub(super) fn view(&self, now: Tick) -> BudgetView {
        BudgetView {
            lowered: self.lowered.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            over: self.both().map(|budget| budget.lock().over(now)).sum(),
        }
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

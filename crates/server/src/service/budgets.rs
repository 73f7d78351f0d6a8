//! How much may one client of a space ask in vain? Its address has a budget; whoever changes addresses wins little.

use std::sync::atomic::{AtomicU64, Ordering};

use bellwether::{Span, Tick, Why};
use bellwether_core::guard::client::{Clients, Standing};
use parking_lot::Mutex;

use super::outcome::Outcome;
use super::peer::Peer;
use crate::config::Strangers;

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
        let worse = |worse: Standing, one: &Mutex<Clients>| match (worse, one.lock().standing(peer.number(), now)) {
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
        (keys as f64) < most && self.both().all(|one| one.lock().standing(peer.number(), now) == Standing::Within)
    }

    /// What came of it.
    pub(super) fn spend(&self, peer: Peer, outcome: &Outcome, now: Tick) {
        let in_vain = matches!(outcome, Outcome::Missing(Why::Negative));
        for budget in self.absent.iter().filter(|_| in_vain).chain(&self.loads) {
            budget.lock().spend(peer.number(), now);
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

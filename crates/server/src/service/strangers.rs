//! What becomes of a read for which nothing is resident? The filter may answer it, its load may have to wait behind all
//! others, and its client may be turned away.

use bellwether::{Demand, Priority, Why};
use bellwether_core::filter::absent::{Absent, Knowledge, absent};
use bellwether_core::guard::client::Standing;
use bellwether_core::template::Captures;

use super::budgets::Budgets;
use super::outcome::{Failure, Outcome, Terms};
use super::peer::Peer;
use super::served::Served;

/// What was found out about a load before it begins, and what is to be noted once it has ended.
pub(super) struct Vetted<'s> {
    served: &'s Served,
    /// The filter does not have the key.
    lowered: bool,
    /// Who pays for it.
    payer: Option<(&'s Budgets, Peer)>,
    /// The class of the load, if it is not the space's.
    pub(super) class: Option<Priority>,
}

impl Served {
    /// What its filter says of `key`. Nothing, where something is resident: that is better known.
    pub(super) fn absent(&self, key: &[u8], captures: &Captures<'_>, terms: &Terms) -> Absent {
        let Some(filtered) = self.filtered.as_ref().filter(|_| terms.demand != Demand::CachedOnly) else {
            return Absent::Nothing;
        };
        let Some(age) = filtered.filter.lacks(key) else { return Absent::Nothing };
        if self.space.peek(&*self.stored(key)).is_some() {
            return Absent::Nothing;
        }
        let known = Knowledge {
            age: terms.asked.since(age.began),
            rebuild: filtered.config.rebuild,
            hides: filtered.config.hides,
            doubted: !self.space.unchanged_since(age.since, &self.tags(captures)),
        };
        if known.doubted && known.hides.is_some() {
            filtered.filter.doubt(terms.asked);
        }
        absent(known, terms.demand)
    }

    /// Whether its filter lacks `key`, whatever that is good for.
    pub(super) fn is_strange(&self, key: &[u8]) -> bool {
        self.filtered.as_ref().is_some_and(|filtered| filtered.filter.lacks(key).is_some())
    }

    /// The filter answers: there is no such row.
    pub(super) fn told_absent(&self) -> Outcome {
        self.tally.count(Why::NegativeFilter);
        Outcome::Missing(Why::NegativeFilter)
    }

    /// Who pays for a read of this key: the client whose read may cause a load.
    pub(super) fn payer(&self, stored: &[u8], terms: &Terms) -> Option<(&Budgets, Peer)> {
        let payer = self.budgets.as_deref().zip(terms.peer)?;
        let resident = || self.space.known_missing(stored) || self.space.peek(stored).is_some();
        let free = match terms.demand {
            Demand::CachedOnly => true,
            Demand::Fresh => false,
            Demand::Any | Demand::MaxAge(_) => resident(),
        };
        (!free).then_some(payer)
    }

    /// Whether a load of `key` may begin, and how.
    ///
    /// # Errors
    /// Its client is turned away.
    pub(super) fn vet(&self, stored: &[u8], lowered: bool, terms: &Terms) -> Result<Vetted<'_>, Outcome> {
        let payer = self.payer(stored, terms);
        let standing = payer.map_or(Standing::Within, |(budgets, peer)| budgets.standing(peer, terms.asked));
        if let Standing::Refused(after) = standing {
            self.tally.count(Why::ShedClient);
            return Err(Outcome::Failed(Failure::turned_away(Why::ShedClient, after, self.policy.timeout)));
        }
        if let Some(filtered) = self.filtered.as_ref().filter(|_| lowered) {
            filtered.filter.lowered();
        }
        let last = lowered || standing == Standing::Lowest;
        let class = if last { Some(Priority::Background) } else { terms.priority };
        Ok(Vetted { served: self, lowered, payer, class })
    }
}

impl Vetted<'_> {
    /// The read of `key` has ended.
    pub(super) fn ended(self, key: &[u8], outcome: &Outcome, terms: &Terms) {
        if let Some((budgets, peer)) = self.payer {
            budgets.spend(peer, outcome, terms.asked);
        }
        if let (Some(filtered), true, Outcome::Value(_)) = (&self.served.filtered, self.lowered, outcome) {
            filtered.filter.found(key);
        }
    }
}

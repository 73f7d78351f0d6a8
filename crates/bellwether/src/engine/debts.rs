//! What does this process owe the shared tier? Invalidations that it could not be told, and what becomes of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::time::Span;
use futures_util::future::join_all;

use crate::engine::Engine;
use crate::engine::told::name;
use crate::events::Debt;
use crate::key::Key;
use crate::shared::TierTrouble;
use crate::state::pending::Owed;

/// An invalidation of which the shared tier does not know yet. It holds in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owing {
    /// The key, as it is named in the shared tier.
    pub name: Vec<u8>,
    /// Its space; empty for one that is not declared here.
    pub space: String,
    /// Hard or soft.
    pub verb: Invalidation,
    /// Tries that failed.
    pub tries: u32,
    /// The tier has refused it again and again: it is tried once a minute, and whenever its key is read.
    pub dead: bool,
    /// What kept the tier from being told at the last try, if there was one in this process.
    pub trouble: Option<TierTrouble>,
}

/// What came of one more try.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Invalidations that the tier knows by now.
    pub told: usize,
    /// Those that it could not be told, by what kept it from that.
    pub owed: BTreeMap<TierTrouble, usize>,
    /// Those that were not tried: the time was up, or their space is not declared here.
    pub untried: usize,
}

/// Keys that are tried at once when somebody asks for it.
const AT_ONCE: usize = 64;

impl Engine {
    /// Takes over what a process before this one owed, as far as the spaces are declared by now.
    pub(crate) fn adopt_debts(self: &Arc<Engine>) {
        let mut inherited = self.inherited.lock();
        if inherited.is_empty() {
            return;
        }
        inherited.retain(|debt| {
            let Some((space, key)) = self.of_name(&debt.name) else { return true };
            let owed = self.flights.locked(&key, |_| self.pending.owe(&space, &key, debt.verb, Fence::ZERO, None));
            if owed.is_ok() {
                self.pending.inherited(&key, debt.tries);
            }
            // An error: too many are owed already. It stays a dead letter.
            owed.is_err()
        });
        drop(inherited);
        self.try_again();
    }

    /// Everything that is owed, by name.
    pub(crate) fn owing(&self) -> Vec<Owing> {
        let here = self.pending.all().into_iter().map(|(key, owed)| Owing {
            name: name(&owed, &key),
            space: owed.space.name.to_string(),
            verb: owed.verb,
            tries: owed.tries,
            dead: owed.is_dead(),
            trouble: owed.failed.map(|(trouble, _)| trouble),
        });
        let inherited = self.inherited.lock().clone().into_iter().map(|Debt { name, verb, tries }| Owing {
            name,
            space: String::new(),
            verb,
            tries,
            dead: true,
            trouble: None,
        });
        let mut all: Vec<Owing> = here.chain(inherited).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// Tries again what is owed for the key of this name, or for all; how many that are.
    pub(crate) fn retry_owed(self: &Arc<Engine>, named: Option<&[u8]>) -> usize {
        let revived = self.owed_for(named).iter().filter(|(key, _)| self.pending.revive(key)).count();
        self.try_again();
        revived
    }

    /// The same, waiting for what comes of it, about `limit` long.
    pub(crate) async fn retry_owed_within(self: &Arc<Engine>, named: Option<&[u8]>, limit: Span) -> Retried {
        let keys: Vec<Key> = self.owed_for(named).into_iter().map(|(key, _)| key).collect();
        for key in &keys {
            self.pending.revive(key);
        }
        let mut retried = Retried::default();
        let until = self.clock.now() + limit;
        for some in keys.chunks(AT_ONCE) {
            if self.clock.now() >= until {
                retried.untried += some.len();
                continue;
            }
            let tried = join_all(some.iter().map(|key| self.try_to_tell(key))).await;
            for (key, told) in some.iter().zip(tried) {
                let trouble = self.pending.owed(key).and_then(|owed| owed.failed);
                match (told.told, trouble) {
                    (false, Some((trouble, _))) => *retried.owed.entry(trouble).or_default() += 1,
                    (false, None) => retried.untried += 1,
                    (true, _) => retried.told += 1,
                }
            }
        }
        retried.untried += self.inherited.lock().iter().filter(|debt| named.is_none_or(|n| debt.name == n)).count();
        self.try_again();
        retried
    }

    /// Gives up what is owed for the key of this name, or for all: other processes may serve the older value until it
    /// ends. How many that were.
    pub(crate) fn drop_owed(&self, named: Option<&[u8]>) -> usize {
        let mut dropped = 0;
        for (key, owed) in self.owed_for(named) {
            if self.pending.drop_owed(&key).is_some() {
                dropped += 1;
                if let Some(ledger) = &self.ledger {
                    ledger.paid(&name(&owed, &key));
                }
            }
        }
        self.inherited.lock().retain(|debt| {
            let keep = named.is_some_and(|named| debt.name != named);
            if let Some(ledger) = self.ledger.as_ref().filter(|_| !keep) {
                ledger.paid(&debt.name);
                dropped += 1;
            }
            keep
        });
        dropped
    }

    fn owed_for(&self, named: Option<&[u8]>) -> Vec<(Key, Owed)> {
        let all = self.pending.all().into_iter();
        all.filter(|(key, owed)| named.is_none_or(|named| name(owed, key) == named)).collect()
    }
}

//! What does this process owe the shared tier? Invalidations that it could not be told, and what becomes of them.

use std::sync::Arc;

use bellwether_core::fence::{Fence, Invalidation};

use crate::engine::Engine;
use crate::engine::told::name;
use crate::events::Debt;
use crate::key::Key;
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
    /// The tier has refused it again and again: it is not tried any more unless its key is read.
    pub dead: bool,
}

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
        });
        let inherited = self.inherited.lock().clone().into_iter().map(|Debt { name, verb, tries }| Owing {
            name,
            space: String::new(),
            verb,
            tries,
            dead: true,
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

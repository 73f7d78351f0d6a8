//! How much of an origin may one key take? Loads that no flight coalesces (answers that may not be
//! shared, callers that pass the cache by) run side by side, and a popular key of that kind would
//! hold every permit.

use std::collections::{BTreeMap, VecDeque};

use super::gate::Ticket;

/// Whether a load of a key may go on to the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It may; [`Shares::leave`] gives its place back.
    Go,
    /// Others of its key are in front: [`Shares::leave`] will name it.
    Wait,
    /// Too many wait already.
    Full,
}

/// The shares of an origin's keys in its permits, for loads beside the flight table. Flights need
/// none: a key has at most two of them.
#[derive(Clone, Debug)]
pub struct Shares {
    most: usize,
    queue_limit: usize,
    keys: BTreeMap<u64, Share>,
    /// Tickets that wait, of all keys; at most `queue_limit`.
    waiting: usize,
}

#[derive(Clone, Debug, Default)]
struct Share {
    /// At the gate or running; at least one as long as the key is known.
    inside: usize,
    /// First come, first served.
    waiting: VecDeque<Ticket>,
}

impl Shares {
    /// For an origin that bears `max_concurrency` loads at once: one key gets half of them, rounded
    /// down, but one at least.
    pub fn new(max_concurrency: u32, queue_limit: usize) -> Shares {
        let most = usize::try_from(max_concurrency / 2).unwrap_or(usize::MAX).max(1);
        Shares { most, queue_limit, keys: BTreeMap::new(), waiting: 0 }
    }

    /// Another budget; the loads that may go on because of it, each with its key.
    pub fn set_budget(&mut self, max_concurrency: u32, queue_limit: usize) -> Vec<(u64, Ticket)> {
        let Shares { most, .. } = Shares::new(max_concurrency, queue_limit);
        (self.most, self.queue_limit) = (most, queue_limit);
        let mut next = Vec::new();
        for (key, share) in &mut self.keys {
            while share.inside < most
                && let Some(ticket) = share.waiting.pop_front()
            {
                share.inside += 1;
                self.waiting -= 1;
                next.push((*key, ticket));
            }
        }
        next
    }

    /// Loads of one key that may be at the gate, or run, at once.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Tickets that wait for a place of their key.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Asks for a place for a load of `key`.
    pub fn enter(&mut self, key: u64, ticket: Ticket) -> Entry {
        let share = self.keys.entry(key).or_default();
        if share.inside < self.most {
            share.inside += 1;
            return Entry::Go;
        }
        if self.waiting >= self.queue_limit {
            return Entry::Full;
        }
        share.waiting.push_back(ticket);
        self.waiting += 1;
        Entry::Wait
    }

    /// A place comes back: once for every `Go` and every ticket named here. Returns whose turn it is.
    pub fn leave(&mut self, key: u64) -> Option<Ticket> {
        let share = self.keys.get_mut(&key)?;
        // After a cut there are more inside than there may be: then nobody follows.
        if share.inside <= self.most
            && let Some(next) = share.waiting.pop_front()
        {
            self.waiting -= 1;
            return Some(next);
        }
        share.inside -= 1;
        if share.inside == 0 {
            self.keys.remove(&key);
        }
        None
    }

    /// Takes a ticket out of the queue. `false`: it is not there, [`Shares::leave`] has named it.
    pub fn withdraw(&mut self, key: u64, ticket: Ticket) -> bool {
        let Some(share) = self.keys.get_mut(&key) else { return false };
        let Some(at) = share.waiting.iter().position(|waiting| *waiting == ticket) else { return false };
        share.waiting.remove(at);
        self.waiting -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_key_gets_half_and_others_are_not_touched() {
        let mut shares = Shares::new(5, 10);
        assert_eq!([1, 2, 3].map(|n| shares.enter(7, Ticket(n))), [Entry::Go, Entry::Go, Entry::Wait]);
        assert_eq!(shares.enter(8, Ticket(4)), Entry::Go);
        assert_eq!((shares.leave(7), shares.leave(8)), (Some(Ticket(3)), None));
        assert_eq!((shares.leave(7), shares.leave(7), shares.keys.len()), (None, None, 0), "nothing is left behind");
        assert_eq!(Shares::new(1, 10).most(), 1);
    }

    #[test]
    fn another_budget_lets_more_in_or_waits_until_fewer_are_inside() {
        let mut shares = Shares::new(2, 10);
        assert_eq!(
            [1, 2, 3, 4].map(|n| shares.enter(7, Ticket(n))),
            [Entry::Go, Entry::Wait, Entry::Wait, Entry::Wait]
        );
        assert_eq!(shares.set_budget(6, 10), [(7, Ticket(2)), (7, Ticket(3))]);
        assert_eq!(shares.set_budget(2, 10), []);
        assert_eq!([shares.leave(7), shares.leave(7)], [None, None], "three are inside, one may be");
        assert_eq!((shares.leave(7), shares.leave(7), shares.keys.len()), (Some(Ticket(4)), None, 0));
    }

    proptest! {
        #[test]
        fn a_keys_share_holds_and_every_ticket_gets_one_end(
            max in 1u32..8,
            queue_limit in 0usize..6,
            ops in prop::collection::vec((0u64..3, 0usize..4), 1..200),
        ) {
            let mut shares = Shares::new(max, queue_limit);
            let mut inside = [0usize; 3];
            let mut waiting: [VecDeque<Ticket>; 3] = Default::default();
            for (n, (key, what)) in (0u64..).zip(ops) {
                let k = key as usize;
                match what {
                    0 | 1 => {
                        let all: usize = waiting.iter().map(VecDeque::len).sum();
                        let expected = match inside[k] < shares.most() {
                            true => Entry::Go,
                            false if all < queue_limit => Entry::Wait,
                            false => Entry::Full,
                        };
                        prop_assert_eq!(shares.enter(key, Ticket(n)), expected);
                        match expected {
                            Entry::Go => inside[k] += 1,
                            Entry::Wait => waiting[k].push_back(Ticket(n)),
                            Entry::Full => {}
                        }
                    }
                    2 if inside[k] > 0 => {
                        let next = waiting[k].pop_front();
                        prop_assert_eq!(shares.leave(key), next, "first come, first served");
                        inside[k] -= usize::from(next.is_none());
                    }
                    3 => {
                        let last = waiting[k].pop_back();
                        prop_assert_eq!(shares.withdraw(key, last.unwrap_or(Ticket(u64::MAX))), last.is_some());
                    }
                    _ => {}
                }
                prop_assert!(inside.iter().all(|inside| *inside <= shares.most()));
            }
        }
    }
}

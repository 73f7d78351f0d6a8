//! What happens when somebody invalidates? It holds here at once; the tier and the others are told.

use bellwether_core::cell::surely;
use bellwether_core::fence::{Fence, Floor, Invalidation};
use bellwether_core::time::Span;

use super::event::{Act, Answer, By, Op};
use super::fleet::Fleet;
use super::mutant::Mutant;
use super::process::Owed;

/// Before the tier is told again that did not answer.
const PAUSE: Span = Span::ms(100);

impl Fleet {
    /// Invalidates a key whose row was written.
    pub(super) fn invalidate(&mut self, process: u16, key: u8, version: u64) {
        let now = self.now();
        let verb = if self.world.dice.chance(0.7) { Invalidation::Remove } else { Invalidation::Expire };
        let it = self.of(process);
        let held = it.memory.get(&key).map_or(Fence::ZERO, |entry| entry.tier);
        let known = it.raised.get(&key).copied().unwrap_or_default().max(held);
        let owed = it.owed.entry(key).or_insert(Owed { verb, at_least: Fence::ZERO, version, since: None, call: None });
        if verb == Invalidation::Remove {
            owed.verb = verb;
        }
        (owed.version, owed.at_least) = (version, owed.at_least.max(Fence(known.0 + 1)));
        // Whoever tells the tier now does not tell it of this one.
        (owed.since, owed.call) = (None, None);
        let verb = owed.verb;
        self.drop_here(process, key);
        self.check.applied(process, key, version);
        self.check.note(now, "is invalidated by", key, process, version);
        self.spread(process, key, verb, None, version);
        self.tell(process, key);
    }

    fn drop_here(&mut self, process: u16, key: u8) {
        let (now, overtakes) = (self.now(), !self.is(Mutant::JoinAfterRemoval));
        let it = self.of(process);
        let fence = it.next_fence(now);
        let slot = it.slot(key);
        slot.floor = slot.floor.merge(Floor { removed: fence, expired: fence });
        if overtakes {
            slot.flights.overtake();
        }
        it.memory.remove(&key);
    }

    pub(super) fn tell(&mut self, process: u16, key: u8) {
        let Some(owed) = self.of(process).owed.get(&key).copied().filter(|owed| owed.call.is_none()) else { return };
        // Clocks of servers that take over from each other differ by little, or their moments can't be compared.
        let comparable = self.scenario.faults.failovers == 0 || self.scenario.faults.skew == Span::ZERO;
        let since = owed.since.filter(|_| comparable);
        let ago = since.map_or(Span::ZERO, |since| surely(self.local(process).since(since)));
        let (verb, at_least) = (owed.verb, owed.at_least);
        let call = self.call(process, By::Teller(key), key, Op::Invalidate { verb, at_least, ago });
        if let Some(owed) = self.of(process).owed.get_mut(&key) {
            owed.call = Some(call);
        }
    }

    pub(super) fn told(&mut self, process: u16, key: u8, call: u64, answer: Answer) {
        let Answer::Raised(raised) = answer else { return };
        let it = self.of(process);
        let Some(owed) = it.owed.get(&key).copied().filter(|owed| owed.call == Some(call)) else { return };
        it.owed.remove(&key);
        let known = it.raised.entry(key).or_default();
        *known = raised.fence.max(*known);
        // Who waited for this asks now.
        let waiting: Vec<u64> = it
            .leaders
            .iter()
            .filter(|(_, leader)| leader.key == key && leader.call.is_some_and(|asked| asked.held_back))
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            self.question(process, id);
        }
        self.spread(process, key, owed.verb, Some(raised.fence), owed.version);
    }

    pub(super) fn not_told(&mut self, process: u16, key: u8, call: u64) {
        let local = self.local(process);
        if let Some(owed) = self.of(process).owed.get_mut(&key).filter(|owed| owed.call == Some(call)) {
            owed.call = None;
            owed.since.get_or_insert(local);
            self.later(process, PAUSE, Act::Tell(key));
        }
    }

    /// Tells the other processes; some don't hear it.
    fn spread(&mut self, process: u16, key: u8, verb: Invalidation, fence: Option<Fence>, version: u64) {
        for other in (0..self.scenario.processes).filter(|other| *other != process) {
            if self.is_cut(process) || self.is_cut(other) {
                continue;
            }
            if !self.loses(self.scenario.faults.deaf) {
                let delay = self.delay();
                self.later(other, delay, Act::Message { key, verb, fence, version });
            }
        }
    }

    /// Another process invalidated the key.
    pub(super) fn message(&mut self, process: u16, key: u8, _verb: Invalidation, fence: Option<Fence>, version: u64) {
        let it = self.of(process);
        if let Some(fence) = fence {
            let known = it.raised.entry(key).or_default();
            *known = fence.max(*known);
        }
        let held = it.memory.get(&key).map(|entry| entry.tier);
        let newer = held.zip(fence).is_some_and(|(held, fence)| held >= fence);
        if !newer {
            self.drop_here(process, key);
        }
        // A server that took over with a clock that stands behind, and without the key, draws fences below those of
        // old copies: who has not heard the message ahead of this one keeps such a copy. A stream keeps them in order,
        // and tells of what was lost.
        let deceived = newer && self.scenario.faults.failovers > 0;
        if fence.is_some() && !deceived {
            // From here on this process knows it, and the tier has been told.
            self.check.applied(process, key, version);
        }
    }
}

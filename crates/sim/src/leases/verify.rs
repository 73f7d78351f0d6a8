//! Is a copy still what the tier holds? It is compared while it is read, and not believed once nobody could confirm it
//! for too long.

use bellwether_core::cell::What;
use bellwether_core::fence::Fence;
use bellwether_core::read::decide::{Decision, Demand};
use bellwether_core::read::doubt::{Belief, Standing};
use bellwether_core::time::{Span, Tick};

use super::event::{Act, Answer, By, Held, Op};
use super::fleet::Fleet;
use super::mutant::Mutant;
use super::process::Verifying;
use super::scenario::PAUSE;

/// After the last request the mark rises for so long: all are answered by then.
const AFTERWARDS: Span = Span::secs(2);

impl Fleet {
    /// The mark rises for the first time.
    pub(super) fn begin_to_age(&mut self, process: u16) {
        if let Some(step) = self.of(process).ageing.as_ref().map(|ageing| ageing.step()) {
            self.later(process, step, Act::Age);
        }
    }

    /// A step of the mark.
    pub(super) fn age(&mut self, process: u16) {
        self.raise(process);
        let ends = self.started() + self.scenario.length + AFTERWARDS;
        if self.now() < ends {
            self.begin_to_age(process);
        }
    }

    /// Whoever comes after a pause finds the mark where it belongs.
    pub(super) fn catch_up(&mut self, process: u16) {
        let local = self.local(process);
        if local.since(self.of(process).aged) >= PAUSE {
            self.raise(process);
        }
    }

    fn raise(&mut self, process: u16) {
        let (now, trusting) = (self.now(), self.is(Mutant::Trusting));
        let it = self.of(process);
        let (local, fence) = (it.now(now), it.next_fence(now));
        it.aged = local;
        let Some(unconfirmed) = it.ageing.as_mut().and_then(|ageing| ageing.on(local, fence)) else { return };
        if !(trusting && it.silent) {
            it.unconfirmed = it.unconfirmed.max(unconfirmed);
        }
    }

    /// What becomes of a decision about a copy that stands so.
    pub(super) fn believed(&self, process: u16, key: u8, demand: Demand, decision: Decision) -> Decision {
        let it = &self.processes[usize::from(process)];
        let standing = it.memory.get(&key).map(|entry| it.standing(entry.meta.fence)).unwrap_or_default();
        if standing.belief(it.silent) != Belief::None || (self.is(Mutant::Trusting) && it.silent) {
            return decision;
        }
        if demand == Demand::CachedOnly { Decision::NotCached } else { Decision::Load }
    }

    /// Compares the copy that was just served, if it is time.
    pub(super) fn compare(&mut self, process: u16, key: u8) {
        let (now, resync) = (self.now(), self.scenario.resync);
        let Some(resync) = resync else { return };
        let it = self.of(process);
        let local = it.now(now);
        let asked = it.next_fence(now);
        let Some(entry) = it.memory.get_mut(&key) else { return };
        if entry.tier == Fence::ZERO || local < entry.due {
            return;
        }
        entry.due = local + resync;
        let held = (entry.meta.fence, entry.tier);
        let call = self.call(process, By::Verifier(key), key, Op::Get);
        self.of(process).verifying.insert(key, Verifying { call, asked, held });
    }

    pub(super) fn verified(&mut self, process: u16, key: u8, call: u64, answer: Answer) {
        let it = self.of(process);
        let Some(verifying) = it.verifying.get(&key).copied().filter(|verifying| verifying.call == call) else {
            return;
        };
        it.verifying.remove(&key);
        let Answer::Found(held) = answer else { return };
        let floor = it.floor(key);
        let Some(entry) = it.memory.get_mut(&key).filter(|entry| entry.meta.fence == verifying.held.0) else { return };
        if held.is_some_and(|held| holds(&held, verifying.held.1)) {
            if !floor.covers(entry.meta.fence) {
                entry.meta.fence = verifying.asked;
            }
        } else {
            it.memory.remove(&key);
        }
    }

    pub(super) fn not_verified(&mut self, process: u16, key: u8, call: u64) {
        let it = self.of(process);
        if it.verifying.get(&key).is_some_and(|verifying| verifying.call == call) {
            it.verifying.remove(&key);
        }
    }

    /// The tier was heard.
    pub(super) fn spoken(&mut self, process: u16, by: By) -> By {
        self.of(process).silent = false;
        by
    }

    /// A call was not answered, if it is still waited for.
    pub(super) fn unspoken(&mut self, process: u16, by: By, call: u64) -> By {
        let it = self.of(process);
        let waits = match by {
            By::Leader(id) => it
                .leaders
                .get(&id)
                .and_then(|leader| leader.call)
                .is_some_and(|asked| asked.call == call && !asked.held_back),
            By::Teller(key) => it.owed.get(&key).is_some_and(|owed| owed.call == Some(call)),
            By::Verifier(key) => it.verifying.get(&key).is_some_and(|verifying| verifying.call == call),
            By::Nobody => false,
        };
        it.silent |= waits;
        by
    }

    /// The tier holds nothing: a copy that is not believed, and that it once held, saves nobody.
    pub(super) fn disown(&mut self, process: u16, key: u8) {
        let it = self.of(process);
        let doubted = |entry: &super::process::Entry| it.standing(entry.meta.fence) != Standing::Sound;
        if it.memory.get(&key).is_some_and(|entry| entry.tier != Fence::ZERO && doubted(entry)) {
            it.memory.remove(&key);
        }
    }

    /// A process is cut off from the tier and from all others.
    pub(super) fn is_cut(&self, process: u16) -> bool {
        self.processes[usize::from(process)].cut_until > self.now()
    }

    /// When the entry that a process gets now is to be compared.
    pub(super) fn due(&self, process: u16) -> Tick {
        self.local(process) + self.scenario.resync.unwrap_or_default()
    }
}

fn holds(held: &Held, fence: Fence) -> bool {
    let expired = held.cell.fresh_until <= held.cell.created && held.cell.swr_until <= held.cell.created;
    held.cell.what == What::Value && held.cell.fence == fence && held.now < held.cell.hard_until && !expired
}

//! May this load go to its origin now? The core's gate, with leaders waiting at it.

use bellwether_core::guard::gate::{Admission, Ended, Pass, Ticket};
use bellwether_core::policy::Priority;
use bellwether_core::read::flight::FlightId;
use bellwether_core::time::Tick;

use super::Process;
use super::event::Event;
use crate::origin::Says;
use crate::rules::Rule;

impl Process {
    /// What a load has inherited from those who joined.
    pub(super) fn place(&self, id: u64) -> Option<(Priority, u32, Tick)> {
        let leader = self.leaders.get(&id)?;
        if let Some((priority, deadline)) = leader.alone {
            return Some((priority, 0, deadline));
        }
        let flight = self.slots.get(&leader.key)?.flights.get(FlightId(id))?;
        Some((flight.priority, flight.followers, flight.deadline.unwrap_or(Tick::NEVER)))
    }

    /// Reads its place under the key's lock; asks under the gate's, a moment later.
    pub(super) fn admit(&mut self, id: u64) {
        let now = self.now();
        if !self.rules.keep(Rule::Permit) {
            return self.world.at(now, Event::Begin(id));
        }
        let (class, waiters, give_up) = self.place(id).unwrap_or((Priority::Normal, 0, Tick::NEVER));
        self.world.at(now, Event::Ask { id, class, waiters, give_up });
    }

    pub(super) fn ask(&mut self, id: u64, class: Priority, waiters: u32, give_up: Tick) {
        if !self.leaders.contains_key(&id) {
            return;
        }
        let now = self.now();
        match self.gate.ask(Ticket(id), class, waiters, give_up, now) {
            Admission::Go(pass) => self.go(id, pass, class == Priority::Background),
            Admission::Shed(why, retry_after) => self.world.at(now, Event::Shed { id, why, retry_after }),
            Admission::Wait => {
                if let Some(leader) = self.leaders.get_mut(&id) {
                    leader.queued = true;
                }
                // Asked again once the ticket is in the queue: what was inherited in between counts.
                if let Some((class, waiters, give_up)) = self.place(id) {
                    self.world.at(now, Event::Raise { id, class, waiters, give_up });
                }
                self.advance();
            }
        }
    }

    /// Somebody joined: its flight may wait at the gate.
    pub(super) fn inherit(&mut self, key: u8, flight: FlightId) {
        let Some(flight) = self.slots.get(&key).and_then(|slot| slot.flights.get(flight)) else { return };
        let (id, class, waiters) = (flight.id.0, flight.priority, flight.followers);
        let give_up = flight.deadline.unwrap_or(Tick::NEVER);
        let now = self.now();
        self.world.at(now, Event::Raise { id, class, waiters, give_up });
    }

    pub(super) fn raise(&mut self, id: u64, class: Priority, waiters: u32, give_up: Tick) {
        self.gate.raise(Ticket(id), class, waiters, give_up);
        self.advance();
    }

    pub(super) fn gate_wake(&mut self) {
        self.gate_wake = None;
        self.advance();
    }

    /// Lets go and sheds what is due.
    pub(super) fn advance(&mut self) {
        let now = self.now();
        let mut verdicts = Vec::new();
        let next = self.gate.advance(now, &mut verdicts);
        for (ticket, admission) in verdicts {
            let id = ticket.0;
            let Some(leader) = self.leaders.get_mut(&id) else { continue };
            leader.queued = false;
            match admission {
                Admission::Go(pass) => {
                    let background = self.place(id).is_some_and(|(class, ..)| class == Priority::Background);
                    self.go(id, pass, background);
                }
                Admission::Shed(why, retry_after) => self.world.at(now, Event::Shed { id, why, retry_after }),
                Admission::Wait => {}
            }
        }
        if let Some(next) = next
            && self.gate_wake.is_none_or(|wake| next < wake)
        {
            self.gate_wake = Some(next);
            self.world.at(next.max(now), Event::GateWake);
        }
    }

    fn go(&mut self, id: u64, pass: Pass, background: bool) {
        let now = self.now();
        if let Some(leader) = self.leaders.get_mut(&id) {
            leader.pass = Some(pass);
        }
        self.check.granted(now, background);
        let delay = self.delay();
        self.world.after(delay, Event::Begin(id));
    }

    pub(super) fn give_back(&mut self, id: u64) {
        let now = self.now();
        let ended = self.ended(id);
        if let Some(pass) = self.leaders.get_mut(&id).and_then(|leader| leader.pass.take()) {
            self.gate.end(pass, ended, now);
            self.advance();
        }
    }

    /// How a leader's load ended, as the guard is told.
    fn ended(&self, id: u64) -> Ended {
        let Some(leader) = self.leaders.get(&id) else { return Ended::GivenUp };
        let Some((begun, said)) = leader.begun.and_then(|begun| Some((begun, begun.said?))) else {
            return Ended::GivenUp;
        };
        match said {
            Says::Error(class) => {
                let before = self.slots.get(&leader.key).and_then(|slot| slot.flights.cooling);
                Ended::Failed { class, again: before.is_some_and(|cooling| !cooling.forgotten(self.now())) }
            }
            _ => Ended::Answered { took_us: Some(begun.ended.since(begun.started).0 * 1000) },
        }
    }
}

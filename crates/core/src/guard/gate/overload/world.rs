//! An origin of a few workers behind a gate, and its callers, in virtual time.

use std::collections::{BinaryHeap, VecDeque};

use super::super::*;
use crate::failure::FailClass;
use crate::guard::unmet::{Unmet, is_unmet};

pub(super) const WORKERS: usize = 16;
pub(super) const SERVICE: Span = Span::ms(20);
/// What the workers can do.
pub(super) const CAPACITY: u64 = WORKERS as u64 * 1000 / SERVICE.0;
pub(super) const TIMEOUT: Span = Span::secs(2);
/// The callers'.
pub(super) const PATIENCE: Span = Span::secs(1);
pub(super) const LENGTH: Span = Span::secs(40);
/// From here on is counted: by then the limit has been found.
pub(super) const COUNTED_FROM: Tick = Tick(10_000);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Arrive,
    /// A worker is done with a load.
    Served(u64),
    /// The load's time at the origin is up.
    TimedOut(u64),
    Wake,
    /// Is there room to catch up?
    Look,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    class: Priority,
    asked: Tick,
    began: Tick,
    pass: Option<Pass>,
}

/// An origin that takes every load at once and works them off in order, each a little longer the more there are. What
/// was given up it works off all the same: it does not know.
#[derive(Default)]
pub(super) struct Origin {
    queue: VecDeque<u64>,
    busy: usize,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answers {
    pub(super) asked: [u64; Priority::ALL.len()],
    pub(super) in_time: [u64; Priority::ALL.len()],
    /// From when they were asked for, of all of these.
    pub(super) took_ms: [u64; Priority::ALL.len()],
}

impl Answers {
    fn answered(&mut self, class: Priority, took_ms: u64) {
        self.in_time[class as usize] += 1;
        self.took_ms[class as usize] += took_ms;
    }

    pub(super) fn share(&self, class: Priority) -> f64 {
        self.in_time[class as usize] as f64 / self.asked[class as usize] as f64
    }

    pub(super) fn per_second(&self) -> f64 {
        self.in_time.iter().sum::<u64>() as f64 * 1000.0 / LENGTH.0 as f64
    }
}

pub(super) struct World {
    pub(super) gate: Gate,
    pub(super) now: Tick,
    pub(super) events: BinaryHeap<Reverse<(Tick, u64, Event)>>,
    pub(super) scheduled: u64,
    pub(super) loads: Vec<Load>,
    pub(super) origin: Origin,
    pub(super) workers: usize,
    pub(super) service: Span,
    pub(super) wake: Option<Tick>,
    pub(super) answers: Answers,
    pub(super) draw: Draw,
    /// Of all asks, how many are of each class, the lowest first.
    pub(super) mix: [f64; Priority::ALL.len()],
    /// The origin is so many times slower between two moments.
    pub(super) slow: Option<(Tick, Tick, f64)>,
    /// By the second in which they were asked for, counted or not.
    pub(super) seconds: Vec<Answers>,
    /// At each look.
    pub(super) limits: Vec<usize>,
    /// What was asked for in vain, by number of its load, and how many of how many may begin at a look.
    pub(super) unmet: Unmet<u64>,
    pub(super) room: Option<Room>,
    /// From here on answers are counted.
    pub(super) counted_from: Tick,
    pub(super) caught_up: u64,
}

pub(super) type Room = fn(&mut Gate, usize, Tick) -> usize;

impl World {
    /// Runs it under `rate` asks a second.
    pub(super) fn run(budget: &Budget, rate: u64) -> (Answers, Standing) {
        let mut world = World::new(budget, COUNTED_FROM);
        let end = COUNTED_FROM + LENGTH;
        world.asks(Tick(0), end, rate);
        world.play();
        (world.answers, world.gate.standing(end))
    }

    pub(super) fn new(budget: &Budget, counted_from: Tick) -> World {
        World {
            gate: Gate::new(budget),
            now: Tick(0),
            events: BinaryHeap::new(),
            scheduled: 0,
            loads: Vec::new(),
            origin: Origin::default(),
            workers: WORKERS,
            service: SERVICE,
            wake: None,
            answers: Answers::default(),
            draw: Draw(5),
            mix: [0.1, 0.2, 0.5, 0.2],
            slow: None,
            seconds: Vec::new(),
            limits: Vec::new(),
            unmet: Unmet::default(),
            room: None,
            counted_from,
            caught_up: 0,
        }
    }

    /// So many asks a second between two moments.
    pub(super) fn asks(&mut self, from: Tick, to: Tick, rate: u64) {
        for n in 0..rate * to.since(from).0 / 1000 {
            let jitter = self.draw.fork(n).unit() * 20.0;
            self.at(from + Span(n * 1000 / rate + jitter as u64), Event::Arrive);
        }
    }

    pub(super) fn play(&mut self) {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            self.now = at;
            match event {
                Event::Arrive => self.arrive(),
                Event::Served(id) => self.served(id),
                Event::TimedOut(id) => {
                    self.end(id, Ended::Failed { class: FailClass::Timeout, again: false });
                }
                Event::Wake => {
                    self.wake = None;
                    self.advance();
                }
                Event::Look => self.look(),
            }
        }
    }

    pub(super) fn at(&mut self, at: Tick, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((at, self.scheduled, event)));
    }

    fn arrive(&mut self) {
        let id = self.loads.len() as u64;
        let class = self.class_of(self.draw.fork(id ^ 0xC1A55).unit());
        if self.now >= self.counted_from {
            self.answers.asked[class as usize] += 1;
        }
        self.second(self.now).asked[class as usize] += 1;
        self.ask(class);
    }

    fn class_of(&self, unit: f64) -> Priority {
        let mut below = 0.0;
        let classes = [Priority::Background, Priority::Low, Priority::Normal];
        let found = classes.into_iter().zip(self.mix).find(|(_, share)| {
            below += share;
            unit < below
        });
        found.map_or(Priority::Critical, |(class, _)| class)
    }

    fn second(&mut self, asked: Tick) -> &mut Answers {
        let second = (asked.0 / 1000) as usize;
        self.seconds.resize(self.seconds.len().max(second + 1), Answers::default());
        &mut self.seconds[second]
    }

    fn look(&mut self) {
        self.limits.push(self.gate.limit());
        let Some(room) = self.room.filter(|_| !self.unmet.is_empty()) else { return };
        let room = room(&mut self.gate, self.unmet.len(), self.now);
        for _ in self.unmet.due(room, self.now) {
            self.caught_up += 1;
            self.ask(Priority::Background);
        }
    }

    fn ask(&mut self, class: Priority) {
        let id = self.loads.len() as u64;
        self.loads.push(Load { class, asked: self.now, began: self.now, pass: None });
        let give_up = if class == Priority::Background { Tick::NEVER } else { self.now + PATIENCE };
        match self.gate.ask(Ticket(id), class, 1, give_up, self.now) {
            Admission::Go(pass) => self.begin(id, pass),
            Admission::Wait => self.advance(),
            Admission::Shed(why, _) => self.turned_away(id, why),
        }
    }

    fn advance(&mut self) {
        let mut out = Vec::new();
        let next = self.gate.advance(self.now, &mut out);
        for (ticket, admission) in out {
            match admission {
                Admission::Go(pass) => self.begin(ticket.0, pass),
                Admission::Shed(why, _) => self.turned_away(ticket.0, why),
                Admission::Wait => {}
            }
        }
        if let Some(next) = next.filter(|next| self.wake.is_none_or(|wake| *next < wake)) {
            self.wake = Some(next);
            self.at(next, Event::Wake);
        }
    }

    fn turned_away(&mut self, id: u64, why: Why) {
        if is_unmet(why, self.loads[id as usize].class) {
            self.unmet.note(id, 8, self.now, || id);
        }
    }

    fn begin(&mut self, id: u64, pass: Pass) {
        let load = &mut self.loads[id as usize];
        (load.began, load.pass) = (self.now, Some(pass));
        self.at(self.now + TIMEOUT, Event::TimedOut(id));
        self.origin.queue.push_back(id);
        self.work();
    }

    fn work(&mut self) {
        while self.origin.busy < self.workers
            && let Some(id) = self.origin.queue.pop_front()
        {
            self.origin.busy += 1;
            // Each load that lies about costs all of them a fifth of a percent: 512 halve what it can do.
            let crowd = 1.0 + 0.002 * self.origin.queue.len() as f64;
            let unit = self.draw.fork(id ^ 0x5E7).unit();
            let slow = self.slow.filter(|(from, to, _)| (*from..*to).contains(&self.now)).map_or(1.0, |slow| slow.2);
            self.at(self.now + self.service.scale(slow * crowd * (0.5 + unit)), Event::Served(id));
        }
    }

    fn served(&mut self, id: u64) {
        self.origin.busy -= 1;
        let load = self.loads[id as usize];
        let took_us = Some(self.now.since(load.began).0 * 1000);
        if self.end(id, Ended::Answered { took_us }) && self.now < load.asked + PATIENCE {
            let took_ms = self.now.since(load.asked).0;
            if load.asked >= self.counted_from {
                self.answers.answered(load.class, took_ms);
            }
            self.second(load.asked).answered(load.class, took_ms);
        }
        self.work();
    }

    /// True: it was under way until now.
    fn end(&mut self, id: u64, ended: Ended) -> bool {
        let Some(pass) = self.loads[id as usize].pass.take() else { return false };
        self.gate.end(pass, ended, self.now);
        self.advance();
        true
    }
}

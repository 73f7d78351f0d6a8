//! What do an origin and its callers get out of it when three times as much is asked for as it bears? In virtual time,
//! against a queue of a few workers.

use std::collections::{BinaryHeap, VecDeque};

use super::*;
use crate::failure::FailClass;

const WORKERS: usize = 16;
const SERVICE: Span = Span::ms(20);
/// What the workers can do.
const CAPACITY: u64 = WORKERS as u64 * 1000 / SERVICE.0;
const TIMEOUT: Span = Span::secs(2);
/// The callers'.
const PATIENCE: Span = Span::secs(1);
const LENGTH: Span = Span::secs(40);
/// From here on is counted: by then the limit has been found.
const COUNTED_FROM: Tick = Tick(10_000);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive,
    /// A worker is done with a load.
    Served(u64),
    /// The load's time at the origin is up.
    TimedOut(u64),
    Wake,
}

#[derive(Clone, Copy, Debug)]
struct Load {
    class: Priority,
    asked: Tick,
    began: Tick,
    pass: Option<Pass>,
}

/// An origin that takes every load at once and works them off in order, each a little longer the more there are. What
/// was given up it works off all the same: it does not know.
#[derive(Default)]
struct Origin {
    queue: VecDeque<u64>,
    busy: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    asked: [u64; Priority::ALL.len()],
    in_time: [u64; Priority::ALL.len()],
}

impl Answers {
    fn share(&self, class: Priority) -> f64 {
        self.in_time[class as usize] as f64 / self.asked[class as usize] as f64
    }

    fn per_second(&self) -> f64 {
        self.in_time.iter().sum::<u64>() as f64 * 1000.0 / LENGTH.0 as f64
    }
}

struct World {
    gate: Gate,
    now: Tick,
    events: BinaryHeap<Reverse<(Tick, u64, Event)>>,
    scheduled: u64,
    loads: Vec<Load>,
    origin: Origin,
    wake: Option<Tick>,
    answers: Answers,
    draw: Draw,
}

impl World {
    /// Runs it under `rate` asks a second.
    fn run(budget: &Budget, rate: u64) -> (Answers, Standing) {
        let mut world = World {
            gate: Gate::new(budget),
            now: Tick(0),
            events: BinaryHeap::new(),
            scheduled: 0,
            loads: Vec::new(),
            origin: Origin::default(),
            wake: None,
            answers: Answers::default(),
            draw: Draw(5),
        };
        let end = COUNTED_FROM + LENGTH;
        for n in 0..rate * end.0 / 1000 {
            let jitter = world.draw.fork(n).unit() * 20.0;
            world.at(Tick(n * 1000 / rate + jitter as u64), Event::Arrive);
        }
        while let Some(Reverse((at, _, event))) = world.events.pop() {
            world.now = at;
            match event {
                Event::Arrive => world.arrive(),
                Event::Served(id) => world.served(id),
                Event::TimedOut(id) => {
                    world.end(id, Ended::Failed { class: FailClass::Timeout, again: false });
                }
                Event::Wake => {
                    world.wake = None;
                    world.advance();
                }
            }
        }
        (world.answers, world.gate.standing(end))
    }

    fn at(&mut self, at: Tick, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((at, self.scheduled, event)));
    }

    fn arrive(&mut self) {
        let id = self.loads.len() as u64;
        let class = match self.draw.fork(id ^ 0xC1A55).unit() {
            unit if unit < 0.1 => Priority::Background,
            unit if unit < 0.3 => Priority::Low,
            unit if unit < 0.8 => Priority::Normal,
            _ => Priority::Critical,
        };
        self.loads.push(Load { class, asked: self.now, began: self.now, pass: None });
        if self.now >= COUNTED_FROM {
            self.answers.asked[class as usize] += 1;
        }
        let give_up = if class == Priority::Background { Tick::NEVER } else { self.now + PATIENCE };
        match self.gate.ask(Ticket(id), class, 1, give_up, self.now) {
            Admission::Go(pass) => self.begin(id, pass),
            Admission::Wait => self.advance(),
            Admission::Shed(..) => {}
        }
    }

    fn advance(&mut self) {
        let mut out = Vec::new();
        let next = self.gate.advance(self.now, &mut out);
        for (ticket, admission) in out {
            if let Admission::Go(pass) = admission {
                self.begin(ticket.0, pass);
            }
        }
        if let Some(next) = next.filter(|next| self.wake.is_none_or(|wake| *next < wake)) {
            self.wake = Some(next);
            self.at(next, Event::Wake);
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
        while self.origin.busy < WORKERS
            && let Some(id) = self.origin.queue.pop_front()
        {
            self.origin.busy += 1;
            // Each load that lies about costs all of them a fifth of a percent: 512 halve what it can do.
            let crowd = 1.0 + 0.002 * self.origin.queue.len() as f64;
            let unit = self.draw.fork(id ^ 0x5E7).unit();
            self.at(self.now + SERVICE.scale(crowd * (0.5 + unit)), Event::Served(id));
        }
    }

    fn served(&mut self, id: u64) {
        self.origin.busy -= 1;
        let load = self.loads[id as usize];
        let took_us = Some(self.now.since(load.began).0 * 1000);
        if self.end(id, Ended::Answered { took_us }) && load.asked >= COUNTED_FROM && self.now < load.asked + PATIENCE {
            self.answers.in_time[load.class as usize] += 1;
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

#[test]
fn at_three_times_what_it_bears_goodput_stays_and_critical_callers_are_answered() {
    let pool = Budget { max_concurrency: 512, timeout: TIMEOUT, ..Budget::default() };
    // What it bears, where somebody knew and wrote it down.
    let known = Budget { max_concurrency: WORKERS as u32, adaptive: false, ..pool.clone() };
    let peak = World::run(&known, 3 * CAPACITY).0.per_second();
    assert!(peak > 0.9 * CAPACITY as f64, "{peak}");

    let (answers, standing) = World::run(&pool, 3 * CAPACITY);
    let goodput = answers.per_second() / peak;
    println!("goodput {goodput:.4}, critical {:.5}", answers.share(Priority::Critical));
    assert!(goodput >= 0.95, "goodput {goodput:.3}, {standing:?}");
    let critical = answers.share(Priority::Critical);
    assert!(critical >= 0.999, "critical {critical:.4}, {standing:?}");
    assert!(answers.share(Priority::Low) < 0.5, "control: somebody must go without: {answers:?}");
    assert!(standing.sheds.of(Priority::Critical, Why::ShedPriority) == 0 && standing.share < 1.0, "{standing:?}");

    let fixed = Budget { adaptive: false, ..pool };
    let (control, standing) = World::run(&fixed, 3 * CAPACITY);
    assert!(
        control.per_second() < 0.8 * peak || control.share(Priority::Critical) < 0.99,
        "control: a pool that is too large is no protection: {control:?} {standing:?}"
    );
}

#[test]
fn an_origin_that_bears_what_is_asked_turns_nobody_away() {
    let budget = Budget { max_concurrency: 64, ..Budget::default() };
    let (answers, standing) = World::run(&budget, CAPACITY / 2);
    assert_eq!(standing.sheds.total(), 0, "{standing:?}");
    assert!(Priority::ALL.iter().all(|class| answers.share(*class) > 0.99), "{answers:?}");
}

//! What do an origin and its callers get out of it when three times as much is asked for as it bears? In virtual time,
//! against a queue of a few workers.

use std::collections::{BinaryHeap, VecDeque};

use super::*;
use crate::failure::FailClass;
use crate::guard::unmet::{LOOK, Unmet, is_unmet};

mod spread;
mod times;

use times::Times;

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
    /// Is there room to catch up?
    Look,
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
    /// From when they were asked for, of all of these.
    took_ms: [u64; Priority::ALL.len()],
}

impl Answers {
    fn of_all(&self) -> f64 {
        self.in_time.iter().sum::<u64>() as f64 / self.asked.iter().sum::<u64>() as f64
    }

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
    workers: usize,
    times: Times,
    /// At a moment, loads take so many times as long.
    pace: fn(Tick) -> f64,
    /// How long a load may take, and how long its callers wait.
    timeout: Span,
    patience: Span,
    /// All callers are of one class.
    one_class: bool,
    wake: Option<Tick>,
    answers: Answers,
    draw: Draw,
    /// What was asked for in vain, by number of its load, and how many of how many may begin at a look.
    unmet: Unmet<u64>,
    room: Option<Room>,
    /// From here on answers are counted.
    counted_from: Tick,
    caught_up: u64,
    /// The least that the limit was, dips apart.
    least: usize,
}

type Room = fn(&mut Gate, usize, Tick) -> usize;

impl World {
    /// Runs it under `rate` asks a second.
    fn run(budget: &Budget, rate: u64) -> (Answers, Standing) {
        let mut world = World::new(budget, COUNTED_FROM);
        let end = COUNTED_FROM + LENGTH;
        world.asks(Tick(0), end, rate);
        world.play();
        (world.answers, world.gate.standing(end))
    }

    fn new(budget: &Budget, counted_from: Tick) -> World {
        World {
            gate: Gate::new(budget),
            now: Tick(0),
            events: BinaryHeap::new(),
            scheduled: 0,
            loads: Vec::new(),
            origin: Origin::default(),
            workers: WORKERS,
            times: Times::Uniform(SERVICE),
            pace: |_| 1.0,
            timeout: TIMEOUT,
            patience: PATIENCE,
            one_class: false,
            wake: None,
            answers: Answers::default(),
            draw: Draw(5),
            unmet: Unmet::default(),
            room: None,
            counted_from,
            caught_up: 0,
            least: usize::MAX,
        }
    }

    /// So many asks a second between two moments.
    fn asks(&mut self, from: Tick, to: Tick, rate: u64) {
        for n in 0..rate * to.since(from).0 / 1000 {
            let jitter = self.draw.fork(n).unit() * 20.0;
            self.at(from + Span(n * 1000 / rate + jitter as u64), Event::Arrive);
        }
    }

    /// So many asks a millisecond between two moments, as many independent callers make them.
    fn asks_at_random(&mut self, from: Tick, to: Tick, per_ms: f64) {
        let (mut at, mut n) = (from.0 as f64, 0);
        while at < to.0 as f64 {
            self.at(Tick(at as u64), Event::Arrive);
            n += 1;
            at -= (1.0 - self.draw.fork(n ^ 0xA5C5).unit()).ln() / per_ms;
        }
    }

    fn play(&mut self) {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            self.now = at;
            if !self.gate.is_dipping() {
                self.least = self.least.min(self.gate.limit());
            }
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

    fn at(&mut self, at: Tick, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((at, self.scheduled, event)));
    }

    fn arrive(&mut self) {
        let id = self.loads.len() as u64;
        let class = match self.draw.fork(id ^ 0xC1A55).unit() {
            _ if self.one_class => Priority::Normal,
            unit if unit < 0.1 => Priority::Background,
            unit if unit < 0.3 => Priority::Low,
            unit if unit < 0.8 => Priority::Normal,
            _ => Priority::Critical,
        };
        if self.now >= self.counted_from {
            self.answers.asked[class as usize] += 1;
        }
        self.ask(class);
    }

    fn look(&mut self) {
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
        let give_up = if class == Priority::Background { Tick::NEVER } else { self.now + self.patience };
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
        self.at(self.now + self.timeout, Event::TimedOut(id));
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
            let times = self.times.draw(self.draw.fork(id ^ 0x5E7));
            self.at(self.now + times.scale(crowd * (self.pace)(self.now)), Event::Served(id));
        }
    }

    fn served(&mut self, id: u64) {
        self.origin.busy -= 1;
        let load = self.loads[id as usize];
        let took_us = Some(self.now.since(load.began).0 * 1000);
        if self.end(id, Ended::Answered { took_us })
            && load.asked >= self.counted_from
            && self.now < load.asked + self.patience
        {
            self.answers.in_time[load.class as usize] += 1;
            self.answers.took_ms[load.class as usize] += self.now.since(load.asked).0;
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

/// In the 28 s from two seconds after an overload of 12 s, at 60 % of what the origin bears.
#[derive(Debug)]
struct After {
    /// Answered in time, of what callers asked for: the class with the fewest.
    share: f64,
    /// That took, on average.
    mean_ms: f64,
    caught_up: u64,
}

fn after_an_overload(room: Option<Room>) -> After {
    let (over, end) = (Tick(18_000), Tick(48_000));
    let pool = Budget { max_concurrency: 64, timeout: TIMEOUT, ..Budget::default() };
    let (workers, service) = (6, Span::ms(120));
    let mut world = World { room, workers, times: Times::Uniform(service), ..World::new(&pool, over + Span::secs(2)) };
    let capacity = workers as u64 * 1000 / service.0;
    world.asks(Tick(0), Tick(6_000), capacity * 6 / 10);
    world.asks(Tick(6_000), over, capacity * 3);
    world.asks(over, end, capacity * 6 / 10);
    (0..end.0 / LOOK.0).for_each(|look| world.at(Tick(look * LOOK.0), Event::Look));
    world.play();
    let callers = [Priority::Low, Priority::Normal, Priority::Critical];
    let sum = |of: &[u64; Priority::ALL.len()]| callers.iter().map(|class| of[*class as usize]).sum::<u64>() as f64;
    let share = callers.iter().map(|class| world.answers.share(*class)).fold(1.0, f64::min);
    let mean_ms = sum(&world.answers.took_ms) / sum(&world.answers.in_time);
    After { share, mean_ms, caught_up: world.caught_up }
}

#[test]
fn after_an_overload_catching_up_turns_no_caller_away_and_makes_loads_hardly_slower() {
    let alone = after_an_overload(None);
    let mended = after_an_overload(Some(Gate::catch_up));
    // Half of what nobody uses, while nobody waits.
    let halves = after_an_overload(Some(|gate, _, _| match gate.waiting() {
        0 => gate.limit().saturating_sub(gate.running()).div_ceil(2),
        _ => 0,
    }));
    println!("{alone:?} {mended:?} {halves:?}");
    assert!(alone.share == 1.0 && alone.caught_up == 0, "{alone:?}");
    assert!(mended.share == 1.0 && mended.mean_ms < 1.2 * alone.mean_ms, "{mended:?}, and without it {alone:?}");
    assert!(mended.caught_up > 100, "control: it does catch up: {mended:?}");
    assert!(halves.mean_ms > 2.0 * alone.mean_ms, "control: half of what is free is handed out: {halves:?}");
}

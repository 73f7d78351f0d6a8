//! A rate that wavers about a bar changes little; a real step changes at once what is done.

use super::*;
use crate::draw::Draw;
use crate::heat::hot::{Hot, Rates, Stage};
use crate::heat::plan::{Allowed, Reason};
use crate::heat::policy::WINDOW;
use crate::heat::window::{Meter, cost};
use proptest::prelude::*;

const HOLD: Span = Span::secs(60);
const CAPACITY: f64 = 100_000.0;
const WINDOWS_A_MINUTE: usize = 600;

/// Every bar that a plan has, as the rates at which a key is just at it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum AtBar {
    WritesOfANode,
    WritesPerRead,
    ShareOfANode,
    WritesOfCopies,
    Replicas,
    OwnCopies,
}

const BARS: [AtBar; 6] = [
    AtBar::WritesOfANode,
    AtBar::WritesPerRead,
    AtBar::ShareOfANode,
    AtBar::WritesOfCopies,
    AtBar::Replicas,
    AtBar::OwnCopies,
];

impl AtBar {
    /// `level`: how far what counts is above its bar; `other`: what else there is, about its mean.
    fn rates(self, level: f64, other: f64) -> Rates {
        let (reads, writes) = match self {
            AtBar::WritesOfANode => (90_000.0 * other, 10_000.0 * level),
            AtBar::WritesPerRead => (10_000.0, 2_000.0 * level),
            AtBar::ShareOfANode | AtBar::Replicas => (25_000.0 * level, 0.0),
            // The fewer writes, the more copies.
            AtBar::WritesOfCopies => (90_000.0 * other, 100_000.0 * 0.1 / 3.0 / level),
            AtBar::OwnCopies => (500_000.0 * level, 0.0),
        };
        Rates { reads, writes, bytes: 0.0 }
    }

    fn situation(self, rates: Rates) -> Situation {
        let kept = matches!(self, AtBar::Replicas | AtBar::OwnCopies);
        let budget = if kept { Span::secs(2) } else { Span::ZERO };
        let share = cost(rates) / CAPACITY;
        let (since, hold_until) = (Tick(0), Tick::NEVER);
        Situation {
            hot: Some(Hot { stage: Stage::Hot, here: rates, fleet: rates, share, since, hold_until }),
            allowed: Allowed { budget, extend_ttl: false, memory: kept, shared: true, loads: true },
            ttl: Span::secs(60),
            value_bytes: 100,
            // So many that all of what is read is asked for again where replicas are what counts.
            instances: if self == AtBar::Replicas { u32::MAX } else { 1 },
            nodes: if matches!(self, AtBar::ShareOfANode | AtBar::WritesOfCopies) { 3 } else { 1 },
            replicas: u32::from(self == AtBar::Replicas),
            capacity: CAPACITY,
            heard: true,
            degraded: false,
            announced: false,
            threads: 2,
        }
    }
}

/// A key that is hot, window by window, and the moments at which what is done about it changed.
struct Key {
    bar: AtBar,
    meter: Meter,
    course: Option<Course>,
    now: Tick,
    changes: Vec<Tick>,
    /// The control: planned anew with every window.
    anew: Option<Reaction>,
    fluttered: usize,
}

impl Key {
    fn new(bar: AtBar) -> Key {
        let (meter, now) = (Meter::default(), Tick(1_000_000));
        Key { bar, meter, course: None, now, changes: Vec::new(), anew: None, fluttered: 0 }
    }

    fn window(&mut self, level: f64, other: f64) {
        self.now = self.now + WINDOW;
        self.meter.on(self.bar.rates(level, other), WINDOW);
        let s = self.bar.situation(self.meter.second());
        let before = self.course.map(|course| course.reaction());
        self.course = match self.course {
            Some(course) => course.go_on(&s, HOLD, self.now),
            None => Course::begin(&s),
        };
        if self.course.map(|course| shape(course.reaction())) != before.map(shape) {
            self.changes.push(self.now);
        }
        let anew = plan_after(&s, self.anew.as_ref(), STAYS);
        self.fluttered += usize::from(anew.map(shape) != self.anew.map(shape));
        self.anew = anew;
    }

    /// After how many windows of such a level something changes.
    fn changes_after(&mut self, level: f64) -> usize {
        let before = self.changes.len();
        let changed = |key: &mut Key| {
            key.window(level, 1.0);
            key.changes.len() > before
        };
        (1..=WINDOWS_A_MINUTE).find(|_| changed(self)).unwrap_or(usize::MAX)
    }

    /// The most changes within a minute.
    fn busiest_minute(&self) -> usize {
        let within =
            |from: &Tick| self.changes.iter().filter(|at| *at >= from && at.since(*from) < Span::secs(60)).count();
        self.changes.iter().map(within).max().unwrap_or(0)
    }
}

/// What others notice of a reaction.
fn shape(reaction: Reaction) -> (Vec<crate::heat::plan::Measure>, u16) {
    (reaction.measures().collect(), reaction.copies)
}

#[test]
fn writes_that_waver_about_a_bar_change_what_is_done_a_few_times_and_then_no_more() {
    let mut key = Key::new(AtBar::WritesOfANode);
    for n in 0..10 * WINDOWS_A_MINUTE {
        // Up and down in four seconds, as a busy machine makes it, and counted with an error.
        let wave = (n as f64 / 40.0 * std::f64::consts::TAU).sin();
        key.window(0.9 + 0.25 * wave + 0.1 * (Draw(7).fork(n as u64).unit() - 0.5), 1.0);
    }
    assert!(key.changes.len() <= 8, "{:?}", key.changes);
    assert!(key.fluttered > 100, "the control: a plan of each window's flutters: {}", key.fluttered);
}

#[test]
fn a_step_up_begins_within_a_second_whatever_was_before() {
    for bar in BARS {
        let mut key = Key::new(bar);
        (0..200).for_each(|_| key.window(0.5, 1.0));
        assert!(key.changes_after(2.5) <= 10, "{bar:?}");
        // One that came and went until its hold is long.
        for n in 0..2 * WINDOWS_A_MINUTE {
            key.window(if n / 20 % 2 == 0 { 0.1 } else { 2.5 }, 1.0);
        }
        while key.course.is_none_or(|course| {
            shape(course.reaction()) != shape(plan(&bar.situation(bar.rates(0.05, 1.0))).expect("hot"))
        }) {
            key.window(0.05, 1.0);
        }
        assert!(key.changes_after(2.5) <= 10, "{bar:?}: what a key needs is not held back");
    }
}

#[test]
fn a_step_down_ends_within_a_second_and_within_two_while_it_is_held() {
    for bar in BARS {
        let mut key = Key::new(bar);
        (0..100).for_each(|_| key.window(0.5, 1.0));
        (0..200).for_each(|_| key.window(1.3, 1.0));
        assert!(key.changes_after(0.1) <= 10, "{bar:?}: {:?}", key.changes);
        let mut held = Key::new(bar);
        (0..100).for_each(|_| held.window(0.5, 1.0));
        (0..50).for_each(|_| held.window(1.3, 1.0));
        assert!(held.changes_after(0.1) <= 20, "{bar:?}: {:?}", held.changes);
        // The control: what is only a little less is held.
        let mut near = Key::new(bar);
        (0..100).for_each(|_| near.window(0.5, 1.0));
        (0..50).for_each(|_| near.window(1.3, 1.0));
        assert!(near.changes_after(0.7) > 30, "{bar:?}: {:?}", near.changes);
    }
}

#[test]
fn what_is_no_more_allowed_ends_at_once_though_it_is_held() {
    let mut key = Key::new(AtBar::Replicas);
    (0..20).for_each(|_| key.window(0.5, 1.0));
    assert!(key.changes_after(2.0) <= 10);
    let course = key.course.expect("hot");
    assert!(course.reaction().replicas.is_some() && course.part(key.now) == 0.0, "held as firmly as can be");
    let mut s = AtBar::Replicas.situation(key.meter.second());
    s.allowed.budget = Span::ZERO;
    let next = course.go_on(&s, HOLD, key.now + WINDOW).expect("hot");
    assert_eq!((next.reaction().replicas, next.reaction().staleness()), (None, Span::ZERO));
    s.hot = None;
    assert_eq!(next.go_on(&s, HOLD, key.now + WINDOW), None, "nor is a key that is hot no more");
}

#[test]
fn a_hold_doubles_when_it_flaps_and_is_what_it_was_after_a_quiet_time() {
    let mut key = Key::new(AtBar::WritesOfANode);
    let hold = |key: &Key| key.course.and_then(|course| course.changed).map(|(_, hold)| hold);
    (0..20).for_each(|_| key.window(0.5, 1.0));
    assert_eq!(hold(&key), None, "what was planned first is not held");
    assert!(key.changes_after(1.5) <= 10);
    assert_eq!((hold(&key), key.course.map(|course| course.reaction().reason)), (Some(HELD), Some(Reason::WriteHeavy)));
    assert!(key.changes_after(0.7) > 60);
    assert_eq!(hold(&key), Some(Span(HELD.0 * 2)));
    assert!(key.changes_after(1.5) <= 10);
    assert_eq!(hold(&key), Some(Span(HELD.0 * 4)));
    (0..5 * WINDOWS_A_MINUTE).for_each(|_| key.window(1.5, 1.0));
    assert!(key.changes_after(0.7) <= 25);
    assert_eq!(hold(&key), Some(HELD));
    let mut short = Key::new(AtBar::WritesOfANode);
    (0..20).for_each(|_| short.window(0.5, 1.0));
    let s = AtBar::WritesOfANode.situation(AtBar::WritesOfANode.rates(1.5, 1.0));
    let course = short.course.expect("hot").go_on(&s, Span::secs(2), short.now).expect("hot");
    assert_eq!(course.changed, Some((short.now, Span::secs(2))), "whoever wants short holds gets them");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_rate_that_wavers_about_any_bar_changes_what_is_done_at_most_six_times_a_minute(
        bar in prop::sample::select(&BARS[..]),
        (center, wave, period) in (0.75..1.3f64, 0.0..0.25f64, 10.0..300.0f64),
        noise in 0.0..0.6f64,
        seed: u64,
    ) {
        let mut key = Key::new(bar);
        for n in 0..3 * WINDOWS_A_MINUTE {
            let draw = Draw(seed).fork(n as u64);
            let wander = 1.0 + wave * (n as f64 / period * std::f64::consts::TAU).sin();
            let level = center * wander * (1.0 + noise * (draw.unit() - 0.5));
            key.window(level, 1.0 + noise * (draw.fork(1).unit() - 0.5));
        }
        prop_assert!(key.busiest_minute() <= 6, "{:?}", key.changes);
        prop_assert!(key.changes.len() <= 11, "in three minutes: {:?}", key.changes);
    }

    #[test]
    fn whatever_the_rates_do_what_is_done_changes_at_most_fifteen_times_a_minute(
        bar in prop::sample::select(&BARS[..]),
        blocks in prop::collection::vec((0.0..4.0, 1usize..60), 20..80),
    ) {
        let mut key = Key::new(bar);
        for (level, length) in blocks {
            (0..length).for_each(|_| key.window(level, 1.0));
        }
        prop_assert!(key.busiest_minute() <= 15, "{:?}", key.changes);
    }
}

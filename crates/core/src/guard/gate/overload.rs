//! What do an origin and its callers get out of it when three times as much is asked for as it bears? In virtual time,
//! against a queue of a few workers.

use super::*;
use crate::guard::unmet::LOOK;
use world::{CAPACITY, Event, Room, TIMEOUT, WORKERS, World};

mod onset;
mod world;

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
    let mut world = World { room, workers, service, ..World::new(&pool, over + Span::secs(2)) };
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
    assert!(
        halves.share < 1.0 && halves.mean_ms > 1.3 * alone.mean_ms,
        "control: half of what is free is handed out: {halves:?}"
    );
}

//! Does the flight table keep its promises under every interleaving? Thousands of schedules of readers
//! and removals: at most two loads read at once (G1), nobody gets what was read before a removal that
//! it knows of (G2), fences are unique, and nobody waits for ever.
#![cfg(feature = "shuttle")]

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use bellwether::flight_table::{Entered, Table};
use shuttle::sync::atomic::{AtomicU64, Ordering::SeqCst};
use shuttle::{check_pct, check_random, thread};

const SCHEDULES: usize = 10_000;
const READERS: usize = 3;
const REMOVALS: usize = 2;

#[derive(Default)]
struct World {
    table: Table,
    /// The origin's row.
    version: AtomicU64,
    /// The version as of the newest removal that has returned.
    acknowledged: AtomicU64,
    reading: AtomicU64,
    fences: Mutex<HashSet<u64>>,
    honest: bool,
}

impl World {
    fn unique(&self, fence: u64) {
        assert!(self.fences.lock().expect("no panic").insert(fence), "fence {fence} was given out twice");
    }

    fn read(&self, hasty: bool) {
        let known = self.acknowledged.load(SeqCst);
        let value = match self.table.enter() {
            Entered::Hit(value) => value,
            Entered::Follow(told) => told.value(),
            Entered::Lead { id, told, parked } => {
                if parked && !(hasty && self.table.unpark(id)) {
                    told.turn();
                }
                let fence = self.table.begin_read(id);
                self.unique(fence);
                assert!(self.reading.fetch_add(1, SeqCst) < 2, "g1: three loads read at once");
                assert!(self.table.reading() <= 2, "g1");
                let value = self.version.load(SeqCst);
                thread::yield_now();
                self.reading.fetch_sub(1, SeqCst);
                self.table.land(id, fence, value, &told);
                value
            }
        };
        assert!(value >= known, "g2: {value} was read before a removal at {known} that this reader knew of");
    }

    fn remove(&self) {
        let version = self.version.fetch_add(1, SeqCst) + 1;
        self.unique(self.table.invalidate(self.honest));
        self.acknowledged.fetch_max(version, SeqCst);
    }
}

fn scenario(honest: bool) -> impl Fn() + Send + Sync + 'static {
    move || {
        let world = Arc::new(World { honest, ..World::default() });
        let start = |act: Box<dyn Fn(&World) + Send>| {
            let world = world.clone();
            thread::spawn(move || act(&world))
        };
        let mut threads: Vec<_> = (0..READERS)
            .map(|reader| {
                start(Box::new(move |world| {
                    world.read(reader == 0);
                    world.read(reader == 1);
                }))
            })
            .collect();
        threads.push(start(Box::new(|world| (0..REMOVALS).for_each(|_| world.remove()))));
        for thread in threads {
            thread.join().expect("no rule is broken");
        }
        assert_eq!(world.table.live(), 0, "no flight is left");
    }
}

#[test]
fn g1_g2_hold_under_random_schedules() {
    check_random(scenario(true), SCHEDULES);
}

#[test]
fn g1_g2_hold_under_schedules_that_hunt_for_rare_orders() {
    check_pct(scenario(true), SCHEDULES, 4);
}

#[test]
fn control_a_removal_that_raises_no_floor_is_caught() {
    let caught = std::panic::catch_unwind(|| check_random(scenario(false), SCHEDULES));
    assert!(caught.is_err(), "thousands of schedules and no stale read");
}

//! Who is connected, and how much was done? What the connections of all cores share.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use bellwether::{Span, Tick};
use parking_lot::Mutex;

use super::held::{Held, Total};
use crate::connections::{Connections, Crowded, Face, Open};

/// Connections at once; more are turned away, as Redis does at its `maxclients`.
pub const MAX_CLIENTS: usize = 10_000;

/// Samples of the number of commands, as many and as far apart as Redis's.
const SAMPLES: usize = 16;
const STEP_MS: u64 = 100;

/// The connections of a server.
#[derive(Debug)]
pub struct Clients {
    port: u16,
    started: Instant,
    connections: Connections,
    last: AtomicU64,
    commands: AtomicU64,
    held: Total,
    /// Commands that may wait for another client.
    waiting: AtomicUsize,
    /// The step of the clock in which the last sample was taken.
    step: AtomicU64,
    samples: Mutex<Samples>,
}

/// How many commands had been begun at the moments of late, as Redis samples them.
#[derive(Debug, Default)]
struct Samples(VecDeque<(Tick, u64)>);

impl Samples {
    fn add(&mut self, now: Tick, commands: u64) {
        self.0.truncate(SAMPLES - 1);
        self.0.push_front((now, commands));
    }

    /// Commands a second since the oldest sample that is not out of date.
    fn rate(&self, now: Tick, commands: u64) -> u64 {
        let recent = self.0.iter().take_while(|(at, _)| now.since(*at) <= Span(SAMPLES as u64 * STEP_MS));
        let Some((since, before)) = recent.last() else { return 0 };
        let took = now.since(*since).0.max(STEP_MS);
        commands.saturating_sub(*before) * 1000 / took
    }
}

/// A command that may wait for another client, until it is dropped.
pub(super) struct Waits(Arc<Clients>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Clients {
    /// Nobody is connected yet to the listener on `port`; `connections` counts who is.
    pub fn new(port: u16, connections: Connections) -> Clients {
        Clients {
            port,
            started: Instant::now(),
            connections,
            last: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            held: Total::default(),
            waiting: AtomicUsize::new(0),
            step: AtomicU64::new(0),
            samples: Mutex::default(),
        }
    }

    /// A connection's part of what all may hold.
    pub(super) fn held(&self) -> Held {
        self.held.held()
    }

    /// A place and a number for a new connection from `peer`, or why there is none.
    pub(super) fn enter(&self, peer: IpAddr) -> Result<(Open, u64), Crowded> {
        let place = self.connections.admit(Face::Redis, peer, MAX_CLIENTS)?;
        Ok((place, self.last.fetch_add(1, Ordering::Relaxed) + 1))
    }

    /// A connection has begun so many commands since it last said so, at `now`.
    pub(super) fn add_commands(&self, count: u64, now: Tick) {
        let before = self.commands.fetch_add(count, Ordering::Relaxed);
        let step = now.0 / STEP_MS;
        // Whoever comes first in a step takes its sample; all others only look.
        if self.step.load(Ordering::Relaxed) != step && self.step.swap(step, Ordering::Relaxed) != step {
            self.samples.lock().add(now, before);
        }
    }

    /// Commands a second over the last 1.6 s at most.
    pub(super) fn rate(&self, now: Tick) -> u64 {
        self.samples.lock().rate(now, self.commands())
    }

    /// Counts a command that may wait for another client.
    pub(super) fn waits(self: &Arc<Clients>) -> Waits {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(self.clone())
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn uptime_secs(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    pub(super) fn connected(&self) -> usize {
        self.connections.open(Face::Redis)
    }

    pub(super) fn accepted(&self) -> u64 {
        self.connections.accepted(Face::Redis)
    }

    pub(super) fn refused(&self) -> u64 {
        Crowded::ALL.into_iter().map(|crowded| self.connections.refused(Face::Redis, crowded)).sum()
    }

    pub(super) fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_second_or_so_and_falls_to_zero() {
        let clients = Clients::new(0, Connections::default());
        let at = |ms: u64| Tick(5_000_000 + ms);
        assert_eq!(clients.rate(at(0)), 0);
        for step in 0..40 {
            clients.add_commands(20, at(step * 50));
        }
        let rate = clients.rate(at(2_000));
        assert!((390..=410).contains(&rate), "20 in 50 ms, not {rate}");
        assert_eq!(clients.commands(), 800);
        assert_eq!(clients.rate(at(4_000)), 0, "long ago");
        clients.add_commands(500, at(9_000));
        assert_eq!(clients.rate(at(9_010)), 5_000, "a burst counts as one of a tenth of a second");
    }

    #[test]
    fn who_waits_is_counted_until_answered() {
        let clients = Arc::new(Clients::new(0, Connections::default()));
        let waits = clients.waits();
        assert_eq!(clients.waiting(), 1);
        drop(waits);
        assert_eq!(clients.waiting(), 0);
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let clients = Clients::new(0, Connections::default());
        let mut held: Vec<_> =
            (0..MAX_CLIENTS).map(|_| clients.enter([127, 0, 0, 1].into()).expect("there is room")).collect();
        assert!(clients.enter([127, 0, 0, 1].into()).is_err());
        assert_eq!((clients.connected(), clients.refused()), (MAX_CLIENTS, 1));
        held.pop();
        assert!(clients.enter([127, 0, 0, 1].into()).is_ok(), "one has left");
    }
}

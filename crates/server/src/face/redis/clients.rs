//! Who is connected, and how much was done? What the connections of all cores share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::held::{Held, Total};
use crate::connections::{Connections, Face, Open};

/// Connections at once; more are turned away, as Redis does at its `maxclients`.
pub const MAX_CLIENTS: usize = 10_000;

/// The connections of a server.
#[derive(Debug)]
pub struct Clients {
    port: u16,
    started: Instant,
    connections: Connections,
    last: AtomicU64,
    refused: AtomicU64,
    commands: AtomicU64,
    held: Arc<Total>,
}

impl Clients {
    /// Nobody is connected yet to the listener on `port`; `connections` counts who is.
    pub fn new(port: u16, connections: Connections) -> Clients {
        Clients {
            port,
            started: Instant::now(),
            connections,
            last: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            held: Arc::default(),
        }
    }

    /// A connection's part of what all may hold.
    pub(super) fn held(&self) -> Held {
        Held::new(self.held.clone())
    }

    /// A place and a number for a new connection; `None` if there are too many.
    pub(super) fn enter(&self) -> Option<(Open, u64)> {
        let place = self.connections.accept(Face::Redis);
        if self.connections.open(Face::Redis) > MAX_CLIENTS || !self.connections.has_room() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some((place, self.last.fetch_add(1, Ordering::Relaxed) + 1))
    }

    /// A connection has begun so many commands since it last said so.
    pub(super) fn add_commands(&self, count: u64) {
        self.commands.fetch_add(count, Ordering::Relaxed);
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
        self.refused.load(Ordering::Relaxed)
    }

    pub(super) fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let clients = Clients::new(0, Connections::default());
        let mut held: Vec<_> = (0..MAX_CLIENTS).map(|_| clients.enter().expect("there is room")).collect();
        assert!(clients.enter().is_none());
        assert_eq!((clients.connected(), clients.refused()), (MAX_CLIENTS, 1));
        held.pop();
        assert!(clients.enter().is_some(), "one has left");
    }
}

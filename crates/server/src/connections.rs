//! How many connections are open, and through which door did they come?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Which listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// RESP.
    Redis,
    /// HTTP.
    Http,
    /// Metrics, health, explanations.
    Admin,
}

impl Face {
    /// All of them.
    pub const ALL: [Face; 3] = [Face::Redis, Face::Http, Face::Admin];

    /// The word in the configuration, start lines and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Face::Redis => "redis",
            Face::Http => "http",
            Face::Admin => "admin",
        }
    }
}

/// Connections by face. Listeners count them, `/metrics` shows them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<[Count; Face::ALL.len()]>);

#[derive(Debug, Default)]
struct Count {
    open: AtomicUsize,
    accepted: AtomicU64,
}

/// An open connection; closed when dropped.
#[must_use = "dropping it says that the connection is closed"]
pub struct Open(Connections, Face);

impl Connections {
    /// Counts a connection.
    pub fn accept(&self, face: Face) -> Open {
        let count = &self.0[face as usize];
        count.open.fetch_add(1, Ordering::Relaxed);
        count.accepted.fetch_add(1, Ordering::Relaxed);
        Open(self.clone(), face)
    }

    /// Open now.
    pub fn open(&self, face: Face) -> usize {
        self.0[face as usize].open.load(Ordering::Relaxed)
    }

    /// Accepted so far.
    pub fn accepted(&self, face: Face) -> u64 {
        self.0[face as usize].accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Open(connections, face) = self;
        connections.0[*face as usize].open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_door_counts_for_itself() {
        let connections = Connections::default();
        let first = connections.accept(Face::Http);
        drop(connections.accept(Face::Http));
        assert_eq!((connections.open(Face::Http), connections.accepted(Face::Http)), (1, 2));
        assert_eq!((connections.open(Face::Redis), connections.accepted(Face::Admin)), (0, 0));
        drop(first);
        assert_eq!(connections.open(Face::Http), 0);
    }
}

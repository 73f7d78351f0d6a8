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
#[derive(Clone, Debug)]
pub struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    counts: [Count; Face::ALL.len()],
    /// Connections of the data faces together for which there are file descriptors.
    room: usize,
}

impl Default for Connections {
    /// Without a limit of their own.
    fn default() -> Connections {
        Connections::with_room(usize::MAX)
    }
}

#[derive(Debug, Default)]
struct Count {
    open: AtomicUsize,
    accepted: AtomicU64,
}

/// An open connection; closed when dropped.
#[must_use = "dropping it says that the connection is closed"]
pub struct Open(Connections, Face);

impl Connections {
    /// For so many connections of the data faces, both together.
    pub fn with_room(room: usize) -> Connections {
        Connections(Arc::new(Inner { counts: Default::default(), room }))
    }

    /// Whether those of the data faces that are open, the newest included, may stay: beyond this
    /// origins and the admin listener would find no file descriptor left.
    pub fn has_room(&self) -> bool {
        self.open(Face::Redis) + self.open(Face::Http) <= self.0.room
    }

    /// Counts a connection.
    pub fn accept(&self, face: Face) -> Open {
        let count = &self.0.counts[face as usize];
        count.open.fetch_add(1, Ordering::Relaxed);
        count.accepted.fetch_add(1, Ordering::Relaxed);
        Open(self.clone(), face)
    }

    /// Open now.
    pub fn open(&self, face: Face) -> usize {
        self.0.counts[face as usize].open.load(Ordering::Relaxed)
    }

    /// Accepted so far.
    pub fn accepted(&self, face: Face) -> u64 {
        self.0.counts[face as usize].accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Open(connections, face) = self;
        connections.0.counts[*face as usize].open.fetch_sub(1, Ordering::Relaxed);
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

    #[test]
    fn clients_of_both_data_faces_share_the_room_and_admin_needs_none_of_it() {
        let connections = Connections::with_room(2);
        let _held = [Face::Redis, Face::Http, Face::Admin, Face::Admin].map(|face| connections.accept(face));
        assert!(connections.has_room());
        let third = connections.accept(Face::Redis);
        assert!(!connections.has_room());
        drop(third);
        assert!(connections.has_room());
    }
}

//! How many connections are open, and through which door did they come?

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

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
    /// Those of one address, if there is a bound.
    per_address: Option<u32>,
    /// How many each address has: as many as are open, at most.
    addresses: Mutex<HashMap<IpAddr, u32>>,
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
    refused: [AtomicU64; Crowded::ALL.len()],
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowded {
    /// There are too many of all clients.
    All,
    /// Its address has as many as one may have.
    Address,
}

impl Crowded {
    /// Both.
    pub const ALL: [Crowded; 2] = [Crowded::All, Crowded::Address];

    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Crowded::All => "all",
            Crowded::Address => "address",
        }
    }

    /// What the client is told.
    pub const fn words(self) -> &'static str {
        match self {
            Crowded::All => "max number of clients reached",
            Crowded::Address => "max number of clients of this address reached",
        }
    }
}

/// An open connection; closed when dropped.
#[must_use = "dropping it says that the connection is closed"]
pub struct Open(Connections, Face, Option<IpAddr>);

impl Connections {
    /// For so many connections of the data faces, both together.
    pub fn with_room(room: usize) -> Connections {
        Connections::with_bounds(room, None)
    }

    /// The same, and no address may have more than `per_address` of them.
    pub fn with_bounds(room: usize, per_address: Option<u32>) -> Connections {
        Connections(Arc::new(Inner { counts: Default::default(), room, per_address, addresses: Mutex::default() }))
    }

    /// Counts a connection of a data face, unless there are `most` of it, no files left, or too many of its address.
    ///
    /// # Errors
    /// Why it is not taken; that is counted too.
    pub fn admit(&self, face: Face, peer: IpAddr, most: usize) -> Result<Open, Crowded> {
        let mut open = self.accept(face);
        let crowded = match self.0.per_address {
            _ if self.open(face) > most || !self.has_room() => Crowded::All,
            None => return Ok(open),
            Some(bound) => {
                let address = client(peer);
                let mut addresses = self.0.addresses.lock();
                let held = addresses.entry(address).or_default();
                if *held < bound {
                    *held += 1;
                    open.2 = Some(address);
                    return Ok(open);
                }
                Crowded::Address
            }
        };
        self.0.counts[face as usize].refused[crowded as usize].fetch_add(1, Ordering::Relaxed);
        Err(crowded)
    }

    /// Not taken so far.
    pub fn refused(&self, face: Face, crowded: Crowded) -> u64 {
        self.0.counts[face as usize].refused[crowded as usize].load(Ordering::Relaxed)
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
        Open(self.clone(), face, None)
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
        let Open(connections, face, address) = self;
        if let Some(address) = address.take()
            && let Entry::Occupied(mut held) = connections.0.addresses.lock().entry(address)
        {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
        connections.0.counts[*face as usize].open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whose connection it is. Of IPv6 the first 64 bits: whoever has one such address has all of them.
fn client(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_takes_more_than_its_part_and_its_place_is_free_again() {
        let connections = Connections::with_bounds(5, Some(2));
        let admit = |text: &str| connections.admit(Face::Redis, text.parse().expect("an address"), 100);
        let mut held = vec![admit("10.0.0.1").ok(), admit("::ffff:10.0.0.1").ok(), admit("10.0.0.2").ok()];
        assert!(held.iter().all(Option::is_some));
        assert_eq!(admit("10.0.0.1").err(), Some(Crowded::Address));
        held.push(admit("2001:db8::1").ok());
        held.push(admit("2001:db8::2").ok());
        assert_eq!(admit("10.0.0.3").err(), Some(Crowded::All), "all have no room");
        held.truncate(1);
        assert!(admit("10.0.0.1").is_ok() && connections.open(Face::Redis) == 1, "what was refused holds no place");
        let refused = |crowded| connections.refused(Face::Redis, crowded);
        assert_eq!((refused(Crowded::Address), refused(Crowded::All)), (1, 1));
        drop(held);
        assert!(connections.0.addresses.lock().is_empty(), "nothing is kept of who has left");
        let unbounded = Connections::default();
        let all: Vec<_> = (0..50).map(|_| unbounded.admit(Face::Http, [127, 0, 0, 1].into(), 100)).collect();
        assert!(all.iter().all(Result::is_ok), "the control: without a bound there is none");
    }

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

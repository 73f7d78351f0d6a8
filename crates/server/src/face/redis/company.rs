//! Which GETs of other clients are looked up with this one? Those that have come in the same turn of this thread.
//!
//! A lookup waits for memory again and again, and lookups of different keys can wait together ([`HIT_MANY`]). A client
//! that pipelines brings several at once; of those that don't, many are ready together, a GET each. So a GET that
//! comes alone takes a seat, and the thread goes on to the next connection; whoever has its turn again looks up for all.
//! It also makes the thread read from one connection after another, then write to one after another.
//!
//! This pays where requests wait for the server. Where the server waits for them, one or two are ready at a time, and
//! they are answered as fast as without it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use bellwether::{Cached, HIT_MANY};
use bellwether_adapters::Payload;

use crate::service::Service;

/// Bytes of a key that may wait for company: what a seat has room for.
const LONGEST: usize = 64;
/// GETs of one thread that wait, or whose values do; others are looked up by themselves.
const SEATS: usize = 256;
/// A thread on which so many more GETs waited in vain than had company has one busy client ...
const ALONE: u32 = 64;
/// ... and tries again after so many GETs.
const AGAIN: u32 = 512;
/// Each thread has numbers for its seats that no other has.
const NUMBERS: u64 = 1 << 40;
/// No seat has it.
const NOWHERE: u64 = u64::MAX;

thread_local! {
    static HERE: RefCell<Company> = RefCell::new(Company::new());
}

/// Of all threads.
static THREADS: AtomicU64 = AtomicU64::new(0);

/// A GET that waits for others.
pub(super) struct Seat {
    number: u64,
    /// Whoever finds nothing needs the key once more.
    key: [u8; LONGEST],
    length: u8,
}

impl Seat {
    pub(super) fn key(&self) -> &[u8] {
        &self.key[..usize::from(self.length)]
    }
}

/// The GETs of one thread that wait.
struct Company {
    /// The number of the first of `places`.
    first: u64,
    /// What was found, until it is taken. The last ones are still to be looked up.
    places: Vec<Option<Cached<Payload>>>,
    /// Those whose seats have not come back.
    left: usize,
    /// Whose keys they are.
    service: usize,
    /// The keys that are still to be looked up, one behind the other ...
    keys: Vec<u8>,
    /// ... and where each ends.
    ends: [usize; HIT_MANY],
    asked: usize,
    /// How many more waited in vain than had company.
    alone: u32,
}

impl Company {
    fn new() -> Company {
        let first = THREADS.fetch_add(1, Ordering::Relaxed) * NUMBERS;
        let (places, keys) = (Vec::new(), Vec::new());
        Company { first, places, left: 0, service: 0, keys, ends: [0; HIT_MANY], asked: 0, alone: 0 }
    }

    fn join(&mut self, service: &Service, key: &[u8]) -> Option<u64> {
        if self.alone >= ALONE {
            self.alone += 1;
            if self.alone < ALONE + AGAIN {
                return None;
            }
            self.alone = ALONE - 1;
        }
        let another = self.asked > 0 && self.service != service.identity();
        if another || self.places.len() == SEATS {
            return None;
        }
        self.service = service.identity();
        self.keys.extend_from_slice(key);
        self.ends[self.asked] = self.keys.len();
        self.asked += 1;
        self.left += 1;
        self.places.push(None);
        let number = self.first + self.places.len() as u64 - 1;
        if self.asked == HIT_MANY {
            self.look(service);
        }
        Some(number)
    }

    /// Looks up what was asked for.
    fn look(&mut self, service: &Service) {
        self.alone = if self.asked == 1 { self.alone + 1 } else { self.alone.saturating_sub(self.asked as u32) };
        let mut keys: [&[u8]; HIT_MANY] = [&[]; HIT_MANY];
        let mut from = 0;
        for (key, end) in keys.iter_mut().zip(&self.ends[..self.asked]) {
            *key = &self.keys[from..*end];
            from = *end;
        }
        let at = self.places.len() - self.asked;
        let found = &mut self.places[at..];
        service.hit_many(&keys[..self.asked], found);
        // As where replies are copied: the waits for the values, all at once.
        let bytes = found.iter().flatten().map(|value| value.body.first().copied().unwrap_or(0));
        std::hint::black_box(bytes.fold(0, |all, byte| all ^ byte));
        self.asked = 0;
        self.keys.clear();
    }

    /// The place of a seat of this thread.
    fn place(&self, number: u64) -> Option<usize> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (at < self.places.len()).then_some(at)
    }

    fn take(&mut self, service: &Service, number: u64) -> Option<Option<Cached<Payload>>> {
        let at = self.place(number)?;
        if at >= self.places.len() - self.asked {
            self.look(service);
        }
        let found = self.places[at].take();
        self.came_back();
        Some(found)
    }

    fn came_back(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            self.first += self.places.len() as u64;
            self.places.clear();
            self.keys.clear();
            self.asked = 0;
        }
    }
}

impl Drop for Seat {
    /// A client that is gone waits no more.
    fn drop(&mut self) {
        // Without a thread's company there is none to leave.
        let _ = HERE.try_with(|here| {
            if let Ok(mut here) = here.try_borrow_mut()
                && here.place(self.number).is_some()
            {
                here.came_back();
            }
        });
    }
}

/// A seat for a GET of `key`, if it may wait for others: then [`leave`] is to be called in the connection's next turn.
pub(super) fn join(service: &Service, key: &[u8]) -> Option<Seat> {
    if key.len() > LONGEST {
        return None;
    }
    let number = HERE.with_borrow_mut(|here| here.join(service, key))?;
    let mut seat = Seat { number, key: [0; LONGEST], length: key.len() as u8 };
    seat.key[..key.len()].copy_from_slice(key);
    Some(seat)
}

/// What memory has for the GET that waited, as [`Service::hit`] says it.
pub(super) fn leave(service: &Service, seat: &mut Seat) -> Option<Cached<Payload>> {
    let number = std::mem::replace(&mut seat.number, NOWHERE);
    // It is none of this thread's only if the connection has moved meanwhile.
    HERE.with_borrow_mut(|here| here.take(service, number)).unwrap_or_else(|| service.hit(seat.key()))
}

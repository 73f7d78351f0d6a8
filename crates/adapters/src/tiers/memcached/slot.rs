//! What lies under a name, as a cell that the rules of the lease protocol apply to, and which bytes is another cell?
//!
//! Memcached runs no scripts and tells nobody the time. So the rules (`core::cell`) run here, and the compare-and-swap
//! that stores their outcome makes each of them one step; and the time is this machine's, held to what the
//! server's own count of the seconds left allows.

use bellwether_core::cell::{Cell, Now, What};
use bellwether_core::fence::Fence;
use bellwether_core::time::{Span, Tick};
use bellwether_envelope::{Envelope, Header, Kind, Limits, Stamp, Unreadable, read, stamp};
use bytes::Bytes;

use super::proto::Item;
use crate::tiers::wire::{class_number, class_of};

/// Memcached takes a longer time to live for a date.
pub(super) const LONGEST_S: u64 = 30 * 24 * 3600;

/// By so much the frame of an item's moments may differ from our time, held to the server's seconds, see [`within`].
const CLOCKS_DIFFER: Span = Span::secs(2);

/// What lies under a name.
#[derive(Clone)]
pub(super) struct Slot {
    /// What to compare with; `None`: nothing lies there.
    pub(super) cas: Option<u64>,
    /// What it means. `None`: nothing, or nothing that can be trusted.
    pub(super) cell: Option<Cell>,
    /// It as an entry: of a value or a negative.
    pub(super) envelope: Option<Envelope>,
    /// All bytes of it.
    pub(super) raw: Bytes,
    /// Under which epoch it was stored.
    pub(super) epoch: u32,
    /// Seconds left of it; `None`: for ever.
    pub(super) ttl: Option<u32>,
    /// The time in the frame of its moments.
    pub(super) now: Now,
    /// Why it can't be read.
    pub(super) misread: Option<Unreadable>,
}

impl Slot {
    /// Nothing, at this machine's time in µs.
    pub(super) fn empty(wall_us: u64) -> Slot {
        Slot {
            cas: None,
            cell: None,
            envelope: None,
            raw: Bytes::new(),
            epoch: 0,
            ttl: None,
            now: Now(wall_us),
            misread: None,
        }
    }

    /// What `item` means, found under the key `full`. `trusted`: whether something of its epoch is what was said last.
    pub(super) fn of(full: &[u8], item: Item, wall_us: u64, max_raw: u32, trusted: bool) -> Slot {
        let Item { data, cas, ttl, flags } = item;
        let slot = Slot { cas: Some(cas), raw: data, epoch: flags, ttl, ..Slot::empty(wall_us) };
        match read(full, &slot.raw, Limits { now_ms: wall_us / 1000, max_raw }) {
            Err(Unreadable::NotOurs) => {
                Slot { cell: Some(Cell::foreign()), misread: Some(Unreadable::NotOurs), ..slot }
            }
            Err(reason) => Slot { misread: Some(reason), ..slot },
            Ok(_) if !trusted => slot,
            Ok(found) => {
                let cell = cell_of(&found.header);
                let now = within(wall_us, cell.ends(), ttl);
                let envelope = found.header.kind.has_body().then_some(found);
                Slot { cell: Some(cell), envelope, now, ..slot }
            }
        }
    }

    /// How long ago something was at least, if that is to be compared with moments that other processes wrote here: their
    /// clocks may differ from ours by as much as the server's seconds allow. Zero: nothing is known.
    pub(super) fn surely(&self, ago: Span) -> Span {
        let bounded = self.ttl.is_some_and(is_counted);
        if bounded { Span(ago.0.saturating_sub(CLOCKS_DIFFER.0)) } else { Span::ZERO }
    }

    /// How long ago it was at most. `None`: what lies here has a moment that can't be compared with ours. Zero is just now,
    /// and is compared with nothing.
    pub(super) fn at_most(&self, ago: Span) -> Option<Span> {
        if ago == Span::ZERO {
            return Some(Span::ZERO);
        }
        let Some(cell) = self.cell.filter(|cell| cell.created > Tick(0)) else { return Some(ago) };
        let bounded = self.ttl.is_some_and(is_counted) && cell.created <= self.now.tick();
        // What was taken off because clocks drift is put on twice.
        bounded.then(|| Span(ago.0 + ago.0 / 500 + 50) + CLOCKS_DIFFER)
    }

    /// The bytes of the cell that comes after this one. A body stays as it is: its checksum does not cover what changes.
    pub(super) fn followed_by(&self, next: &Cell) -> Bytes {
        let stays = self.cell.is_some_and(|held| held.what == next.what) && self.envelope.is_some();
        if !stays {
            return Bytes::copy_from_slice(&header_of(next).to_bytes());
        }
        let mut bytes = self.raw.to_vec();
        stamp(&mut bytes, &stamp_of(next));
        Bytes::from(bytes)
    }
}

/// How many seconds Memcached is to keep a cell: a second more than it can be of use, since its seconds are not ours.
pub(super) fn seconds(cell: &Cell, now: Now) -> u32 {
    let left = cell.ends().since(now.tick()).0;
    u32::try_from((left.div_ceil(1000) + 1).min(LONGEST_S)).unwrap_or(u32::MAX)
}

/// The time in the frame of a cell's moments: this machine's, but not before or after what the server's count of
/// seconds allows. Clocks that differ are so held together to about a second, and clocks that agree are exact.
fn within(wall_us: u64, ends: Tick, ttl: Option<u32>) -> Now {
    let Some(ttl) = ttl.filter(|ttl| is_counted(*ttl)) else { return Now(wall_us) };
    // It was to live `ends - then`, rounded up, and a second; the server counts whole seconds down.
    let first = (ends - Span(u64::from(ttl) * 1000)).0 * 1000;
    Now(wall_us.clamp(first, first + 3_000_000))
}

/// Whether what is left of an item says when it was stored: a time to live may have been cut to the longest there is.
fn is_counted(ttl: u32) -> bool {
    u64::from(ttl) < LONGEST_S - 1
}

fn cell_of(header: &Header) -> Cell {
    let stamp = &header.stamp;
    let what = match header.kind {
        Kind::Placeholder => What::Placeholder,
        Kind::Value => What::Value,
        Kind::Negative => What::Negative,
        Kind::Tombstone => What::Tombstone,
        Kind::HitForMiss => What::HitForMiss,
        Kind::Failed => What::Failed(class_of(header.cost_ms)),
    };
    Cell {
        what,
        fence: Fence(stamp.fence),
        token: (stamp.token != 0).then_some(Fence(stamp.token)),
        lease_until: Tick(stamp.lease_until),
        lease: Span(u64::from(stamp.lease_ms)),
        created: Tick(stamp.created_at),
        fresh_until: Tick(stamp.fresh_until),
        swr_until: Tick(stamp.swr_until),
        hard_until: Tick(stamp.hard_until),
    }
}

/// The server block of a cell.
pub(super) fn stamp_of(cell: &Cell) -> Stamp {
    Stamp {
        fence: cell.fence.0,
        token: cell.token.map_or(0, |token| token.0),
        lease_until: cell.lease_until.0,
        created_at: cell.created.0,
        fresh_until: cell.fresh_until.0,
        swr_until: cell.swr_until.0,
        hard_until: cell.hard_until.0,
        lease_ms: cell.lease.as_u32(),
    }
}

/// A cell without a body.
fn header_of(cell: &Cell) -> Header {
    let (kind, class) = match cell.what {
        What::Tombstone => (Kind::Tombstone, 0),
        What::HitForMiss => (Kind::HitForMiss, 0),
        What::Failed(class) => (Kind::Failed, class_number(class)),
        What::Placeholder | What::Value | What::Negative | What::Foreign => (Kind::Placeholder, 0),
    };
    Header::alone(kind, class, stamp_of(cell))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000;

    fn cell() -> Cell {
        let now = Now(NOW).tick();
        Cell {
            what: What::Placeholder,
            fence: Fence(3),
            token: Some(Fence(9)),
            lease_until: now + Span(1_500),
            lease: Span(1_500),
            hard_until: Tick(0),
            ..Cell::foreign()
        }
    }

    #[test]
    fn a_cell_comes_back_as_it_went() {
        let slot = Slot::empty(NOW);
        let failed = What::Failed(bellwether::FailClass::Refused);
        for what in [What::Placeholder, What::Tombstone, What::HitForMiss, failed] {
            let cell = Cell { what, ..cell() };
            let data = slot.followed_by(&cell);
            let item = Item { data, cas: 1, ttl: Some(seconds(&cell, Now(NOW))), flags: 0 };
            let found = Slot::of(b"bw:k", item, NOW, 1000, true);
            assert_eq!((found.cell, found.now), (Some(cell), Now(NOW)));
        }
    }

    #[test]
    fn what_is_not_trusted_is_nothing_but_can_be_replaced() {
        let data = Slot::empty(NOW).followed_by(&cell());
        let found = Slot::of(b"bw:k", Item { data, cas: 7, ttl: Some(3), flags: 0 }, NOW, 1000, false);
        assert_eq!((found.cell, found.cas), (None, Some(7)));
    }

    /// G10: whatever this machine's clock says, the server's seconds bound how wrong it may be.
    #[test]
    fn a_clock_that_is_wrong_is_held_to_the_servers_seconds() {
        let ends = Now(NOW).tick() + Span(60_000);
        let ttl = 61;
        assert_eq!(within(NOW, ends, Some(ttl)), Now(NOW), "clocks that agree are exact");
        for elapsed in 0..60u32 {
            let truth = NOW + u64::from(elapsed) * 1_000_000;
            for skew in [-3_600_000_000i64, -900_000, 900_000, 3_600_000_000] {
                let now = within(truth.saturating_add_signed(skew), ends, Some(ttl - elapsed)).0;
                assert!(now.abs_diff(truth) <= 2_000_000, "{elapsed} s on, a clock wrong by {skew}: {now}");
            }
        }
        assert_eq!(within(5, ends, None), Now(5));
    }
}

//! What does a stored cell mean to the engine, at this moment of the node's clock?

use bellwether::Kind;
use bellwether::Span;
use bellwether::shared::{Envelope, Found};
use bellwether_envelope as stored;
use bellwether_envelope::{Header, Limits, Unreadable};
use bytes::Bytes;

use super::script::Windows;
use crate::tiers::wire::{class_of, open};

/// No entry is stored for longer: a minute below what readers accept, because their clocks may be behind.
const LONGEST_MS: u64 = stored::LONGEST_MS - 60_000;

/// What is stored under `key` (with its prefix), at `now_ms` of the node's clock.
///
/// # Errors
/// `NotOurs` for what no Bellwether wrote, anything else for what can't be trusted.
pub(super) fn found(key: &[u8], bytes: &Bytes, now_ms: u64, max_raw: u32) -> Result<Found, Unreadable> {
    let read = stored::read(key, bytes, Limits { now_ms, max_raw })?;
    let stamp = read.header.stamp;
    let left = |until: u64| Span(until.saturating_sub(now_ms));
    let lease = held(&read.header, now_ms);
    Ok(match read.header.kind {
        stored::Kind::Value | stored::Kind::Negative if now_ms < stamp.hard_until => match open(read, now_ms) {
            Some(envelope) => Found::Entry { envelope, lease },
            None => Found::Nothing { lease },
        },
        stored::Kind::HitForMiss if now_ms < stamp.fresh_until => Found::HitForMiss { left: left(stamp.fresh_until) },
        stored::Kind::Failed if now_ms < stamp.hard_until => {
            Found::Failed { left: left(stamp.hard_until), class: class_of(read.header.cost_ms) }
        }
        // Without a token: left alone, because a load of it failed. The class is where a lease has its length.
        _ if stamp.token == 0 && now_ms < stamp.lease_until => {
            Found::Failed { left: left(stamp.lease_until), class: class_of(stamp.lease_ms) }
        }
        _ => Found::Nothing { lease },
    })
}

/// What is left of the lease that somebody holds.
pub(super) fn held(header: &Header, now_ms: u64) -> Option<Span> {
    let stamp = header.stamp;
    (stamp.token != 0 && now_ms < stamp.lease_until).then(|| Span(stamp.lease_until - now_ms))
}

/// Lengths that readers accept, whatever was asked for.
pub(super) fn windows(envelope: &Envelope) -> Windows {
    let fresh = envelope.fresh_ms.min(LONGEST_MS);
    // A negative, and a marker, have no grace.
    let grace = |ms: u32| if envelope.kind == Kind::Value { u64::from(ms).min(LONGEST_MS - fresh) } else { 0 };
    let swr = grace(envelope.swr_ms);
    Windows { age: envelope.age_ms.min(LONGEST_MS), fresh, swr, hard: grace(envelope.hard_ms).max(swr) }
}

#[cfg(test)]
mod tests {
    use bellwether::shared::{Format, Position};
    use bellwether::{FailClass, Fence};
    use bellwether_envelope::{Packing, Stamp, stamp};

    use super::*;
    use crate::tiers::wire::seal;

    const NOW: u64 = 1_800_000_000_000;

    fn sample() -> Envelope {
        Envelope {
            fence: Fence(u64::MAX - 5),
            age_ms: 30,
            fresh_ms: 1000,
            swr_ms: 500,
            hard_ms: 2000,
            cost_ms: 30,
            version: Some(7),
            seen: Position { epoch: 3, number: 9 },
            tags: vec![1, u64::MAX],
            format: Format::Json,
            about: vec![(64, Bytes::from_static(b"etag"))],
            ..Envelope::of(Kind::Value, Bytes::from(vec![b'x'; 5000]))
        }
    }

    /// As the scripts fill it in.
    fn stamped(envelope: &Envelope) -> Bytes {
        let mut bytes = seal(b"k", envelope, false, Packing::DEFAULT).expect("fit");
        let windows = windows(envelope);
        let filled = Stamp {
            fence: envelope.fence.0,
            created_at: NOW - windows.age,
            fresh_until: NOW + windows.fresh,
            swr_until: NOW + windows.fresh + windows.swr,
            hard_until: NOW + windows.fresh + windows.hard,
            ..Stamp::default()
        };
        stamp(&mut bytes, &filled);
        bytes.into()
    }

    #[test]
    fn an_entry_comes_back_as_it_went_and_ages() {
        let bytes = stamped(&sample());
        let at = |now| found(b"k", &bytes, now, stored::MAX_RAW);
        assert_eq!(at(NOW), Ok(Found::Entry { envelope: sample(), lease: None }));
        let stale = Envelope { age_ms: 1230, fresh_ms: 0, swr_ms: 300, hard_ms: 1800, ..sample() };
        assert_eq!(at(NOW + 1200), Ok(Found::Entry { envelope: stale, lease: None }));
        assert_eq!(at(NOW + 3000), Ok(Found::Nothing { lease: None }));
    }

    #[test]
    fn a_lease_and_a_cool_down_are_told_apart_by_the_token() {
        let mut header = stored::Header::read(&stamped(&sample())).expect("a header");
        header = Header { kind: stored::Kind::Tombstone, has_crc: false, has_extensions: false, crc: 0, ..header };
        let with = |change: fn(&mut Stamp)| {
            let mut header = header;
            header.stamp = Stamp { hard_until: NOW + 10_000, lease_until: NOW + 300, ..Stamp::default() };
            change(&mut header.stamp);
            found(b"k", &Bytes::copy_from_slice(&header.to_bytes()), NOW, stored::MAX_RAW)
        };
        assert_eq!(with(|stamp| stamp.token = 5), Ok(Found::Nothing { lease: Some(Span(300)) }));
        let failed = Found::Failed { left: Span(300), class: FailClass::Refused };
        assert_eq!(with(|stamp| stamp.lease_ms = 2), Ok(failed));
        assert_eq!(with(|stamp| stamp.lease_until = NOW), Ok(Found::Nothing { lease: None }));
    }

    #[test]
    fn no_window_is_longer_than_readers_accept_and_none_contradicts_another() {
        let long = Envelope { fresh_ms: u64::MAX, age_ms: u64::MAX, ..sample() };
        assert!(found(b"k", &stamped(&long), NOW, stored::MAX_RAW).is_ok());
        let crossed = Envelope { swr_ms: u32::MAX, hard_ms: 1, ..sample() };
        assert!(found(b"k", &stamped(&crossed), NOW, stored::MAX_RAW).is_ok());
        let negative = windows(&Envelope { kind: Kind::Negative, ..sample() });
        assert_eq!((negative.swr, negative.hard), (0, 0));
    }
}

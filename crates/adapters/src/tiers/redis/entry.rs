//! What is a stored entry for the engine? Moments of the node's clock become durations, and back.

use bellwether::shared::{Envelope, Format, Found, Position};
use bellwether::{Fence, Kind, Span};
use bellwether_envelope as stored;
use bellwether_envelope::{Draft, Extensions, Header, Limits, Packing, Unreadable};
use bytes::Bytes;

use super::script::{Windows, class_of};

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
        stored::Kind::Value | stored::Kind::Negative if now_ms < stamp.hard_until => {
            Found::Entry { envelope: entry(read, now_ms), lease }
        }
        stored::Kind::HitForMiss if now_ms < stamp.fresh_until => Found::HitForMiss { left: left(stamp.fresh_until) },
        stored::Kind::Failed if now_ms < stamp.hard_until => {
            Found::Failed { left: left(stamp.hard_until), class: class_of(stamp.lease_ms.into()) }
        }
        // Without a token: left alone, because a load of it failed.
        _ if stamp.token == 0 && now_ms < stamp.lease_until => {
            Found::Failed { left: left(stamp.lease_until), class: class_of(stamp.lease_ms.into()) }
        }
        _ => Found::Nothing { lease },
    })
}

/// What is left of the lease that somebody holds.
pub(super) fn held(header: &Header, now_ms: u64) -> Option<Span> {
    let stamp = header.stamp;
    (stamp.token != 0 && now_ms < stamp.lease_until).then(|| Span(stamp.lease_until - now_ms))
}

/// Whether an invalidation has expired it: past both windows at its birth.
pub(super) fn invalidated(header: &Header) -> bool {
    let stamp = header.stamp;
    header.kind == stored::Kind::Value && stamp.fresh_until == stamp.created_at && stamp.swr_until == stamp.created_at
}

fn entry(read: stored::Envelope, now_ms: u64) -> Envelope {
    let (header, stamp) = (read.header, read.header.stamp);
    // What is past is past: windows shrink by it.
    let from = stamp.fresh_until.max(now_ms);
    let window = |until: u64| Span(until.saturating_sub(from)).as_u32();
    let seen = read.extensions.seen.map_or(Position::NONE, |(epoch, number)| Position { epoch, number });
    Envelope {
        kind: if header.kind == stored::Kind::Value { Kind::Value } else { Kind::Negative },
        fence: Fence(stamp.fence),
        age_ms: now_ms.saturating_sub(stamp.created_at),
        fresh_ms: stamp.fresh_until.saturating_sub(now_ms),
        swr_ms: window(stamp.swr_until),
        hard_ms: window(stamp.hard_until),
        invalidated: invalidated(&header),
        cost_ms: header.cost_ms,
        version: read.extensions.version,
        seen,
        tags: read.extensions.tags,
        format: match header.format {
            stored::Format::Bytes => Format::Bytes,
            stored::Format::Utf8 => Format::Utf8,
            stored::Format::Json => Format::Json,
            stored::Format::MsgPack => Format::MsgPack,
            stored::Format::Protobuf => Format::Protobuf,
        },
        about: read.extensions.own,
        body: read.payload,
    }
}

/// An entry as it is stored, but for what the scripts fill in; and its windows.
pub(super) fn draft(key: &[u8], envelope: Envelope, packing: Packing) -> Result<(Vec<u8>, Windows), stored::Unfit> {
    let windows = windows(&envelope);
    let extensions = Extensions {
        seen: (envelope.seen != Position::NONE).then_some((envelope.seen.epoch, envelope.seen.number)),
        tags: envelope.tags,
        version: envelope.version,
        own: envelope.about,
        ..Extensions::default()
    };
    let draft = Draft {
        kind: match envelope.kind {
            Kind::Value => stored::Kind::Value,
            Kind::Negative => stored::Kind::Negative,
            Kind::HitForMiss => stored::Kind::HitForMiss,
        },
        format: match envelope.format {
            Format::Bytes => stored::Format::Bytes,
            Format::Utf8 => stored::Format::Utf8,
            Format::Json => stored::Format::Json,
            Format::MsgPack => stored::Format::MsgPack,
            Format::Protobuf => stored::Format::Protobuf,
        },
        is_copy: false,
        cost_ms: envelope.cost_ms,
        extensions,
        payload: &envelope.body,
    };
    Ok((stored::write(key, &draft, packing)?, windows))
}

/// Lengths that readers accept, whatever was asked for.
fn windows(envelope: &Envelope) -> Windows {
    let fresh = envelope.fresh_ms.min(LONGEST_MS);
    // A negative, and a marker, have no grace.
    let grace = |ms: u32| if envelope.kind == Kind::Value { u64::from(ms).min(LONGEST_MS - fresh) } else { 0 };
    let swr = grace(envelope.swr_ms);
    Windows { age: envelope.age_ms.min(LONGEST_MS), fresh, swr, hard: grace(envelope.hard_ms).max(swr) }
}

#[cfg(test)]
mod tests {
    use bellwether_envelope::{Stamp, stamp};

    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    pub(super) fn sample() -> Envelope {
        Envelope {
            kind: Kind::Value,
            fence: Fence(0),
            age_ms: 30,
            fresh_ms: 1000,
            swr_ms: 500,
            hard_ms: 2000,
            invalidated: false,
            cost_ms: 30,
            version: Some(7),
            seen: Position { epoch: 3, number: 9 },
            tags: vec![1, u64::MAX],
            format: Format::Json,
            about: vec![(64, Bytes::from_static(b"etag"))],
            body: Bytes::from(vec![b'x'; 5000]),
        }
    }

    fn stamped(envelope: Envelope, change: impl FnOnce(&mut Stamp)) -> Bytes {
        let (mut bytes, windows) = draft(b"k", envelope, Packing::DEFAULT).expect("fit");
        let mut filled = Stamp {
            fence: u64::MAX - 5,
            created_at: NOW - windows.age,
            fresh_until: NOW + windows.fresh,
            swr_until: NOW + windows.fresh + windows.swr,
            hard_until: NOW + windows.fresh + windows.hard,
            ..Stamp::default()
        };
        change(&mut filled);
        stamp(&mut bytes, &filled);
        bytes.into()
    }

    #[test]
    fn an_entry_comes_back_as_it_went_and_ages() {
        let bytes = stamped(sample(), |_| ());
        let at = |now| found(b"k", &bytes, now, stored::MAX_RAW);
        let same = Envelope { fence: Fence(u64::MAX - 5), ..sample() };
        assert_eq!(at(NOW), Ok(Found::Entry { envelope: same.clone(), lease: None }));
        let stale = Envelope { age_ms: 1230, fresh_ms: 0, swr_ms: 300, hard_ms: 1800, ..same };
        assert_eq!(at(NOW + 1200), Ok(Found::Entry { envelope: stale, lease: None }));
        assert_eq!(at(NOW + 3000), Ok(Found::Nothing { lease: None }));
    }

    #[test]
    fn what_an_invalidation_expired_says_so() {
        let bytes = stamped(sample(), |stamp| {
            (stamp.fresh_until, stamp.swr_until) = (stamp.created_at, stamp.created_at);
        });
        match found(b"k", &bytes, NOW + 100, stored::MAX_RAW) {
            Ok(Found::Entry { envelope, .. }) => {
                assert!(envelope.invalidated && envelope.fresh_ms == 0 && envelope.swr_ms == 0);
                assert_eq!(envelope.hard_ms, 2900, "a rescue until its end");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_lease_and_a_cool_down_are_told_apart_by_the_token() {
        let header = |change: fn(&mut Stamp)| {
            let mut header = stored::Header::read(&stamped(sample(), |_| ())).expect("a header");
            header = stored::Header { kind: stored::Kind::Tombstone, has_crc: false, has_extensions: false, crc: 0, ..header };
            header.stamp = Stamp { hard_until: NOW + 10_000, lease_until: NOW + 300, ..Stamp::default() };
            change(&mut header.stamp);
            found(b"k", &Bytes::copy_from_slice(&header.to_bytes()), NOW, stored::MAX_RAW)
        };
        assert_eq!(header(|stamp| stamp.token = 5), Ok(Found::Nothing { lease: Some(Span(300)) }));
        let failed = Found::Failed { left: Span(300), class: bellwether::FailClass::Refused };
        assert_eq!(header(|stamp| stamp.lease_ms = 3), Ok(failed));
        assert_eq!(header(|stamp| stamp.lease_until = NOW), Ok(Found::Nothing { lease: None }));
    }

    #[test]
    fn no_window_is_longer_than_readers_accept_and_none_contradicts_another() {
        let long = Envelope { fresh_ms: u64::MAX, age_ms: u64::MAX, ..sample() };
        assert!(found(b"k", &stamped(long, |_| ()), NOW, stored::MAX_RAW).is_ok());
        let crossed = Envelope { swr_ms: u32::MAX, hard_ms: 1, ..sample() };
        assert!(found(b"k", &stamped(crossed, |_| ()), NOW, stored::MAX_RAW).is_ok());
        let negative = windows(&Envelope { kind: Kind::Negative, ..sample() });
        assert_eq!((negative.swr, negative.hard), (0, 0));
    }
}

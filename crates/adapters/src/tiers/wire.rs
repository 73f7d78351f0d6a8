//! How does an entry of the library become an envelope, and an envelope an entry? Durations here, moments of the
//! holder's clock there.

use std::time::Instant;

#[cfg(any(feature = "redis", feature = "memcached"))]
use bellwether::FailClass;
use bellwether::shared::{Copied, Envelope as Entry, Format, Position, Split, TierError, TierTrouble};
use bellwether::{Fence, Kind};
#[cfg(any(feature = "memcached", feature = "disk", test))]
use bellwether_envelope::Stamp;
use bellwether_envelope::{
    Copied as StoredCopied, Draft, Envelope, Extensions, Format as StoredFormat, Header, Kind as StoredKind, Packing,
    write,
};
use bytes::Bytes;

/// `entry` as it is stored under `key` (prefix included), with a server block of zeros. `hashed`: the tier knows it by
/// a hash, so that the whole key travels along.
pub(crate) fn seal(key: &[u8], entry: &Entry, hashed: bool, packing: Packing) -> Result<Vec<u8>, TierError> {
    let extensions = Extensions {
        seen: (entry.seen != Position::NONE).then_some((entry.seen.epoch, entry.seen.number)),
        tags: entry.tags.clone(),
        version: entry.version,
        full_key: hashed.then(|| Bytes::copy_from_slice(key)),
        salts: if let Split::Into(salts) = &entry.split { salts.clone() } else { Vec::new() },
        copied: if let Split::Copy(copied) = entry.split { Some(copied_out(copied)) } else { None },
        own: entry.about.clone(),
    };
    let is_copy = extensions.copied.is_some();
    let kind = match entry.kind {
        Kind::Value => StoredKind::Value,
        Kind::Negative => StoredKind::Negative,
        Kind::HitForMiss => StoredKind::HitForMiss,
    };
    let format = match entry.format {
        Format::Bytes => StoredFormat::Bytes,
        Format::Utf8 => StoredFormat::Utf8,
        Format::Json => StoredFormat::Json,
        Format::MsgPack => StoredFormat::MsgPack,
        Format::Protobuf => StoredFormat::Protobuf,
    };
    let draft = Draft { kind, format, is_copy, cost_ms: entry.cost_ms, extensions, payload: &entry.body };
    let unfit = |unfit| TierError { kind: TierTrouble::Unfit, text: format!("an entry can't be stored: {unfit}") };
    let Some(packed) = &entry.tight else { return write(key, &draft, packing).map_err(unfit) };
    let begun = Instant::now();
    let tight = write(key, &draft, Packing::TIGHT).map_err(unfit)?;
    let took = begun.elapsed();
    // What it is compared with is made for the count alone: the key is hot, and large, and only few are.
    packed.done(write(key, &draft, packing).map_err(unfit)?.len(), tight.len(), took);
    Ok(tight)
}

/// The windows of `entry` as moments, handed over at `now_ms`: for tiers that have no scripts to count them.
#[cfg(any(feature = "memcached", feature = "disk", test))]
pub(crate) fn windows(entry: &Entry, now_ms: u64) -> Stamp {
    let fresh_until = now_ms.saturating_add(entry.fresh_ms);
    Stamp {
        created_at: now_ms.saturating_sub(entry.age_ms),
        fresh_until,
        swr_until: fresh_until.saturating_add(u64::from(entry.swr_ms)),
        hard_until: fresh_until.saturating_add(u64::from(entry.hard_ms.max(entry.swr_ms))),
        ..Stamp::default()
    }
}

/// A value or a negative as the library knows it, `now_ms` by the clock of whoever holds it. None of another kind.
pub(crate) fn open(found: Envelope, now_ms: u64) -> Option<Entry> {
    let Envelope { header, extensions, payload } = found;
    let kind = match header.kind {
        StoredKind::Value => Kind::Value,
        StoredKind::Negative => Kind::Negative,
        StoredKind::Placeholder | StoredKind::Tombstone | StoredKind::HitForMiss | StoredKind::Failed => return None,
    };
    let format = match header.format {
        StoredFormat::Bytes => Format::Bytes,
        StoredFormat::Utf8 => Format::Utf8,
        StoredFormat::Json => Format::Json,
        StoredFormat::MsgPack => Format::MsgPack,
        StoredFormat::Protobuf => Format::Protobuf,
    };
    let stamp = header.stamp;
    let (fresh_ms, windows_from) = (stamp.fresh_until.saturating_sub(now_ms), stamp.fresh_until.max(now_ms));
    let left = |until: u64| u32::try_from(until.saturating_sub(windows_from)).unwrap_or(u32::MAX);
    Some(Entry {
        kind,
        fence: Fence(stamp.fence),
        age_ms: now_ms.saturating_sub(stamp.created_at),
        fresh_ms,
        swr_ms: left(stamp.swr_until),
        hard_ms: left(stamp.hard_until),
        invalidated: is_expired(&header),
        cost_ms: header.cost_ms,
        version: extensions.version,
        seen: extensions.seen.map_or(Position::NONE, |(epoch, number)| Position { epoch, number }),
        tags: extensions.tags,
        format,
        about: extensions.own,
        split: match extensions.copied {
            Some(copied) => Split::Copy(copied_in(copied)),
            None if extensions.salts.is_empty() => Split::No,
            None => Split::Into(extensions.salts),
        },
        tight: None,
        body: payload,
    })
}

fn copied_out(copied: Copied) -> StoredCopied {
    let Copied { fence, fresh_ms, swr_ms, hard_ms, life_ms } = copied;
    StoredCopied { fence: fence.0, fresh_ms, swr_ms, hard_ms, life_ms }
}

fn copied_in(copied: StoredCopied) -> Copied {
    let StoredCopied { fence, fresh_ms, swr_ms, hard_ms, life_ms } = copied;
    Copied { fence: Fence(fence), fresh_ms, swr_ms, hard_ms, life_ms }
}

/// Whether an invalidation ended its windows (the verb *expire*): nothing of it is fresh after its birth.
pub(crate) fn is_expired(header: &Header) -> bool {
    header.kind.has_body() && header.stamp.fresh_until <= header.stamp.created_at
}

/// A class of failure as a number: where a `failed` header has its cost (bytes 64 to 67).
#[cfg(any(feature = "redis", feature = "memcached"))]
pub(crate) fn class_number(class: FailClass) -> u32 {
    match class {
        FailClass::Timeout => 0,
        FailClass::Overloaded => 1,
        FailClass::Refused => 2,
        FailClass::Failed => 3,
        FailClass::Rejected => 4,
    }
}

/// A class of failure by its number; one of a later version is a failure.
#[cfg(any(feature = "redis", feature = "memcached"))]
pub(crate) fn class_of(number: u32) -> FailClass {
    match number {
        0 => FailClass::Timeout,
        1 => FailClass::Overloaded,
        2 => FailClass::Refused,
        4 => FailClass::Rejected,
        _ => FailClass::Failed,
    }
}

#[cfg(test)]
mod tests {
    use bellwether_envelope::{Limits, read, stamp};

    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn entry() -> Entry {
        Entry {
            kind: Kind::Value,
            fence: Fence(11),
            age_ms: 500,
            fresh_ms: 60_000,
            swr_ms: 10_000,
            hard_ms: 30_000,
            invalidated: false,
            cost_ms: 120,
            version: Some(3),
            seen: Position { epoch: 1, number: 2 },
            tags: vec![4, 5],
            format: Format::Json,
            about: vec![(64, Bytes::from_static(b"x"))],
            split: Split::Into(vec![3, 1 << 31 | 5]),
            tight: None,
            body: Bytes::from_static(b"{}"),
        }
    }

    fn stored(entry: &Entry) -> Vec<u8> {
        let mut bytes = seal(b"bw:k", entry, false, Packing::DEFAULT).unwrap();
        stamp(&mut bytes, &Stamp { fence: entry.fence.0, ..windows(entry, NOW) });
        bytes
    }

    fn at(bytes: &[u8], now_ms: u64) -> Entry {
        open(read(b"bw:k", &Bytes::copy_from_slice(bytes), Limits::at(now_ms)).unwrap(), now_ms).unwrap()
    }

    #[test]
    fn an_entry_comes_back_as_it_went() {
        assert_eq!(at(&stored(&entry()), NOW), entry());
        let negative = Entry { kind: Kind::Negative, body: Bytes::new(), seen: Position::NONE, ..entry() };
        assert_eq!(at(&stored(&negative), NOW), negative);
    }

    #[test]
    fn windows_shrink_only_once_it_is_stale() {
        let bytes = stored(&entry());
        let lives = |later| {
            let found = at(&bytes, NOW + later);
            (found.age_ms - 500, found.fresh_ms, found.swr_ms, found.hard_ms)
        };
        assert_eq!(lives(1_000), (1_000, 59_000, 10_000, 30_000));
        assert_eq!(lives(60_000), (60_000, 0, 10_000, 30_000));
        assert_eq!(lives(65_000), (65_000, 0, 5_000, 25_000));
        assert_eq!(lives(75_000), (75_000, 0, 0, 15_000));
        assert_eq!(lives(95_000), (95_000, 0, 0, 0));
    }

    #[test]
    fn what_an_invalidation_expired_is_a_rescue_at_most() {
        let mut bytes = stored(&entry());
        let born = windows(&entry(), NOW);
        stamp(&mut bytes, &Stamp { fresh_until: born.created_at, swr_until: born.created_at, ..born });
        let found = at(&bytes, NOW);
        assert_eq!((found.fresh_ms, found.swr_ms, found.hard_ms, found.invalidated), (0, 0, 90_000, true));
    }

    #[cfg(any(feature = "redis", feature = "memcached"))]
    #[test]
    fn every_class_has_a_number() {
        use FailClass::{Failed, Overloaded, Refused, Rejected, Timeout};
        for class in [Timeout, Overloaded, Refused, Failed, Rejected] {
            assert_eq!(class_of(class_number(class)), class);
        }
    }
}

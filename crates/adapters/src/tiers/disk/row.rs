//! How does an entry become a row, and can a row be believed? An envelope with the file's times, and a sum over all.

use bellwether::disk::Scope;
use bellwether::shared::{Envelope, Format, Position};
use bellwether::{Fence, Kind};
use bellwether_envelope as stored;
use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::floors::{Floor, Seq};
use super::schema::About;

/// Where a key's row is.
pub(super) fn id(key: &[u8]) -> i64 {
    xxh3_64(key).cast_signed()
}

/// Everything of a row but its envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) key: &'a [u8],
    pub(super) space: u64,
    pub(super) at: Seq,
    pub(super) expires_ms: u64,
}

impl Head<'_> {
    /// What stands beside the row, so that no flipped bit of it goes unseen.
    pub(super) fn sum(&self, envelope: &[u8]) -> i64 {
        let words = [self.key.len() as u64, self.space, self.at.life, self.at.fence, self.expires_ms];
        let mut sum = Xxh3::new();
        sum.update(words.map(u64::to_le_bytes).as_flattened());
        sum.update(self.key);
        sum.update(envelope);
        sum.digest().cast_signed()
    }
}

pub(super) fn floor_sum(scope: Scope, floor: Floor) -> i64 {
    let (kind, number) = columns(scope);
    let words = [kind.cast_unsigned(), number.cast_unsigned(), floor.at.life, floor.at.fence, floor.until_ms];
    xxh3_64(words.map(u64::to_le_bytes).as_flattened()).cast_signed()
}

pub(super) fn about_sum(about: &About) -> i64 {
    let left = &about.left;
    let clean = u64::from(left.clean);
    let words = [left.anchor.wall_ms, left.anchor.ticks, left.latest_ms, clean, about.life, about.all.life, about.all.fence];
    let mut sum = Xxh3::new();
    sum.update(words.map(u64::to_le_bytes).as_flattened());
    sum.update(left.boot.as_bytes());
    sum.digest().cast_signed()
}

/// A scope's two columns.
pub(super) fn columns(scope: Scope) -> (i64, i64) {
    match scope {
        Scope::Space(hash) => (0, hash.cast_signed()),
        Scope::Tag(hash) => (1, hash.cast_signed()),
    }
}

/// And back.
pub(super) fn scope(kind: i64, number: i64) -> Option<Scope> {
    match kind {
        0 => Some(Scope::Space(number.cast_unsigned())),
        1 => Some(Scope::Tag(number.cast_unsigned())),
        _ => None,
    }
}

/// An envelope as it is stored, and when it expires. `None` if it can't be: too large, or of a kind that is not kept.
pub(super) fn encode(key: &[u8], envelope: &Envelope, now_ms: u64) -> Option<(Vec<u8>, u64)> {
    let draft = stored::Draft {
        kind: kind(envelope.kind)?,
        format: format(envelope.format),
        is_copy: false,
        cost_ms: envelope.cost_ms,
        extensions: stored::Extensions {
            seen: (envelope.seen != Position::NONE).then_some((envelope.seen.epoch, envelope.seen.number)),
            tags: envelope.tags.clone(),
            version: envelope.version,
            own: envelope.about.clone(),
            ..stored::Extensions::default()
        },
        payload: &envelope.body,
    };
    let mut bytes = stored::write(key, &draft, stored::Packing::DEFAULT).ok()?;
    let latest = now_ms + stored::LONGEST_MS;
    let fresh_until = (now_ms.saturating_add(envelope.fresh_ms)).min(latest);
    let after = |window: u32| fresh_until.saturating_add(u64::from(window)).min(latest);
    let stamp = stored::Stamp {
        fence: envelope.fence.0,
        created_at: now_ms.saturating_sub(envelope.age_ms),
        fresh_until,
        swr_until: after(envelope.swr_ms),
        hard_until: after(envelope.hard_ms),
        ..stored::Stamp::default()
    };
    stored::stamp(&mut bytes, &stamp);
    Some((bytes, stamp.hard_until))
}

/// What is stored, as of now. `None` if it can't be vouched for.
pub(super) fn decode(key: &[u8], bytes: &Bytes, now_ms: u64) -> Option<Envelope> {
    let stored::Envelope { header, extensions, payload } = stored::read(key, bytes, stored::Limits::at(now_ms)).ok()?;
    let stamp = header.stamp;
    // Past its freshness the windows shrink by what has passed of them.
    let from = stamp.fresh_until.max(now_ms);
    let window = |until: u64| u32::try_from(until.saturating_sub(from)).unwrap_or(u32::MAX);
    let seen = extensions.seen.map_or(Position::NONE, |(epoch, number)| Position { epoch, number });
    Some(Envelope {
        kind: match header.kind {
            stored::Kind::Value => Kind::Value,
            stored::Kind::Negative => Kind::Negative,
            _ => return None,
        },
        fence: Fence(stamp.fence),
        age_ms: now_ms.saturating_sub(stamp.created_at),
        fresh_ms: stamp.fresh_until.saturating_sub(now_ms),
        swr_ms: window(stamp.swr_until),
        hard_ms: window(stamp.hard_until),
        cost_ms: header.cost_ms,
        version: extensions.version,
        seen,
        tags: extensions.tags,
        format: match header.format {
            stored::Format::Bytes => Format::Bytes,
            stored::Format::Utf8 => Format::Utf8,
            stored::Format::Json => Format::Json,
            stored::Format::MsgPack => Format::MsgPack,
            stored::Format::Protobuf => Format::Protobuf,
        },
        about: extensions.own,
        body: payload,
    })
}

fn kind(kind: Kind) -> Option<stored::Kind> {
    match kind {
        Kind::Value => Some(stored::Kind::Value),
        Kind::Negative => Some(stored::Kind::Negative),
        Kind::HitForMiss => None,
    }
}

fn format(format: Format) -> stored::Format {
    match format {
        Format::Bytes => stored::Format::Bytes,
        Format::Utf8 => stored::Format::Utf8,
        Format::Json => stored::Format::Json,
        Format::MsgPack => stored::Format::MsgPack,
        Format::Protobuf => stored::Format::Protobuf,
    }
}

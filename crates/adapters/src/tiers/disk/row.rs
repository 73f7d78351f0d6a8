//! How does an entry become a row, and can a row be believed? An envelope with the file's times, and a sum over all.

use bellwether::Kind;
use bellwether::disk::Scope;
use bellwether::shared::Envelope;
use bellwether_envelope::{LONGEST_MS, Limits, Packing, Stamp, read};
use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::clock::Left;
use super::floors::{Floor, Seq};
use crate::tiers::wire;

/// What the file knows of itself: one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    /// The process that has it, or had it last.
    pub(super) left: Left,
    /// Which of the file's lives that is.
    pub(super) life: u64,
    /// A floor that covers every row.
    pub(super) all: Seq,
}

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
    let words =
        [left.anchor.wall_ms, left.anchor.ticks, left.latest_ms, clean, about.life, about.all.life, about.all.fence];
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
    if envelope.kind == Kind::HitForMiss {
        return None;
    }
    let mut bytes = wire::seal(key, envelope, false, Packing::DEFAULT).ok()?;
    let (stamp, latest) = (wire::windows(envelope, now_ms), now_ms + LONGEST_MS);
    let stamp = Stamp {
        fence: envelope.fence.0,
        fresh_until: stamp.fresh_until.min(latest),
        swr_until: stamp.swr_until.min(latest),
        hard_until: stamp.hard_until.min(latest),
        ..stamp
    };
    bellwether_envelope::stamp(&mut bytes, &stamp);
    Some((bytes, stamp.hard_until))
}

/// What is stored, as of now. `None` if it can't be vouched for.
pub(super) fn decode(key: &[u8], bytes: &Bytes, now_ms: u64) -> Option<Envelope> {
    wire::open(read(key, bytes, Limits::at(now_ms)).ok()?, now_ms)
}

//! What do stored bytes say, if they can be trusted?

use bytes::Bytes;

use crate::extension::Extensions;
use crate::header::{HEADER, Header, Stamp};
use crate::unreadable::Unreadable;

/// The largest payload that a reader inflates unless told otherwise: 16 MiB.
pub const MAX_RAW: u32 = 16 << 20;

/// No entry lives longer than 400 days, in ms.
pub const LONGEST_MS: u64 = 400 * 24 * 3600 * 1000;

/// What a reader accepts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The time, in ms of the clock of whoever holds the entry.
    pub now_ms: u64,
    /// The longest payload, inflated.
    pub max_raw: u32,
}

impl Limits {
    /// At a moment, with the largest payload that is usual.
    pub const fn at(now_ms: u64) -> Limits {
        Limits { now_ms, max_raw: MAX_RAW }
    }
}

/// A cell, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Its header.
    pub header: Header,
    /// What stands between header and payload.
    pub extensions: Extensions,
    /// The payload, inflated. Uncompressed it is a part of the bytes that were read, not a copy.
    pub payload: Bytes,
}

/// Reads what is stored under `key`: the whole key with its prefix, also where the tier knows it by a hash.
///
/// Nothing is inflated before checksum and length were found right, and nothing past `limits` is allocated.
///
/// # Errors
/// If it can't be vouched for: a miss, to be counted, but for [`Unreadable::NotOurs`].
pub fn read(key: &[u8], bytes: &Bytes, limits: Limits) -> Result<Envelope, Unreadable> {
    let header = Header::read(bytes)?;
    let rest_at = usize::from(header.length);
    if rest_at > bytes.len() {
        return Err(Unreadable::BadHeader);
    }
    check_crc(key, &header, bytes, rest_at)?;
    check_times(&header.stamp, limits.now_ms)?;
    if !header.kind.has_body() {
        return Ok(Envelope { header, extensions: Extensions::default(), payload: Bytes::new() });
    }
    let (extensions, length) =
        if header.has_extensions { Extensions::read(&bytes.slice(rest_at..))? } else { (Extensions::default(), 0) };
    if extensions.full_key.as_ref().is_some_and(|full| full != key) {
        return Err(Unreadable::OtherKey);
    }
    if header.raw_length > limits.max_raw {
        return Err(Unreadable::TooLarge);
    }
    let raw_length = usize::try_from(header.raw_length).map_err(|_| Unreadable::TooLarge)?;
    let payload = header.compression.unpack(bytes.slice(rest_at + length..), raw_length)?;
    Ok(Envelope { header, extensions, payload })
}

fn check_crc(key: &[u8], header: &Header, bytes: &[u8], rest_at: usize) -> Result<(), Unreadable> {
    let Some(head) = bytes.first_chunk::<HEADER>() else { return Err(Unreadable::BadHeader) };
    if header.has_crc && Header::checksum(key, head, &bytes[rest_at..]) != header.crc {
        return Err(Unreadable::BadCrc);
    }
    Ok(())
}

fn check_times(stamp: &Stamp, now_ms: u64) -> Result<(), Unreadable> {
    let ordered = stamp.fresh_until <= stamp.swr_until && stamp.swr_until <= stamp.hard_until;
    if ordered && stamp.hard_until <= now_ms.saturating_add(LONGEST_MS) { Ok(()) } else { Err(Unreadable::BadTimes) }
}

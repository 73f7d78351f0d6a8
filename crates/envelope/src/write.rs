//! How does an entry become bytes?

use crate::body::Compression;
use crate::extension::Extensions;
use crate::header::{Format, HEADER, Header, Kind, Stamp};
use crate::unreadable::Unfit;

/// An entry on its way out, without its server block.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// What it says.
    pub kind: Kind,
    /// What the payload is.
    pub format: Format,
    /// A copy of a split key.
    pub is_copy: bool,
    /// How long the load took, in ms.
    pub cost_ms: u32,
    /// What stands between header and payload.
    pub extensions: Extensions,
    /// The encoded value.
    pub payload: &'a [u8],
}

impl<'a> Draft<'a> {
    /// A value of whatever bytes.
    pub fn value(payload: &'a [u8]) -> Draft<'a> {
        let extensions = Extensions::default();
        Draft { kind: Kind::Value, format: Format::Bytes, is_copy: false, cost_ms: 0, extensions, payload }
    }
}

/// How payloads are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// The way.
    pub compression: Compression,
    /// zstd's level.
    pub level: i32,
    /// Shorter payloads stay as they are, in bytes.
    pub from: usize,
}

impl Packing {
    /// zstd at level 1 from 1 KiB.
    pub const DEFAULT: Packing = Packing { compression: Compression::Zstd, level: 1, from: 1024 };
    /// LZ4 from 1 KiB: less saved, less time.
    pub const LZ4: Packing = Packing { compression: Compression::Lz4, ..Packing::DEFAULT };
    /// zstd at level 6: for what is read so often that its length is what counts.
    pub const TIGHT: Packing = Packing { level: 6, ..Packing::DEFAULT };
    /// Everything as it is.
    pub const NONE: Packing = Packing { compression: Compression::None, ..Packing::DEFAULT };
}

impl Default for Packing {
    fn default() -> Packing {
        Packing::DEFAULT
    }
}

/// The stored form of `draft` under `key` (the whole key with its prefix), with a server block of zeros.
///
/// # Errors
/// If a length has no place in it.
pub fn write(key: &[u8], draft: &Draft<'_>, packing: Packing) -> Result<Vec<u8>, Unfit> {
    let raw_length = u32::try_from(draft.payload.len()).map_err(|_| Unfit::Payload)?;
    let way = if draft.payload.len() < packing.from { Compression::None } else { packing.compression };
    let (compression, payload) = way.pack(draft.payload, packing.level);
    let mut header = Header {
        kind: draft.kind,
        compression,
        format: draft.format,
        has_crc: true,
        is_copy: draft.is_copy,
        has_extensions: !draft.extensions.is_empty(),
        length: HEADER as u8,
        stamp: Stamp::default(),
        cost_ms: draft.cost_ms,
        raw_length,
        crc: 0,
    };
    let mut out = Vec::with_capacity(HEADER + 64 + payload.len());
    out.resize(HEADER, 0);
    if header.has_extensions {
        draft.extensions.write(&mut out)?;
    }
    out.extend_from_slice(&payload);
    header.crc = Header::checksum(key, &header.to_bytes(), &out[HEADER..]);
    out[..HEADER].copy_from_slice(&header.to_bytes());
    Ok(out)
}

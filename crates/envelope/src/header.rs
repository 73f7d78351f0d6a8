//! What do the first 80 bytes say? Fields at fixed places, little endian.

use crate::body::Compression;
use crate::unreadable::Unreadable;

/// The length of a header of version 1 without additions. Readers skip to the length that a header states.
pub const HEADER: usize = 80;

/// Its fourth byte is the version: "1".
const MAGIC: [u8; 4] = [0xB5, b'B', b'W', b'1'];

/// The end of the year 9999, in ms: no window of ours ends later.
const LATEST_MS: u64 = 253_402_300_799_999;
const KIND: usize = 4;
const CODEC: usize = 5;
const FLAGS: usize = 6;
const LENGTH: usize = 7;
const FENCE: usize = 8;
const TOKEN: usize = 16;
const LEASE_UNTIL: usize = 24;
const CREATED_AT: usize = 32;
const FRESH_UNTIL: usize = 40;
const SWR_UNTIL: usize = 48;
const HARD_UNTIL: usize = 56;
const COST: usize = 64;
const RAW_LENGTH: usize = 68;
const CRC: usize = 72;
const LEASE_MS: usize = 76;

const HAS_CRC: u8 = 1;
const IS_COPY: u8 = 1 << 1;
const HAS_EXTENSIONS: u8 = 1 << 2;
const KNOWN_FLAGS: u8 = HAS_CRC | IS_COPY | HAS_EXTENSIONS;

/// What a cell says about its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Nothing yet: somebody loads. A header alone.
    Placeholder = 0,
    /// There is a value.
    Value = 1,
    /// The row does not exist.
    Negative = 2,
    /// It was removed: nothing older may be stored. A header alone.
    Tombstone = 3,
    /// The answer may not be kept: callers load side by side. A header alone.
    HitForMiss = 4,
    /// The last load failed. A header alone.
    Failed = 5,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        Some(match byte {
            0 => Kind::Placeholder,
            1 => Kind::Value,
            2 => Kind::Negative,
            3 => Kind::Tombstone,
            4 => Kind::HitForMiss,
            5 => Kind::Failed,
            _ => return None,
        })
    }

    /// Whether a client wrote it, with all that follows the header. The others are made by whoever holds the cell,
    /// and of them nothing but the header is read.
    pub const fn has_body(self) -> bool {
        matches!(self, Kind::Value | Kind::Negative)
    }
}

/// What the bytes of an inflated payload are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Format {
    /// Anything.
    #[default]
    Bytes = 0,
    /// Text in UTF-8.
    Utf8 = 1,
    /// A JSON text.
    Json = 2,
    /// MessagePack.
    MsgPack = 3,
    /// A protobuf message.
    Protobuf = 4,
}

impl Format {
    fn of(nibble: u8) -> Option<Format> {
        Some(match nibble {
            0 => Format::Bytes,
            1 => Format::Utf8,
            2 => Format::Json,
            3 => Format::MsgPack,
            4 => Format::Protobuf,
            _ => return None,
        })
    }
}

/// The fields of a header. Times are ms of the clock of whoever holds the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the cell says.
    pub kind: Kind,
    /// How the payload is compressed.
    pub compression: Compression,
    /// What the inflated payload is.
    pub format: Format,
    /// Whether `crc` was computed. Without it `crc` is zero.
    pub has_crc: bool,
    /// A copy of a split key.
    pub is_copy: bool,
    /// Whether extensions stand between header and payload.
    pub has_extensions: bool,
    /// Where extensions or payload begin: at least [`HEADER`].
    pub length: u8,
    /// What the holder filled in.
    pub stamp: Stamp,
    /// How long the load took, in ms.
    pub cost_ms: u32,
    /// How long the inflated payload is.
    pub raw_length: u32,
    /// CRC-32C over key, bytes 0 to 7 and 64 to 71, and all that follows the header.
    pub crc: u32,
}

/// The server block: fields that belong to whoever holds the entry (a script inside the engine, or a tier without
/// scripts for itself). No checksum covers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The fence under which it is held: of a hybrid clock, 4096 to the µs.
    pub fence: u64,
    /// The token of the lease that somebody holds; zero: none.
    pub token: u64,
    /// When that lease ends.
    pub lease_until: u64,
    /// When the load began.
    pub created_at: u64,
    /// Fresh before.
    pub fresh_until: u64,
    /// Served stale before, while one refresh runs.
    pub swr_until: u64,
    /// Served after a failed load before.
    pub hard_until: u64,
    /// How long the lease was asked for, in ms: `lease_until - lease_ms` is the last heartbeat.
    pub lease_ms: u32,
}

impl Header {
    /// The header of a cell without a body, for tiers that have no scripts to make one. `class` (of a failure) stands
    /// where a value has its cost.
    pub fn alone(kind: Kind, class: u32, stamp: Stamp) -> Header {
        Header {
            kind,
            compression: Compression::None,
            format: Format::Bytes,
            has_crc: false,
            is_copy: false,
            has_extensions: false,
            length: HEADER as u8,
            stamp,
            cost_ms: class,
            raw_length: 0,
            crc: 0,
        }
    }

    /// Reads the header at the beginning of `bytes`. What follows it is not looked at: this is what a check of an
    /// entry's fence needs (`GETRANGE 0 79`).
    ///
    /// # Errors
    /// If it is no header of version 1.
    pub fn read(bytes: &[u8]) -> Result<Header, Unreadable> {
        check_magic(bytes)?;
        let Some(head) = bytes.first_chunk::<HEADER>() else { return Err(Unreadable::BadHeader) };
        let kind = Kind::of(head[KIND]).ok_or(Unreadable::BadHeader)?;
        let compression = Compression::of(head[CODEC] & 0x0F).ok_or(Unreadable::UnknownCodec)?;
        let format = Format::of(head[CODEC] >> 4).ok_or(Unreadable::UnknownCodec)?;
        let (flags, length, crc) = (head[FLAGS], head[LENGTH], u32_at(head, CRC));
        let has_crc = flags & HAS_CRC != 0;
        // The last: a lost flag must not switch the checksum off.
        if flags & !KNOWN_FLAGS != 0 || usize::from(length) < HEADER || !has_crc && crc != 0 {
            return Err(Unreadable::BadHeader);
        }
        Ok(Header {
            kind,
            compression,
            format,
            has_crc,
            is_copy: flags & IS_COPY != 0,
            has_extensions: flags & HAS_EXTENSIONS != 0,
            length,
            stamp: Stamp::read(head),
            cost_ms: u32_at(head, COST),
            raw_length: u32_at(head, RAW_LENGTH),
            crc,
        })
    }

    /// The header as bytes, additions beyond [`HEADER`] not included.
    pub fn to_bytes(&self) -> [u8; HEADER] {
        let mut head = [0; HEADER];
        head[..4].copy_from_slice(&MAGIC);
        head[KIND] = self.kind as u8;
        head[CODEC] = self.compression as u8 | (self.format as u8) << 4;
        let flag = |set, flag| if set { flag } else { 0 };
        head[FLAGS] =
            flag(self.has_crc, HAS_CRC) | flag(self.is_copy, IS_COPY) | flag(self.has_extensions, HAS_EXTENSIONS);
        head[LENGTH] = self.length;
        put(&mut head, COST, self.cost_ms.to_le_bytes());
        put(&mut head, RAW_LENGTH, self.raw_length.to_le_bytes());
        put(&mut head, CRC, self.crc.to_le_bytes());
        self.stamp.write(&mut head);
        head
    }

    /// The checksum that belongs to these header bytes and to `rest`, all that follows the header.
    pub(crate) fn checksum(key: &[u8], head: &[u8; HEADER], rest: &[u8]) -> u32 {
        [&head[..FENCE], &head[COST..CRC], rest]
            .iter()
            .fold(crc32c::crc32c(key), |crc, part| crc32c::crc32c_append(crc, part))
    }
}

impl Stamp {
    fn read(head: &[u8; HEADER]) -> Stamp {
        Stamp {
            fence: u64_at(head, FENCE),
            token: u64_at(head, TOKEN),
            lease_until: u64_at(head, LEASE_UNTIL),
            created_at: u64_at(head, CREATED_AT),
            fresh_until: u64_at(head, FRESH_UNTIL),
            swr_until: u64_at(head, SWR_UNTIL),
            hard_until: u64_at(head, HARD_UNTIL),
            lease_ms: u32_at(head, LEASE_MS),
        }
    }

    fn write(&self, head: &mut [u8; HEADER]) {
        put(head, FENCE, self.fence.to_le_bytes());
        put(head, TOKEN, self.token.to_le_bytes());
        put(head, LEASE_UNTIL, self.lease_until.to_le_bytes());
        put(head, CREATED_AT, self.created_at.to_le_bytes());
        put(head, FRESH_UNTIL, self.fresh_until.to_le_bytes());
        put(head, SWR_UNTIL, self.swr_until.to_le_bytes());
        put(head, HARD_UNTIL, self.hard_until.to_le_bytes());
        put(head, LEASE_MS, self.lease_ms.to_le_bytes());
    }
}

/// Fills in the server block of an envelope that [`write()`](crate::write()) made: for tiers that have no scripts.
/// The checksum stays right. What is no envelope is left alone.
pub fn stamp(envelope: &mut [u8], stamp: &Stamp) {
    if check_magic(envelope).is_ok()
        && let Some(head) = envelope.first_chunk_mut::<HEADER>()
    {
        stamp.write(head);
    }
}

/// Wrong bytes in the magic of what is otherwise a header of ours are damage: a foreign value would be handed out.
fn check_magic(bytes: &[u8]) -> Result<(), Unreadable> {
    match bytes.get(..MAGIC.len()) {
        Some(found) if found == MAGIC => Ok(()),
        Some(found) if found[..3] == MAGIC[..3] => Err(Unreadable::FutureVersion),
        Some(_) if looks_ours(bytes) => Err(Unreadable::BadHeader),
        _ => Err(Unreadable::NotOurs),
    }
}

/// No text begins so, since a kind is a control character, and hardly any other bytes: the windows are in their order.
fn looks_ours(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk::<HEADER>() else { return false };
    let windows = [FRESH_UNTIL, SWR_UNTIL, HARD_UNTIL].map(|at| u64_at(head, at));
    let shaped = head[LENGTH] as usize == HEADER && Kind::of(head[KIND]).is_some();
    shaped && windows.is_sorted() && windows[2] <= LATEST_MS
}

fn u64_at(head: &[u8; HEADER], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| head[at + i]))
}

fn u32_at(head: &[u8; HEADER], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| head[at + i]))
}

fn put<const N: usize>(head: &mut [u8; HEADER], at: usize, bytes: [u8; N]) {
    head[at..at + N].copy_from_slice(&bytes);
}

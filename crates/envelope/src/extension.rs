//! What else is told about an entry? Extensions between header and payload: type, length, bytes.

use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::unreadable::{Unfit, Unreadable};

/// Types that belong to the space's codec.
pub const OWN_TYPES: RangeInclusive<u8> = 64..=255;

/// So many extensions an entry has at most.
const MOST: usize = 255;

const END: u8 = 0;
const SEEN: u8 = 1;
const TAGS: u8 = 2;
const VERSION: u8 = 3;
const FULL_KEY: u8 = 4;
const SALTS: u8 = 5;
const COPIED: u8 = 6;
/// Type and length.
const FRONT: usize = 3;

/// What a copy of a split key says of the value that it is a copy of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The value's own fence.
    pub fence: u64,
    /// How long the value was still fresh when the copy was made, in ms.
    pub fresh_ms: u64,
    /// Its `stale_while_revalidate` then, in ms after that.
    pub swr_ms: u32,
    /// Its `stale_if_error` then, in ms after it was fresh.
    pub hard_ms: u32,
    /// For how long the copy was made, in ms: what is left of its own freshness tells its age.
    pub life_ms: u32,
}

impl Copied {
    const LENGTH: usize = 28;

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = [self.fence.to_le_bytes(), self.fresh_ms.to_le_bytes()].concat();
        bytes.extend([self.swr_ms, self.hard_ms, self.life_ms].iter().flat_map(|ms| ms.to_le_bytes()));
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Copied> {
        let bytes: &[u8; Copied::LENGTH] = bytes.try_into().ok()?;
        let long = |at: usize| Some(u64::from_le_bytes(*bytes[at..].first_chunk()?));
        let short = |at: usize| Some(u32::from_le_bytes(*bytes[at..].first_chunk()?));
        let (fence, fresh_ms) = (long(0)?, long(8)?);
        Some(Copied { fence, fresh_ms, swr_ms: short(16)?, hard_ms: short(20)?, life_ms: short(24)? })
    }
}

/// What extensions say. Types 7 to 63 are reserved: a reader skips those it does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Epoch and number of the backplane's position that the loader had applied before it asked for the lease.
    pub seen: Option<(u64, u64)>,
    /// Its tags, hashed.
    pub tags: Vec<u64>,
    /// The origin's version of the row.
    pub version: Option<u64>,
    /// The whole key, where it is stored under a hash of it.
    pub full_key: Option<Bytes>,
    /// The salts in the names of a split key's copies.
    pub salts: Vec<u32>,
    /// What a copy of a split key is a copy of.
    pub copied: Option<Copied>,
    /// What the space's codec adds: pairs of a type of [`OWN_TYPES`] and bytes, in their order.
    pub own: Vec<(u8, Bytes)>,
}

impl Extensions {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Extensions::default()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<(), Unfit> {
        // A copy has no copies: of the last two there is one at most.
        if self.own.len() > MOST - usize::from(SALTS) {
            return Err(Unfit::Extensions);
        }
        if let Some((epoch, number)) = self.seen {
            let both = [epoch.to_le_bytes(), number.to_le_bytes()];
            put(out, SEEN, both.as_flattened())?;
        }
        if !self.tags.is_empty() {
            put(out, TAGS, &self.tags.iter().flat_map(|tag| tag.to_le_bytes()).collect::<Vec<_>>())?;
        }
        if let Some(version) = self.version {
            put(out, VERSION, &version.to_le_bytes())?;
        }
        if let Some(key) = &self.full_key {
            put(out, FULL_KEY, key)?;
        }
        if !self.salts.is_empty() {
            put(out, SALTS, &self.salts.iter().flat_map(|salt| salt.to_le_bytes()).collect::<Vec<_>>())?;
        }
        if let Some(copied) = self.copied {
            put(out, COPIED, &copied.to_bytes())?;
        }
        for (kind, bytes) in &self.own {
            if !OWN_TYPES.contains(kind) {
                return Err(Unfit::Extensions);
            }
            put(out, *kind, bytes)?;
        }
        out.push(END);
        Ok(())
    }

    /// Reads them from the front of `bytes`, and says how many bytes they are.
    pub(crate) fn read(bytes: &Bytes) -> Result<(Extensions, usize), Unreadable> {
        let (mut read, mut at) = (Extensions::default(), 0);
        for _ in 0..=MOST {
            let kind = *bytes.get(at).ok_or(Unreadable::BadExtension)?;
            if kind == END {
                return Ok((read, at + 1));
            }
            let length = bytes.get(at + 1..at + FRONT).ok_or(Unreadable::BadExtension)?;
            let end = at + FRONT + usize::from(u16::from_le_bytes([length[0], length[1]]));
            if end > bytes.len() {
                return Err(Unreadable::BadExtension);
            }
            read.add(kind, bytes.slice(at + FRONT..end))?;
            at = end;
        }
        Err(Unreadable::BadExtension)
    }

    fn add(&mut self, kind: u8, bytes: Bytes) -> Result<(), Unreadable> {
        match kind {
            SEEN => match *words(&bytes)? {
                [epoch, number] => once(&mut self.seen, (epoch, number)),
                _ => Err(Unreadable::BadExtension),
            },
            TAGS if self.tags.is_empty() && !bytes.is_empty() => {
                self.tags = words(&bytes)?;
                Ok(())
            }
            VERSION => match *words(&bytes)? {
                [version] => once(&mut self.version, version),
                _ => Err(Unreadable::BadExtension),
            },
            FULL_KEY => once(&mut self.full_key, bytes),
            SALTS if self.salts.is_empty() && !bytes.is_empty() => {
                let (salts, rest) = bytes.as_chunks::<4>();
                self.salts = salts.iter().map(|salt| u32::from_le_bytes(*salt)).collect();
                if rest.is_empty() { Ok(()) } else { Err(Unreadable::BadExtension) }
            }
            COPIED => once(&mut self.copied, Copied::read(&bytes).ok_or(Unreadable::BadExtension)?),
            TAGS | SALTS => Err(Unreadable::BadExtension),
            own if OWN_TYPES.contains(&own) => {
                self.own.push((own, bytes));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn put(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) -> Result<(), Unfit> {
    let length = u16::try_from(bytes.len()).map_err(|_| Unfit::Extensions)?;
    out.push(kind);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

fn once<T>(place: &mut Option<T>, found: T) -> Result<(), Unreadable> {
    if place.replace(found).is_some() { Err(Unreadable::BadExtension) } else { Ok(()) }
}

fn words(bytes: &[u8]) -> Result<Vec<u64>, Unreadable> {
    let (words, rest) = bytes.as_chunks::<8>();
    if rest.is_empty() {
        Ok(words.iter().map(|word| u64::from_le_bytes(*word)).collect())
    } else {
        Err(Unreadable::BadExtension)
    }
}

//! How does a payload become smaller, and large again without trusting it?

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};

use crate::unreadable::Unreadable;

/// How a payload is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Compression {
    /// Not at all.
    #[default]
    None = 0,
    /// One block of LZ4, without a frame and without its length.
    Lz4 = 1,
    /// One zstd frame.
    Zstd = 2,
}

/// A saving below a tenth is not worth a reader's time.
const WORTH_TENTHS: usize = 9;

impl Compression {
    pub(crate) fn of(nibble: u8) -> Option<Compression> {
        Some(match nibble {
            0 => Compression::None,
            1 => Compression::Lz4,
            2 => Compression::Zstd,
            _ => return None,
        })
    }

    /// `raw` compressed this way, or as it is where that saves less than a tenth.
    pub(crate) fn pack(self, raw: &[u8], level: i32) -> (Compression, Cow<'_, [u8]>) {
        let packed = match self {
            Compression::None => None,
            Compression::Lz4 => Some(lz4_flex::block::compress(raw)),
            // It fails for lack of memory at most: then the value travels as it is.
            Compression::Zstd => deflate(raw, level).ok(),
        };
        match packed {
            Some(packed) if packed.len().saturating_mul(10) <= raw.len().saturating_mul(WORTH_TENTHS) => {
                (self, Cow::Owned(packed))
            }
            _ => (Compression::None, Cow::Borrowed(raw)),
        }
    }

    /// The payload again. `raw_length` was compared with the limit: nothing larger is ever allocated.
    pub(crate) fn unpack(self, packed: Bytes, raw_length: usize) -> Result<Bytes, Unreadable> {
        let raw = match self {
            Compression::None => packed,
            Compression::Lz4 => inflated(lz4_flex::block::decompress(&packed, raw_length))?,
            Compression::Zstd => inflated(inflate(&packed, raw_length))?,
        };
        if raw.len() == raw_length { Ok(raw) } else { Err(Unreadable::BadBody) }
    }
}

thread_local! {
    /// What zstd works with, a hundred kilobytes or some of them: to make it anew costs as much as a small value does.
    static DEFLATE: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static INFLATE: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

fn deflate(raw: &[u8], level: i32) -> io::Result<Vec<u8>> {
    DEFLATE.with_borrow_mut(|own| {
        let compressor = match own {
            Some(compressor) => compressor,
            None => own.insert(Compressor::new(level)?),
        };
        compressor.set_compression_level(level)?;
        compressor.compress(raw)
    })
}

fn inflate(packed: &[u8], raw_length: usize) -> io::Result<Vec<u8>> {
    INFLATE.with_borrow_mut(|own| {
        let decompressor = match own {
            Some(decompressor) => decompressor,
            None => own.insert(Decompressor::new()?),
        };
        decompressor.decompress(packed, raw_length)
    })
}

fn inflated<E>(result: Result<Vec<u8>, E>) -> Result<Bytes, Unreadable> {
    result.map(Bytes::from).map_err(|_| Unreadable::BadBody)
}

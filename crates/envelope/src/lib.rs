//! How does an entry look outside the process? Envelope version 1, bytes to fields and back, without any I/O.
//!
//! Whatever tier an entry lives in (Redis, Memcached, a disk), it is one string: a header of 80 bytes, extensions,
//! payload. [`write()`] makes it but for the *server block* (fence, lease, times), which belongs to whoever holds the
//! entry: a script inside Redis, or [`stamp`] where a tier has no scripts. The checksum does not cover that block, so
//! that a script can fill it in. [`read`] trusts nothing: what it can't vouch for is an [`Unreadable`], a miss to be
//! counted, never a value.
//!
//! The format is described in `docs/envelope/README.md`, with a reader in Python beside it.
//!
//! ```
//! use bellwether_envelope::{Draft, Format, Kind, Limits, Packing, Stamp, read, stamp, write};
//! use bytes::Bytes;
//!
//! let draft = Draft { cost_ms: 12, format: Format::Json, ..Draft::value(b"{\"id\":42}") };
//! let mut stored = write(b"bw:product:42", &draft, Packing::DEFAULT)?;
//! stamp(&mut stored, &Stamp { fence: 7, created_at: 1_000, fresh_until: 61_000, swr_until: 61_000, hard_until: 61_000,
//!     ..Stamp::default() });
//!
//! let limits = Limits::at(2_000);
//! let found = read(b"bw:product:42", &Bytes::from(stored.clone()), limits)?;
//! assert_eq!((found.header.kind, &found.payload[..]), (Kind::Value, &b"{\"id\":42}"[..]));
//! assert!(read(b"bw:product:43", &Bytes::from(stored), limits).is_err(), "another key's entry");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod body;
mod extension;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod read;
mod unreadable;
mod write;

pub use body::Compression;
pub use extension::{Copied, Extensions, OWN_TYPES};
pub use header::{Format, HEADER, Header, Kind, Stamp, stamp};
pub use read::{Envelope, LONGEST_MS, Limits, MAX_RAW, read};
pub use unreadable::{Unfit, Unreadable};
pub use write::{Draft, Packing, write};

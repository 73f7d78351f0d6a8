//! How long does a loaded value live? Decisions of the write path.

pub mod ends;
pub mod stamp;

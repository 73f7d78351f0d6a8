//! May a loaded value be stored, and how long does it live? Decisions of the write path.

pub mod ends;
pub mod keep;
pub mod stamp;

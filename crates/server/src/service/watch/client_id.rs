//! Which connection is meant? Its number, which no other of this process ever has.

/// A connection, as its number.
pub(crate) type ClientId = u64;

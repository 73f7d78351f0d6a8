//! What is a tag outside the process? A hash that is the same everywhere.

/// A tag's hash on the wire: xxh3 without a seed.
pub fn tag_hash(tag: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(tag.as_bytes())
}

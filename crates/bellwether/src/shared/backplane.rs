//! How far has this process followed the fleet, and what must it tell others? The seam to a backplane.

use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::position::Position;

/// How processes hear of each other's invalidations: one order for the fleet.
///
/// What it hears it passes on by [`crate::Cache::hear_key`] and its like.
pub trait Backplane: Send + Sync + 'static {
    /// The last invalidation that was applied here, and all before it.
    fn position(&self) -> Position;

    /// The verb of the newest invalidation of `space` or one of `tags` (hashed as in [`crate::shared::Envelope::tags`]) that an
    /// entry which was loaded at `seen` is not certainly past.
    fn covering(&self, space: &str, tags: &[u64], seen: Position) -> Option<Invalidation>;

    /// A key is being invalidated by this process: it holds here, the tier is told next.
    fn invalidating(&self, name: &[u8], verb: Invalidation) {
        let _ = (name, verb);
    }

    /// The tier knows of it, under this fence.
    fn invalidated(&self, name: &[u8], verb: Invalidation, fence: Fence) {
        let _ = (name, verb, fence);
    }

    /// The tier could not be told. This process tries again while it lives; to remember it for longer is up to you.
    fn not_told(&self, name: &[u8], verb: Invalidation) {
        let _ = (name, verb);
    }

    /// This process invalidated a tag, given as its hash on the wire.
    fn tag_invalidated(&self, tag: u64, verb: Invalidation) {
        let _ = (tag, verb);
    }

    /// This process invalidated a whole space.
    fn space_invalidated(&self, space: &str, verb: Invalidation) {
        let _ = (space, verb);
    }
}

/// A tag's hash on the wire: the same in every process.
pub fn tag_hash(tag: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(tag.as_bytes())
}

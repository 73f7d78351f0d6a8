//! By which name do the books of the memory tier know an entry?

/// Names an entry by its place in the expiry wheel, and in the order of who goes first. Another may have it once this one has
/// gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) u32);

impl Place {
    /// No place: not here.
    pub(crate) const NONE: Place = Place(u32::MAX);
    /// Where a walk begins.
    pub(crate) const FIRST: Place = Place(0);
}

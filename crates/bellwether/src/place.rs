//! By which name do the books of the memory tier know an entry?

/// Names an entry by its place in the expiry wheel, and in the order of who goes first. Another may have it once this one has
/// gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(crate) u32);

impl Place {
    /// No place: not here.
    pub(crate) const NONE: Place = Place(u32::MAX);
    /// No place either: not the store's at all, but a thread's own reference to what is.
    pub(crate) const OWN: Place = Place(u32::MAX - 1);
    /// Where a walk begins.
    pub(crate) const FIRST: Place = Place(0);
}

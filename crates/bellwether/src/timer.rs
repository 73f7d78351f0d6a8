//! By which name does an entry know the timer of its end?

/// Names a timer by its place, which another may have once this one fired or was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerId(pub(crate) u32);

impl TimerId {
    /// No timer.
    pub(crate) const NONE: TimerId = TimerId(u32::MAX);
    /// Where a walk begins.
    pub(crate) const FIRST: TimerId = TimerId(0);
}

//! What does a store of either kind hand out beside entries that are asked for?

use crate::entry::Resident;

/// An entry met on a walk: its space's number, its key, and itself.
pub(crate) type Found = (u32, Box<[u8]>, Resident);

/// Who left because another came.
#[derive(Default)]
pub(super) struct Left {
    /// What was there under the same key.
    pub(super) replaced: Option<Resident>,
    /// Pushed out to make room, each with its space's number.
    pub(super) pushed_out: Vec<(u32, Resident)>,
}

//! What becomes of a read? The decisions of the read path, a file each.

pub mod decide;
pub mod doubt;
pub mod early;
pub mod flight;
pub mod queue;
pub mod rescue;
pub mod rumour;
pub mod shelf;
pub mod token;
pub mod walk;

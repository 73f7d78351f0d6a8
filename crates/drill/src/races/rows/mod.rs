//! Which races are run, in which order?

mod failing;
mod identity;
mod leaving;
mod removing;
mod together;

use crate::races::row::Row;

/// Every row, in the order of the table.
pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    [together::ROWS, leaving::ROWS, failing::ROWS, removing::ROWS, identity::ROWS].into_iter().flatten()
}

//! Which drills are there?

use crate::incidents;

/// A drill, as `bellwether drill list` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drill {
    /// What `bellwether drill NAME` is called with.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
}

const RACES: Drill = Drill {
    name: "races",
    what: "races that caches lose, on `bellwether serve` or any RESP endpoint that reads through",
};

/// Every drill of this version.
pub fn drills() -> impl Iterator<Item = Drill> {
    let incidents = incidents::ALL.into_iter().map(|incident| Drill { name: incident.name, what: incident.what });
    std::iter::once(RACES).chain(incidents)
}

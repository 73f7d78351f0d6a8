//! Which drills are there?

/// A drill, as `bellwether drill list` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drill {
    /// What `bellwether drill NAME` is called with.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
}

/// Every drill of this version.
pub const DRILLS: &[Drill] = &[Drill {
    name: "races",
    what: "races that caches lose, on `bellwether serve` or any RESP endpoint that reads through",
}];

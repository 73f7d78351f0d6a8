//! In which way does a control get it wrong?

/// What is wrong with a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Every miss loads for itself, in its caller's task, and stores what it got.
    Naive,
    /// Concurrent misses share a load, but it is the first caller's, knows nothing of removals, and is found by
    /// an id that other spaces use too.
    Singleflight,
    /// As `Naive`, over a pool of connections that takes back what a cancelled caller has not read.
    Pool,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Flaw; 3] = [Flaw::Naive, Flaw::Singleflight, Flaw::Pool];

    /// What `--control` takes.
    pub fn name(self) -> &'static str {
        match self {
            Flaw::Naive => "naive",
            Flaw::Singleflight => "singleflight",
            Flaw::Pool => "pool",
        }
    }
}

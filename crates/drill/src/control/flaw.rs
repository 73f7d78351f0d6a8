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

    /// What is wrong, in a line of help.
    pub fn what(self) -> &'static str {
        match self {
            Flaw::Naive => "Every miss loads for itself",
            Flaw::Singleflight => "Misses share the first caller's load, which knows nothing of removals",
            Flaw::Pool => "A pool of connections that takes back unread answers",
        }
    }

    /// The flaw that is called so.
    pub fn named(name: &str) -> Option<Flaw> {
        Flaw::ALL.into_iter().find(|flaw| flaw.name() == name)
    }
}

/// What is wrong with each process of a fleet that shares an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FleetFlaw {
    /// Cache-aside over Redis; concurrent misses of one process share a load, those of two do not.
    Coalescing,
    /// Who gets `SET NX PX` loads, the others poll; nothing is compared when the value is stored.
    Lock,
    /// As `Coalescing`, with copies in each process that live for their whole ttl.
    Local,
    /// Copies in each process alone; nothing is shared.
    Alone,
    /// As `Coalescing`, over Memcached: a key's node is its hash modulo their number.
    Modulo,
}

impl FleetFlaw {
    /// All of them.
    pub const ALL: [FleetFlaw; 5] =
        [FleetFlaw::Coalescing, FleetFlaw::Lock, FleetFlaw::Local, FleetFlaw::Alone, FleetFlaw::Modulo];

    /// What `--control` takes.
    pub fn name(self) -> &'static str {
        match self {
            FleetFlaw::Coalescing => "coalescing",
            FleetFlaw::Lock => "lock",
            FleetFlaw::Local => "local",
            FleetFlaw::Alone => "alone",
            FleetFlaw::Modulo => "modulo",
        }
    }

    /// What is wrong, in a line of help.
    pub fn what(self) -> &'static str {
        match self {
            FleetFlaw::Coalescing => "Cache-aside; misses of one process share a load, those of two do not",
            FleetFlaw::Lock => "SET NX PX as a lock, and nothing is compared when the value is stored",
            FleetFlaw::Local => "Copies in each process that live for their whole ttl",
            FleetFlaw::Alone => "Copies in each process alone, and nothing shared",
            FleetFlaw::Modulo => "Memcached nodes by hash modulo their number",
        }
    }

    /// The flaw that is called so.
    pub fn named(name: &str) -> Option<FleetFlaw> {
        FleetFlaw::ALL.into_iter().find(|flaw| flaw.name() == name)
    }
}

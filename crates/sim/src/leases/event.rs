//! What can happen in a fleet, and what travels between a process and the tier?

use bellwether_core::cell::{Ask, Cell, Raised, Reply};
use bellwether_core::failure::FailClass;
use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::time::{Span, Tick};

/// What is stored beside a cell: which row, and where in the order of events its load began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) version: u64,
    pub(super) begun: u64,
    /// Of the load, by the world's clock: for the checks alone.
    pub(super) started: Tick,
    pub(super) finished: Tick,
    pub(super) cost_ms: u32,
}

/// One life of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) process: u16,
    pub(super) number: u32,
}

/// Who made a call, and which of its calls it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) life: Life,
    pub(super) by: By,
    pub(super) call: u64,
}

/// Who in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Leader(u64),
    /// Who tells the tier of an invalidation of this key.
    Teller(u8),
    /// Who compares the copy of this key.
    Verifier(u8),
    /// Nobody waits for the answer.
    Nobody,
}

/// What the tier is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Get,
    Acquire(Ask),
    /// `windows` count from the moment it is stored: fresh, swr and hard. Its age counts from when it was sent, by the
    /// world's clock.
    Publish {
        token: Fence,
        body: Body,
        windows: [Span; 3],
        sent: Tick,
    },
    Renew {
        token: Fence,
        lease: Span,
    },
    Release {
        token: Fence,
        failed: Option<(Span, FailClass)>,
    },
    Invalidate {
        verb: Invalidation,
        at_least: Fence,
        /// How long ago a try failed; zero: none did.
        ago: Span,
    },
    /// What a broken client does: a write without any fence of its own.
    Force {
        body: Body,
        windows: [Span; 3],
    },
}

/// What it says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Found(Option<Held>),
    Asked(Reply, Option<Held>),
    Stored(bool),
    Raised(Raised),
}

/// A cell as it is handed over, with the moment by the tier's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) cell: Cell,
    pub(super) body: Option<Body>,
    pub(super) now: Tick,
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// In a process; waits while the process stands still, and is void once it has died.
    In(Life, Act),
    /// A request comes to whatever life the process has.
    Request {
        process: u16,
        id: u64,
    },
    /// A call reaches the tier.
    Call(Caller, u8, Op),
    /// A row is written, and `process` will invalidate it.
    Write {
        process: u16,
        key: u8,
    },
    Stop(u16, Span),
    Crash(u16),
    /// A process is cut off.
    CutOff(u16, Span),
    Failover,
    Freeze(Span),
    /// Somebody else deletes the key in the tier.
    Delete(u8),
}

/// What happens in a process.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Enter(u64),
    Deadline(u64),
    Refresh {
        key: u8,
        seen: Fence,
    },
    Start(u64),
    Turn(u64),
    TurnTimer(u64),
    Heard {
        by: By,
        call: u64,
        answer: Answer,
    },
    Silent {
        by: By,
        call: u64,
    },
    Waited {
        id: u64,
        call: u64,
    },
    Begin(u64),
    Read(u64),
    Return(u64),
    Cut(u64),
    Beat {
        id: u64,
        token: Fence,
    },
    Invalidate {
        key: u8,
        version: u64,
    },
    Tell(u8),
    /// The mark rises below which copies are not believed.
    Age,
    /// Another process invalidated the key; the tier raised it to `fence`.
    Message {
        key: u8,
        verb: Invalidation,
        fence: Option<Fence>,
        version: u64,
    },
}

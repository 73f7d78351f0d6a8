//! What can happen in a run? Each event is what the engine does under one lock, or a fault.

use bellwether_core::fence::Fence;
use bellwether_core::policy::Priority;
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;

/// What can happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Arrive(u64),
    Enter(u64),
    /// An outcome was told: the caller's task runs.
    Wake(u64),
    Hedge {
        caller: u64,
        cell: u64,
    },
    Deadline(u64),
    GiveUp(u64),
    /// A reader was served and asks for a refresh of what it saw.
    Refresh {
        key: u8,
        seen: Fence,
    },
    Start(u64),
    Turn(u64),
    TurnTimer(u64),
    Ask {
        id: u64,
        class: Priority,
        waiters: u32,
        give_up: Tick,
    },
    Raise {
        id: u64,
        class: Priority,
        waiters: u32,
        give_up: Tick,
    },
    GateWake,
    Begin(u64),
    Shed {
        id: u64,
        why: Why,
        retry_after: Option<Span>,
    },
    ReadRow(u64),
    Return(u64),
    Cut(u64),
    Digest(u64),
    Settle(u64),
    Complete(u64),
    Abort(u64),
    Write(u8),
    Invalidate(u8),
    Evict(u8),
    Jump(Span),
}

//! What do callers of one flight wait on? An outcome that is told once to all.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bellwether_core::fence::Fence;
use bellwether_core::guard::gate::Ticket;
use bellwether_core::read::flight::FlightId;
use bellwether_core::time::Tick;
use bellwether_core::why::Why;
use tokio::sync::Notify;

use crate::entry::Resident;
use crate::error::Error;
use crate::port::clock::Clock;

/// How a flight ended.
#[derive(Clone)]
pub(crate) enum Outcome {
    /// A value or a negative; the reason differs from `loaded` where it could not be kept.
    Landed(Resident, Option<Why>),
    /// Loaded without a lease because the shared tier was gone.
    Lone(Resident),
    /// An answer for its leader's caller alone; others load for themselves.
    Private(Resident),
    Failed(Error),
    /// The holder of a token gave it back, or lost it: try again.
    Released,
}

/// By what right a client fills a key that the shared tier may hold.
pub(crate) enum Outside {
    /// The tier's lease. `give_back`: for one that is void here before the tier knows.
    Lease { token: Fence, give_back: Box<dyn Fn() + Send + Sync> },
    /// None: the tier was gone.
    Lone,
    /// None: the tier can't hold this key.
    Beside,
}

/// Shared by a flight's leader and its followers.
pub(crate) struct FlightCell {
    /// Written once, before `done` is notified.
    outcome: OnceLock<Outcome>,
    done: Notify,
    /// A parked successor may start. Set before `turned` is notified.
    turn: AtomicBool,
    turned: Notify,
    /// For a token given to a client: when it ends, in ticks.
    lease_until: AtomicU64,
    /// For a token given to a client where there is a shared tier: by what right. Written once, before the token is.
    outside: OnceLock<Outside>,
    /// Under which ticket the load waits at the guard: the flight's own number, or its batch's.
    ticket: AtomicU64,
    /// Here once for all who wait, because each of them would hold a way to it.
    clock: Clock,
}

impl FlightCell {
    pub(crate) fn new(id: FlightId, clock: &Clock) -> FlightCell {
        FlightCell {
            outcome: OnceLock::new(),
            done: Notify::new(),
            turn: AtomicBool::new(false),
            turned: Notify::new(),
            lease_until: AtomicU64::new(u64::MAX),
            outside: OnceLock::new(),
            ticket: AtomicU64::new(id.0),
            clock: clock.clone(),
        }
    }

    /// Tells the outcome. The first one counts.
    pub(crate) fn complete(&self, outcome: Outcome) {
        if self.outcome.set(outcome).is_ok() {
            self.done.notify_waiters();
        }
    }

    /// The outcome, or `None` if `until` comes first.
    pub(crate) fn wait(&self, until: Tick) -> impl Future<Output = Option<Outcome>> {
        async move {
            let done = self.done.notified();
            tokio::pin!(done);
            // Enabled before the look: an outcome told in between is not missed.
            done.as_mut().enable();
            if let Some(outcome) = self.outcome.get() {
                return Some(outcome.clone());
            }
            tokio::select! {
                () = done => {}
                () = self.clock.sleep_until(until) => {}
            }
            self.outcome.get().cloned()
        }
    }

    /// The older flight ended: a parked leader starts.
    pub(crate) fn take_turn(&self) {
        self.turn.store(true, Ordering::Release);
        self.turned.notify_one();
    }

    /// Waits for the turn; false if `until` came first.
    pub(crate) async fn turn(&self, until: Option<Tick>) -> bool {
        // `notify_one` leaves a permit behind, so that a turn given before is not missed.
        tokio::select! {
            () = self.turned.notified() => {}
            () = self.clock.sleep_until(until.unwrap_or(Tick::NEVER)), if until.is_some() => {}
        }
        self.turn.load(Ordering::Acquire)
    }

    pub(crate) fn set_ticket(&self, ticket: Ticket) {
        self.ticket.store(ticket.0, Ordering::Release);
    }

    pub(crate) fn ticket(&self) -> Ticket {
        Ticket(self.ticket.load(Ordering::Acquire))
    }

    pub(crate) fn set_lease(&self, until: Tick) {
        self.lease_until.store(until.0, Ordering::Release);
    }

    /// By what right a client holds the token. The first one counts.
    pub(crate) fn set_outside(&self, outside: Outside) {
        // Only who leads the flight says so, once.
        let _ = self.outside.set(outside);
    }

    pub(crate) fn outside(&self) -> Option<&Outside> {
        self.outside.get()
    }

    pub(crate) fn lease_until(&self) -> Tick {
        Tick(self.lease_until.load(Ordering::Acquire))
    }
}

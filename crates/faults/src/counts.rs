//! What has the proxy done?

use std::sync::atomic::{AtomicU64, Ordering};

use crate::plan::Plan;

/// What was done so far, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were carried.
    pub connections: u64,
    /// Connections that found no server behind the proxy.
    pub unreachable: u64,
    /// Bytes that arrived at the server.
    pub to_server: u64,
    /// Bytes that arrived at the client.
    pub to_client: u64,
    /// Chunks that came later.
    pub delayed: u64,
    /// Chunks that came in pieces.
    pub sliced: u64,
    /// Chunks with a wrong bit.
    pub corrupted: u64,
    /// Chunks that came twice.
    pub duplicated: u64,
    /// Chunks thrown away.
    pub swallowed: u64,
    /// Ends that were told late.
    pub slow_closes: u64,
    /// Connections that were reset by chance or by [`cut`](crate::Proxy::cut).
    pub resets: u64,
    /// Connections that [`cut`](crate::Proxy::cut) ended.
    pub cuts: u64,
}

#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) connections: AtomicU64,
    pub(crate) unreachable: AtomicU64,
    pub(crate) to_server: AtomicU64,
    pub(crate) to_client: AtomicU64,
    delayed: AtomicU64,
    sliced: AtomicU64,
    corrupted: AtomicU64,
    duplicated: AtomicU64,
    swallowed: AtomicU64,
    pub(crate) slow_closes: AtomicU64,
    pub(crate) resets: AtomicU64,
    pub(crate) cuts: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Tally {
    pub(crate) fn note(&self, plan: &Plan) {
        let facts = [
            (&self.delayed, !plan.delay.is_zero()),
            (&self.sliced, plan.pieces.len() > 1),
            (&self.corrupted, plan.corrupted),
            (&self.duplicated, plan.duplicated),
            (&self.swallowed, plan.swallowed),
        ];
        for (counter, true_of_it) in facts {
            add(counter, u64::from(true_of_it));
        }
    }

    pub(crate) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connections: read(&self.connections),
            unreachable: read(&self.unreachable),
            to_server: read(&self.to_server),
            to_client: read(&self.to_client),
            delayed: read(&self.delayed),
            sliced: read(&self.sliced),
            corrupted: read(&self.corrupted),
            duplicated: read(&self.duplicated),
            swallowed: read(&self.swallowed),
            slow_closes: read(&self.slow_closes),
            resets: read(&self.resets),
            cuts: read(&self.cuts),
        }
    }
}

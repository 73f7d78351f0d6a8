//! What can the tier's threads be asked to do?

use bellwether::Fence;
use bellwether::disk::{Held, Lying, Scope};
use bellwether::shared::{Envelope, TierError};
use tokio::sync::oneshot;

use super::trouble::Trouble;

/// For the thread that writes.
#[derive(Debug)]
pub(super) enum Order {
    Put(Box<Put>),
    Remove {
        key: Vec<u8>,
        fence: Fence,
        done: oneshot::Sender<Result<bool, TierError>>,
    },
    Raise {
        scope: Scope,
        fence: Fence,
        done: oneshot::Sender<Result<(), TierError>>,
    },
    /// A row that the reader could not use: tidying, and only if it is still that row.
    Forget {
        id: i64,
        sum: i64,
    },
    /// What the reader ran into, in which opening of the file.
    Trouble {
        opening: u64,
        trouble: Trouble,
    },
    Flush {
        done: oneshot::Sender<()>,
    },
}

/// An entry to be stored.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) key: Vec<u8>,
    pub(super) space: u64,
    pub(super) fence: Fence,
    pub(super) envelope: Envelope,
}

impl Put {
    /// Bytes that it holds while it is queued.
    pub(super) fn weight(&self) -> usize {
        let about: usize = self.envelope.about.iter().map(|(_, bytes)| bytes.len()).sum();
        self.key.len() + self.envelope.body.len() + 8 * self.envelope.tags.len() + about
    }
}

impl Order {
    /// Whether somebody waits for it.
    pub(super) fn is_urgent(&self) -> bool {
        !matches!(self, Order::Put(_) | Order::Forget { .. })
    }
}

/// For the thread that reads.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) key: Vec<u8>,
    /// As it was put.
    pub(super) space: u64,
    pub(super) answer: Answer,
}

/// What is wanted of it.
#[derive(Debug)]
pub(super) enum Answer {
    /// What may be served.
    Held(oneshot::Sender<Option<Held>>),
    /// What lies there.
    Lying(oneshot::Sender<Option<Lying>>),
}

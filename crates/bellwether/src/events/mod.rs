//! How do processes hear of each other's invalidations? The seam to a backplane, and what travels over it.
//!
//! A [`Transport`] puts batches of messages in one order for the fleet, remembers the newest invalidation of each tag
//! and space beside it, and hands everything to everybody, this process included. A [`Follower`] reads it and knows
//! whether anything may be missing; an [`Outbox`] holds what is to be told until it was.

mod follower;
mod ledger;
mod outage;
mod outbox;
mod whisper;
mod wire;

use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::position::Position;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::BoxStream;

pub use bellwether_core::backplane::feed::Turn;
pub use bellwether_core::backplane::feed::{Cause, HEARTBEAT, SILENCE};
pub use bellwether_core::backplane::floors::{Covered, Floors, MOST_SPACES, MOST_TAGS, Raised, Scope};
pub use follower::{Follower, News};
pub use ledger::{Debt, Ledger};
pub use outbox::Outbox;
pub(crate) use whisper::Whisper;
pub use wire::Unreadable;

/// One invalidation, as other processes hear of it; or a hint, which may be missed without harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// One key, by its name in the shared tier.
    Key {
        /// Without the tier's prefix.
        name: Bytes,
        /// Hard or soft.
        verb: Invalidation,
        /// The tier's fence of it, once the tier has raised it: a copy with a later one stays. `None`: the tier is
        /// about to be told.
        fence: Option<Fence>,
    },
    /// Whatever carries a tag.
    Tag {
        /// xxh3 of the tag, without a seed.
        hash: u64,
        /// Hard or soft.
        verb: Invalidation,
    },
    /// A whole space.
    Space {
        /// Its name in the shared tier.
        name: Box<str>,
        /// Hard or soft.
        verb: Invalidation,
    },
    /// More keys than could be told: copies in memory must be compared with the shared tier before they are served.
    Suspect,
    /// More than could be told: nothing that was stored anywhere before holds any more.
    Everything,
    /// Whatever carries a tag is stale: it may be served while it is refreshed. No invalidation: who misses it serves
    /// what it has to its end.
    Refresh {
        /// xxh3 of the tag, without a seed.
        hash: u64,
    },
    /// Which keys will be hot is written down elsewhere, and was changed.
    Announced,
}

/// What another process invalidated, as a listener beside the cache hears of it: it holds here already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message(Message),
    /// Messages may have been missed: what a listener keeps of anything is suspect.
    Gap,
}

/// Messages that travel together, at one position. None at all: a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Who sends it: a process knows its own by it.
    pub sender: u64,
    /// In no order: invalidations are merged.
    pub messages: Vec<Message>,
}

impl Batch {
    /// Which tags and spaces it invalidates, each with the number of its position.
    pub fn raises(&self, number: u64) -> impl Iterator<Item = Raised> + '_ {
        self.messages.iter().filter_map(move |message| {
            let (scope, verb) = match message {
                Message::Tag { hash, verb } => (Scope::Tag(*hash), *verb),
                Message::Space { name, verb } => (Scope::Space(name.clone()), *verb),
                Message::Everything => (Scope::All, Invalidation::Remove),
                Message::Key { .. } | Message::Suspect | Message::Refresh { .. } | Message::Announced => return None,
            };
            Some(Raised { scope, verb, number })
        })
    }
}

/// How far a backplane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its newest position.
    pub at: Position,
    /// Differs from server to server, and after each restart of one.
    pub source: u64,
}

/// A batch at its place in the fleet's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// That place.
    pub at: Position,
    /// `None`: it can't be read.
    pub batch: Option<Batch>,
}

/// What a transport promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Whoever was away reads on where it had stopped: nothing is lost without being noticed, and little is lost.
    Replayed,
    /// Best effort: what is sent while somebody is away is lost to it. That it is lost is noticed; of which keys it
    /// spoke is not.
    BestEffort,
}

/// A backplane could not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct TransportError(
    /// In words, without secrets: for logs.
    pub String,
);

/// What carries messages between processes. Every call may be dropped at any await, and is bounded in time by its
/// caller.
pub trait Transport: Send + Sync + 'static {
    /// What it promises.
    fn delivery(&self) -> Delivery;

    /// Puts `batch` at the fleet's next position, and remembers which tags and spaces it invalidates, in one step.
    fn publish<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<Position, TransportError>>;

    /// How far the fleet is. Writes a heartbeat if nobody has written anything for a second; begins a new epoch if
    /// the one that was is gone or can't be trusted to be whole.
    fn head(&self) -> BoxFuture<'_, Result<Head, TransportError>>;

    /// The newest invalidations of all tags and spaces, as of a position or newer.
    fn floors(&self) -> BoxFuture<'_, Result<(Position, Vec<Raised>), TransportError>>;

    /// Tells all others what may be lost, in no order with anything else. By default nobody hears it.
    fn whisper(&self, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), TransportError>> {
        drop(bytes);
        async { Ok(()) }.boxed()
    }

    /// Connects to what all tell each other in this way, this process included. It ends with the connection.
    fn whispers(&self) -> BoxFuture<'_, Result<BoxStream<'static, Bytes>, TransportError>> {
        async { Ok(futures_util::stream::pending().boxed()) }.boxed()
    }

    /// Connects to where messages come from.
    fn listen(&self) -> BoxFuture<'_, Result<Box<dyn Incoming>, TransportError>>;
}

/// A connection over which messages come.
pub trait Incoming: Send {
    /// What comes after `position` is next, where the transport can tell it again.
    fn resume(&mut self, after: Position);

    /// Waits for what comes next, for a while: nothing may come. After an error the connection is of no use.
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Delivered>, TransportError>>;
}

//! Where do entries live that several processes share? The seam to a shared tier: values, leases, fences.
//!
//! One key is one cell that holds a value, a lease, both or neither, and whoever holds the cell orders what happens
//! to it: every call below is one atomic step there. A tier's fences are compared only with fences of the same key in
//! the same tier, never with those a process draws for itself.

mod codec;
mod packed;
mod tag;

pub use bellwether_core::cell::{Change, Ending, Only, When};
pub use bellwether_core::draw::Draw;
use bellwether_core::entry::Kind;
use bellwether_core::failure::FailClass;
use bellwether_core::fence::{Fence, Invalidation};
pub use bellwether_core::lease::Mode;
pub use bellwether_core::position::Position;
use bellwether_core::time::Span;
use bytes::Bytes;
pub(crate) use codec::Prefix;
pub use codec::{Codec, Encoded, Naming, Sharing};
use futures_util::future::{BoxFuture, FutureExt, try_join_all};
pub use packed::Packed;
pub use tag::tag_hash;

pub use crate::port::limit::Limit;

/// An entry on its way to or from a shared tier. Durations travel, never moments: clocks of
/// different machines are not compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What it says: a value, that the row does not exist, or (only on its way there) that answers may not be kept.
    pub kind: Kind,
    /// The tier's fence under which it was stored. Of no meaning on the way there: the tier draws it.
    pub fence: Fence,
    /// Age in ms when it was handed over, counted from the start of its load.
    pub age_ms: u64,
    /// Fresh for this many more ms. Zero: stale, and the windows below have shrunk by what has passed of them.
    pub fresh_ms: u64,
    /// Served stale while a refresh runs for this many ms after that.
    pub swr_ms: u32,
    /// Served after a failed load for this many ms after it was fresh; at least `swr_ms`.
    pub hard_ms: u32,
    /// Expired by an invalidation since it was stored: its body is at most a rescue, and only where the space allows
    /// that for what was invalidated. `fresh_ms` and `swr_ms` are zero then. Always false on the way there.
    pub invalidated: bool,
    /// How long its load took, in ms.
    pub cost_ms: u32,
    /// The origin's own version of the row.
    pub version: Option<u64>,
    /// The backplane's position that its loader had applied before it asked for the lease.
    pub seen: Position,
    /// The tags it was stored under, hashed by xxh3 without a seed.
    pub tags: Vec<u64>,
    /// What the bytes of `body` are.
    pub format: Format,
    /// What the space's codec adds to the body: pairs of a number of its own (64 to 255) and bytes.
    pub about: Vec<(u8, Bytes)>,
    /// Whether its key is split.
    pub split: Split,
    /// To be compressed as well as can be, whatever is usual in the tier: its key is hot, and large. Always `None` on the
    /// way back.
    pub tight: Option<Packed>,
    /// The encoded value; empty unless `kind` is a value.
    pub body: Bytes,
}

impl Envelope {
    /// One of which nothing else is known: of no fence, without age, stale at once and without tags.
    pub fn of(kind: Kind, body: impl Into<Bytes>) -> Envelope {
        Envelope {
            kind,
            fence: Fence::ZERO,
            age_ms: 0,
            fresh_ms: 0,
            swr_ms: 0,
            hard_ms: 0,
            invalidated: false,
            cost_ms: 0,
            version: None,
            seen: Position::NONE,
            tags: Vec::new(),
            format: Format::Bytes,
            about: Vec::new(),
            split: Split::No,
            tight: None,
            body: body.into(),
        }
    }
}

/// Whether a key's reads are shared out among copies on several nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// One place holds it.
    #[default]
    No,
    /// Copies of it lie under these salts: whoever replaces or invalidates it sees to them.
    Into(Vec<u32>),
    /// It is such a copy.
    Copy(Copied),
}

/// What a copy of a split key says of the value that it is a copy of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The value's own fence in the tier.
    pub fence: Fence,
    /// For how many ms the value was still fresh when the copy was made.
    pub fresh_ms: u64,
    /// Its `swr_ms` then.
    pub swr_ms: u32,
    /// Its `hard_ms` then.
    pub hard_ms: u32,
    /// For how many ms the copy was made: what is left of its own freshness tells how old it is.
    pub life_ms: u32,
}

/// What the bytes of a stored body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// Anything.
    #[default]
    Bytes,
    /// Text in UTF-8.
    Utf8,
    /// A JSON text.
    Json,
    /// MessagePack.
    MsgPack,
    /// A protobuf message.
    Protobuf,
}

/// What a reader finds under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or nothing that could be read (counted): somebody may load. `lease`: somebody does, at most so much
    /// longer.
    Nothing {
        /// What is left of the lease that somebody holds.
        lease: Option<Span>,
    },
    /// A value or a negative, fresh or not. `lease`: a load of it is under way.
    Entry {
        /// What is held.
        envelope: Envelope,
        /// What is left of the lease that somebody holds.
        lease: Option<Span>,
    },
    /// Bytes that no Bellwether wrote: handed out unchanged, never rewritten.
    Foreign {
        /// All of it.
        body: Bytes,
        /// What is left of its life, if it has an end.
        left: Option<Span>,
    },
    /// The last load failed: no other is tried meanwhile.
    Failed {
        /// How long still.
        left: Span,
        /// How it failed.
        class: FailClass,
    },
    /// The answer may not be kept: callers load side by side.
    HitForMiss {
        /// How long still.
        left: Span,
    },
}

/// A lease that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// How long it is to last without a heartbeat.
    pub lease: Span,
    /// What for.
    pub mode: Mode,
    /// The fence of the entry that the asker holds: something newer is handed over in place of a lease.
    pub holds: Fence,
    /// The granted token is not below this: above every invalidation that the asker knows of.
    pub at_least: Fence,
    /// Random bits of the asker's, with which no two leases of a key get the same token.
    pub draw: Draw,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// The right to load, and to publish under this token.
    Granted {
        /// Becomes the fence of what is published.
        token: Fence,
        /// What the key still has, to be served where a load fails.
        stale: Option<Envelope>,
    },
    /// Somebody else loads.
    Denied {
        /// At most so much longer, unless its holder renews.
        left: Span,
        /// What the key still has.
        stale: Option<Envelope>,
    },
    /// Something fresh, or newer than what the asker holds, has come.
    Fresh(Envelope),
    /// The last load failed a moment ago.
    Failed {
        /// How long that holds.
        left: Span,
        /// How it failed.
        class: FailClass,
    },
    /// The answer may not be kept: load without a lease.
    HitForMiss {
        /// How long that holds.
        left: Span,
    },
    /// Bytes that no Bellwether wrote.
    Foreign {
        /// All of it.
        body: Bytes,
        /// What is left of its life, if it has an end.
        left: Option<Span>,
    },
}

/// What a tier did with something that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It holds it, under this fence.
    Yes(Fence),
    /// The token is void: the key was invalidated or overwritten, or another writer was let in.
    Refused,
}

/// How something is written that nobody loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// Under which condition.
    pub when: When,
    /// At least so long ago whoever asked was told that it is done, which the tier did not hear then: it is not done if, as
    /// far as the tier can tell, something was made or removed there since. Zero: nobody was told.
    pub late: Span,
    /// What was there before is wanted.
    pub reads: bool,
    /// The new fence is not below this.
    pub at_least: Fence,
}

/// What became of a write under a condition, or of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrote {
    /// The fence under which it was done; `None`: the condition did not hold, and nothing has changed.
    pub stored: Option<Fence>,
    /// What was there before, if it was asked for and is not too long to be handed over.
    pub before: Found,
}

/// What an invalidation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// Nothing below this fence will be stored any more.
    pub fence: Fence,
    /// Whether a value was there.
    pub was_resident: bool,
    /// Where copies of what was there lie, if it was split.
    pub salts: Vec<u32>,
}

/// What a check of a copy finds: nothing of its body travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// The tier holds a value or negative under this fence that is not expired by an invalidation.
    Holds(Fence),
    /// The tier holds nothing that could be served.
    Gone,
}

/// A tier could not do what it was asked. It never reaches a reader: the load goes on without it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub struct TierError {
    /// Which kind of trouble.
    pub kind: TierTrouble,
    /// In words, without secrets: for logs.
    pub text: String,
}

/// Kinds of trouble with a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TierTrouble {
    /// It can't be reached, does not answer in time, or its breaker is open: the arbiter is gone.
    Unreachable,
    /// It is full and evicts nothing: as if it were gone.
    Full,
    /// It takes no writes: a replica, or one that has become one.
    ReadOnly,
    /// It turns us away: a password or rights are missing.
    Denied,
    /// It starts, or has no majority: in a moment, perhaps.
    NotReady,
    /// The key holds another type of the engine: this key passes it by.
    WrongType,
    /// The key or value can't be stored there: nearly always because it is too long.
    Unfit,
    /// It answered with an error of another kind.
    Failed,
}

impl TierTrouble {
    /// All kinds, in the order of their declaration.
    pub const ALL: [TierTrouble; 8] = [
        TierTrouble::Unreachable,
        TierTrouble::Full,
        TierTrouble::ReadOnly,
        TierTrouble::Denied,
        TierTrouble::NotReady,
        TierTrouble::WrongType,
        TierTrouble::Unfit,
        TierTrouble::Failed,
    ];

    /// The word in metrics, logs and `/readyz`.
    pub const fn as_str(self) -> &'static str {
        match self {
            TierTrouble::Unreachable => "unreachable",
            TierTrouble::Full => "full",
            TierTrouble::ReadOnly => "read_only",
            TierTrouble::Denied => "denied",
            TierTrouble::NotReady => "not_ready",
            TierTrouble::WrongType => "wrong_type",
            TierTrouble::Unfit => "too_large",
            TierTrouble::Failed => "failed",
        }
    }

    /// Whether it is of the one key or value that was asked for, and says nothing of others.
    pub const fn is_of_the_key(self) -> bool {
        matches!(self, TierTrouble::WrongType | TierTrouble::Unfit)
    }

    /// Whether nobody is there who orders what happens to keys: it can't be asked, or may not.
    pub const fn is_out_of_reach(self) -> bool {
        use TierTrouble::{Denied, NotReady, ReadOnly, Unreachable};
        matches!(self, Unreachable | ReadOnly | Denied | NotReady)
    }

    /// Whether it was answered, and asking again soon is of no use: somebody has to look at it.
    pub const fn is_refusal(self) -> bool {
        matches!(self, TierTrouble::Denied | TierTrouble::WrongType | TierTrouble::Unfit | TierTrouble::Failed)
    }
}

/// A place that holds entries for several processes, and says which of them loads.
///
/// Every call is bounded by the cache's tier budget (50 ms a request) from outside, and may be dropped at any await.
pub trait Tier: Send + Sync + 'static {
    /// What is under `key`: one plain read.
    fn get<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Found, TierError>>;

    /// What is under each of `keys`, in their order. One failure fails all.
    fn get_many<'a>(&'a self, keys: &'a [Vec<u8>]) -> BoxFuture<'a, Result<Vec<Found>, TierError>> {
        try_join_all(keys.iter().map(|key| self.get(key))).boxed()
    }

    /// Asks for the right to load.
    fn acquire<'a>(&'a self, key: &'a [u8], ask: Ask) -> BoxFuture<'a, Result<Acquired, TierError>>;

    /// Stores what was loaded under `token`, and ends the lease, if the token is still the key's.
    fn publish<'a>(
        &'a self,
        key: &'a [u8],
        token: Fence,
        envelope: Envelope,
    ) -> BoxFuture<'a, Result<Stored, TierError>>;

    /// A heartbeat: the lease lasts `lease` from now. False: the token is void.
    fn renew<'a>(&'a self, key: &'a [u8], token: Fence, lease: Span) -> BoxFuture<'a, Result<bool, TierError>>;

    /// Gives a lease back unused. `failed`: so that everybody sees for how long, and how, the load failed. False: the
    /// token was void.
    fn release<'a>(
        &'a self,
        key: &'a [u8],
        token: Fence,
        failed: Option<(Span, FailClass)>,
    ) -> BoxFuture<'a, Result<bool, TierError>>;

    /// Invalidates `key`: tokens given out before are void, and the new fence is not below `at_least`.
    ///
    /// `late`: at least so long ago whoever asked was told that it is done, which the tier did not hear then. What was made
    /// there since is newer and stays, as far as the tier can tell: the fence is that of what stays. What may be older never
    /// does. Zero: nobody was told, and nothing stays.
    fn invalidate<'a>(
        &'a self,
        key: &'a [u8],
        verb: Invalidation,
        at_least: Fence,
        late: Span,
    ) -> BoxFuture<'a, Result<Raised, TierError>>;

    /// Writes `envelope`, if it may be written so, in one step: every token given out before is void then.
    fn write<'a>(&'a self, key: &'a [u8], how: Write, envelope: Envelope) -> BoxFuture<'a, Result<Wrote, TierError>>;

    /// Does `change` to what is fresh there, or is somebody else's, in one step, and hands over what it was: every token given
    /// out before is void then, and the fence is not below `at_least`. Nothing there, or not under its condition: nothing changes.
    /// Whoever asks is gone after `within`: a tier that comes to it only later leaves the key alone, as far as it can tell.
    fn change<'a>(
        &'a self,
        key: &'a [u8],
        change: Change,
        at_least: Fence,
        within: Span,
    ) -> BoxFuture<'a, Result<Wrote, TierError>>;

    /// Whether a copy made under a fence is still what the tier holds.
    fn verify<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, Result<Verified, TierError>>;

    /// Over how many nodes keys are spread: each key lies on one of them.
    fn nodes(&self) -> usize {
        1
    }

    /// Salts of `key` whose names ([`bellwether_core::ring::split::name`]) lie on other nodes than `key` and than one
    /// another; `most` at most.
    fn salts(&self, key: &[u8], most: usize) -> Vec<u32> {
        let _ = (key, most);
        Vec::new()
    }

    /// Replicas that each node has at least, and that can be asked in its place.
    fn replicas(&self) -> usize {
        0
    }

    /// What a replica holds under `key`, if one is known to lag by no more than `lag`; one may say `None` as well so
    /// that the primary has its share of the reads, and whoever asks then asks that.
    fn get_from_replica<'a>(&'a self, key: &'a [u8], lag: Span) -> BoxFuture<'a, Option<Found>> {
        let _ = (key, lag);
        std::future::ready(None).boxed()
    }

    /// Ends when `key` has probably changed since this was called, or when that can't be known any more. A tier that
    /// can't tell never ends it: whoever waits polls as well.
    fn changed<'a>(&'a self, key: &'a [u8]) -> BoxFuture<'a, ()> {
        let _ = key;
        std::future::pending().boxed()
    }
}

//! What is an entry here that came out of a tier? Its times, counted from now, and its value, decoded.

use bellwether_core::entry::{Kind, Meta};
use bellwether_core::fence::Fence;
use bellwether_core::time::Span;
use bellwether_core::write::stamp::Travelled;

use crate::entry::{Aside, Entry, Resident};
use crate::key::Key;
use crate::shared::{Encoded, Envelope};
use crate::state::space::SpaceState;

/// How long it lasts from the moment at which it was told. `fence`: the local one under which it is taken over.
pub(crate) fn travelled(envelope: &Envelope, fence: Fence) -> Travelled {
    Travelled {
        kind: envelope.kind,
        fence,
        age: Span(envelope.age_ms),
        fresh: Span(envelope.fresh_ms),
        swr_ms: envelope.swr_ms,
        hard_ms: envelope.hard_ms,
        cost_ms: envelope.cost_ms,
    }
}

/// The entry that is made of it. `None`: its bytes mean nothing to this space, or there is nothing to be kept.
pub(crate) fn unpacked(
    space: &SpaceState,
    key: &Key,
    kind: Kind,
    stored: Encoded,
    meta: Meta,
    aside: Aside,
) -> Option<Resident> {
    match kind {
        Kind::Value => Some(space.travel.as_ref()?.codec.decode(stored)?.into_entry(key, meta, aside)),
        Kind::Negative => Some(Entry::new(key, meta, aside, 0, ())),
        Kind::HitForMiss => None,
    }
}

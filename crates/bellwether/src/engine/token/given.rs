//! What does a client get that wants to fill a key by itself, and whose is it then?

use std::sync::Arc;

use bellwether_core::fence::Fence;
use bellwether_core::read::flight::FlightId;
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;

use crate::engine::ask::Answer;
use crate::engine::cell::{FlightCell, Outside};
use crate::entry::Resident;
use crate::key::Key;
use crate::state::flights::Shard;
use crate::token::Token;

/// After so long a client asks again that found all tokens of the process given out.
pub(crate) const FULL_RETRY: Span = Span::ms(500);

/// What a client gets that wants to fill a key by itself.
pub(crate) enum Leased {
    /// A value. Where it is stale and nobody fills it yet, with the token to do so.
    Value { entry: Resident, why: Why, at: Tick, token: Option<Token> },
    /// Nothing resident: fill it under this token.
    Token(Token),
    /// Another client holds the token, at most so much longer.
    Held(Span),
    /// The space was dropped, or begun anew: what would be written here is nobody's.
    Gone,
}

/// Gives a token with the stale value, if there is one.
pub(crate) fn given(stale: Option<Answer>, token: Token) -> Leased {
    match stale {
        Some((entry, why, at)) => Leased::Value { entry, why, at, token: Some(token) },
        None => Leased::Token(token),
    }
}

/// Who holds a token that is still the key's.
pub(crate) struct Holder {
    pub(crate) id: FlightId,
    pub(crate) cell: Arc<FlightCell>,
    /// The local fence under which it reads.
    pub(crate) fence: Fence,
    pub(crate) since: Tick,
}

/// The flight of the token that `is` tells by its right and its local fence, if it may still publish.
pub(crate) fn holder(
    shard: &Shard<Arc<FlightCell>>,
    key: &Key,
    now: Tick,
    is: impl Fn(Option<&Outside>, Fence) -> bool,
) -> Option<Holder> {
    shard.flights(key)?.iter().filter(|flight| !flight.overtaken).find_map(|flight| {
        let (reading, cell) = (flight.reading?, shard.cell(key, flight.id)?);
        let runs = cell.lease_until() != Tick::NEVER && now < cell.lease_until();
        let held = runs && is(cell.outside(), reading.fence);
        held.then_some(Holder { id: flight.id, cell, fence: reading.fence, since: reading.since })
    })
}

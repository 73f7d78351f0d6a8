//! Is this the fleet that the tier belongs to? A marker in the tier says by which settings it is used; whoever comes
//! with others is turned away before it reads or writes anything.

use bellwether::shared::{Acquired, Ask, Draw, Envelope, Format, Found, Tier, TierError};
use bellwether::{Fence, Kind, Mode, Span};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::config::{Backplane, BackplaneMode, Placement, Shared, SharedAt};

/// Its name behind the prefix: no key has one like it.
pub(crate) const NAME: &str = "@@fleet";
/// The way in which keys are named and entries written.
const LAYOUT: u64 = 1;
/// It stays for so long: longer than what it speaks of.
const STAYS: Span = Span(Span::LONGEST.0 - 24 * 3600 * 1000);
/// The right to write it is held for so long.
const LEASE: Span = Span::secs(2);

/// What a look at the marker found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fits {
    /// It was there, or is now: these are the settings.
    Yes,
    /// Others use this tier in another way: their settings, and ours.
    No { theirs: String, ours: String },
}

/// Whether what is not written down yet is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    Yes,
    /// Whoever asks only wants to know.
    No,
}

/// What all processes of a fleet must agree on.
pub(crate) fn settings(shared: &Shared) -> Value {
    let placement = match &shared.at {
        SharedAt::Redis(_) => "engine",
        SharedAt::Memcached { placement: Placement::Rendezvous, .. } => "rendezvous",
        SharedAt::Memcached { placement: Placement::Ketama, .. } => "ketama",
    };
    let backplane = match &shared.backplane {
        Backplane::Off => "off",
        Backplane::On { mode: BackplaneMode::Streams, .. } => "streams",
        Backplane::On { mode: BackplaneMode::PubSub, .. } => "pubsub",
    };
    json!({ "layout": LAYOUT, "placement": placement, "backplane": backplane })
}

/// Compares, and writes the marker where there is none, if it may.
///
/// # Errors
/// The tier can't be asked.
pub(crate) async fn look(tier: &dyn Tier, shared: &Shared, writes: Writes) -> Result<Fits, TierError> {
    let ours = settings(shared);
    let key = NAME.as_bytes();
    if let Found::Entry { envelope, .. } = tier.get(key).await? {
        return Ok(compared(&envelope.body, &ours));
    }
    if writes == Writes::No {
        return Ok(Fits::Yes);
    }
    // Whoever is late here is late with the very same bytes: its token need not be one of its own.
    let draw = Draw::default();
    let ask = Ask { lease: LEASE, mode: Mode::Miss, holds: Fence::ZERO, at_least: Fence::ZERO, draw };
    match tier.acquire(key, ask).await? {
        Acquired::Granted { token, .. } => {
            // Refused: somebody else was quicker, and the next start compares.
            tier.publish(key, token, marker(&ours)).await.map(|_| Fits::Yes)
        }
        Acquired::Fresh(envelope) => Ok(compared(&envelope.body, &ours)),
        // Somebody writes it right now: a process of this fleet, most likely, that has started beside us.
        _ => Ok(Fits::Yes),
    }
}

fn compared(theirs: &[u8], ours: &Value) -> Fits {
    let read: Option<Value> = serde_json::from_slice(theirs).ok();
    match read.as_ref() == Some(ours) {
        true => Fits::Yes,
        false => Fits::No { theirs: String::from_utf8_lossy(theirs).into_owned(), ours: ours.to_string() },
    }
}

/// What is written down, as an entry.
pub(super) fn marker(settings: &Value) -> Envelope {
    Envelope { fresh_ms: STAYS.0, format: Format::Json, ..Envelope::of(Kind::Value, Bytes::from(settings.to_string())) }
}

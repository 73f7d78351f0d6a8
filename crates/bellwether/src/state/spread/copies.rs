//! What is a copy of a split key's value, and what is the value of which something is a copy?

use bellwether_core::entry::Kind;
use bellwether_core::fence::Fence;
use bellwether_core::ring::split::LIFE;

use crate::shared::{Copied, Envelope, Found, Split};

/// A copy that is longer is compressed as well as can be: only what is hot has copies.
const LARGE: usize = 64 * 1024;

pub(super) fn salts_of(envelope: &Envelope) -> &[u32] {
    if let Split::Into(salts) = &envelope.split { salts } else { &[] }
}

/// A copy of a value, and the value's fence.
pub(super) fn copy_of(held: Envelope) -> Option<(Envelope, Fence)> {
    if held.kind != Kind::Value || held.invalidated {
        return None;
    }
    // Not longer than the value itself may be served.
    let life = LIFE.0.min(held.fresh_ms.saturating_add(u64::from(held.swr_ms)));
    let fence = held.fence;
    let copied = Copied {
        fence,
        fresh_ms: held.fresh_ms,
        swr_ms: held.swr_ms,
        hard_ms: held.hard_ms,
        life_ms: u32::try_from(life).unwrap_or(u32::MAX),
    };
    let tight = (held.body.len() > LARGE).then(|| held.tight.clone().unwrap_or_default());
    let copy = Envelope { split: Split::Copy(copied), fresh_ms: life, swr_ms: 0, hard_ms: 0, tight, ..held };
    (life > 0).then_some((copy, fence))
}

/// The value as it is now, of which this is a copy. `None`: it is no copy, or its life is over.
pub(super) fn original(copy: Envelope) -> Option<Envelope> {
    let Split::Copy(copied) = copy.split else { return None };
    if copy.fresh_ms == 0 || copy.invalidated {
        return None;
    }
    let passed = u64::from(copied.life_ms).saturating_sub(copy.fresh_ms);
    let stale = u32::try_from(passed.saturating_sub(copied.fresh_ms)).unwrap_or(u32::MAX);
    Some(Envelope {
        fence: copied.fence,
        fresh_ms: copied.fresh_ms.saturating_sub(passed),
        swr_ms: copied.swr_ms.saturating_sub(stale),
        hard_ms: copied.hard_ms.saturating_sub(stale),
        split: Split::No,
        ..copy
    })
}

/// A user's key may be called as a copy is: what is one is nothing to who asks for the key.
pub(super) fn uncopied(found: Found) -> Found {
    match found {
        Found::Entry { envelope: Envelope { split: Split::Copy(_), .. }, lease } => Found::Nothing { lease },
        found => found,
    }
}

pub(super) fn own(stale: Option<Envelope>) -> Option<Envelope> {
    stale.filter(|held| !matches!(held.split, Split::Copy(_)))
}

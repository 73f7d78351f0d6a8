//! Which clients want to hear of a key, read or not? Prefixes, each with its client.

use bytes::Bytes;

use super::client_id::ClientId;

/// Prefixes of all clients together: each change is compared with all of them.
pub(crate) const MOST_PREFIXES: usize = 1024;

/// There is no room for so many prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyPrefixes;

#[derive(Default)]
pub(super) struct Prefixes(Vec<(Bytes, ClientId)>);

impl Prefixes {
    pub(super) fn add(&mut self, id: ClientId, prefixes: &[Bytes]) {
        // None at all means all keys.
        if prefixes.is_empty() {
            self.0.push((Bytes::new(), id));
        }
        self.0.extend(prefixes.iter().map(|prefix| (prefix.clone(), id)));
    }

    pub(super) fn forget(&mut self, id: ClientId) {
        self.0.retain(|(_, of)| *of != id);
    }

    pub(super) fn room_for(&self, id: ClientId, prefixes: usize) -> Result<(), TooManyPrefixes> {
        let others = self.0.iter().filter(|(_, of)| *of != id).count();
        if others + prefixes.max(1) > MOST_PREFIXES { Err(TooManyPrefixes) } else { Ok(()) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn meet(&self, key: &[u8]) -> bool {
        self.0.iter().any(|(prefix, _)| key.starts_with(prefix))
    }

    /// Whoever wants to hear of `key`.
    pub(super) fn of(&self, key: &[u8]) -> Vec<ClientId> {
        self.0.iter().filter(|(prefix, _)| key.starts_with(prefix)).map(|(_, id)| *id).collect()
    }
}

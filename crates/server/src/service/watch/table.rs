//! Who was handed what, and until when is it good? Bounded: what does not fit is told to be no longer good.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use bellwether::Tick;
use bytes::Bytes;
use parking_lot::Mutex;

use super::client_id::ClientId;

/// Parts, each with its lock.
const PARTS: usize = 16;
/// Bytes that all of it may take, counted as below.
const MOST_BYTES: usize = 64 << 20;
/// What a key takes beside its own bytes, which are held twice.
const KEY_COST: usize = 160;
/// What each keeper of a key takes.
const KEEPER_COST: usize = size_of::<ClientId>();

/// A key that is no longer kept by those who kept it.
pub(super) struct Ended {
    pub(super) key: Bytes,
    pub(super) keepers: Vec<ClientId>,
}

#[derive(Default)]
struct Kept {
    keepers: Vec<ClientId>,
    until: Tick,
}

#[derive(Default)]
struct Part {
    keys: HashMap<Arc<[u8]>, Kept>,
    /// Ordered by the end: what ends first is told first, and goes first where there is no room.
    ends: BTreeSet<(Tick, Arc<[u8]>)>,
    bytes: usize,
}

/// Keys that were handed out, with their keepers.
#[derive(Default)]
pub(super) struct Table {
    parts: [Mutex<Part>; PARTS],
    hasher: std::hash::RandomState,
}

impl Table {
    fn part(&self, key: &[u8]) -> &Mutex<Part> {
        let at = usize::try_from(self.hasher.hash_one(key) % PARTS as u64).unwrap_or_default();
        &self.parts[at]
    }

    /// `keeper` is about to be handed `key`; what had to go for it.
    pub(super) fn keep(&self, key: &[u8], keeper: Option<ClientId>) -> Vec<Ended> {
        self.part(key).lock().keep(key, keeper, MOST_BYTES / PARTS)
    }

    /// What was handed out of `key` is good until then, and not longer because of it.
    pub(super) fn until(&self, key: &[u8], until: Tick) {
        self.part(key).lock().until(key, until);
    }

    /// The keepers of `key`, who keep it no longer.
    pub(super) fn take(&self, key: &[u8]) -> Vec<ClientId> {
        self.part(key).lock().take(key).map(|kept| kept.keepers).unwrap_or_default()
    }

    /// Everything that has ended at `now`.
    pub(super) fn take_due(&self, now: Tick) -> Vec<Ended> {
        self.parts.iter().flat_map(|part| part.lock().take_due(now)).collect()
    }

    /// Nothing is kept any more.
    pub(super) fn take_all(&self) {
        self.parts.iter().for_each(|part| drop(std::mem::take(&mut *part.lock())));
    }

    pub(super) fn keys(&self) -> usize {
        self.parts.iter().map(|part| part.lock().keys.len()).sum()
    }
}

impl Part {
    fn keep(&mut self, key: &[u8], keeper: Option<ClientId>, most: usize) -> Vec<Ended> {
        if !self.keys.contains_key(key) {
            let key: Arc<[u8]> = key.into();
            // Until it is known: what is handed out says so in a moment.
            self.ends.insert((Tick::NEVER, key.clone()));
            self.bytes += key.len() + KEY_COST;
            self.keys.insert(key, Kept { until: Tick::NEVER, keepers: Vec::new() });
        }
        if let Some(kept) = self.keys.get_mut(key)
            && let Some(keeper) = keeper
            && !kept.keepers.contains(&keeper)
        {
            kept.keepers.push(keeper);
            self.bytes += KEEPER_COST;
        }
        let mut ended = Vec::new();
        while self.bytes > most
            && let Some((_, first)) = self.ends.first().cloned()
        {
            ended.extend(self.end(&first));
        }
        ended
    }

    fn until(&mut self, key: &[u8], until: Tick) {
        let Some((key, before)) = self.keys.get_key_value(key).map(|(key, kept)| (key.clone(), kept.until)) else {
            return;
        };
        if until >= before {
            return;
        }
        self.ends.remove(&(before, key.clone()));
        self.ends.insert((until, key.clone()));
        if let Some(kept) = self.keys.get_mut(&key) {
            kept.until = until;
        }
    }

    fn take(&mut self, key: &[u8]) -> Option<Kept> {
        let (key, kept) = self.keys.remove_entry(key)?;
        self.bytes -= key.len() + KEY_COST + kept.keepers.len() * KEEPER_COST;
        self.ends.remove(&(kept.until, key));
        Some(kept)
    }

    fn end(&mut self, key: &[u8]) -> Option<Ended> {
        let kept = self.take(key)?;
        Some(Ended { key: Bytes::copy_from_slice(key), keepers: kept.keepers })
    }

    fn take_due(&mut self, now: Tick) -> Vec<Ended> {
        let mut ended = Vec::new();
        while let Some((_, key)) = self.ends.first().filter(|(until, _)| *until <= now).cloned() {
            ended.extend(self.end(&key));
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_with_the_first_of_what_was_handed_out_of_it() {
        let table = Table::default();
        assert!(table.keep(b"k", Some(1)).is_empty());
        table.until(b"k", Tick(500));
        assert!(table.keep(b"k", Some(2)).is_empty() && table.keep(b"k", Some(1)).is_empty());
        table.until(b"k", Tick(900));
        assert!(table.take_due(Tick(499)).is_empty());
        let ended = table.take_due(Tick(500));
        assert_eq!(ended.len(), 1);
        assert_eq!((&ended[0].key[..], &ended[0].keepers[..]), (&b"k"[..], &[1, 2][..]));
        assert!(table.take(b"k").is_empty() && table.keys() == 0);
        table.until(b"k", Tick(1));
        assert_eq!(table.keys(), 0, "what was told already is no longer kept");
    }

    #[test]
    fn g6_what_ends_first_goes_where_there_is_no_room() {
        let mut part = Part::default();
        let most = 10 * (KEY_COST + KEEPER_COST + 2);
        for i in 0..10_u8 {
            assert!(part.keep(&[b'k', i], Some(1), most).is_empty(), "{i}");
            part.until(&[b'k', i], Tick(100 - u64::from(i)));
        }
        let ended = part.keep(b"kx", Some(1), most);
        assert_eq!(ended.iter().map(|ended| ended.key.to_vec()).collect::<Vec<_>>(), [vec![b'k', 9]]);
        assert!(part.bytes <= most);
        let large = part.keep(&vec![b'x'; 4096], Some(1), most);
        assert_eq!((large.len(), part.bytes), (11, 0), "one that never fits is told at once, as is all before it");
        assert!(part.ends.is_empty() && part.keys.is_empty());
    }
}

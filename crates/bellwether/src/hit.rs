//! What does a program get from memory, if it has what is asked for? The typed face of a hit.

use bellwether_core::read::decide::Demand;
use bellwether_core::time::Tick;
use bellwether_core::why::Why;

use crate::cached::Cached;
use crate::engine::hit::{Closely, Glance, Look, Unfit};
use crate::entry::{Resident, Touched};
use crate::error::Error;
use crate::key::{CacheKey, KeyRef};
use crate::space::{Shared, Space};
use crate::state::memory::MANY;
use crate::weigh::Value;

/// Keys that [`Space::hit_many`] looks up together.
pub const HIT_MANY: usize = MANY;

impl<V: Value> Space<[u8], V> {
    /// As [`Space::hit`], of several keys at once: the value of each that is plainly fresh, in their order, at the front of
    /// `found`. Lookups of different keys wait for memory together, so that many cost less than as many alone. Keys
    /// beyond [`HIT_MANY`], or beyond the places in `found`, are not looked at.
    ///
    /// `None` means: ask for this key with [`Space::hit`] or [`Space::get`]. Hits are counted, `None` is not.
    pub fn hit_many(&self, keys: &[&[u8]], found: &mut [Option<Cached<V>>]) {
        let Shared { engine, state, .. } = &*self.shared;
        let mut asked = [KeyRef { hash: 0, bytes: &[], space: state.id }; MANY];
        let mut met = [const { None }; MANY];
        let many = keys.len().min(found.len()).min(MANY);
        let (asked, met) = (&mut asked[..many], &mut met[..many]);
        for (asked, key) in asked.iter_mut().zip(keys) {
            *asked = KeyRef::new(state.id, key, &engine.seed);
        }
        let (at, plain) = engine.glance_many(state, asked, met);
        for (nth, ((found, met), key)) in found.iter_mut().zip(met).zip(keys).enumerate() {
            *found = match met.take() {
                Some(entry) if plain & 1 << nth != 0 => {
                    state.count(Why::Hit);
                    Some(Cached::of_value(entry, Why::Hit, at))
                }
                Some(entry) => self.second_glance(key, entry, at).map(|entry| Cached::of_value(entry, Why::Hit, at)),
                None => None,
            };
        }
    }
}

impl<K: CacheKey + ?Sized, V: Value> Space<K, V> {
    /// A plainly fresh value, at the lowest price: a plain function that neither waits, nor
    /// allocates (but for a thread's first, which gives it a number), nor starts a refresh. `None` means: ask with
    /// [`Space::get`]. A hit is counted, `None` is not.
    #[inline(always)] // four words would come back by memory, written one by one and read in pairs: a quarter of a hit
    pub fn hit(&self, key: &K) -> Option<Cached<V>> {
        match self.glance(key) {
            Ok(Glance { entry, at, closely }) => {
                let entry = if closely.any() { self.look_closely(key, entry, closely) } else { entry };
                Some(Cached::of_value(entry, Why::Hit, at))
            }
            Err(unfit) => {
                let (found, at) = unfit?;
                Some(Cached::of_value(self.second_glance(key, found, at)?, Why::Hit, at))
            }
        }
    }

    /// A plainly fresh value, counted and to be looked at if that is due; or what value was found, to be judged.
    #[inline(always)]
    pub(crate) fn glance(&self, key: &K) -> Result<Glance, Unfit> {
        let Shared { engine, state, .. } = &*self.shared;
        key.with_bytes(|bytes| engine.glance(state, bytes))
    }

    /// A hit that is to be looked at. It pays for the key's hash once more.
    #[cold]
    #[inline(never)]
    pub(crate) fn look_closely(&self, key: &K, entry: Resident, closely: Closely) -> Resident {
        let Shared { engine, state, .. } = &*self.shared;
        key.with_bytes(|bytes| engine.look_at_hit(state, &KeyRef::new(state.id, bytes, &engine.seed), entry, closely))
    }

    /// What is known of a key that has no value.
    #[cold]
    pub(crate) fn nothing(&self, key: &K) -> Unfit {
        let Shared { engine, state, .. } = &*self.shared;
        key.with_bytes(|bytes| engine.nothing(&KeyRef::new(state.id, bytes, &engine.seed)))
    }

    /// What there is, for who insists on something: it is to be judged.
    #[cold]
    pub(crate) fn found(&self, key: &K) -> Unfit {
        let Shared { engine, state, .. } = &*self.shared;
        key.with_bytes(|bytes| engine.found(&KeyRef::new(state.id, bytes, &engine.seed)))
    }

    /// A hit that was more than a glance; its entry was touched once.
    #[cold]
    fn look_if_due(&self, key: &K, entry: Resident) -> Resident {
        let closely = self.shared.engine.closely(&entry, Touched { served: entry.count(), met: false });
        if closely.due { self.look_closely(key, entry, closely) } else { entry }
    }

    /// A fresh value that carries tags, or is early but not yet to be refreshed. It comes back in registers as well.
    #[cold]
    fn second_glance(&self, key: &K, found: Resident, at: Tick) -> Option<Resident> {
        let Shared { engine, state, .. } = &*self.shared;
        match engine.judge(state, || self.owned(key), Some(found), Demand::Any, at) {
            Look::Serve { entry, why: Why::Hit, at, refresh: false } => {
                engine.resync(state, || self.owned(key), &entry, at);
                state.count(Why::Hit);
                let entry = self.look_if_due(key, entry);
                entry.value::<V>().is_some().then_some(entry)
            }
            _ => None,
        }
    }

    /// The value with a note whether to refresh it; an error that needs no load; `None`: load.
    #[cold]
    pub(crate) fn judge(&self, key: &K, unfit: Unfit, demand: Demand) -> Result<Option<(Cached<V>, bool)>, Error> {
        let Shared { engine, state, .. } = &*self.shared;
        let (found, at) = unfit.map_or((None, Tick(0)), |(found, at)| (Some(found), at));
        match engine.judge(state, || self.owned(key), found, demand, at) {
            Look::Serve { entry, why, at, refresh } => {
                engine.resync(state, || self.owned(key), &entry, at);
                state.count(why);
                let entry = self.look_if_due(key, entry);
                match Cached::new(entry, why, at) {
                    Some(cached) => Ok(Some((cached, refresh))),
                    None => Err(Error::new(Why::Negative)),
                }
            }
            Look::NotCached => {
                state.count(Why::NotCached);
                Err(Error::new(Why::NotCached))
            }
            Look::Load | Look::LoadAlone => Ok(None),
        }
    }
}

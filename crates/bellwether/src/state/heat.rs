//! What was asked for in this window, and what is said of keys that are hot? Written to by hits, so: in fixed memory,
//! without waiting, without allocating.

mod pace;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use bellwether_core::draw::Draw;
use bellwether_core::heat::board::{Board, MOST_TRACKED, table};
use bellwether_core::heat::fleet::FleetView;
use bellwether_core::heat::policy::{Bars, HotPolicy, UNIT_BYTES, WINDOW};
use bellwether_core::heat::sample::{Drawn, Sampling};
use bellwether_core::heat::sketch::{Id, Look, Sketch};
use bellwether_core::heat::window::Counts;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::key::{Key, KeyRef};
use pace::Pace;

/// Keys that a window tells apart, by what their reads cost and by their writes: 64 KiB and 8 KiB.
const READ_CELLS: usize = 8_192;
const WRITE_CELLS: usize = 1_024;
/// Keys that are noted in a window, and the bytes of all their names together.
const MOST_NOTED: usize = 192;
const NOTED_BYTES: usize = 8 << 10;
/// Bytes of the names of all keys that are hot or watched, and of those that were noted last.
const KNOWN_BYTES: usize = 16 << 10;
/// And so many more for those that are hot within a window: they must not wait until there is room.
const HOT_BYTES: usize = 4 << 10;
/// Of both one part in so many is for keys that are hot, however many others there are.
const RESERVE: usize = 8;
/// From half of the room on the bar rises each time that so many more are noted.
const STEP: usize = MOST_NOTED / 8;
/// Keys of which counts are gathered to be told; beyond it no key more is taken up until they were.
pub(crate) const MOST_UNTOLD: usize = 112;
/// Keys that others find hot and whose names this process does not know: it notes them when they are asked for.
const WANTED: usize = 64;
/// Two counts stand before each shared name.
const BEFORE_NAME: usize = 16;
/// Keys of which the control task knows already that they are above the bar.
const SETTLED: usize = 1_024;
/// What one node is taken to bear until that was measured: what a Redis on a common machine does.
const ASSUMED_CAPACITY: u32 = 100_000;

/// The detector of one cache.
pub(crate) struct Heat {
    window: Window,
    /// How many accesses are looked at.
    pace: Pace,
    /// A key is noted once so much was counted of it in a window: as low as leaves room for all that are.
    note_at: AtomicU32,
    /// So much, in one window, is hot: the control task is woken at once.
    alarm_at: AtomicU32,
    alarmed: AtomicBool,
    pub(crate) alarm: Notify,
    noted: Mutex<Noted>,
    wanted: [AtomicU64; WANTED],
    /// There are any.
    wants: AtomicBool,
    /// They wake nobody: they were judged, and are judged again when the window is over.
    settled: Box<[AtomicU64; SETTLED]>,
    /// Operations a second that one node was measured to bear; 0: not yet.
    measured: AtomicU32,
    policy: RwLock<HotPolicy>,
    judged: Mutex<Judged>,
    /// Keys that could not be noted, because the place for their names was full or in use.
    pub(crate) dropped: AtomicU64,
}

struct Window {
    /// What reads cost: see [`cost_of`].
    reads: Sketch,
    writes: Sketch,
    /// Nothing was counted in it.
    empty: AtomicBool,
}

/// Keys that stood out in the window that runs. Its room is made beforehand: noting allocates nothing.
pub(crate) struct Noted {
    keys: Vec<NotedKey>,
    names: Vec<u8>,
}

/// One of them.
pub(crate) struct NotedKey {
    pub(crate) id: Id,
    /// As this process knows it.
    pub(crate) hash: u64,
    pub(crate) space: u32,
    /// Of the value that was read last.
    pub(crate) size: u32,
    name: std::ops::Range<usize>,
}

/// What is known at the end of the last window.
#[derive(Default)]
pub(crate) struct Judged {
    pub(crate) board: Board,
    pub(crate) view: FleetView,
    pub(crate) windows: u64,
    /// Whom others hear, if this process tells.
    pub(crate) tells_as: Option<u64>,
    /// The keys behind the ids: of all that are on the board, and of those that were noted last.
    pub(crate) known: HashMap<Id, Known>,
}

/// A key behind an id.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) key: Key,
    /// Of its value, when it was last seen.
    pub(crate) size: u32,
}

impl Judged {
    /// Bytes of all names, and of what stands before each.
    fn names(&self) -> usize {
        self.known.values().map(|known| known.key.bytes.len() + BEFORE_NAME).sum()
    }

    /// Forgets the keys of which nothing is said.
    pub(crate) fn forget(&mut self) {
        let Judged { board, known, .. } = self;
        known.retain(|id, _| board.stage(*id).is_some());
        // Who went leaves gaps, for which the table would grow.
        known.shrink_to(MOST_TRACKED);
    }

    /// Remembers the key behind an id. False: there is no room for its name.
    pub(crate) fn know(&mut self, id: Id, key: KeyRef<'_>, size: u32, hot: bool) -> bool {
        if !self.known.contains_key(&id) {
            let most = if hot { KNOWN_BYTES + HOT_BYTES } else { KNOWN_BYTES };
            if self.names() + key.bytes.len() + BEFORE_NAME > most {
                return false;
            }
            self.known.insert(id, Known { key: key.to_key(), size });
        }
        if size > 0
            && let Some(known) = self.known.get_mut(&id)
        {
            known.size = size;
        }
        true
    }
}

/// What was done with a key that is looked at.
pub(crate) enum Access {
    /// A value of so many bytes was read.
    Read {
        size: u32,
    },
    Write,
}

/// A key that is looked at. It is counted by its hash, which is at hand, and known to the fleet by its id, which is asked
/// for only where it stands out.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) key: KeyRef<'a>,
    /// Its space's: see [`id`].
    pub(crate) seed: u64,
}

/// A key as the whole fleet knows it.
pub(crate) fn id(seed: u64, key: &[u8]) -> Id {
    Id(xxhash_rust::xxh3::xxh3_64_with_seed(key, seed))
}

/// Where the capacity comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapacitySource {
    /// From the configuration.
    Configured,
    /// Measured when the cache was built: an estimate.
    Measured,
    /// Not measured yet.
    Assumed,
}

impl CapacitySource {
    /// As a word.
    pub fn as_str(self) -> &'static str {
        match self {
            CapacitySource::Configured => "configured",
            CapacitySource::Measured => "measured",
            CapacitySource::Assumed => "assumed",
        }
    }
}

/// What a read of so many bytes costs: an operation, or one per KiB where that is more.
pub(crate) fn cost_of(size: u32) -> u32 {
    (size / UNIT_BYTES as u32).max(1)
}

impl Heat {
    pub(crate) fn new(policy: HotPolicy) -> Heat {
        let heat = Heat {
            window: Window {
                reads: Sketch::new(READ_CELLS),
                writes: Sketch::new(WRITE_CELLS),
                empty: AtomicBool::new(true),
            },
            pace: Pace::new(),
            note_at: AtomicU32::new(1),
            alarm_at: AtomicU32::new(u32::MAX),
            alarmed: AtomicBool::new(false),
            alarm: Notify::new(),
            noted: Mutex::new(Noted::new()),
            wanted: std::array::from_fn(|_| AtomicU64::new(0)),
            wants: AtomicBool::new(false),
            settled: Box::new(std::array::from_fn(|_| AtomicU64::new(0))),
            measured: AtomicU32::new(0),
            policy: RwLock::new(policy),
            judged: Mutex::default(),
            dropped: AtomicU64::new(0),
        };
        heat.watch_for(1);
        heat
    }

    /// Which accesses are looked at.
    #[inline]
    pub(crate) fn sampling(&self) -> Sampling {
        self.pace.sampling()
    }

    /// One access that was drawn to be looked at.
    pub(crate) fn look(&self, asked: Asked<'_>, access: Access, drawn: Drawn) {
        let window = &self.window;
        // Written once in a window: what every hit reads lies near it.
        if window.empty.load(Ordering::Relaxed) {
            window.empty.store(false, Ordering::Relaxed);
        }
        self.pace.looked(drawn.weight);
        let hash = asked.key.hash;
        let (cost, sketch, size) = match access {
            Access::Read { size } => (cost_of(size), &window.reads, size),
            Access::Write => (1, &window.writes, 0),
        };
        let counted = sketch.look(hash, Look { weight: drawn.weight, cost }, Draw(drawn.nth).fork(hash));
        let (count, before) = (counted.now, counted.before);
        let passes = |bar: u32| count >= bar && before < bar;
        let note_at = self.note_at.load(Ordering::Relaxed);
        let alarm_at = self.alarm_at.load(Ordering::Relaxed);
        // And again each time that it doubles: the first time there may have been no room.
        let again = count > note_at && before.leading_zeros() > count.leading_zeros();
        let first = before == 0 && count > 0;
        let sought = first && self.wants.load(Ordering::Relaxed);
        if passes(note_at) || passes(alarm_at) || again || sought {
            let Asked { key, seed } = asked;
            let id = id(seed, key.bytes);
            if sought && !self.is_wanted(id) && !passes(note_at) && !passes(alarm_at) {
                return;
            }
            let noted = NotedKey { id, hash, space: key.space, size, name: 0..0 };
            self.note(noted, key.bytes, drawn.weight, count >= alarm_at);
            if count >= alarm_at && !self.is_settled(id) && !self.alarmed.swap(true, Ordering::Relaxed) {
                self.alarm.notify_one();
            }
        }
    }

    fn note(&self, key: NotedKey, name: &[u8], weight: u32, hot: bool) {
        // A hit never waits.
        let kept = self.noted.try_lock().and_then(|mut noted| noted.keep(key, name, hot).then_some(noted.keys.len()));
        if kept.is_some_and(|many| many * 2 >= MOST_NOTED && many % STEP == 0) {
            self.raise_bar(weight);
        }
        if kept.is_none() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Ends the window once what this gives is dropped: what is counted meanwhile is a part of it.
    pub(crate) fn turn(&self, into: &mut Noted) -> Closed<'_> {
        into.clear();
        std::mem::swap(&mut *self.noted.lock(), into);
        self.alarmed.store(false, Ordering::Relaxed);
        self.adapt(into);
        Closed { window: &self.window, ends: true }
    }

    /// What is counted so far in the window that runs, and the keys that were noted in it.
    pub(crate) fn so_far(&self) -> (Closed<'_>, Vec<(NotedKey, Vec<u8>)>) {
        let noted = self.noted.lock();
        let keys = noted.keys.iter().map(|key| (key.clone(), noted.name(key).to_vec())).collect();
        drop(noted);
        // Another key may become hot in the same window.
        self.alarmed.store(false, Ordering::Relaxed);
        (Closed { window: &self.window, ends: false }, keys)
    }

    /// As many keys are noted as there is room for.
    fn adapt(&self, noted: &Noted) {
        if noted.keys.len() * 8 < MOST_NOTED {
            let now = self.note_at.load(Ordering::Relaxed);
            self.note_at.store((now / 2).max(1), Ordering::Relaxed);
        }
    }

    /// Every look passes a bar that is lower than what one stands for.
    fn raise_bar(&self, weight: u32) {
        // Not above what is hot, or nobody would be.
        let most = self.alarm_at.load(Ordering::Relaxed).max(1);
        let next = self.note_at.load(Ordering::Relaxed).max(weight).saturating_mul(2);
        self.note_at.store(next.min(most), Ordering::Relaxed);
    }

    /// A window begins, in one of so many processes, after one that had so many accesses.
    pub(crate) fn sample_for(&self, accesses: u64, instances: u32) {
        let least = self.bars().watch * WINDOW.0 as f64 / 1000.0 / f64::from(instances.max(1));
        self.pace.begin(accesses, least as u64);
    }

    /// What is hot in one of so many processes.
    pub(crate) fn watch_for(&self, instances: u32) {
        let local = self.bars().local(instances);
        self.alarm_at.store(u32::try_from(local).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Keys whose names are to be noted when they are asked for.
    pub(crate) fn want(&self, ids: impl Iterator<Item = Id>) {
        let (mut wanted, mut wants) = ([0; WANTED], false);
        for id in ids {
            wanted[id.0 as usize % WANTED] = id.0;
            wants = true;
        }
        self.wants.store(wants, Ordering::Relaxed);
        self.wanted.iter().zip(wanted).for_each(|(slot, id)| slot.store(id, Ordering::Relaxed));
    }

    /// Keys that were found above the bar, in the window that is over: that they are there again is no news.
    pub(crate) fn settle(&self, ids: impl Iterator<Item = Id>) {
        let mut settled = [0; SETTLED];
        for id in ids {
            settled[id.0 as usize % SETTLED] = id.0;
        }
        self.settled.iter().zip(settled).for_each(|(slot, id)| slot.store(id, Ordering::Relaxed));
    }

    /// This one was judged within the window.
    pub(crate) fn settle_one(&self, id: Id) {
        self.settled[id.0 as usize % SETTLED].store(id.0, Ordering::Relaxed);
    }

    /// Whether a key was judged since it rose above the bar. One in a thousand is thought not to be, for another's sake.
    pub(crate) fn is_settled(&self, id: Id) -> bool {
        self.settled[id.0 as usize % SETTLED].load(Ordering::Relaxed) == id.0
    }

    fn is_wanted(&self, id: Id) -> bool {
        self.wanted[id.0 as usize % WANTED].load(Ordering::Relaxed) == id.0
    }

    /// Bytes that detection takes, but for what a task holds while it judges.
    pub(crate) fn bytes(&self) -> usize {
        let judged = self.judged.lock();
        // The task has as much room for keys that stood out as hits have.
        let noted = 2 * (MOST_NOTED * size_of::<NotedKey>() + NOTED_BYTES);
        let known = table(judged.known.capacity(), size_of::<(Id, Known)>()) + judged.names();
        let told = table(MOST_UNTOLD, size_of::<(Id, Counts)>());
        let sketches = self.window.reads.bytes() + self.window.writes.bytes();
        size_of::<Heat>()
            + size_of_val(&*self.settled)
            + sketches
            + noted
            + known
            + told
            + judged.board.bytes()
            + judged.view.bytes()
    }

    pub(crate) fn judged(&self) -> parking_lot::MutexGuard<'_, Judged> {
        self.judged.lock()
    }

    pub(crate) fn policy(&self) -> HotPolicy {
        self.policy.read().clone()
    }

    pub(crate) fn set_policy(&self, policy: HotPolicy) {
        *self.policy.write() = policy;
    }

    /// A node was measured to bear so many operations a second.
    pub(crate) fn measured(&self, capacity: u32) {
        self.measured.store(capacity.max(1), Ordering::Relaxed);
    }

    /// The thresholds in force.
    pub(crate) fn bars(&self) -> Bars {
        let measured = self.measured.load(Ordering::Relaxed);
        self.policy.read().bars(f64::from(if measured == 0 { ASSUMED_CAPACITY } else { measured }))
    }

    pub(crate) fn capacity_source(&self) -> CapacitySource {
        match (self.policy.read().capacity, self.measured.load(Ordering::Relaxed)) {
            (Some(_), _) => CapacitySource::Configured,
            (None, 0) => CapacitySource::Assumed,
            (None, _) => CapacitySource::Measured,
        }
    }
}

/// A window that can be read.
pub(crate) struct Closed<'a> {
    window: &'a Window,
    /// It ends with this.
    ends: bool,
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        // First the mark: what is counted from here on takes it away.
        if self.ends && !self.window.empty.swap(true, Ordering::Relaxed) {
            self.window.reads.clear();
            self.window.writes.clear();
        }
    }
}

impl Closed<'_> {
    /// Whether anything was counted.
    pub(crate) fn is_empty(&self) -> bool {
        self.window.empty.load(Ordering::Relaxed)
    }

    /// What the key with this hash, whose value has so many bytes, was asked for.
    pub(crate) fn counts(&self, hash: u64, size: u32) -> Counts {
        let reads = u64::from(self.window.reads.count(hash)).div_ceil(u64::from(cost_of(size)));
        let writes = u64::from(self.window.writes.count(hash));
        Counts { reads, writes, bytes: reads.saturating_mul(u64::from(size)) }
    }
}

impl Noted {
    pub(crate) fn new() -> Noted {
        Noted { keys: Vec::with_capacity(MOST_NOTED), names: Vec::with_capacity(NOTED_BYTES) }
    }

    /// Each key once, with its name.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&NotedKey, &[u8])> {
        self.keys.iter().map(|key| (key, self.name(key)))
    }

    fn name(&self, key: &NotedKey) -> &[u8] {
        &self.names[key.name.clone()]
    }

    fn keep(&mut self, key: NotedKey, name: &[u8], hot: bool) -> bool {
        if let Some(held) = self.keys.iter_mut().find(|held| held.id == key.id) {
            held.size = held.size.max(key.size);
            return true;
        }
        let open_to = |most: usize| if hot { most } else { most - most / RESERVE };
        if self.keys.len() >= open_to(MOST_NOTED) || self.names.len() + name.len() > open_to(NOTED_BYTES) {
            return false;
        }
        let from = self.names.len();
        self.names.extend_from_slice(name);
        self.keys.push(NotedKey { name: from..self.names.len(), ..key });
        true
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.names.clear();
    }
}

impl Clone for NotedKey {
    fn clone(&self) -> NotedKey {
        NotedKey { name: self.name.clone(), ..*self }
    }
}

#[cfg(test)]
mod tests;

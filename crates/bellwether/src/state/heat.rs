//! What was asked for in this window, and what is said of keys that are hot? Written to by hits, so: in fixed memory,
//! without waiting, without allocating.

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
    /// How many accesses are looked at: a [`Sampling`].
    thin: AtomicU32,
    /// A key is noted once so much was counted of it in a window: as low as leaves room for all that are.
    note_at: AtomicU32,
    /// So much, in one window, is hot: the control task is woken at once.
    alarm_at: AtomicU32,
    alarmed: AtomicBool,
    pub(crate) alarm: Notify,
    noted: Mutex<Noted>,
    wanted: [AtomicU64; WANTED],
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

/// What was counted of a key that was looked at.
pub(crate) enum Access {
    /// A value of so many bytes was read; from an entry that was served so often until now.
    Read {
        size: u32,
        served: Option<u32>,
    },
    Write,
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
            thin: AtomicU32::new(Sampling::FULL.0),
            note_at: AtomicU32::new(1),
            alarm_at: AtomicU32::new(u32::MAX),
            alarmed: AtomicBool::new(false),
            alarm: Notify::new(),
            noted: Mutex::new(Noted::new()),
            wanted: std::array::from_fn(|_| AtomicU64::new(0)),
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
        Sampling(self.thin.load(Ordering::Relaxed))
    }

    /// One access that was drawn to be looked at.
    pub(crate) fn look(&self, id: Id, space: u32, name: &[u8], access: Access, drawn: Drawn) {
        let window = &self.window;
        // Written once in a window: what every hit reads lies near it.
        if window.empty.load(Ordering::Relaxed) {
            window.empty.store(false, Ordering::Relaxed);
        }
        let draw = Draw(drawn.nth).fork(id.0);
        let (cost, sketch, size, served) = match access {
            Access::Read { size, served } => (cost_of(size), &window.reads, size, served),
            Access::Write => (1, &window.writes, 0, None),
        };
        let counted = sketch.look(id, Look { weight: drawn.weight, cost, served }, draw);
        let (count, before) = (counted.now, counted.before);
        let passes = |bar: u32| count >= bar && before < bar;
        let note_at = self.note_at.load(Ordering::Relaxed);
        let alarm_at = self.alarm_at.load(Ordering::Relaxed);
        // And again each time that it doubles: the first time there may have been no room.
        let again = count > note_at && before.leading_zeros() > count.leading_zeros();
        let first = before == 0 && count > 0;
        if passes(note_at) || passes(alarm_at) || again || (first && self.is_wanted(id)) {
            self.note(NotedKey { id, space, size, name: 0..0 }, name, drawn.weight, count >= alarm_at);
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

    /// The window that begins is looked at as closely as one needs to be that has so many accesses, in one of so many
    /// processes.
    pub(crate) fn sample_for(&self, accesses: u64, instances: u32) {
        let least = self.bars().watch * WINDOW.0 as f64 / 1000.0 / f64::from(instances.max(1));
        self.thin.store(Sampling::of(accesses, least as u64).0, Ordering::Relaxed);
    }

    /// What is hot in one of so many processes.
    pub(crate) fn watch_for(&self, instances: u32) {
        let local = self.bars().local(instances);
        self.alarm_at.store(u32::try_from(local).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Keys whose names are to be noted when they are asked for.
    pub(crate) fn want(&self, ids: impl Iterator<Item = Id>) {
        let mut wanted = [0; WANTED];
        for id in ids {
            wanted[id.0 as usize % WANTED] = id.0;
        }
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

    /// What a key, whose value has so many bytes, was asked for.
    pub(crate) fn counts(&self, id: Id, size: u32) -> Counts {
        let reads = u64::from(self.window.reads.count(id)).div_ceil(u64::from(cost_of(size)));
        let writes = u64::from(self.window.writes.count(id));
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
mod tests {
    use super::*;
    use crate::key::Seed;

    fn drawn(nth: u64) -> Drawn {
        Drawn { nth, weight: 8 }
    }

    fn reads(heat: &Heat, id: u64, times: u64) {
        (0..times)
            .for_each(|nth| heat.look(Id(id << 40 | id), 1, format!("key {id}").as_bytes(), read(10), drawn(nth)));
    }

    fn read(size: u32) -> Access {
        Access::Read { size, served: None }
    }

    #[test]
    fn detection_takes_no_more_than_256_kib_whatever_is_asked_for_and_told() {
        use bellwether_core::heat::board::{Seen, Sight};
        use bellwether_core::heat::fleet::Told;
        use bellwether_core::heat::hot::Rates;
        use bellwether_core::heat::policy::WINDOW;
        use bellwether_core::time::{Span, Tick};

        let policy = HotPolicy { capacity: Some(1_000.0), hold: Span::secs(1), ..HotPolicy::default() };
        let (heat, seed) = (Heat::new(policy.clone()), Seed::fixed(7));
        let (bars, mut noted, mut most) = (policy.bars(0.0), Noted::new(), 0);
        let at_rest = heat.bytes();
        for window in 0..600u64 {
            let now = Tick(1_000_000 + window * WINDOW.0);
            let mut judged = heat.judged();
            for sender in 0..100 {
                let told = |n: u64| Told {
                    id: Id(n.wrapping_mul(0x9E37) | 1),
                    counts: Counts { reads: n, ..Counts::default() },
                };
                let told: Vec<Told> = (0..32).map(|n| told(window * 3_200 + sender * 32 + n)).collect();
                judged.view.hear(sender, &told, now);
            }
            judged.view.turn(now);
            let name = format!("a key of a usual length, number {window:06} of many that are asked for");
            for n in 0..400u64 {
                let (id, name) = (Id(window << 32 | n << 8), format!("{name}{n}"));
                judged.know(id, KeyRef::new(1, name.as_bytes(), &seed), 10, n == 0);
            }
            let here = Counts { reads: 60 + window, ..Counts::default() };
            let seen: Vec<Seen> =
                judged.known.keys().map(|id| Seen { id: *id, space: 1, here, elsewhere: Rates::default() }).collect();
            judged.board.judge(&seen, &Sight { length: WINDOW, instances: 1, bars: &bars, policy: &policy, now });
            drop(judged);
            most = most.max(heat.bytes());
            heat.judged().forget();
            turn(&heat, &mut noted);
        }
        println!("detection: {at_rest} bytes at rest, {most} at most");
        assert!(at_rest > 80 << 10 && most > at_rest + (64 << 10), "the control: it was filled");
        assert!(most <= 256 << 10, "{most} bytes");
    }

    fn turn(heat: &Heat, noted: &mut Noted) {
        let _closed = heat.turn(noted);
    }

    fn names(noted: &Noted) -> Vec<String> {
        let mut names: Vec<String> = noted.keys().map(|(_, name)| String::from_utf8_lossy(name).into()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_window_tells_what_was_asked_for_in_it_and_no_more() {
        let (heat, mut noted) = (Heat::new(HotPolicy::default()), Noted::new());
        reads(&heat, 1, 5);
        heat.look(Id(2 << 40), 1, b"key 2", Access::Write, drawn(0));
        let closed = heat.turn(&mut noted);
        assert_eq!(names(&noted), ["key 1", "key 2"]);
        assert_eq!(closed.counts(Id(1 << 40 | 1), 10), Counts { reads: 40, writes: 0, bytes: 400 });
        assert_eq!(closed.counts(Id(2 << 40), 10), Counts { reads: 0, writes: 8, bytes: 0 });
        drop(closed);
        let closed = heat.turn(&mut noted);
        assert_eq!((closed.counts(Id(1 << 40 | 1), 10).reads, names(&noted).len()), (0, 0));
        assert!(closed.is_empty());
    }

    #[test]
    fn large_values_are_counted_by_what_they_cost() {
        let (heat, mut noted) = (Heat::new(HotPolicy::default()), Noted::new());
        (0..3).for_each(|nth| heat.look(Id(1 << 40), 1, b"large", read(64 << 10), drawn(nth)));
        let counts = heat.turn(&mut noted).counts(Id(1 << 40), 64 << 10);
        assert_eq!(counts, Counts { reads: 24, writes: 0, bytes: 24 * (64 << 10) });
        assert_eq!(counts.cost(), 24 * 64);
    }

    #[test]
    fn what_an_entry_has_counted_itself_is_counted_exactly() {
        let (heat, mut noted) = (Heat::new(HotPolicy::default()), Noted::new());
        for (nth, served) in [3, 9, 10, 25].into_iter().enumerate() {
            let access = Access::Read { size: 2 << 10, served: Some(served) };
            heat.look(Id(1 << 40), 1, b"key", access, drawn(nth as u64));
        }
        // The first look stands for eight, and after the last seven are served on average.
        assert_eq!(heat.turn(&mut noted).counts(Id(1 << 40), 2 << 10).reads, 8 + (25 - 3) + 7);
    }

    #[test]
    fn where_fewer_are_looked_at_the_counts_are_the_same() {
        let (heat, mut noted) = (Heat::new(HotPolicy::default()), Noted::new());
        let counted = |heat: &Heat, noted: &mut Noted| {
            let draws = (0..200_000).filter_map(|nth| heat.sampling().draw(nth));
            draws.for_each(|drawn| heat.look(Id(1 << 40), 1, b"key", read(10), drawn));
            heat.turn(noted).counts(Id(1 << 40), 10).reads
        };
        let closely = counted(&heat, &mut noted);
        heat.sample_for(2_000_000, 1);
        assert!(heat.sampling() != Sampling::FULL);
        let thinly = counted(&heat, &mut noted);
        for reads in [closely, thinly] {
            assert!((190_000..210_000).contains(&reads), "{reads}");
        }
        heat.sample_for(2_000_000, 1_000);
        assert!(heat.sampling().0 <= 2, "each of many sees little of a key that all of them ask for");
        heat.sample_for(2_000_000, 1);
        heat.sample_for(1_000, 1);
        assert_eq!(heat.sampling(), Sampling::FULL);
    }

    #[test]
    fn what_is_hot_inside_a_window_wakes_the_control_once() {
        let heat = Heat::new(HotPolicy { capacity: Some(8_000.0), ..HotPolicy::default() });
        heat.watch_for(1);
        let woken = || futures_util::FutureExt::now_or_never(heat.alarm.notified()).is_some();
        reads(&heat, 1, 49);
        assert!(!woken(), "392 of 400");
        reads(&heat, 1, 100);
        assert!(woken() && !woken());
        let (_, keys) = heat.so_far();
        assert!(keys.iter().any(|(_, name)| name == b"key 1"));
        reads(&heat, 2, 50);
        assert!(woken(), "another one, in the same window");
        // In the next one both are no news, and a third one is.
        heat.settle([1, 2].map(|id| Id(id << 40 | id)).into_iter());
        turn(&heat, &mut Noted::new());
        reads(&heat, 1, 400);
        reads(&heat, 2, 400);
        assert!(!woken());
        reads(&heat, 3, 50);
        assert!(woken());
    }

    #[test]
    fn a_flood_of_keys_is_noted_up_to_a_bound_and_then_only_what_stands_out() {
        let (heat, mut noted) = (Heat::new(HotPolicy::default()), Noted::new());
        for _ in 0..10 {
            (10..5_000).for_each(|id| reads(&heat, id, 1));
            reads(&heat, 1, 500);
            turn(&heat, &mut noted);
            assert!(noted.keys.len() <= MOST_NOTED && noted.names.len() <= NOTED_BYTES);
        }
        assert!(names(&noted).contains(&"key 1".to_owned()), "{:?}", names(&noted));
        // Names that are long find less room, and that is counted.
        (10..20).for_each(|id| heat.look(Id(id << 40), 1, &[b'x'; 4096], read(0), drawn(id)));
        assert!(heat.dropped.load(Ordering::Relaxed) > 0);
        turn(&heat, &mut noted);
        // In the first window of another flood as well, where it is hot.
        (10..5_000).for_each(|id| reads(&heat, id, 1));
        reads(&heat, 2, 700);
        assert!(heat.so_far().1.iter().any(|(_, name)| name == b"key 2"));
        // Once the flood is over, what is asked for seldom is noted again.
        (0..32).for_each(|_| turn(&heat, &mut noted));
        reads(&heat, 7, 1);
        turn(&heat, &mut noted);
        assert_eq!(names(&noted), ["key 7"]);
    }

    #[test]
    fn a_key_that_others_find_hot_is_noted_when_it_is_asked_for() {
        let (heat, mut noted) = (Heat::new(HotPolicy::default()), Noted::new());
        heat.note_at.store(100, Ordering::Relaxed);
        reads(&heat, 7, 1);
        turn(&heat, &mut noted);
        assert_eq!(names(&noted).len(), 0);
        heat.note_at.store(100, Ordering::Relaxed);
        heat.want([Id(7 << 40 | 7)].into_iter());
        reads(&heat, 7, 1);
        turn(&heat, &mut noted);
        assert_eq!(names(&noted), ["key 7"]);
    }
}

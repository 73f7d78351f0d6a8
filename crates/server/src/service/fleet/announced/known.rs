//! What does this process know of announcements, and what of the fleet's table: which words are the later ones?

use std::collections::HashMap;
use std::time::Instant;

use bellwether::MOST_ANNOUNCED;
use bellwether_adapters::events::announced::{Clock, MOST_ROWS, Notice, Row as Read, Table, after, stamped};

use crate::telemetry;

/// Keys of which is remembered that they were taken back; then the one of which that was said first is forgotten.
pub(super) const MOST_WITHDRAWN: usize = 2_000;
/// Clocks of processes may differ by so much before one of them forgets what holds for another.
const SLACK_MS: u64 = 60_000;

/// All that is known.
#[derive(Default)]
pub(super) struct Known {
    rows: HashMap<Vec<u8>, Row>,
    /// The clock by which words are in order, once it was read.
    clock: Option<Clock>,
    /// Counts what is said here.
    said: u64,
    /// Why not all that the table says is known.
    trouble: Option<String>,
}

struct Row {
    notice: Notice,
    /// It holds here.
    applied: bool,
    /// It is not in the table yet.
    owed: bool,
    /// Which of what was said here it is; 0: it was read.
    number: u64,
    /// It was said before the clock was known.
    unstamped: Option<Saying>,
}

/// When something was said here.
#[derive(Clone, Copy)]
struct Saying {
    at: Instant,
    /// Tells two of one millisecond apart.
    chance: u16,
    /// The stamp of what was known of the key then: this is later.
    knew: u64,
}

impl Saying {
    fn stamp(&self, clock: &Clock) -> u64 {
        stamped(clock.when(self.at), self.chance).max(after(self.knew))
    }
}

/// What the table lacks, and what it has too much.
#[derive(Default)]
pub(super) struct Differences {
    /// Said here, and not there yet.
    pub(super) owed: Vec<(Vec<u8>, Notice)>,
    /// Known here, and lost or older there.
    pub(super) lost: Vec<(Vec<u8>, Notice)>,
    /// Over, or taken back so long ago that newer ones need the place.
    pub(super) spent: Vec<(Vec<u8>, Read)>,
}

impl Known {
    /// What is known of `key`.
    pub(super) fn of(&self, key: &[u8]) -> Option<Notice> {
        self.rows.get(key).map(|row| row.notice)
    }

    /// Every key of which something is known.
    pub(super) fn keys(&self) -> Vec<Vec<u8>> {
        self.rows.keys().cloned().collect()
    }

    /// Why not all that the table says is known here, if that is so.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Whether the clock was read.
    pub(super) fn has_clock(&self) -> bool {
        self.clock.is_some()
    }

    /// Whether one more key can be announced, at this time of day.
    pub(super) fn has_room_for(&self, key: &[u8], wall_ms: u64) -> bool {
        let announced = |row: &&Row| !row.notice.withdrawn && row.notice.until_ms > wall_ms;
        self.rows.get(key).filter(announced).is_some() || self.rows.values().filter(announced).count() < MOST_ANNOUNCED
    }

    /// Somebody says so here, now. The number by which to ask for it.
    pub(super) fn say(&mut self, key: &[u8], notice: Notice, at: Instant, chance: u16) -> u64 {
        self.said += 1;
        let now_ms = self.clock.map_or(u64::MAX, |clock| clock.when(at));
        let knew = self.rows.get(key).map_or(0, |row| row.notice.order(now_ms));
        let saying = Saying { at, chance, knew };
        let mut row = Row { notice, applied: true, owed: true, number: self.said, unstamped: Some(saying) };
        if let Some(clock) = &self.clock {
            row.stamp(clock);
        }
        self.rows.insert(key.to_vec(), row);
        self.forget_oldest();
        self.said
    }

    /// The clock was read. What was said before that has its place in the order from now on.
    pub(super) fn read_clock(&mut self, clock: Clock) {
        self.rows.values_mut().for_each(|row| row.stamp(&clock));
        self.clock = Some(clock);
    }

    /// What was said here of `key` by that number; `None`: something else was said or heard since.
    pub(super) fn said(&self, key: &[u8], number: u64) -> Option<Notice> {
        self.rows.get(key).filter(|row| row.number == number && row.unstamped.is_none()).map(|row| row.notice)
    }

    /// Makes what was said here later than what was found in the table: who says it waits for the answer.
    pub(super) fn say_after(&mut self, key: &[u8], number: u64, found: Notice) {
        let Some(now_ms) = self.clock.map(|clock| clock.when(Instant::now())) else { return };
        if let Some(row) = self.rows.get_mut(key).filter(|row| row.number == number) {
            row.notice.stamp = row.notice.stamp.max(after(found.order(now_ms)));
        }
    }

    /// It stands in the table.
    pub(super) fn settled(&mut self, key: &[u8], notice: Notice) {
        if let Some(row) = self.rows.get_mut(key).filter(|row| row.notice == notice) {
            row.owed = false;
        }
    }

    /// Takes over what the table says later than this process. `apply` is asked to make it hold here; false: it can't yet.
    pub(super) fn merge(&mut self, table: &Table, wall_ms: u64, apply: &impl Fn(&[u8], Notice) -> bool) -> Differences {
        self.read_clock(table.clock);
        let now_ms = table.clock.ms;
        let is_over = |notice: &Notice| notice.until_ms.saturating_add(SLACK_MS) < wall_ms;
        self.rows.retain(|_, row| !is_over(&row.notice));
        let mut read: Vec<_> = table.rows.iter().filter(|(_, row)| !is_over(&row.notice)).collect();
        // Where there is no room for all, each process takes the same ones.
        read.sort_by_key(|(key, row)| (row.notice.order(now_ms), *key));
        let passed_over =
            read.iter().filter(|(key, row)| !self.take(key, row.notice, (now_ms, wall_ms), apply)).count();
        self.forget_oldest();
        self.trouble = trouble(table.more, passed_over);
        let mut differences = Differences::default();
        for (key, row) in &self.rows {
            let theirs = table.rows.get(key).map(|row| row.notice);
            let later = theirs.is_none_or(|theirs| row.notice.order(now_ms) > theirs.order(now_ms));
            match (row.owed, later) {
                (true, _) => differences.owed.push((key.clone(), row.notice)),
                (false, true) => differences.lost.push((key.clone(), row.notice)),
                (false, false) => {}
            }
        }
        let spent = |(key, row): &(&Vec<u8>, &Read)| {
            is_over(&row.notice) || (row.notice.withdrawn && !self.rows.contains_key(*key))
        };
        let spent = table.rows.iter().filter(spent).map(|(key, row)| (key.clone(), row.clone()));
        differences.spent = spent.collect();
        differences
    }

    /// Takes over what the table says of `key`, unless what is known here is later, as of its clock and of the time of day.
    /// False: there is no room for it.
    fn take(
        &mut self,
        key: &[u8],
        theirs: Notice,
        (now_ms, wall_ms): (u64, u64),
        apply: &impl Fn(&[u8], Notice) -> bool,
    ) -> bool {
        if let Some(held) = self.rows.get_mut(key) {
            if held.notice == theirs {
                held.owed = false;
                held.applied = held.applied || apply(key, theirs);
                return true;
            }
            let (ours, their_order) = (held.notice.order(now_ms), theirs.order(now_ms));
            if ours > their_order || (ours == their_order && held.owed) {
                return true;
            }
        }
        if !theirs.withdrawn && !self.has_room_for(key, wall_ms) {
            return false;
        }
        let row = Row { notice: theirs, applied: apply(key, theirs), owed: false, number: 0, unstamped: None };
        if self.rows.insert(key.to_vec(), row).is_some_and(|held| held.owed) {
            tracing::info!(
                key = %telemetry::key(key),
                "what was said here of it while the backplane was away is passed over: another process was told otherwise since"
            );
        }
        true
    }

    /// Of what was taken back the newest stay.
    fn forget_oldest(&mut self) {
        let withdrawn = self.rows.iter().filter(|(_, row)| row.notice.withdrawn && row.unstamped.is_none());
        let mut withdrawn: Vec<_> = withdrawn.map(|(key, row)| (row.notice.stamp, key.clone())).collect();
        let Some(excess) = withdrawn.len().checked_sub(MOST_WITHDRAWN).filter(|excess| *excess > 0) else { return };
        withdrawn.sort_unstable();
        for (_, key) in &withdrawn[..excess] {
            self.rows.remove(key);
        }
    }
}

impl Row {
    fn stamp(&mut self, clock: &Clock) {
        if let Some(saying) = self.unstamped.take() {
            self.notice.stamp = saying.stamp(clock);
        }
    }
}

/// Why not all that the table says holds here.
fn trouble(more: bool, passed_over: usize) -> Option<String> {
    let long = more.then(|| format!("it has more than {MOST_ROWS} rows, and only so many were looked through"));
    let full = (passed_over > 0)
        .then(|| format!("{passed_over} more keys are announced there than the {MOST_ANNOUNCED} that may be"));
    let words: Vec<String> = long.into_iter().chain(full).collect();
    (!words.is_empty()).then(|| {
        format!(
            "the fleet's table of announcements is too long: {}; remove (HDEL) what no `hot announce` wrote",
            words.join(", and ")
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What the clock shows, and the time of day.
    const NOW: u64 = 1_800_000_000_000;

    fn notice(withdrawn: bool, said_ms: u64) -> Notice {
        Notice { from_ms: NOW, until_ms: NOW + 600_000, withdrawn, stamp: stamped(said_ms, 7) }
    }

    fn table(rows: &[(&str, Notice)], at: Instant) -> Table {
        let rows = rows.iter().map(|(key, notice)| (key.as_bytes().to_vec(), Read::of(*notice)));
        Table { rows: rows.collect(), clock: Clock { ms: NOW, at }, more: false }
    }

    fn merged(known: &mut Known, table: &Table) -> Differences {
        known.merge(table, NOW, &|_, _| true)
    }

    #[test]
    fn of_two_who_spoke_of_one_key_the_later_words_hold_whoever_comes_first_to_write() {
        let at = Instant::now() + Duration::from_secs(100);
        for (theirs_ms_ago, ours_hold) in [(5_000, false), (15_000, true)] {
            let mut known = Known::default();
            // Said ten seconds before the clock could be read for the first time.
            known.say(b"k", notice(true, 0), at - Duration::from_secs(10), 3);
            let theirs = notice(false, NOW - theirs_ms_ago);
            let differences = merged(&mut known, &table(&[("k", theirs)], at));
            assert_eq!(known.of(b"k").map(|notice| notice.withdrawn), Some(ours_hold), "{theirs_ms_ago}");
            assert_eq!(differences.owed.len(), usize::from(ours_hold));
            assert_eq!(known.of(b"k").map(|notice| notice.stamp >> 16), Some(NOW - theirs_ms_ago.min(10_000)));
        }
    }

    #[test]
    fn who_speaks_of_what_he_knows_speaks_later_whatever_the_clock_shows() {
        let at = Instant::now();
        let mut known = Known::default();
        let theirs = notice(false, NOW + 5_000);
        merged(&mut known, &table(&[("k", theirs)], at));
        let number = known.say(b"k", notice(true, 0), at, 3);
        let ours = known.said(b"k", number).expect("it was said");
        assert!(ours.order(NOW) > theirs.order(NOW));
        merged(&mut known, &table(&[("k", theirs)], at));
        assert!(known.of(b"k").is_some_and(|notice| notice.withdrawn));
        // Found there while the one who says it waits.
        known.say_after(b"k", number, notice(false, NOW + 30_000));
        assert!(known.said(b"k", number).is_some_and(|ours| ours.stamp > stamped(NOW + 30_000, u16::MAX)));
    }

    #[test]
    fn an_older_row_of_a_table_that_was_lost_is_written_over_and_nothing_is_believed_of_it() {
        let at = Instant::now();
        let mut known = Known::default();
        merged(&mut known, &table(&[("k", notice(true, NOW - 10))], at));
        let asked = |_: &[u8], _: Notice| -> bool { panic!("nothing is new") };
        let differences = known.merge(&table(&[("k", notice(false, NOW - 20))], at), NOW, &asked);
        assert_eq!(differences.lost, [(b"k".to_vec(), notice(true, NOW - 10))]);
        let differences = merged(&mut known, &table(&[("k", notice(true, NOW - 10))], at));
        assert!(differences.lost.is_empty() && differences.owed.is_empty() && differences.spent.is_empty());
    }

    #[test]
    fn what_was_taken_back_holds_no_place_of_what_is_announced_and_the_oldest_is_forgotten() {
        let at = Instant::now();
        let mut known = Known::default();
        let keys: Vec<String> = (0..MOST_WITHDRAWN + 2).map(|n| format!("k{n}")).collect();
        let rows: Vec<(&str, Notice)> =
            (0..).zip(&keys).map(|(n, key)| (key.as_str(), notice(true, NOW - 10_000 + n))).collect();
        let differences = merged(&mut known, &table(&rows, at));
        assert!(known.has_room_for(b"new", NOW));
        let mut spent: Vec<_> = differences.spent.iter().map(|(key, _)| key.as_slice()).collect();
        spent.sort_unstable();
        assert_eq!(spent, [b"k0", b"k1"]);
        assert_eq!(known.trouble(), None);
    }

    #[test]
    fn more_announcements_than_fit_are_passed_over_and_said() {
        let at = Instant::now();
        let mut known = Known::default();
        let keys: Vec<String> = (0..MOST_ANNOUNCED + 2).map(|n| format!("k{n}")).collect();
        let rows: Vec<(&str, Notice)> =
            (0..).zip(&keys).map(|(n, key)| (key.as_str(), notice(false, NOW - 10_000 + n))).collect();
        let differences = merged(&mut known, &table(&rows, at));
        assert!(differences.spent.is_empty() && differences.lost.is_empty());
        assert_eq!((known.of(b"k0").is_some(), known.of(b"k1001")), (true, None));
        assert!(known.trouble().is_some_and(|words| words.contains("2 more keys")), "{:?}", known.trouble());
        assert!(known.has_room_for(b"k0", NOW) && !known.has_room_for(b"new", NOW));
        assert!(known.has_room_for(b"new", NOW + 600_000), "what is over holds no place");
        merged(&mut known, &table(&rows[..9], at));
        assert_eq!(known.trouble(), None);
    }
}

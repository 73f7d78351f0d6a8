//! Which keys will be hot, as somebody told the fleet? A table beside the stream: who starts later reads it as well.
//!
//! Of two who speak of one key the later words hold, whoever comes to write them first. When a word was said is a time
//! by the clock of the one server that holds the table; nothing is compared with any other clock.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use bellwether::events::TransportError;
use redis::cmd;

use super::RedisEvents;

/// Rows that are looked through at most; more were written by nobody of ours.
pub const MOST_ROWS: usize = 8_192;
/// Rows that one answer carries, about.
const PAGE: usize = 1_024;
/// Rows that one script writes.
const AT_ONCE: usize = 256;
/// Nobody can have said anything later than now. By so much a new primary's clock may be behind; the script knows it too.
const AHEAD_MS: u64 = 60_000;
/// Bits of a stamp that tell two of one millisecond apart.
const BY_CHANCE: u32 = 16;
const WRITE: &str = include_str!("announced.lua");
/// On a key's node: a cluster has as many clocks as nodes.
const CLOCK: &str = "local time = redis.call('TIME') return time[1] * 1000 + math.floor(time[2] / 1000)";

/// Keys and their rows as they stand there.
type Texts = Vec<(Vec<u8>, Vec<u8>)>;

/// What the fleet was last told of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// From when on it is hot, in ms since 1970.
    pub from_ms: u64,
    /// Until when; or, if it was taken back, how long that is remembered.
    pub until_ms: u64,
    /// It was taken back.
    pub withdrawn: bool,
    /// When it was said: [`stamped`].
    pub stamp: u64,
}

/// The stamp of what was said at `ms`, by the clock of the server that has the table. `chance` tells two of one
/// millisecond apart.
pub const fn stamped(ms: u64, chance: u16) -> u64 {
    (ms << BY_CHANCE) | chance as u64
}

/// The least stamp that is later than `stamp`.
pub const fn after(stamp: u64) -> u64 {
    stamp.saturating_add(1 << BY_CHANCE)
}

impl Notice {
    /// Its place among all that was said of the key, as of `now_ms` of the table's clock. Zero, before all else: words that
    /// nobody can have said yet. Somebody wrote them by hand, or a process of a build that stamps at random.
    pub const fn order(&self, now_ms: u64) -> u64 {
        if self.stamp >> BY_CHANCE > now_ms.saturating_add(AHEAD_MS) { 0 } else { self.stamp }
    }

    fn to_text(self) -> String {
        let Notice { from_ms, until_ms, withdrawn, stamp } = self;
        format!("{} {from_ms} {until_ms} {stamp:016x}", if withdrawn { 'w' } else { 'a' })
    }

    fn from_text(text: &[u8]) -> Option<Notice> {
        let mut words = std::str::from_utf8(text).ok()?.split(' ');
        let withdrawn = match words.next()? {
            "a" => false,
            "w" => true,
            _ => return None,
        };
        let mut number = || words.next()?.parse().ok();
        let (from_ms, until_ms) = (number()?, number()?);
        let stamp = u64::from_str_radix(words.next()?, 16).ok()?;
        words.next().is_none().then_some(Notice { from_ms, until_ms, withdrawn, stamp })
    }
}

/// The clock of the server that has the table, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// What it showed, in ms since 1970.
    pub ms: u64,
    /// When that was known here.
    pub at: Instant,
}

impl Clock {
    /// What it showed at `moment`, or will show.
    pub fn when(&self, moment: Instant) -> u64 {
        let ms = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        match moment.checked_duration_since(self.at) {
            Some(since) => self.ms.saturating_add(ms(since)),
            None => self.ms.saturating_sub(ms(self.at.saturating_duration_since(moment))),
        }
    }
}

/// What was read of the table.
#[derive(Debug)]
pub struct Table {
    /// What stands there in our words, by key. What is not in these was written by a later version, and is nothing to us.
    pub rows: HashMap<Vec<u8>, Row>,
    /// Its server's clock, before the rows were read.
    pub clock: Clock,
    /// It has more rows than were looked through.
    pub more: bool,
}

/// A row of the table, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it says.
    pub notice: Notice,
    /// As it stands there.
    text: Vec<u8>,
}

impl Row {
    /// The one that says this, as it is written.
    pub fn of(notice: Notice) -> Row {
        Row { notice, text: notice.to_text().into_bytes() }
    }
}

/// On whose word something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// Somebody said it.
    Said,
    /// It was in the table, which may have lost it.
    Repeated,
}

/// What became of words that were to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// They stand there now.
    Now,
    /// They stood there.
    Before,
    /// Later ones stand there, and stay. `None`: nobody here can read them.
    Not(Option<Notice>),
}

impl RedisEvents {
    /// The clock of the server that has the table.
    ///
    /// # Errors
    /// It can't be asked.
    pub async fn announced_clock(&self) -> Result<Clock, TransportError> {
        let mut clock = cmd("EVAL");
        clock.arg(CLOCK).arg(1).arg(&self.names.announced);
        let ms = self.ask(async |mut wire| clock.query_async(&mut wire).await).await?;
        Ok(Clock { ms, at: Instant::now() })
    }

    /// What the fleet was told. Of a table that is longer than anybody of ours makes it: what fits, and in any case what
    /// it says of `known` keys.
    ///
    /// # Errors
    /// It can't be asked.
    pub async fn notices(&self, known: Vec<Vec<u8>>) -> Result<Table, TransportError> {
        let mut table = Table { rows: HashMap::new(), clock: self.announced_clock().await?, more: false };
        let (mut looked, mut cursor) = (0, 0u64);
        loop {
            let page = self.ask(async |mut wire| {
                let mut scan = cmd("HSCAN");
                scan.arg(&self.names.announced).arg(cursor).arg("COUNT").arg(PAGE);
                scan.query_async(&mut wire).await
            });
            let (next, rows): (u64, Texts) = page.await?;
            looked += rows.len();
            table.take(rows.into_iter().take(MOST_ROWS));
            cursor = next;
            if cursor == 0 || looked >= MOST_ROWS {
                break;
            }
        }
        table.more = cursor != 0 || looked > MOST_ROWS;
        if table.more {
            let read: HashSet<_> = table.rows.keys().cloned().collect();
            let unread: Vec<_> = known.into_iter().filter(|key| !read.contains(key)).collect();
            for keys in unread.chunks(AT_ONCE) {
                let mut get = cmd("HMGET");
                get.arg(&self.names.announced).arg(keys);
                let rows: Vec<Option<Vec<u8>>> = self.ask(async |mut wire| get.query_async(&mut wire).await).await?;
                table.take(keys.iter().cloned().zip(rows).filter_map(|(key, row)| Some((key, row?))));
            }
        }
        Ok(table)
    }

    /// Writes down what holds of keys from now on, each unless later words stand there.
    ///
    /// # Errors
    /// It can't be asked, or takes no writes: the first so many may be written.
    pub async fn note(&self, rows: &[(Vec<u8>, Notice)], writing: Writing) -> Result<Vec<Written>, TransportError> {
        let verb = match writing {
            Writing::Said => "say",
            Writing::Repeated => "repeat",
        };
        let mut all = Vec::with_capacity(rows.len());
        for rows in rows.chunks(AT_ONCE) {
            let texts = rows.iter().map(|(key, notice)| (key.as_slice(), notice.to_text().into_bytes()));
            let answers = self.write(verb, &texts.collect::<Vec<_>>()).await?;
            all.extend(answers.iter().map(|answer| match answer.as_slice() {
                b"done" => Written::Now,
                b"same" => Written::Before,
                stays => Written::Not(Notice::from_text(stays)),
            }));
        }
        Ok(all)
    }

    /// Forgets rows, each unless something else was written there since.
    ///
    /// # Errors
    /// It can't be asked, or takes no writes.
    pub async fn forget(&self, rows: &[(Vec<u8>, Row)]) -> Result<(), TransportError> {
        for rows in rows.chunks(AT_ONCE) {
            let texts = rows.iter().map(|(key, row)| (key.as_slice(), row.text.clone()));
            self.write("forget", &texts.collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    async fn write(&self, verb: &str, rows: &[(&[u8], Vec<u8>)]) -> Result<Vec<Vec<u8>>, TransportError> {
        let mut write = cmd("EVAL");
        write.arg(WRITE).arg(1).arg(&self.names.announced).arg(verb);
        for (key, text) in rows {
            write.arg(*key).arg(text);
        }
        self.ask(async |mut wire| write.query_async(&mut wire).await).await
    }
}

impl Table {
    fn take(&mut self, rows: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) {
        let ours = |(key, text): (Vec<u8>, Vec<u8>)| Some((key, Row { notice: Notice::from_text(&text)?, text }));
        self.rows.extend(rows.filter_map(ours));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_read_back_and_other_words_are_none() {
        for withdrawn in [false, true] {
            let notice = Notice { from_ms: 7, until_ms: 1_800_000_000_000, withdrawn, stamp: 0xab };
            assert_eq!(Notice::from_text(notice.to_text().as_bytes()), Some(notice));
        }
        assert_eq!(Notice { from_ms: 1, until_ms: 2, withdrawn: false, stamp: 3 }.to_text(), "a 1 2 0000000000000003");
        for text in [&b"x 1 2 3"[..], b"a 1 2", b"a 1 2 3 4", b"a -1 2 3", b"", b"\xff 1 2 3", b"a 1 2 zz"] {
            assert_eq!(Notice::from_text(text), None, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_clock_that_was_read_once_tells_what_it_showed_before_and_since() {
        let at = Instant::now() + std::time::Duration::from_secs(10);
        let clock = Clock { ms: 1_000_000, at };
        let later = |ms| clock.when(at + std::time::Duration::from_millis(ms));
        assert_eq!((later(0), later(1_500)), (1_000_000, 1_001_500));
        assert_eq!(clock.when(at - std::time::Duration::from_secs(7)), 993_000);
    }

    #[test]
    fn words_are_in_the_order_in_which_they_were_said_and_those_of_tomorrow_before_all() {
        let now = 1_800_000_000_000;
        let said = |stamp| Notice { from_ms: 1, until_ms: 2, withdrawn: false, stamp };
        let order = |stamp| said(stamp).order(now);
        assert!(order(stamped(now - 1, u16::MAX)) < order(stamped(now, 0)));
        assert!(order(stamped(now, 7)) < order(stamped(now, 8)));
        assert!(order(stamped(now, 7)) < order(after(stamped(now, 7))));
        assert!(order(stamped(now + AHEAD_MS, 0)) > 0, "of a clock that was set back");
        assert_eq!(order(stamped(now + AHEAD_MS + 1, 9)), 0);
        assert_eq!(order(u64::MAX), 0);
    }
}

//! Which keys will be hot, as somebody told the fleet? A table beside the stream: who starts later reads it as well.
//!
//! What is written last of a key holds. Nobody's order depends on it, so it needs none: a row that differs from what is
//! known is news.

use bellwether::events::TransportError;
use redis::{Value, cmd};

use super::RedisEvents;

/// Rows that are read at most; more were written by nobody of ours.
const MOST_ROWS: usize = 8_192;
/// Rows that one answer carries, about.
const PAGE: usize = 256;
/// Writes a row unless there is one: with the commands that a backplane needs anyway.
const IF_ABSENT: &str = "return redis.call('HGET', KEYS[1], ARGV[1]) or redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])";

/// Keys and what is written of them.
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// What the fleet was last told of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// From when on it is hot, in ms since 1970.
    pub from_ms: u64,
    /// Until when; or, if it was taken back, how long that is remembered.
    pub until_ms: u64,
    /// It was taken back.
    pub withdrawn: bool,
    /// At random: said again it is another notice.
    pub stamp: u64,
}

impl Notice {
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

impl RedisEvents {
    /// What the fleet was told, by key. What is not in these words was written by a later version, and is nothing to us.
    ///
    /// # Errors
    /// It can't be asked, or there is far more than anybody wrote.
    pub async fn notices(&self) -> Result<Vec<(Vec<u8>, Notice)>, TransportError> {
        let (mut read, mut cursor) = (Vec::new(), 0u64);
        loop {
            let page = self.ask(async |mut wire| {
                let mut scan = cmd("HSCAN");
                scan.arg(&self.names.announced).arg(cursor).arg("COUNT").arg(PAGE);
                scan.query_async(&mut wire).await
            });
            let (next, rows): (u64, Rows) = page.await?;
            read.extend(rows.into_iter().filter_map(|(key, text)| Some((key, Notice::from_text(&text)?))));
            if read.len() > MOST_ROWS {
                return Err(TransportError("more keys are announced than anybody may announce".to_owned()));
            }
            cursor = next;
            if cursor == 0 {
                return Ok(read);
            }
        }
    }

    /// Writes down what holds of `key` from now on; with `if_absent` only where nothing is written. True: it was written.
    ///
    /// # Errors
    /// It can't be asked, or takes no writes.
    pub async fn note(&self, key: &[u8], notice: Notice, if_absent: bool) -> Result<bool, TransportError> {
        let mut write = if if_absent { cmd("EVAL") } else { cmd("HSET") };
        if if_absent {
            write.arg(IF_ABSENT).arg(1);
        }
        write.arg(&self.names.announced).arg(key).arg(notice.to_text());
        let answer = self.ask(async |mut wire| write.query_async::<Value>(&mut wire).await).await?;
        Ok(!if_absent || answer == Value::Int(1))
    }

    /// Forgets what is over.
    ///
    /// # Errors
    /// It can't be asked, or takes no writes.
    pub async fn forget(&self, keys: &[Vec<u8>]) -> Result<(), TransportError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.ask(async |mut wire| cmd("HDEL").arg(&self.names.announced).arg(keys).query_async::<u64>(&mut wire).await)
            .await
            .map(drop)
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
}

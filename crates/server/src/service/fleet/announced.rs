//! Which keys will be hot, as the fleet was told? Written down beside the backplane, which says when it was changed.
//!
//! The table is the truth: whoever starts, or missed a message, reads it. What this process knows and the table has lost
//! is written there again, so that a restarted Redis forgets nothing as long as one process runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether::events::{Batch, Message, Transport};
use bellwether_adapters::events::{Notice, RedisEvents};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Keys of which something is known, those included of which it was taken back.
pub(crate) const MOST_KNOWN: usize = 2_000;
/// So long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// The table is looked at so often, whatever is heard.
const LOOKS: Duration = Duration::from_secs(30);
/// The same while something is not told, or could not be read.
const AGAIN: Duration = Duration::from_secs(2);
/// Two looks are at least so far apart, whoever wakes this process, and how often.
const APART: Duration = Duration::from_millis(100);
/// Clocks of processes may differ by so much before one of them forgets what holds for another.
const SLACK_MS: u64 = 60_000;

/// What became of telling the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// There is no backplane: nobody else can hear of it.
    Nobody,
    /// It is written down, and the others are told to read it.
    Fleet,
    /// Later: why not now.
    Later(String),
}

/// What this process knows of announcements.
pub(crate) struct Announcements {
    events: Arc<RedisEvents>,
    known: Mutex<Known>,
    wake: Notify,
}

#[derive(Default)]
struct Known {
    rows: HashMap<Vec<u8>, Row>,
    /// Counts what is said here: a table that was read before says nothing of it.
    said: u64,
}

struct Row {
    notice: Notice,
    /// It holds here.
    applied: bool,
    /// It is not in the table yet.
    owed: bool,
    /// When it was said here, by `said`; 0: it was read.
    said: u64,
}

impl Announcements {
    pub(crate) fn new(events: Arc<RedisEvents>) -> Announcements {
        Announcements { events, known: Mutex::default(), wake: Notify::new() }
    }

    /// The table was changed, or may have been.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// What is known of `key`.
    pub(crate) fn of(&self, key: &[u8]) -> Option<Notice> {
        self.known.lock().rows.get(key).map(|row| row.notice)
    }

    /// Whether one more key can be spoken of.
    pub(crate) fn has_room_for(&self, key: &[u8]) -> bool {
        let known = self.known.lock();
        known.rows.len() < MOST_KNOWN || known.rows.contains_key(key)
    }

    /// Tells the others what holds of `key`; it holds here already.
    pub(crate) async fn tell(&self, key: &[u8], notice: Notice) -> Told {
        {
            let mut known = self.known.lock();
            known.said += 1;
            let said = known.said;
            known.rows.insert(key.to_vec(), Row { notice, applied: true, owed: true, said });
        }
        match within(self.events.note(key, notice, false)).await {
            Ok(_) => {
                self.settled(key, notice);
                self.nudge().await;
                Told::Fleet
            }
            Err(why) => {
                self.wake();
                Told::Later(why)
            }
        }
    }

    fn settled(&self, key: &[u8], notice: Notice) {
        if let Some(row) = self.known.lock().rows.get_mut(key).filter(|row| row.notice == notice) {
            row.owed = false;
        }
    }

    /// Tells all to read the table. If that is lost they look by themselves.
    async fn nudge(&self) {
        let batch = Batch { sender: 0, messages: vec![Message::Announced] };
        if let Err(why) = within(self.events.publish(&batch)).await {
            tracing::debug!(why, "others are not told that an announcement changed: they look by themselves");
        }
    }

    /// Follows the table for ever. `apply` is asked to make a notice hold here; false: it can't yet.
    pub(crate) async fn keep(&self, now_ms: impl Fn() -> u64, apply: impl Fn(&[u8], Notice) -> bool) {
        loop {
            let pause = match self.look(now_ms(), &apply).await {
                Ok(true) => LOOKS,
                Ok(false) => AGAIN,
                Err(why) => {
                    tracing::debug!(why, "what the fleet announces can't be read");
                    AGAIN
                }
            };
            tokio::time::sleep(APART).await;
            // Whoever woke it meanwhile is heard now.
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    /// Reads the table, makes hold what is new, and writes what it lacks. False: something is still to be told.
    async fn look(&self, now_ms: u64, apply: &impl Fn(&[u8], Notice) -> bool) -> Result<bool, String> {
        let before = self.known.lock().said;
        let mut table: HashMap<Vec<u8>, Notice> = within(self.events.notices()).await?.into_iter().collect();
        let is_over = |notice: &Notice| notice.until_ms.saturating_add(SLACK_MS) < now_ms;
        let over: Vec<Vec<u8>> =
            table.iter().filter(|(_, notice)| is_over(notice)).map(|(key, _)| key.clone()).collect();
        table.retain(|_, notice| !is_over(notice));
        let missing = self.merge(&table, before, is_over, apply);
        within(self.events.forget(&over)).await?;
        let (mut all_told, mut written) = (true, false);
        for (key, notice, owed) in &missing {
            match within(self.events.note(key, *notice, !owed)).await {
                Ok(new) => {
                    self.settled(key, *notice);
                    written |= new;
                }
                Err(_) => all_told = false,
            }
        }
        // A row that nobody here can read is not ours to mend, and no news: who told of it would wake all, and itself.
        if written {
            self.nudge().await;
        }
        Ok(all_told)
    }

    /// Takes over what the table says. What it lacks: each with whether it must be said whatever the table says by then.
    fn merge(
        &self,
        table: &HashMap<Vec<u8>, Notice>,
        before: u64,
        is_over: impl Fn(&Notice) -> bool,
        apply: &impl Fn(&[u8], Notice) -> bool,
    ) -> Vec<(Vec<u8>, Notice, bool)> {
        let mut known = self.known.lock();
        known.rows.retain(|_, row| !is_over(&row.notice));
        for (key, notice) in table {
            let held = known.rows.get(key);
            let settled =
                held.is_some_and(|row| row.owed || row.said > before || (row.notice == *notice && row.applied));
            if settled || (held.is_none() && known.rows.len() >= MOST_KNOWN) {
                continue;
            }
            let applied = apply(key, *notice);
            known.rows.insert(key.clone(), Row { notice: *notice, applied, owed: false, said: 0 });
        }
        let lacking =
            known.rows.iter().filter(|(key, row)| row.owed || !(row.said > before || table.contains_key(*key)));
        lacking.map(|(key, row)| (key.clone(), row.notice, row.owed)).collect()
    }
}

async fn within<T, E: std::fmt::Display>(call: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

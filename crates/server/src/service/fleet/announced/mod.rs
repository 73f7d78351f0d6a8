//! Which keys will be hot, as the fleet was told? Written down beside the backplane, which says when it was changed.
//!
//! Whoever starts, or missed a message, reads the table. Of two who speak of one key the later words hold, here and there.
//! What this process knows and the table has lost is written there again, so that a restarted Redis forgets nothing as long
//! as one process runs.

mod known;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether::events::{Batch, Message, Transport};
use bellwether_adapters::events::RedisEvents;
use bellwether_adapters::events::announced::{Notice, Writing, Written};
use parking_lot::Mutex;
use tokio::sync::Notify;

use known::Known;

/// So long an answer may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// So long the whole table may take.
const READING: Duration = Duration::from_secs(5);
/// The table is looked at so often, whatever is heard.
const LOOKS: Duration = Duration::from_secs(30);
/// The same while something is not told, or could not be read.
const AGAIN: Duration = Duration::from_secs(2);
/// Two looks are at least so far apart, whoever wakes this process, and how often.
const APART: Duration = Duration::from_millis(100);
/// Later words are found in the table so often before who says something is told that it is not told yet.
const TRIES: u32 = 3;

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
        self.known.lock().of(key)
    }

    /// Whether one more key can be announced.
    pub(crate) fn has_room_for(&self, key: &[u8], wall_ms: u64) -> bool {
        self.known.lock().has_room_for(key, wall_ms)
    }

    /// Why not all that the fleet announces holds here, if that is so.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.known.lock().trouble().map(str::to_owned)
    }

    /// Tells the others what holds of `key`; it holds here already.
    pub(crate) async fn tell(&self, key: &[u8], notice: Notice) -> Told {
        let number = self.known.lock().say(key, notice, Instant::now(), fastrand::u16(..));
        match self.write(key, number).await {
            Ok(()) => {
                self.nudge().await;
                Told::Fleet
            }
            Err(why) => {
                self.wake();
                Told::Later(why)
            }
        }
    }

    /// Writes down what was said here by that number.
    async fn write(&self, key: &[u8], number: u64) -> Result<(), String> {
        if !self.known.lock().has_clock() {
            let clock = within(PATIENCE, self.events.announced_clock()).await?;
            self.known.lock().read_clock(clock);
        }
        for _ in 0..TRIES {
            // Where it was said otherwise since, that is told by whoever said it.
            let Some(notice) = self.known.lock().said(key, number) else { return Ok(()) };
            let rows = [(key.to_vec(), notice)];
            match within(PATIENCE, self.events.note(&rows, Writing::Said)).await?.first() {
                // It is said now, whatever another clock made of what stands there.
                Some(Written::Not(Some(found))) => self.known.lock().say_after(key, number, *found),
                _ => {
                    self.known.lock().settled(key, notice);
                    return Ok(());
                }
            }
        }
        Err("others say otherwise at this moment".to_owned())
    }

    /// Tells all to read the table. If that is lost they look by themselves.
    async fn nudge(&self) {
        let batch = Batch { sender: 0, messages: vec![Message::Announced] };
        if let Err(why) = within(PATIENCE, self.events.publish(&batch)).await {
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

    /// Reads the table now, for who asks of a key that this process has not heard of: it may have been announced a moment
    /// ago elsewhere.
    pub(crate) async fn learn(&self, now_ms: u64, apply: impl Fn(&[u8], Notice) -> bool) {
        // Boxed: a look is large, and who asks for one is rare.
        if let Err(why) = within(PATIENCE, Box::pin(self.look(now_ms, &apply))).await {
            tracing::debug!(why, "what the fleet announces can't be read");
        }
    }

    /// Reads the table, makes hold what is new, and writes what it lacks. False: something is still to be told.
    async fn look(&self, now_ms: u64, apply: &impl Fn(&[u8], Notice) -> bool) -> Result<bool, String> {
        let keys = self.known.lock().keys();
        let table = within(READING, self.events.notices(keys)).await?;
        let differences = {
            let mut known = self.known.lock();
            let before = known.trouble().map(str::to_owned);
            let differences = known.merge(&table, now_ms, apply);
            if let Some(words) = known.trouble().filter(|_| before.is_none()) {
                tracing::warn!("{words}");
            }
            differences
        };
        within(READING, self.events.forget(&differences.spent)).await?;
        let (mut all_told, mut anew) = (true, false);
        for (rows, writing) in [(&differences.owed, Writing::Said), (&differences.lost, Writing::Repeated)] {
            let written = within(READING, self.events.note(rows, writing)).await?;
            for ((key, notice), written) in rows.iter().zip(written) {
                match written {
                    Written::Now | Written::Before => self.known.lock().settled(key, *notice),
                    // Later words came between: they are read next.
                    Written::Not(Some(_)) => all_told = false,
                    // A row that nobody here can read is not ours to mend.
                    Written::Not(None) => {}
                }
                anew |= written == Written::Now;
            }
        }
        // What stood there is no news: who told of it would wake all, and itself.
        if anew {
            self.nudge().await;
        }
        Ok(all_told)
    }
}

async fn within<T, E: std::fmt::Display>(
    patience: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match tokio::time::timeout(patience, call).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", patience.as_secs())),
    }
}

//! Who answers reads? A thread with a connection of its own, which sees what has been committed and nothing else.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwether::Span;
use bellwether::disk::{Held, Lying, Unserved};
use bellwether::shared::Envelope;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::mpsc;

use super::common::{Common, Opening, count};
use super::floors::Seq;
use super::order::{Answer, Ask, Order};
use super::row::{self, Head};
use super::schema;
use super::trouble::Trouble;
use super::underway;

/// Answers at most so many between two looks at the queue.
const AT_ONCE: usize = 256;

/// The thread's own.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) common: Arc<Common>,
    /// To tell the writer what was found wrong.
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) open: Option<(Arc<Opening>, Connection)>,
}

/// What stands under a key.
struct Stored {
    key: Vec<u8>,
    space: u64,
    at: Seq,
    expires_ms: u64,
    sum: i64,
    envelope: Bytes,
}

/// The same, read.
struct Found {
    id: i64,
    sum: i64,
    /// `None`: it can't be read, or nobody needs to.
    envelope: Option<Envelope>,
    earlier: bool,
    unserved: Option<Unserved>,
}

impl Reader {
    /// Until the handle is gone.
    pub(super) fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        let mut batch = Vec::with_capacity(AT_ONCE);
        while let Some(first) = asks.blocking_recv() {
            batch.push(first);
            while batch.len() < AT_ONCE
                && let Ok(more) = asks.try_recv()
            {
                batch.push(more);
            }
            for ask in batch.drain(..) {
                let Ask { key, space, answer } = ask;
                // Whoever gave up needs no answer.
                match answer {
                    Answer::Held(answer) if !answer.is_closed() => {
                        let _ = answer.send(self.answer(&key, space));
                    }
                    Answer::Lying(answer) if !answer.is_closed() => {
                        let _ = answer.send(self.lying(&key, space));
                    }
                    Answer::Held(_) | Answer::Lying(_) => {}
                }
            }
        }
    }

    fn answer(&mut self, key: &[u8], space: u64) -> Option<Held> {
        let Some(opening) = self.common.opening() else {
            count(&self.common.counts.skipped);
            return None;
        };
        match self.look(&opening, key, space).map(|found| self.usable(found?)) {
            Ok(Some(held)) => {
                count(&self.common.counts.hits);
                if held.earlier {
                    count(&self.common.counts.hits_earlier);
                }
                Some(held)
            }
            Ok(None) => {
                count(&self.common.counts.misses);
                None
            }
            Err(trouble) => {
                self.open = None;
                count(&self.common.counts.misses);
                self.tell(Order::Trouble { opening: opening.number, trouble });
                None
            }
        }
    }

    /// What may be served of it. What never will be is to be tidied away.
    fn usable(&self, found: Found) -> Option<Held> {
        let Found { id, sum, envelope, earlier, unserved } = found;
        match unserved {
            None => return envelope.map(|envelope| Held { envelope, earlier }),
            Some(Unserved::Unreadable) => {
                self.common.counts.unreadable.fetch_add(1, Ordering::Relaxed);
                self.tell(Order::Forget { id, sum });
            }
            Some(Unserved::Invalidated | Unserved::Remade) => self.tell(Order::Forget { id, sum }),
            // Its removal, or its end, takes it along.
            Some(Unserved::BeingInvalidated | Unserved::Ended) => {}
        }
        None
    }

    /// What lies there, whether it may be served or not: looked at, neither counted nor tidied.
    fn lying(&mut self, key: &[u8], space: u64) -> Option<Lying> {
        let opening = self.common.opening()?;
        // A trouble is found again by whoever reads.
        let Found { envelope, earlier, unserved, .. } = self.look(&opening, key, space).ok()??;
        let about = envelope.as_ref();
        let fresh = about.map_or(Span::ZERO, |envelope| Span(envelope.fresh_ms));
        Some(Lying {
            kind: about.map(|envelope| envelope.kind),
            age: about.map(|envelope| Span(envelope.age_ms)),
            fresh,
            kept: fresh + about.map_or(Span::ZERO, |envelope| Span(u64::from(envelope.hard_ms))),
            bytes: about.map_or(0, |envelope| envelope.body.len() as u64),
            earlier,
            unserved,
        })
    }

    /// What stands under the key, and why it may not be served.
    fn look(&mut self, opening: &Arc<Opening>, key: &[u8], space: u64) -> Result<Option<Found>, Trouble> {
        let id = row::id(key);
        let waiting = self.common.under_way.of_key(id);
        let Some(stored) = stored(self.connection(opening)?, id)? else { return Ok(None) };
        let found = |envelope, unserved| {
            let earlier = stored.at.life != opening.life;
            Ok(Some(Found { id, sum: stored.sum, envelope, earlier, unserved }))
        };
        let head = Head { key: &stored.key, space: stored.space, at: stored.at, expires_ms: stored.expires_ms };
        if head.sum(&stored.envelope) != stored.sum {
            return found(None, Some(Unserved::Unreadable));
        }
        let now = opening.clock.now_ms();
        // Another key of the same hash may have its place.
        if stored.key != *key {
            return Ok(None);
        }
        if stored.expires_ms <= now {
            return found(None, Some(Unserved::Ended));
        }
        let envelope = row::decode(key, &stored.envelope, now);
        if underway::covers(waiting, stored.at, opening.life) {
            return found(envelope, Some(Unserved::BeingInvalidated));
        }
        if stored.space != space {
            return found(envelope, Some(Unserved::Remade));
        }
        let Some(envelope) = envelope else { return found(None, Some(Unserved::Unreadable)) };
        let waiting = self.common.under_way.of_scopes(stored.space, &envelope.tags);
        if underway::covers(waiting, stored.at, opening.life) {
            return found(Some(envelope), Some(Unserved::BeingInvalidated));
        }
        if self.common.floors.read().cover(stored.at, stored.space, &envelope.tags) {
            return found(Some(envelope), Some(Unserved::Invalidated));
        }
        found(Some(envelope), None)
    }

    /// Help for the writer. Where its queue is full the next read finds the same again.
    fn tell(&self, order: Order) {
        let _ = self.orders.try_send(order);
    }

    /// The connection to this opening's file: a file that was begun anew is another one under the same name.
    fn connection(&mut self, opening: &Arc<Opening>) -> Result<&Connection, Trouble> {
        if self.open.as_ref().is_some_and(|(held, _)| held.number != opening.number) {
            self.open = None;
        }
        if self.open.is_none() {
            self.open = Some((opening.clone(), schema::connect_reader(&opening.path)?));
        }
        match &self.open {
            Some((_, connection)) => Ok(connection),
            None => Err(Trouble::Failed("no connection".to_owned())),
        }
    }
}

fn stored(connection: &Connection, id: i64) -> Result<Option<Stored>, Trouble> {
    let sql = "SELECT key, space, life, fence, expires_ms, sum, envelope FROM entry WHERE id = ?1";
    let found = connection.prepare_cached(sql)?.query_row([id], |row| {
        Ok(Stored {
            key: row.get(0)?,
            space: row.get::<_, i64>(1)?.cast_unsigned(),
            at: Seq { life: row.get(2)?, fence: row.get(3)? },
            expires_ms: row.get(4)?,
            sum: row.get(5)?,
            envelope: Bytes::from(row.get::<_, Vec<u8>>(6)?),
        })
    });
    Ok(found.optional()?)
}

//! Who answers reads? A thread with a connection of its own, which sees what has been committed and nothing else.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bellwether::disk::Held;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::mpsc;

use super::common::{Common, Opening, count};
use super::floors::Seq;
use super::order::{Ask, Order};
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
                // Whoever gave up needs no answer.
                if !ask.answer.is_closed() {
                    let held = self.answer(&ask);
                    let _ = ask.answer.send(held);
                }
            }
        }
    }

    fn answer(&mut self, ask: &Ask) -> Option<Held> {
        let Some(opening) = self.common.opening() else {
            count(&self.common.counts.skipped);
            return None;
        };
        match self.look(&opening, ask) {
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

    fn look(&mut self, opening: &Arc<Opening>, ask: &Ask) -> Result<Option<Held>, Trouble> {
        let (id, key) = (row::id(&ask.key), &ask.key);
        let waiting = self.common.under_way.of_key(id);
        let Some(stored) = stored(self.connection(opening)?, id)? else { return Ok(None) };
        let head = Head { key: &stored.key, space: stored.space, at: stored.at, expires_ms: stored.expires_ms };
        if head.sum(&stored.envelope) != stored.sum {
            return Ok(self.unreadable(id, stored.sum));
        }
        let now = opening.clock.now_ms();
        // Another key of the same hash may have its place.
        if stored.key != *key || stored.expires_ms <= now || underway::covers(waiting, stored.at, opening.life) {
            return Ok(None);
        }
        if stored.space != ask.space {
            // Values of that name are made in another way by now.
            self.tell(Order::Forget { id, sum: stored.sum });
            return Ok(None);
        }
        let Some(envelope) = row::decode(key, &stored.envelope, now) else {
            return Ok(self.unreadable(id, stored.sum));
        };
        let waiting = self.common.under_way.of_scopes(stored.space, &envelope.tags);
        if underway::covers(waiting, stored.at, opening.life) {
            return Ok(None);
        }
        if self.common.floors.read().cover(stored.at, stored.space, &envelope.tags) {
            self.tell(Order::Forget { id, sum: stored.sum });
            return Ok(None);
        }
        Ok(Some(Held { envelope, earlier: stored.at.life != opening.life }))
    }

    fn unreadable(&self, id: i64, sum: i64) -> Option<Held> {
        self.common.counts.unreadable.fetch_add(1, Ordering::Relaxed);
        self.tell(Order::Forget { id, sum });
        None
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

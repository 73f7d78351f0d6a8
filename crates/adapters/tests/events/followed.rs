//! A process that follows a backplane, as tests see it.

use std::sync::Arc;
use std::time::Duration;

use bellwether::events::{Batch, Floors, Follower, Message, News, Transport, Turn};
use bellwether::{Clock, Fence, Invalidation, Position};
use bellwether_adapters::events::RedisEvents;
use bellwether_servers::Redis;
use bytes::Bytes;

/// However slow the machine is.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn redis() -> Redis {
    Redis::start(&[]).expect("a redis-server")
}

pub(crate) fn events(url: &str) -> RedisEvents {
    RedisEvents::at(url, "bw:").expect("an address")
}

pub(crate) fn at(server: &Redis) -> Arc<RedisEvents> {
    Arc::new(events(&server.url()))
}

pub(crate) fn key(name: &str, fence: u64) -> Message {
    Message::Key {
        name: Bytes::copy_from_slice(name.as_bytes()),
        verb: Invalidation::Remove,
        fence: Some(Fence(fence)),
    }
}

pub(crate) fn tag(hash: u64) -> Message {
    Message::Tag { hash, verb: Invalidation::Remove }
}

pub(crate) fn batch(messages: impl Into<Vec<Message>>) -> Batch {
    Batch { sender: 7, messages: messages.into() }
}

/// Publishes however long the server needs to be there.
pub(crate) async fn publish(to: &RedisEvents, messages: impl Into<Vec<Message>>) -> Position {
    let batch = batch(messages);
    let sent = tokio::time::timeout(DEADLINE, async {
        loop {
            match to.publish(&batch).await {
                Ok(at) => return at,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    });
    sent.await.expect("the server takes it in time")
}

/// What one process knows.
pub(crate) struct Followed {
    follower: Follower,
    pub(crate) applied: Vec<(Position, Message)>,
    pub(crate) at: Position,
    pub(crate) floors: Floors,
    pub(crate) turns: Vec<Turn>,
}

impl Followed {
    pub(crate) fn new(events: Arc<RedisEvents>) -> Followed {
        Followed {
            follower: Follower::new(events, Clock::system()),
            applied: Vec::new(),
            at: Position::NONE,
            floors: Floors::new(),
            turns: Vec::new(),
        }
    }

    /// One that is live.
    pub(crate) async fn live(events: Arc<RedisEvents>) -> Followed {
        let mut followed = Followed::new(events);
        followed.until("it is live", |f| f.is_live()).await;
        followed
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.turns.last(), Some(Turn::Live { .. }))
    }

    pub(crate) fn heard(&self, message: &Message) -> bool {
        self.applied.iter().any(|(_, heard)| heard == message)
    }

    /// Follows until something is so.
    pub(crate) async fn until(&mut self, what: &str, so: impl Fn(&Followed) -> bool) {
        let end = tokio::time::Instant::now() + DEADLINE;
        while !so(self) {
            let news = tokio::time::timeout_at(end, self.follower.next()).await;
            match news.unwrap_or_else(|_| panic!("not in time: {what}; turns: {:?}", self.turns)) {
                News::Apply(at, batch) => {
                    assert!(at.epoch != self.at.epoch || at.number == self.at.number + 1, "{:?} then {at:?}", self.at);
                    batch.raises(at.number).for_each(|raised| self.floors.raise(raised));
                    self.applied.extend(batch.messages.into_iter().map(|message| (at, message)));
                    self.at = at;
                }
                News::Floors(at, floors) => (self.at, self.floors) = (at, floors),
                News::Turn(turn) => self.turns.push(turn),
            }
        }
    }
}

//! What comes? A stream is read from a position on; a channel brings what is published while one listens.

use bellwether::Position;
use bellwether::events::{Batch, Delivered, Incoming, TransportError};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use redis::aio::PubSub;
use redis::{RedisResult, cmd};

use super::link::{Wire, trouble};

/// The server answers after so long at the latest, in ms: heartbeats come every second.
pub(super) const BLOCK: u64 = 1_500;
/// Batches of one answer.
const MOST: usize = 64;

/// Reads the stream.
pub(super) struct StreamLine {
    pub(super) wire: Wire,
    pub(super) stream: String,
    pub(super) after: Position,
}

/// What XREAD answers: for each stream its entries, of each an id and its fields.
type Read = Option<Vec<(String, Vec<(String, Vec<Vec<u8>>)>)>>;

impl Incoming for StreamLine {
    fn resume(&mut self, after: Position) {
        self.after = after;
    }

    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Delivered>, TransportError>> {
        async move {
            let after = format!("{}-{}", self.after.epoch, self.after.number);
            let mut ask = cmd("XREAD");
            ask.arg("COUNT").arg(MOST).arg("BLOCK").arg(BLOCK).arg("STREAMS").arg(&self.stream).arg(after);
            let read: RedisResult<Read> = ask.query_async(&mut self.wire).await;
            let entries = read.map_err(|error| trouble(&error))?.into_iter().flatten().flat_map(|(_, entries)| entries);
            let delivered: Vec<Delivered> =
                entries.map(|(id, fields)| entry(&id, &fields)).collect::<Result<_, _>>()?;
            if let Some(last) = delivered.last() {
                self.after = last.at;
            }
            Ok(delivered)
        }
        .boxed()
    }
}

fn entry(id: &str, fields: &[Vec<u8>]) -> Result<Delivered, TransportError> {
    let at = position(id).ok_or_else(|| TransportError(format!("the stream has an entry without a position: {id}")))?;
    let batch = match fields {
        [name, bytes] if name == b"b" => Batch::from_bytes(bytes).ok(),
        _ => None,
    };
    Ok(Delivered { at, batch })
}

/// Hears a channel.
pub(super) struct ChannelLine(pub(super) PubSub);

impl Incoming for ChannelLine {
    fn resume(&mut self, _after: Position) {}

    fn next(&mut self) -> BoxFuture<'_, Result<Vec<Delivered>, TransportError>> {
        async move {
            let message = self.0.on_message().next().await;
            let message = message.ok_or_else(|| TransportError("the connection ended".to_owned()))?;
            let bytes = message.get_payload_bytes();
            let space = bytes.iter().position(|byte| *byte == b' ').unwrap_or(bytes.len());
            let id = String::from_utf8_lossy(&bytes[..space]);
            let at =
                position(&id).ok_or_else(|| TransportError("somebody else publishes on the channel".to_owned()))?;
            let batch = bytes.get(space + 1..).and_then(|bytes| Batch::from_bytes(bytes).ok());
            Ok(vec![Delivered { at, batch }])
        }
        .boxed()
    }
}

/// "1764222000123-7"
pub(super) fn position(id: &str) -> Option<Position> {
    let (epoch, number) = id.split_once('-')?;
    Some(Position { epoch: epoch.parse().ok()?, number: number.parse().ok()? })
}

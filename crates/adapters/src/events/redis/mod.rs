//! How does the backplane travel over Redis or Valkey? A stream with dense ids, and the floors beside it.
//!
//! One script writes a batch, raises its floors and gives it the next number, so what is read in the stream and what
//! is read in the floors is one story. The same script notices that the story broke, by a restart, a failover, a
//! deleted key or somebody else's writing, and begins a new epoch then.

pub mod announced;
mod check;
mod incoming;
mod link;
mod names;

use std::time::Duration;

use bellwether::events::{Batch, Delivery, HEARTBEAT, Head, Incoming, MOST_TAGS, Raised, Transport, TransportError};
use bellwether::{Position, Span};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::BoxStream;
use parking_lot::Mutex;
use redis::{RedisResult, Script, cmd};

use crate::SetupError;
use crate::tiers::address::RedisTarget;
use crate::tiers::redis::RedisTls;
use incoming::{BLOCK, ChannelLine, StreamLine};
use link::{Link, Wire, trouble};
use names::{Names, raised, scope};

/// A command that takes longer has failed.
const ANSWER: Duration = Duration::from_secs(1);
/// Floors that one answer carries, about.
const PAGE: usize = 2_000;
/// Batches that a stream keeps: whoever was away for longer reads the floors instead.
const LONGEST_STREAM: usize = 8_192;
/// How long a floor is kept; then it raises the floor of everything, and older entries are loaded anew.
const FLOORS_KEPT: Span = Span::secs(24 * 3600);

/// What the script does for every transport.
const STEP: &str = include_str!("step.lua");

/// A backplane over Redis or Valkey: the engine of the shared tier, or one of its own.
pub struct RedisEvents {
    link: Link,
    /// Whether it is spoken to over TLS.
    tls: bool,
    names: Names,
    delivery: Delivery,
    floors_kept: Span,
    step: Script,
    /// For all that is asked; what blocks has a connection of its own.
    wire: Mutex<Option<Wire>>,
}

impl RedisEvents {
    /// A backplane at `url`, its keys named after the `prefix` of the entries: `bw:` makes `{bw}:stream`.
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// The address can't be read.
    pub fn at(url: &str, prefix: &str) -> Result<RedisEvents, SetupError> {
        RedisEvents::open(&RedisTarget::parse(url)?, prefix, &RedisTls::default())
    }

    /// The same from what an address says, with certificates of one's own.
    ///
    /// # Errors
    /// It names no server, or the certificates are none.
    pub fn open(target: &RedisTarget, prefix: &str, tls: &RedisTls) -> Result<RedisEvents, SetupError> {
        Ok(RedisEvents {
            link: Link::to(target, tls)?,
            tls: target.tls,
            names: Names::beside(prefix),
            delivery: Delivery::Replayed,
            floors_kept: FLOORS_KEPT,
            step: Script::new(STEP),
            wire: Mutex::default(),
        })
    }

    /// Publishes instead of writing a stream: best effort. What is sent while a process is away is lost to it; it
    /// notices, and takes all its copies for suspect.
    #[must_use]
    pub fn best_effort(mut self) -> RedisEvents {
        self.delivery = Delivery::BestEffort;
        self
    }

    /// How long floors of tags and spaces are kept (default: a day). Entries that were loaded before are loaded anew
    /// once, so an entry's longest life is a good choice.
    #[must_use]
    pub fn floors_kept(mut self, kept: Span) -> RedisEvents {
        self.floors_kept = kept;
        self
    }

    /// The connection for what is asked, made if there is none.
    async fn wire(&self) -> RedisResult<Wire> {
        if let Some(wire) = self.wire.lock().clone() {
            return Ok(wire);
        }
        let mut wire = self.link.connect(ANSWER).await?;
        // Who is not let in hears it in plain words here; a long command is only told that it is too long.
        cmd("PING").query_async::<()>(&mut wire).await?;
        *self.wire.lock() = Some(wire.clone());
        Ok(wire)
    }

    /// Asks over it; after any failure the next question makes a new one, perhaps to another server.
    async fn ask<T>(&self, ask: impl AsyncFnOnce(Wire) -> RedisResult<T>) -> Result<T, TransportError> {
        let answer = match self.wire().await {
            Ok(wire) => ask(wire).await,
            Err(error) => Err(error),
        };
        answer.map_err(|error| {
            *self.wire.lock() = None;
            trouble(&error)
        })
    }

    /// One step: writes `batch` or, if it is `None`, a heartbeat where one is due.
    async fn step(&self, batch: Option<&Batch>) -> Result<Head, TransportError> {
        let (epoch, number, run) = self.ask(async |_| self.step_at(&self.names, batch).await).await?;
        Ok(Head { at: Position { epoch, number }, source: source(&run) })
    }

    /// The same on keys of any name.
    async fn step_at(&self, names: &Names, batch: Option<&Batch>) -> RedisResult<(u64, u64, String)> {
        let fields = batch.map(raised).unwrap_or_default();
        let bytes = batch.cloned().unwrap_or_default().to_bytes();
        let channel = match self.delivery {
            Delivery::Replayed => "",
            Delivery::BestEffort => &names.channel,
        };
        let command = |verb: &str, script: &str| {
            let mut command = cmd(verb);
            command.arg(script).arg(3).arg(&names.stream).arg(&names.floors).arg(&names.ages);
            command.arg(if batch.is_some() { "batch" } else { "head" }).arg(channel).arg(&bytes).arg(HEARTBEAT.0);
            command.arg(self.floors_kept.0).arg(MOST_TAGS).arg(LONGEST_STREAM).arg(&fields);
            command
        };
        let mut wire = self.wire().await?;
        match command("EVALSHA", self.step.get_hash()).query_async(&mut wire).await {
            // Scripts are not replicated: after a failover or a restart nobody knows them.
            Err(error) if error.code() == Some("NOSCRIPT") => command("EVAL", STEP).query_async(&mut wire).await,
            known => known,
        }
    }

    async fn read_floors(&self) -> Result<(Position, Vec<Raised>), TransportError> {
        let at = self.step(None).await?.at;
        let mut read = Vec::new();
        let mut cursor = 0u64;
        loop {
            let page = self.ask(async |mut wire| {
                let mut scan = cmd("HSCAN");
                scan.arg(&self.names.floors).arg(cursor).arg("COUNT").arg(PAGE);
                scan.query_async(&mut wire).await
            });
            let (next, fields): (u64, Vec<(Vec<u8>, String)>) = page.await?;
            read.extend(fields.iter().filter_map(|(field, number)| floor(field, number)));
            // A hash can change while it is walked; what stays in it is seen, and what leaves raises `.all`.
            if read.len() > MOST_READ {
                return Err(TransportError("there are more floors than a backplane keeps".to_owned()));
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        let all: Option<u64> = self
            .ask(async |mut wire| cmd("HGET").arg(&self.names.floors).arg(names::ALL).query_async(&mut wire).await)
            .await?;
        read.extend(all.and_then(|number| floor(names::ALL.as_bytes(), &number.to_string())));
        if self.step(None).await?.at.epoch != at.epoch {
            return Err(TransportError("the backplane began anew while its floors were read".to_owned()));
        }
        Ok((at, read))
    }
}

/// Floors that are read at most: a walk may see a field twice.
const MOST_READ: usize = 4 * MOST_TAGS;

fn floor(field: &[u8], number: &str) -> Option<Raised> {
    let (scope, verb) = scope(std::str::from_utf8(field).ok()?)?;
    Some(Raised { scope, verb, number: number.parse().ok()? })
}

/// A replication id as a number: 40 hexadecimal digits at random, of which 64 bits tell servers apart.
fn source(run: &str) -> u64 {
    run.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default()
}

impl Transport for RedisEvents {
    fn delivery(&self) -> Delivery {
        self.delivery
    }

    fn publish<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<Position, TransportError>> {
        async move { Ok(self.step(Some(batch)).await?.at) }.boxed()
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, TransportError>> {
        self.step(None).boxed()
    }

    fn floors(&self) -> BoxFuture<'_, Result<(Position, Vec<Raised>), TransportError>> {
        self.read_floors().boxed()
    }

    fn whisper(&self, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), TransportError>> {
        async move {
            // An error here is none of the backplane's: its connection is left as it is.
            let mut wire = self.wire().await.map_err(|error| trouble(&error))?;
            let told = cmd("PUBLISH").arg(&self.names.whispers).arg(bytes).query_async::<()>(&mut wire).await;
            told.map_err(|error| trouble(&error))
        }
        .boxed()
    }

    fn whispers(&self) -> BoxFuture<'_, Result<BoxStream<'static, Bytes>, TransportError>> {
        async move {
            let line = self.link.subscribe(&self.names.whispers).await.map_err(|error| trouble(&error))?;
            let payload = |message: redis::Msg| Bytes::copy_from_slice(message.get_payload_bytes());
            Ok(line.into_on_message().map(payload).boxed())
        }
        .boxed()
    }

    fn listen(&self) -> BoxFuture<'_, Result<Box<dyn Incoming>, TransportError>> {
        async move {
            let line: Box<dyn Incoming> = match self.delivery {
                Delivery::Replayed => {
                    let wire = self.link.connect(Duration::from_millis(BLOCK) + ANSWER).await;
                    let (wire, stream) = (wire.map_err(|error| trouble(&error))?, self.names.stream.clone());
                    Box::new(StreamLine { wire, stream, after: Position::NONE })
                }
                Delivery::BestEffort => {
                    let line = self.link.subscribe(&self.names.channel).await;
                    Box::new(ChannelLine(line.map_err(|error| trouble(&error))?))
                }
            };
            Ok(line)
        }
        .boxed()
    }
}

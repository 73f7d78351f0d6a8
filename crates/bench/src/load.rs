//! How are many requests kept going? Connections that each send a batch once the last one is answered.
//!
//! One thread and one poll over all connections, no tasks: a loader that costs more than the servers would measure
//! itself. Latency is that of a batch, from its send to its last reply, as redis-benchmark counts it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::error::Error;
use crate::histogram::Histogram;
use crate::stop::Stop;
use crate::wire::{Batch, KEYS, Replies, Wire};

/// Connections at once.
pub const CONNECTIONS: usize = 50;
/// A server that answers nothing for so long has failed.
const SILENT: Duration = Duration::from_secs(10);
/// Between two looks at whether to stop.
const GLANCE: Duration = Duration::from_millis(100);
/// Read at a time: four batches of the deepest.
const READ: usize = 64 << 10;

/// What is asked, of whom.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// The server.
    pub address: SocketAddr,
    /// Its language.
    pub wire: Wire,
    /// Requests of one batch.
    pub depth: usize,
    /// Until when.
    pub until: Until,
}

/// When a load ends. What was sent by then is still answered.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so long; keys drawn at random.
    Elapsed(Duration),
    /// Once every key was asked for, one after another.
    EveryKey,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Requests that were answered with a value.
    pub requests: u64,
    /// From the first send to the last reply.
    pub took: Duration,
    /// Of batches.
    pub latency: Histogram,
}

struct Connection {
    stream: TcpStream,
    batch: Batch,
    replies: Replies,
    /// Bytes of the batch that the socket has not taken.
    unsent: Vec<u8>,
    /// Replies of the batch still to come.
    awaited: usize,
    sent_at: Instant,
}

/// Keys and the end.
struct Source {
    until: Until,
    begun: Instant,
    draw: fastrand::Rng,
    next: usize,
}

impl Source {
    /// Whether another batch is to be sent.
    fn more(&self, now: Instant) -> bool {
        match self.until {
            Until::Elapsed(time) => now - self.begun < time,
            Until::EveryKey => self.next < KEYS,
        }
    }

    fn key(&mut self) -> usize {
        match self.until {
            Until::Elapsed(_) => self.draw.usize(..KEYS),
            Until::EveryKey => {
                self.next += 1;
                (self.next - 1) % KEYS
            }
        }
    }
}

impl Load {
    /// Runs to its end.
    ///
    /// # Errors
    /// The connection is refused or lost, an answer is no value, nothing is answered, or `stop` was asked for.
    pub fn run(self, stop: &Stop) -> Result<Loaded, Error> {
        let mut poll = Poll::new()?;
        let mut connections = Vec::with_capacity(CONNECTIONS);
        for at in 0..CONNECTIONS {
            let stream = std::net::TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(at), Interest::READABLE | Interest::WRITABLE)?;
            connections.push(Connection {
                stream,
                batch: Batch::new(self.wire, self.depth),
                replies: Replies::new(self.wire),
                unsent: Vec::new(),
                awaited: 0,
                sent_at: Instant::now(),
            });
        }
        self.drive(&mut poll, &mut connections, stop)
    }

    fn drive(self, poll: &mut Poll, all: &mut [Connection], stop: &Stop) -> Result<Loaded, Error> {
        let (mut buffer, mut events) = (vec![0; READ], Events::with_capacity(CONNECTIONS));
        let begun = Instant::now();
        let mut source = Source { until: self.until, begun, draw: fastrand::Rng::new(), next: 0 };
        let mut loaded = Loaded { requests: 0, took: Duration::ZERO, latency: Histogram::default() };
        let mut busy = 0;
        for connection in all.iter_mut() {
            if !source.more(begun) {
                break;
            }
            connection.send(self.depth, &mut source)?;
            busy += 1;
        }
        let mut heard = begun;
        while busy > 0 {
            stop.check()?;
            match poll.poll(&mut events, Some(GLANCE)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                done => done?,
            }
            if events.is_empty() && heard.elapsed() > SILENT {
                return Err(io::Error::new(ErrorKind::TimedOut, format!("nothing was answered for {SILENT:?}")).into());
            }
            for event in &events {
                let Some(connection) = all.get_mut(event.token().0) else { continue };
                if event.is_writable() {
                    connection.flush()?;
                }
                if !event.is_readable() || connection.awaited == 0 {
                    continue;
                }
                connection.read(&mut buffer)?;
                if connection.awaited > 0 {
                    continue;
                }
                heard = Instant::now();
                loaded.latency.record(heard - connection.sent_at);
                loaded.requests += self.depth as u64;
                if source.more(heard) {
                    connection.send(self.depth, &mut source)?;
                } else {
                    busy -= 1;
                }
            }
        }
        loaded.took = heard - begun;
        Ok(loaded)
    }
}

impl Connection {
    fn send(&mut self, depth: usize, source: &mut Source) -> io::Result<()> {
        let bytes = self.batch.next(|| source.key());
        self.awaited = depth;
        self.sent_at = Instant::now();
        let sent = wrote(self.stream.write(bytes))?;
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            let sent = wrote(self.stream.write(&self.unsent))?;
            if sent == 0 {
                return Ok(());
            }
            self.unsent.drain(..sent);
        }
        Ok(())
    }

    /// Reads until the batch is answered or nothing more has come.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed a connection")),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let ended = self.replies.feed(&buffer[..read]).map_err(|unexpected| {
                io::Error::new(ErrorKind::InvalidData, format!("not answered with a value but with: {}", unexpected.0))
            })?;
            self.awaited = self
                .awaited
                .checked_sub(ended)
                .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "more replies than requests"))?;
            // A read that does not fill the buffer has emptied the socket: more will wake us.
            if read < buffer.len() {
                return Ok(());
            }
        }
    }
}

/// Bytes taken; none if the socket has no room.
fn wrote(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

//! How is one connection asked? Commands go out in one write, replies are matched to them in order.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellwether_resp::{ReplyLimits, ReplyParser, Value};
use parking_lot::Mutex;
use tokio::net::TcpStream;

use crate::database::Database;
use crate::ledger::{Asked, Ledger};
use crate::script::Scale;

/// What all connections of a herd share.
pub(super) struct Herd {
    pub(super) ledger: Arc<Mutex<Ledger>>,
    database: Arc<Database>,
    late_after: Duration,
    /// Connections on which nothing is under way; at most all of them.
    idle: RefCell<Vec<usize>>,
    /// Whose turn it is when none is idle.
    turn: Cell<usize>,
}

impl Herd {
    pub(super) fn new(ledger: Arc<Mutex<Ledger>>, database: Arc<Database>, scale: &Scale) -> Rc<Herd> {
        let late_after = scale.deadline + scale.slack;
        Rc::new(Herd { ledger, database, late_after, idle: RefCell::default(), turn: Cell::default() })
    }

    /// The connection that goes next, and how many of `due` requests it takes. An idle one, so that no answer waits
    /// behind another's; only if there are more requests than idle connections they share.
    pub(super) fn next(&self, wires: &[Rc<Wire>], due: usize) -> (Rc<Wire>, usize) {
        let mut idle = self.idle.borrow_mut();
        let among = if idle.is_empty() { wires.len() } else { idle.len() };
        let number = idle.pop().unwrap_or_else(|| {
            self.turn.set((self.turn.get() + 1) % wires.len());
            self.turn.get()
        });
        (wires[number].clone(), due.div_ceil(among).min(due))
    }

    /// Nobody waits for what is still under way.
    pub(super) fn give_up(&self, wires: &[Rc<Wire>]) {
        let mut ledger = self.ledger.lock();
        for wire in wires {
            wire.pending.borrow_mut().drain(..).for_each(|_| ledger.gone());
        }
    }

    fn note(&self, asked: &Asked, value: &Value) {
        let took = asked.at.elapsed();
        let mut ledger = self.ledger.lock();
        match value {
            Value::Bulk(body) => ledger.page(asked, took, self.late_after, body, self.database.now_ms()),
            Value::Error(words) => ledger.error(took, self.late_after, &String::from_utf8_lossy(words)),
            _ => ledger.error(took, self.late_after, "nil"),
        }
    }
}

/// One connection.
pub(super) struct Wire {
    number: usize,
    stream: TcpStream,
    /// What was asked and not answered; its length is what the script asks in one moment.
    pending: RefCell<VecDeque<Asked>>,
    herd: Rc<Herd>,
}

impl Wire {
    /// Connects, and reads on a task of the current `LocalSet`.
    pub(super) async fn open(address: SocketAddr, number: usize, herd: &Rc<Herd>) -> io::Result<Rc<Wire>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let wire = Rc::new(Wire { number, stream, pending: RefCell::default(), herd: herd.clone() });
        herd.idle.borrow_mut().push(number);
        let reading = wire.clone();
        tokio::task::spawn_local(async move {
            // A connection that breaks leaves its requests unanswered, and as such they are counted.
            let _ = reading.read().await;
        });
        Ok(wire)
    }

    pub(super) fn outstanding(&self) -> usize {
        self.pending.borrow().len()
    }

    /// Sends these in one write.
    pub(super) async fn ask(&self, batch: impl Iterator<Item = Asked>) -> io::Result<()> {
        let mut commands = String::new();
        for asked in batch {
            let key = format!("product:{}", asked.id);
            // Writing into a String can't fail.
            let _ = write!(commands, "*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
            self.pending.borrow_mut().push_back(asked);
        }
        let mut rest = commands.as_bytes();
        while !rest.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn read(&self) -> io::Result<()> {
        let (mut parser, mut input) = (ReplyParser::new(ReplyLimits::NORMAL), Vec::new());
        loop {
            self.stream.readable().await?;
            match self.stream.try_read_buf(&mut input) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            let mut done = 0;
            while let Some(reply) = parser.next(&input[done..]).map_err(|_| io::ErrorKind::InvalidData)? {
                done += reply.consumed;
                let asked = self.pending.borrow_mut().pop_front().ok_or(io::ErrorKind::InvalidData)?;
                self.herd.note(&asked, &reply.value);
            }
            input.drain(..done);
            if self.outstanding() == 0 && !self.herd.idle.borrow().contains(&self.number) {
                self.herd.idle.borrow_mut().push(self.number);
            }
        }
    }
}

/// One blocking exchange: a command, and the first line of its reply.
pub(super) fn exchange(stream: &mut std::net::TcpStream, command: &str, limit: Duration) -> io::Result<String> {
    use std::io::{Read as _, Write as _};
    let until = Instant::now() + limit;
    stream.write_all(command.as_bytes())?;
    let mut reply = Vec::new();
    let mut chunk = [0; 512];
    while !reply.ends_with(b"\r\n") {
        let left = until.saturating_duration_since(Instant::now());
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => reply.extend_from_slice(&chunk[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&reply).trim_end().to_owned())
}

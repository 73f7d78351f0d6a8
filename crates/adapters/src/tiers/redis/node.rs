//! How is one node asked? A few connections, a breaker, a clock: every call ends in bounded time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bellwether::shared::{Limit, TierTrouble};
use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, Pipeline, ProtocolVersion, PushInfo, PushKind,
    RedisResult, Value,
};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::clock::{Local, NodeClock};
use super::common::Common;
use super::counters::NodeState;
use super::fault::Fault;
use super::lane::{Lane, Line, Purpose};
use super::step::Step;
use super::waits::Waits;
use crate::SetupError;
use crate::tiers::address::{RedisShape, ServerAddress};
use crate::tiers::breaker::{Breaker, pause};
use crate::tiers::health::Health;

/// Commands that wait for room in a connection's buffer.
const QUEUE: usize = 256;
/// So often a node is asked for the time: it tells as well that it is still there.
const BEAT: Duration = Duration::from_secs(10);

/// One server.
pub(super) struct Node {
    common: Arc<Common>,
    /// Where it is, for people.
    pub(super) label: String,
    /// By RESP3, and by RESP2 for servers that know no other.
    clients: [Client; 2],
    plain: AtomicBool,
    /// A cluster's node answers reads of slots that it copies only if told to.
    in_cluster: bool,
    pub(super) breaker: Breaker,
    /// Why the breaker opened.
    why: Mutex<String>,
    /// Whether it takes writes.
    pub(super) health: Health,
    pub(super) clock: NodeClock,
    /// How far it lags behind its primary, if it is a replica.
    pub(super) step: Step,
    main: Lane,
    bulk: Lane,
    wait: Lane,
    pub(super) waits: Waits,
    kick: Arc<Notify>,
    kept: AtomicBool,
}

impl Node {
    /// A node at `address`; nothing is connected yet.
    pub(super) fn at(common: &Arc<Common>, address: &ServerAddress) -> Result<Arc<Node>, SetupError> {
        Node::behind(common, common.at(address), address.to_string())
    }

    /// A node behind whatever an operating system connects to.
    pub(super) fn behind(common: &Arc<Common>, place: ConnectionAddr, label: String) -> Result<Arc<Node>, SetupError> {
        let by = |protocol| common.client(place.clone(), common.login().set_protocol(protocol));
        Ok(Arc::new(Node {
            clients: [by(ProtocolVersion::RESP3)?, by(ProtocolVersion::RESP2)?],
            common: common.clone(),
            label,
            plain: AtomicBool::new(false),
            in_cluster: matches!(common.target.shape, RedisShape::Cluster(_)),
            breaker: Breaker::default(),
            why: Mutex::default(),
            health: Health::default(),
            clock: NodeClock::default(),
            step: Step::default(),
            main: Lane::new(),
            bulk: Lane::new(),
            wait: Lane::new(),
            waits: Waits::default(),
            kick: Arc::new(Notify::new()),
            kept: AtomicBool::new(false),
        }))
    }

    /// Where its connections live.
    pub(super) fn runtime(&self) -> &Handle {
        &self.common.runtime
    }

    /// A limit on what this node answers.
    fn limit(&self, limit: Duration) -> Limit {
        Limit::new(limit).read_by(&self.common.runtime)
    }

    /// One command, and what was answered.
    pub(super) async fn call(self: &Arc<Node>, purpose: Purpose, cmd: &Cmd) -> Result<Value, Fault> {
        let mut patience = Patience::new(self, purpose);
        let mut line = match patience.connected(self.line(purpose)).await {
            Ok(line) => line,
            Err(fault) => return patience.over(Err(fault)),
        };
        let result = patience.answered(line.conn.send_packed_command(cmd)).await;
        patience.over(self.judge(purpose, &line, result).and_then(|value| match value {
            Value::ServerError(error) => Err(Fault::answered(&error)),
            value => Ok(value),
        }))
    }

    /// Several commands at once; errors of single ones are among the answers.
    pub(super) async fn call_all(self: &Arc<Node>, purpose: Purpose, pipe: &Pipeline) -> Result<Vec<Value>, Fault> {
        let mut patience = Patience::new(self, purpose);
        let mut line = match patience.connected(self.line(purpose)).await {
            Ok(line) => line,
            Err(fault) => return patience.over(Err(fault)),
        };
        let result = patience.answered(line.conn.send_packed_commands(pipe, 0, pipe.len())).await;
        patience.over(self.judge(purpose, &line, result))
    }

    /// A call of one that was sent on here while its slot moves.
    pub(super) async fn call_asking(self: &Arc<Node>, purpose: Purpose, cmd: &Cmd) -> Result<Value, Fault> {
        let mut pipe = redis::pipe();
        pipe.cmd("ASKING").add_command(cmd.clone());
        match self.call_all(purpose, &pipe).await?.pop() {
            Some(Value::ServerError(error)) => Err(Fault::answered(&error)),
            Some(value) => Ok(value),
            None => Err(Fault::Other("no answer to what was asked".into())),
        }
    }

    fn lane(&self, purpose: Purpose) -> &Lane {
        match purpose {
            Purpose::Main => &self.main,
            Purpose::Bulk => &self.bulk,
            Purpose::Wait => &self.wait,
        }
    }

    /// A connection, made if need be. Bounded by the time to connect, and over at once while the breaker is open.
    async fn line(self: &Arc<Node>, purpose: Purpose) -> Result<Line, Fault> {
        if self.breaker.is_open() {
            self.common.counters.turned_away.add();
            return Err(Fault::Open(self.why.lock().clone()));
        }
        match self.lane(purpose).line() {
            Some(line) => Ok(line),
            None => self.lane(purpose).outcome(|| self.connect(purpose)).await.map_err(Fault::Lost),
        }
    }

    /// Begins to connect, unless somebody has.
    fn connect(self: &Arc<Node>, purpose: Purpose) {
        let Some(epoch) = self.lane(purpose).begin() else { return };
        self.keep();
        let node = self.clone();
        // Not on a caller's runtime: it may end before the connection does.
        self.common.runtime.spawn(async move {
            let outcome = node.make(purpose, epoch).await;
            if purpose == Purpose::Main {
                match &outcome {
                    Ok(_) if node.breaker.close() => {
                        tracing::info!(node = %node.label, "reachable again");
                    }
                    Ok(_) => {}
                    Err(why) => node.open(why.clone()),
                }
            }
            node.lane(purpose).end(outcome);
        });
    }

    async fn make(self: &Arc<Node>, purpose: Purpose, epoch: u64) -> Result<redis::aio::MultiplexedConnection, String> {
        let mut made = self.handshake(purpose, epoch).await;
        if made.as_ref().is_err_and(|error| error.kind() == ErrorKind::RESP3NotSupported) {
            self.plain.store(true, Ordering::Relaxed);
            made = self.handshake(purpose, epoch).await;
        }
        // A password is in none of these texts: they are the server's and the system's.
        let mut conn = made.map_err(|error| match Fault::of(&error) {
            Fault::Denied(why) => {
                self.health.refused(&self.label, TierTrouble::Denied, &why);
                format!("it turns us away: {why}")
            }
            Fault::Silent(_) => "no answer while connecting".into(),
            Fault::Lost(why) | Fault::Other(why) => why,
            other => format!("{other:?}"),
        })?;
        let mut first = redis::pipe();
        first.cmd("TIME");
        if self.in_cluster {
            first.cmd("READONLY");
        }
        if purpose == Purpose::Wait {
            first.cmd("CLIENT").arg("TRACKING").arg("ON");
        }
        let asked = Local::now();
        let mut limit = self.limit(self.common.options.connect_timeout);
        let answers = limit.wait(conn.send_packed_commands(&first, 0, first.len())).await;
        let answers = answers.ok_or("no answer while connecting")?.map_err(|error| error.to_string())?;
        if let Some(Value::ServerError(error)) = answers.iter().find(|answer| matches!(answer, Value::ServerError(_))) {
            return Err(format!("{} {}", error.code(), error.details().unwrap_or_default()));
        }
        if let Some(told) = answers.first().and_then(time_of) {
            self.clock.sample(asked, told);
        }
        self.common.counters.connects.add();
        Ok(conn)
    }

    async fn handshake(
        self: &Arc<Node>,
        purpose: Purpose,
        epoch: u64,
    ) -> RedisResult<redis::aio::MultiplexedConnection> {
        let options = &self.common.options;
        // Calls are bounded by `Patience`, which knows when this process stood still: what the connection bounds by itself is
        // the handshake.
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.connect_timeout))
            .set_response_timeout(Some(options.connect_timeout.max(options.bulk_timeout) * 2))
            .set_pipeline_buffer_size(QUEUE);
        let plain = self.plain.load(Ordering::Relaxed);
        if plain && purpose == Purpose::Wait {
            return Err((ErrorKind::Client, "waiters need RESP3").into());
        }
        if !plain {
            let node = Arc::downgrade(self);
            config = config.set_push_sender(move |push: PushInfo| {
                heard(&node, purpose, epoch, &push);
                Ok::<(), ()>(())
            });
        }
        self.clients[usize::from(plain)].get_multiplexed_async_connection_with_config(&config).await
    }

    /// What a result says of the node.
    fn judge<T>(self: &Arc<Node>, purpose: Purpose, line: &Line, result: RedisResult<T>) -> Result<T, Fault> {
        let error = match result {
            Ok(value) => {
                self.breaker.answered();
                return Ok(value);
            }
            Err(error) => error,
        };
        let fault = Fault::of(&error);
        match &fault {
            Fault::Silent(why) => self.silent(why),
            Fault::Lost(_) => drop(self.gone(purpose, line.epoch)),
            _ => self.breaker.answered(),
        }
        Err(fault)
    }

    /// A call was not answered in time.
    fn silent(self: &Arc<Node>, why: &str) {
        if self.breaker.failed() {
            self.opened(why.to_owned());
        }
    }

    /// No connection can be had.
    fn open(self: &Arc<Node>, why: String) {
        if self.breaker.open() {
            self.opened(why);
        } else {
            *self.why.lock() = why;
        }
    }

    /// Connections to a node that is silent are of no use: answers that come late would come behind all others.
    fn opened(self: &Arc<Node>, why: String) {
        tracing::warn!(node = %self.label, why, "not reachable: it is left alone, and tried again in the background");
        *self.why.lock() = why;
        self.common.counters.opened.add();
        for lane in [&self.main, &self.bulk, &self.wait] {
            lane.clear();
        }
        self.waits.wake_all();
        self.keep();
        self.kick.notify_one();
        self.common.trouble.notify_one();
    }

    /// A connection broke. True: it was the one in use.
    fn gone(self: &Arc<Node>, purpose: Purpose, epoch: u64) -> bool {
        if !self.lane(purpose).drop_line(epoch) {
            return false;
        }
        self.common.counters.lost.add();
        match purpose {
            Purpose::Main => self.kick.notify_one(),
            Purpose::Bulk => {}
            Purpose::Wait => self.waits.wake_all(),
        }
        true
    }

    /// Begins to look after it, unless somebody does.
    fn keep(self: &Arc<Node>) {
        if !self.kept.swap(true, Ordering::AcqRel) {
            self.common.runtime.spawn(keep(Arc::downgrade(self), self.kick.clone()));
        }
    }

    /// Asks for the time.
    pub(super) async fn ask_time(self: &Arc<Node>) -> Result<(), Fault> {
        let asked = Local::now();
        let told = self.call(Purpose::Main, &redis::cmd("TIME")).await?;
        let told = time_of(&told).ok_or_else(|| Fault::Other("TIME answered what is no time".into()))?;
        self.clock.sample(asked, told);
        Ok(())
    }

    /// What keeps it from taking writes. One that turns us away can't be reached either: that says less.
    fn trouble(&self) -> Option<TierTrouble> {
        match self.health.trouble() {
            Some(TierTrouble::Denied) => Some(TierTrouble::Denied),
            _ if self.breaker.is_open() => Some(TierTrouble::Unreachable),
            trouble => trouble,
        }
    }

    /// Asks what only one answer fits. A connection whose answers belong to other questions would go on so for ever: it
    /// is given up.
    pub(super) async fn check_step(self: &Arc<Node>, purpose: Purpose) {
        let Some(mut line) = self.lane(purpose).line() else { return };
        let nonce = fastrand::u64(..).to_string();
        let mut limit = self.limit(self.common.options.answer_timeout);
        let answer = limit.wait(line.conn.send_packed_command(redis::cmd("ECHO").arg(&nonce))).await;
        let fits = matches!(&answer, Some(Ok(Value::BulkString(echo))) if *echo == nonce.as_bytes());
        // An error is judged where it stops a call.
        if matches!(answer, Some(Ok(_))) && !fits && self.gone(purpose, line.epoch) {
            tracing::warn!(node = %self.label, "answers belonged to other questions: the connection is given up");
            self.common.counters.out_of_step.add();
        }
    }

    pub(super) fn state(&self, wall_us: u64) -> NodeState {
        NodeState {
            address: self.label.clone(),
            open: self.breaker.is_open(),
            connected: self.main.is_up(),
            in_use: true,
            trouble: self.trouble(),
            clock_us: self.clock.offset(wall_us).map(|(error, offset)| (offset, error.as_micros() as u64)),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Its keeper finds nobody, and ends.
        self.kick.notify_one();
    }
}

/// What a node says unasked.
fn heard(node: &Weak<Node>, purpose: Purpose, epoch: u64, push: &PushInfo) {
    let Some(node) = node.upgrade() else { return };
    match push.kind {
        PushKind::Disconnection => drop(node.gone(purpose, epoch)),
        PushKind::Invalidate => node.waits.invalidated(&push.data),
        _ => {}
    }
}

/// Keeps a node connected, and its clock known, for as long as somebody has it.
async fn keep(node: Weak<Node>, kick: Arc<Notify>) {
    let mut attempt = 0;
    loop {
        let Some(held) = node.upgrade() else { return };
        if held.main.is_up() {
            attempt = 0;
            drop(held);
            // Whichever comes first: a beat, or trouble.
            let _ = tokio::time::timeout(BEAT, kick.notified()).await;
            let Some(held) = node.upgrade() else { return };
            // A failure is the breaker's to count.
            while held.main.is_up() && matches!(held.ask_time().await, Err(Fault::Silent(_))) {}
            continue;
        }
        if attempt > 0 {
            drop(held);
            tokio::time::sleep(pause(attempt - 1, fastrand::f64())).await;
            let Some(held) = node.upgrade() else { return };
            attempt = probe(&held, attempt).await;
        } else {
            attempt = probe(&held, attempt).await;
        }
    }
}

/// One attempt; says which the next is.
async fn probe(node: &Arc<Node>, attempt: u32) -> u32 {
    match node.main.outcome(|| node.connect(Purpose::Main)).await {
        Ok(_) => 0,
        Err(_) => attempt.saturating_add(1),
    }
}

/// µs in an answer to TIME.
pub(super) fn time_of(value: &Value) -> Option<u64> {
    let Value::Array(parts) = value else { return None };
    let part = |at: usize| match parts.get(at) {
        Some(Value::BulkString(digits)) => std::str::from_utf8(digits).ok()?.parse::<u64>().ok(),
        _ => None,
    };
    part(0)?.checked_mul(1_000_000)?.checked_add(part(1)?)
}

/// A caller's patience: a call that is given up unanswered after a while counts against the node. Without this a
/// frozen node would never be noticed by callers whose budget is shorter than our own limit. A while is one that this
/// process ran.
struct Patience<'a> {
    node: &'a Arc<Node>,
    /// Large bodies take their time.
    counts: bool,
    answer: Duration,
    limit: Limit,
    before: Duration,
}

impl<'a> Patience<'a> {
    fn new(node: &'a Arc<Node>, purpose: Purpose) -> Patience<'a> {
        let options = &node.common.options;
        let (counts, answer) = match purpose {
            Purpose::Bulk => (false, options.bulk_timeout),
            Purpose::Main | Purpose::Wait => (true, options.answer_timeout),
        };
        // It may take a handshake of its own for each protocol.
        Patience { node, counts, answer, limit: node.limit(options.connect_timeout * 3), before: Duration::ZERO }
    }

    async fn connected(&mut self, line: impl Future<Output = Result<Line, Fault>>) -> Result<Line, Fault> {
        let line = self.limit.wait(line).await;
        self.before = self.limit.used();
        self.limit = self.node.limit(self.answer);
        line.unwrap_or_else(|| Err(Fault::Lost("no connection in time".into())))
    }

    async fn answered<T>(&mut self, sent: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        self.limit.wait(sent).await.unwrap_or_else(|| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
    }

    fn over<T>(&mut self, result: T) -> T {
        self.counts = false;
        result
    }
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        if self.counts && self.before + self.limit.used() >= self.node.common.options.patience {
            self.node.silent("callers gave up before it answered");
        }
    }
}

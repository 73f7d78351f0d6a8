//! How does a process follow the others? The shell around [`Feed`]: connects, reads, asks, and tells what to apply.

use std::collections::VecDeque;
use std::sync::Arc;

use bellwether_core::backplane::feed::{Act, Event, Feed, HEARTBEAT, Question, Turn};
use bellwether_core::backplane::floors::{Floors, Raised};
use bellwether_core::position::Position;
use bellwether_core::time::{Span, Tick};
use futures_util::future::{BoxFuture, FutureExt};
use tokio::time::Instant;

use crate::events::outage::{Outage, Say};
use crate::events::{Batch, Delivered, Head, Incoming, Transport, TransportError};
use crate::port::clock::Clock;

/// So long a connection may take to stand.
const CONNECT: Span = Span::secs(1);
/// So long the answer to a question may take.
const ANSWER: Span = Span::secs(1);
/// So long all floors may take: a quarter of a million are about 10 MB.
const READ_FLOORS: Span = Span::secs(10);
/// So long a connection may be silent: heartbeats come every second.
const READ: Span = Span::secs(3);
/// How often silence and clocks are looked at.
const LOOK: Span = Span::ms(250);
/// By so much clocks may differ in what they measure before one of them has jumped.
const JUMP: Span = Span::secs(1);
/// Between two failed attempts to connect, doubled from the first to the last.
const RETRY: (Span, Span) = (Span::ms(50), Span::secs(1));

/// What a process hears.
#[derive(Debug)]
pub enum News {
    /// The next batch. Once it is applied here, so is everything up to its position.
    Apply(Position, Batch),
    /// The floors as the fleet has them at a position: they replace those that were known.
    Floors(Position, Floors),
    /// Whether anything may be missing has changed.
    Turn(Turn),
}

/// Follows a backplane, reconnecting for ever.
pub struct Follower {
    transport: Arc<dyn Transport>,
    clock: Clock,
    feed: Feed,
    /// What is under way on the connection that messages come over.
    line: BoxFuture<'static, Done>,
    /// What is under way on the other one: how far is the fleet?
    asking: BoxFuture<'static, (Question, Result<Head, TransportError>)>,
    news: VecDeque<News>,
    clocks: Clocks,
    /// When silence and clocks are looked at next, however much is heard until then.
    look: Tick,
    pause: Span,
    outage: Outage,
}

/// Something on the line is done.
enum Done {
    Connected(Result<(Line, Head), TransportError>),
    Floors(Line, Question, Result<(Position, Vec<Raised>), TransportError>),
    Read(Line, Result<Vec<Delivered>, TransportError>),
}

type Line = Box<dyn Incoming>;

impl Follower {
    /// Begins to connect once it is asked for news. `clock`: the cache's.
    pub fn new(transport: Arc<dyn Transport>, clock: Clock) -> Follower {
        Follower {
            feed: Feed::new(clock.now()),
            line: connect(transport.clone(), clock.clone(), Span::ZERO),
            asking: std::future::pending().boxed(),
            news: VecDeque::new(),
            clocks: Clocks::read(&clock),
            look: clock.now() + LOOK,
            pause: RETRY.0,
            outage: Outage::default(),
            transport,
            clock,
        }
    }

    /// Waits for the next news. To be called again and again by one task: what it says is to be applied before the
    /// next call.
    pub async fn next(&mut self) -> News {
        loop {
            if let Some(news) = self.news.pop_front() {
                return news;
            }
            // First of all: what was asked before a pause says nothing of what was told meanwhile.
            if self.clocks.stood_still(&self.clock) {
                self.on(Event::Jump);
                self.ask(Span::ZERO);
                continue;
            }
            let look = self.clock.sleep_until(self.look);
            tokio::select! {
                done = &mut self.line => self.line_done(done),
                (question, head) = &mut self.asking => self.answered(question, head),
                () = look => {
                    self.look = self.clock.now() + LOOK;
                    if self.clocks.jumped(&self.clock) {
                        self.on(Event::Jump);
                        self.ask(Span::ZERO);
                    }
                    self.on(Event::Tick);
                }
            }
        }
    }

    fn on(&mut self, event: Event) -> Act {
        let (act, turn) = self.feed.on(event, self.clock.now());
        self.tell(turn);
        act
    }

    fn tell(&mut self, turn: Option<Turn>) {
        // Not once a connection stands: it may be refused whatever it asks for.
        if let Some(Turn::Live { .. }) = turn
            && let Some((tries, after)) = self.outage.over(self.clock.now())
        {
            tracing::info!(tries, %after, "the backplane is followed again");
        }
        self.news.extend(turn.map(News::Turn));
    }

    /// It can't be followed: said when that begins, and now and then while it lasts.
    fn failed(&mut self, error: &TransportError) {
        match self.outage.failed(self.clock.now()) {
            Say::Began => tracing::warn!(%error, "the backplane can't be followed: tried again until it can"),
            Say::Lasts { tries, since } => {
                tracing::warn!(%error, tries, %since, "the backplane still can't be followed")
            }
            Say::Nothing => tracing::debug!(%error, "the backplane can't be followed"),
        }
    }

    fn line_done(&mut self, done: Done) {
        match done {
            Done::Connected(Ok((line, head))) => {
                let act = self.on(Event::Connected { head: head.at, source: head.source });
                self.go_on(line, act);
                self.ask(Span::ZERO);
            }
            Done::Floors(line, question, Ok((at, raised))) => {
                // Not once a connection stands: whoever may connect may be refused whatever he asks for.
                self.pause = RETRY.0;
                let act = self.on(Event::Floors(question, Some(at)));
                if act == Act::Resume {
                    self.news.push_back(News::Floors(at, Floors::read(at.epoch, raised)));
                    self.ask(Span::ZERO);
                }
                self.go_on(line, act);
            }
            Done::Read(line, Ok(delivered)) => {
                self.pause = RETRY.0;
                self.delivered(line, delivered);
            }
            Done::Connected(Err(error)) | Done::Floors(_, _, Err(error)) | Done::Read(_, Err(error)) => {
                self.failed(&error);
                self.reconnect(self.pause.scale(0.5 + fastrand::f64()));
                self.pause = (self.pause + self.pause).at_most(RETRY.1);
            }
        }
    }

    fn delivered(&mut self, line: Line, delivered: Vec<Delivered>) {
        for Delivered { at, batch } in delivered {
            let Some(batch) = batch else {
                let act = self.on(Event::Unreadable);
                return self.go_on(line, act);
            };
            let (act, turn) = self.feed.on(Event::Message(at), self.clock.now());
            // It is applied before anybody hears that nothing is missing.
            self.news.extend((act == Act::Apply).then_some(News::Apply(at, batch)));
            self.tell(turn);
            if act == Act::ReadFloors {
                return self.go_on(line, act);
            }
        }
        self.go_on(line, Act::Nothing);
    }

    fn answered(&mut self, question: Question, head: Result<Head, TransportError>) {
        self.ask(HEARTBEAT);
        match head {
            // The line that is under way follows what is no more.
            Ok(head) if self.on(Event::Head(question, head.at)) == Act::ReadFloors => self.reconnect(Span::ZERO),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the backplane does not say how far it is"),
        }
    }

    /// What is next on a line that stands.
    fn go_on(&mut self, mut line: Line, act: Act) {
        let clock = self.clock.clone();
        self.line = match act {
            Act::ReadFloors => {
                let (transport, question) = (self.transport.clone(), self.feed.question(clock.now()));
                async move {
                    let floors = within(&clock, READ_FLOORS, transport.floors()).await;
                    Done::Floors(line, question, floors)
                }
                .boxed()
            }
            Act::Resume | Act::Nothing | Act::Apply | Act::Ignore => {
                if act == Act::Resume {
                    line.resume(self.feed.applied());
                }
                async move {
                    let read = within(&clock, READ, line.next()).await;
                    Done::Read(line, read)
                }
                .boxed()
            }
        };
    }

    fn reconnect(&mut self, pause: Span) {
        self.line = connect(self.transport.clone(), self.clock.clone(), pause);
    }

    fn ask(&mut self, pause: Span) {
        let (transport, clock) = (self.transport.clone(), self.clock.clone());
        let question = self.feed.question(clock.now() + pause);
        self.asking = async move {
            clock.sleep_until(clock.now() + pause).await;
            (question, within(&clock, ANSWER, transport.head()).await)
        }
        .boxed();
    }
}

fn connect(transport: Arc<dyn Transport>, clock: Clock, pause: Span) -> BoxFuture<'static, Done> {
    async move {
        clock.sleep_until(clock.now() + pause).await;
        let connected = within(&clock, CONNECT, async {
            // First the line: what comes after the head was asked for can't be missed.
            let line = transport.listen().await?;
            Ok((line, transport.head().await?))
        });
        Done::Connected(connected.await)
    }
    .boxed()
}

async fn within<T>(
    clock: &Clock,
    limit: Span,
    call: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    tokio::select! {
        answer = call => answer,
        () = clock.sleep_until(clock.now() + limit) => Err(TransportError(format!("no answer within {limit}"))),
    }
}

/// Clocks that measure the same unless somebody sets one, or the machine sleeps.
struct Clocks {
    /// Counts sleep.
    boot: Tick,
    wall_us: u64,
    /// Does not count sleep.
    running: Instant,
    /// Long pauses of the whole process so far.
    leaps: u64,
}

impl Clocks {
    fn read(clock: &Clock) -> Clocks {
        Clocks { boot: clock.now(), wall_us: clock.wall_us(), running: Instant::now(), leaps: clock.leaps() }
    }

    /// Whether the process stood still for long since this was last asked, though all clocks went on.
    fn stood_still(&mut self, clock: &Clock) -> bool {
        let leaps = clock.leaps();
        std::mem::replace(&mut self.leaps, leaps) != leaps
    }

    /// Whether one of them has jumped since the last look.
    fn jumped(&mut self, clock: &Clock) -> bool {
        let now = Clocks::read(clock);
        let boot = now.boot.since(self.boot).0;
        let wall = now.wall_us.saturating_sub(self.wall_us) / 1000;
        let running = u64::try_from((now.running - self.running).as_millis()).unwrap_or(u64::MAX);
        let leaps = self.leaps;
        *self = Clocks { leaps, ..now };
        boot.abs_diff(wall) > JUMP.0 || boot.saturating_sub(running) > JUMP.0
    }
}

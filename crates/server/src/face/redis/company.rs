//! Which GETs of other clients are looked up and answered with this one? Those that have come in the same turn of this thread.
//!
//! A lookup waits for memory again and again, and lookups of different keys can wait together ([`HIT_MANY`]). A client
//! that pipelines brings several at once; of those that don't, many are ready together, a GET each. So a GET that
//! comes alone waits, and the thread goes on to the next connection. When all that are ready had their turn, one task of the
//! thread ([`keep`]) looks up what waits and sends the replies, one behind the other. So a connection has one turn for each GET, in
//! which it reads, and nothing of it is looked at before the next: a second turn would cost as much as the lookup.
//! Only whoever can't be answered so is woken for one: memory lacks its value, or its client takes no more for now.
//!
//! This pays where requests wait for the server. Where the server waits for them, one or two are ready at a time, and
//! they are answered as fast as without it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};

use bellwether::{Cached, HIT_MANY, Tick};
use bellwether_adapters::Payload;

use super::clients::Clients;
use super::replies::bulk;
use crate::service::Service;

/// Bytes of a key that may wait for company.
const LONGEST: usize = 64;
/// GETs of one thread that wait; whoever comes then answers them first.
const SEATS: usize = 64;
/// A longer value is for its connection to send.
const MOST: usize = 64 << 10;
/// Bytes of a value that are looked at before the first of those that are looked up together is sent ...
const LOOKED: usize = 2 << 10;
/// ... once for so many, which come from memory together.
const LINE: usize = 64;
/// A thread on which so many more GETs waited in vain than had company has one busy client ...
const ALONE: u32 = 64;
/// ... and tries again after so many GETs.
const AGAIN: u32 = 512;

thread_local! {
    static HERE: RefCell<Company> = const { RefCell::new(Company::new()) };
}

/// Of all threads.
static THREADS: AtomicU64 = AtomicU64::new(0);

/// Where the replies to a client go.
pub(super) trait Line: Send + Sync {
    /// Sends at once as many of `bytes` as the client takes: their number. What hinders it is found by whoever sends the rest.
    fn send(&self, bytes: &[u8]) -> usize;
}

/// A connection's place among those of its thread; given back when dropped.
pub(super) struct Chair {
    thread: u64,
    at: usize,
}

/// What has become of a GET that waited.
pub(super) enum End {
    Answered,
    /// It is to be answered with this, of which so many bytes are sent.
    Begun(Cached<Payload>, usize),
    /// Memory has no plainly fresh value of this key.
    Missing(Box<[u8]>),
    /// It waited on another thread, or nobody answers any more.
    Unknown,
}

/// What a thread knows of a connection.
struct Seat {
    line: Arc<dyn Line>,
    waker: Waker,
    state: State,
}

enum State {
    /// Nothing waits.
    Idle,
    Waits,
    /// The connection's turn has to come.
    Ended(End),
    /// The client went while its GET waited.
    Left,
}

/// Those who wait ask the same service.
struct Asked {
    service: Service,
    clients: Arc<Clients>,
    /// When the first of them came.
    at: Tick,
}

/// A GET that waits: whose, and where its key ends behind those of the others.
struct Waiting {
    seat: usize,
    end: usize,
}

/// The connections of one thread, and the GETs that wait.
struct Company {
    /// Its number; zero: it has none yet.
    thread: u64,
    /// Wakes who answers; nobody waits on a thread where nobody does.
    awake: Option<Waker>,
    seats: Vec<Option<Seat>>,
    /// Which of `seats` nobody has.
    free: Vec<usize>,
    asked: Option<Asked>,
    waiting: Vec<Waiting>,
    keys: Vec<u8>,
    reply: Vec<u8>,
    /// How many more waited in vain than had company.
    alone: u32,
}

impl Company {
    const fn new() -> Company {
        Company {
            thread: 0,
            awake: None,
            seats: Vec::new(),
            free: Vec::new(),
            asked: None,
            waiting: Vec::new(),
            keys: Vec::new(),
            reply: Vec::new(),
            alone: 0,
        }
    }

    fn enter(&mut self, line: Arc<dyn Line>, waker: Waker) -> Option<Chair> {
        self.awake.as_ref()?;
        let seat = Some(Seat { line, waker, state: State::Idle });
        let at = if let Some(at) = self.free.pop() {
            self.seats[at] = seat;
            at
        } else {
            self.seats.push(seat);
            self.seats.len() - 1
        };
        Some(Chair { thread: self.thread, at })
    }

    fn ask(&mut self, seat: usize, service: &Service, clients: &Arc<Clients>, key: &[u8]) -> Option<Tick> {
        if self.alone >= ALONE {
            self.alone += 1;
            if self.alone < ALONE + AGAIN {
                return None;
            }
            self.alone = ALONE - 1;
        }
        let of_another = |asked: &Asked| asked.service.identity() != service.identity();
        if self.waiting.len() == SEATS || self.asked.as_ref().is_some_and(of_another) {
            self.answer();
        }
        let place = self.seats.get_mut(seat)?.as_mut()?;
        let at = match &self.asked {
            Some(asked) => asked.at,
            None => {
                self.awake.as_ref()?.wake_by_ref();
                let at = service.now();
                self.asked = Some(Asked { service: service.clone(), clients: clients.clone(), at });
                at
            }
        };
        place.state = State::Waits;
        self.keys.extend_from_slice(key);
        self.waiting.push(Waiting { seat, end: self.keys.len() });
        Some(at)
    }

    /// Answers all that wait.
    fn answer(&mut self) {
        let Some(Asked { service, clients, at }) = self.asked.take() else { return };
        // Out of here, so that nobody is answered twice after a panic.
        let (waiting, mut keys) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.keys));
        let Company { seats, free, reply, .. } = self;
        let mut turn = Turn { seats, free, waiting };
        let Turn { seats, free, waiting } = &mut turn;
        let count = waiting.len();
        self.alone = if count == 1 { self.alone + 1 } else { self.alone.saturating_sub(count as u32) };
        clients.add_commands(count as u64, at);
        // Somebody is to hear of what is handed out, who was not there when they asked: each looks for itself.
        let plain = !service.watch().is_broadcasting();
        let mut from = 0;
        for together in waiting.chunks(HIT_MANY) {
            let mut asked: [&[u8]; HIT_MANY] = [&[]; HIT_MANY];
            for (key, Waiting { end, .. }) in asked.iter_mut().zip(together) {
                *key = &keys[from..*end];
                from = *end;
            }
            let asked = &asked[..together.len()];
            let mut found = [const { None::<Cached<Payload>> }; HIT_MANY];
            if plain {
                service.hit_many(asked, &mut found[..together.len()]);
            }
            let mut bodies = [None; HIT_MANY];
            let mut looked = 0;
            for (body, value) in bodies.iter_mut().zip(&found) {
                *body = value.as_ref().map(|value| &value.body[..]);
                // The waits for the values, all at once: between two replies the kernel is at work.
                looked ^= body.map_or(0, |body| body.iter().take(LOOKED).step_by(LINE).fold(0, |all, byte| all ^ byte));
            }
            std::hint::black_box(looked);
            // Seldom any.
            let mut begun = Vec::new();
            for (nth, Waiting { seat, .. }) in together.iter().enumerate() {
                let Some(place) = &mut seats[*seat] else { continue };
                if matches!(place.state, State::Left) {
                    seats[*seat] = None;
                    free.push(*seat);
                    continue;
                }
                let Some(body) = bodies[nth] else {
                    place.ends(End::Missing(asked[nth].into()));
                    continue;
                };
                let sent = place.hear(body, reply);
                if sent < reply.len() || body.len() > MOST {
                    begun.push((nth, sent));
                } else {
                    place.state = State::Idle;
                }
            }
            for (nth, sent) in begun {
                if let (Some(place), Some(value)) = (&mut seats[together[nth].seat], found[nth].take()) {
                    place.ends(End::Begun(value, sent));
                }
            }
        }
        waiting.clear();
        keys.clear();
        (self.waiting, self.keys) = (std::mem::take(waiting), keys);
    }

    #[inline]
    fn is_idle(&self, seat: usize) -> bool {
        matches!(self.seats.get(seat), Some(Some(Seat { state: State::Idle, .. })))
    }

    fn end(&mut self, seat: usize) -> End {
        let waits = |seat: &Seat| matches!(seat.state, State::Waits);
        if self.seats[seat].as_ref().is_some_and(waits) {
            self.answer();
        }
        match self.seats[seat].as_mut().map(|seat| std::mem::replace(&mut seat.state, State::Idle)) {
            Some(State::Ended(end)) => end,
            _ => End::Answered,
        }
    }

    /// Nobody answers any more. Those who wait are told.
    fn close(&mut self) {
        (self.awake, self.asked) = (None, None);
        self.keys.clear();
        drop(Turn { seats: &mut self.seats, free: &mut self.free, waiting: std::mem::take(&mut self.waiting) });
    }

    fn leave(&mut self, seat: usize) {
        match &mut self.seats[seat] {
            Some(place) if matches!(place.state, State::Waits) => place.state = State::Left,
            place => {
                *place = None;
                self.free.push(seat);
            }
        }
    }
}

/// Those whose turn it is to be answered. Whoever has not been by its end, which takes a panic or that nobody answers any
/// more, is told.
struct Turn<'a> {
    seats: &'a mut Vec<Option<Seat>>,
    free: &'a mut Vec<usize>,
    waiting: Vec<Waiting>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        for Waiting { seat, .. } in &self.waiting {
            let Some(place) = self.seats.get_mut(*seat) else { continue };
            match place.as_mut().map(|place| &place.state) {
                Some(State::Waits) => place.iter_mut().for_each(|place| place.ends(End::Unknown)),
                Some(State::Left) => {
                    *place = None;
                    self.free.push(*seat);
                }
                _ => {}
            }
        }
    }
}

impl Seat {
    /// Sends its reply, put together in `reply`, as far as the client takes it at once: how many bytes.
    #[inline]
    fn hear(&self, body: &[u8], reply: &mut Vec<u8>) -> usize {
        reply.clear();
        if body.len() > MOST {
            return 0;
        }
        bulk(reply, body);
        self.line.send(reply)
    }

    /// Its connection has to do the rest.
    #[cold]
    fn ends(&mut self, end: End) {
        self.state = State::Ended(end);
        self.waker.wake_by_ref();
    }
}

impl Chair {
    /// A place for the connection that `line` leads to and `waker` wakes, where somebody answers those who wait.
    pub(super) fn take(line: Arc<dyn Line>, waker: &Waker) -> Option<Chair> {
        HERE.with_borrow_mut(|here| here.enter(line, waker.clone()))
    }

    /// Whether a GET of `key` may wait for others: then it does, and came at this moment. Nothing of this connection may be
    /// begun or sent until [`Chair::end`] has told what has become of it.
    pub(super) fn ask(&self, service: &Service, clients: &Arc<Clients>, key: &[u8]) -> Option<Tick> {
        if key.len() > LONGEST {
            return None;
        }
        HERE.with_borrow_mut(
            |here| {
                if here.thread == self.thread { here.ask(self.at, service, clients, key) } else { None }
            },
        )
    }

    /// Whether the GET that waited is answered, as most are before anybody asks.
    #[inline]
    pub(super) fn is_answered(&self) -> bool {
        HERE.with_borrow(|here| here.thread == self.thread && here.is_idle(self.at))
    }

    /// What has become of the GET that waited. If it still waits, all that do are answered now.
    pub(super) fn end(&self) -> End {
        HERE.with_borrow_mut(|here| if here.thread == self.thread { here.end(self.at) } else { End::Unknown })
    }
}

impl Drop for Chair {
    fn drop(&mut self) {
        // Without a thread's company there is none to leave.
        let _ = HERE.try_with(|here| {
            if let Ok(mut here) = here.try_borrow_mut()
                && here.thread == self.thread
            {
                here.leave(self.at);
            }
        });
    }
}

/// While there is one, GETs wait for each other on this thread.
pub(super) struct Open {
    thread: u64,
}

impl Open {
    /// Who answers them is woken by `awake`.
    pub(super) fn by(awake: &Waker) -> Open {
        let thread = HERE.with_borrow_mut(|here| {
            if here.thread == 0 {
                here.thread = THREADS.fetch_add(1, Ordering::Relaxed) + 1;
            }
            here.awake = Some(awake.clone());
            here.thread
        });
        Open { thread }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // A thread that ends has no company any more.
        let _ = HERE.try_with(|here| {
            if let Ok(mut here) = here.try_borrow_mut()
                && here.thread == self.thread
            {
                here.close();
            }
        });
    }
}

/// Answers all that wait on this thread.
pub(super) fn answer() {
    HERE.with_borrow_mut(Company::answer);
}

/// To be spawned on a runtime of one thread that serves connections: answers those of them that wait for each other.
pub async fn keep() {
    let mut open = None;
    poll_fn(|cx| {
        if open.is_none() {
            open = Some(Open::by(cx.waker()));
        }
        answer();
        Poll::<()>::Pending
    })
    .await;
}

//! May this load go to its origin now? The core's gate, with tasks waiting at it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bellwether_core::draw::Draw;
use bellwether_core::guard::breaker::{Position, Rumour};
use bellwether_core::guard::gate::{Admission, Ended, Gate, Pass, Ticket};
use bellwether_core::guard::share::{Entry, Shares};
use bellwether_core::guard::standing::Standing;
use bellwether_core::policy::{Budget, Priority};
use bellwether_core::read::flight::Flight;
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

use crate::port::clock::Clock;
use crate::state::gate_log::{Mood, tell};

/// The guard of one origin: every load passes here, by whatever path it comes (G9).
pub(crate) struct OriginGate {
    pub(crate) name: Arc<str>,
    /// As the gate in `inner` knows it.
    budget: RwLock<Budget>,
    inner: Mutex<Inner>,
    shares: Mutex<KeyShares>,
    /// The breaker is open until this tick: nobody needs to ask before. 0: it is not.
    quiet_until: AtomicU64,
    degraded: AtomicBool,
    /// Wakes the pump: the next moment of interest may have moved.
    earlier: Notify,
    clock: Clock,
    runtime: Handle,
}

struct Inner {
    gate: Gate,
    waiting: HashMap<Ticket, oneshot::Sender<Result<Permit, Turned>>>,
    /// What the log was last told.
    mood: Mood,
    /// When the gate wants to be looked at again if nothing happens before.
    next: Option<Tick>,
    /// A task looks at it then. It ends with the queue.
    pumping: bool,
}

/// What single keys hold of the permits by loads beside the flight table.
struct KeyShares {
    shares: Shares,
    waiting: HashMap<Ticket, oneshot::Sender<KeyShare>>,
}

/// A load's place in its key's share. Dropped = given back.
pub(crate) struct KeyShare {
    gate: Arc<OriginGate>,
    key: u64,
}

impl Drop for KeyShare {
    fn drop(&mut self) {
        let mut shares = self.gate.shares.lock();
        let next = shares.shares.leave(self.key).and_then(|ticket| shares.waiting.remove(&ticket));
        drop(shares);
        if let Some(next) = next {
            // Whoever gave up in this moment drops the place, which passes it on.
            drop(next.send(KeyShare { gate: self.gate.clone(), key: self.key }));
        }
    }
}

/// Takes a load out of its key's queue when it does not wait any more.
struct Unqueue<'a>(&'a OriginGate, u64, Ticket);

impl Drop for Unqueue<'_> {
    fn drop(&mut self) {
        let mut shares = self.0.shares.lock();
        shares.shares.withdraw(self.1, self.2);
        let sender = shares.waiting.remove(&self.2);
        drop(shares);
        drop(sender);
    }
}

/// Turned away: why, and when to come again.
pub(crate) type Turned = (Why, Option<Span>);

/// The right to run one load. Dropped = given back.
pub(crate) struct Permit {
    gate: Arc<OriginGate>,
    pass: Pass,
    ended: Ended,
}

impl Permit {
    fn new(gate: &Arc<OriginGate>, pass: Pass) -> Permit {
        Permit { gate: gate.clone(), pass, ended: Ended::GivenUp }
    }

    /// Gives it back, and tells the guard how the load ended. Without this nobody knows.
    pub(crate) fn end(mut self, ended: Ended) {
        self.ended = ended;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.inner.lock().gate.end(self.pass, self.ended, self.gate.clock.now());
        self.gate.advance();
    }
}

/// Takes the ticket back when its load no longer waits for an answer.
struct Withdraw<'a>(&'a OriginGate, Ticket);

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.inner.lock();
        let sender = inner.waiting.remove(&self.1);
        inner.gate.withdraw(self.1);
        drop(inner);
        drop(sender);
    }
}

impl OriginGate {
    pub(crate) fn new(name: Arc<str>, budget: Budget, clock: Clock, runtime: Handle) -> Arc<OriginGate> {
        // Processes of a fleet start at moments of their own: their probes do not come in step.
        let gate = Gate::new(&budget).drawing(Draw(clock.now_us()));
        let inner = Inner { gate, waiting: HashMap::new(), mood: Mood::default(), next: None, pumping: false };
        let shares = Shares::new(budget.max_concurrency, budget.queue_limit);
        Arc::new(OriginGate {
            name,
            budget: RwLock::new(budget),
            inner: Mutex::new(inner),
            shares: Mutex::new(KeyShares { shares, waiting: HashMap::new() }),
            quiet_until: AtomicU64::new(0),
            degraded: AtomicBool::new(false),
            earlier: Notify::new(),
            clock,
            runtime,
        })
    }

    /// A gate in front of this one, with a budget of its own.
    pub(crate) fn within(&self, name: Arc<str>, budget: impl FnOnce(Budget) -> Budget) -> Arc<OriginGate> {
        let budget = budget(self.budget.read().clone());
        OriginGate::new(name, budget, self.clock.clone(), self.runtime.clone())
    }

    /// Whoever asks now waits until then at the latest.
    pub(crate) fn latest(&self) -> Tick {
        self.clock.now() + self.budget.read().queue_wait
    }

    /// Another budget, for every load from now on. Those that run go on and count (G9).
    pub(crate) fn set_budget(self: &Arc<Self>, budget: &Budget) {
        self.budget.write().clone_from(budget);
        self.inner.lock().gate.set_budget(budget, self.clock.now());
        self.advance();
        let mut shares = self.shares.lock();
        let next = shares.shares.set_budget(budget.max_concurrency, budget.queue_limit);
        let next: Vec<_> =
            next.into_iter().filter_map(|(key, ticket)| Some((key, shares.waiting.remove(&ticket)?))).collect();
        drop(shares);
        for (key, sender) in next {
            // Whoever gave up in this moment drops the place, which passes it on.
            drop(sender.send(KeyShare { gate: self.clone(), key }));
        }
    }

    /// After this long a load is cut off.
    pub(crate) fn timeout(&self) -> Span {
        self.budget.read().timeout
    }

    /// Whether a refresh would be turned away, so that it need not be started: the breaker is open.
    pub(crate) fn is_quiet(&self) -> bool {
        match self.quiet_until.load(Ordering::Relaxed) {
            0 => false,
            until => self.clock.now().0 < until,
        }
    }

    /// The origin is in trouble, or has been a moment ago: it fails, it is slow, or classes are being shed.
    pub(crate) fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::Relaxed)
    }

    /// Of `wanted` loads that were asked for in vain before, so many may begin now.
    pub(crate) fn catch_up(&self, wanted: usize) -> usize {
        self.inner.lock().gate.catch_up(wanted, self.clock.now())
    }

    /// The breaker is not closed.
    pub(crate) fn is_broken(&self) -> bool {
        self.inner.lock().gate.breaker() != Position::Closed
    }

    /// What the shared tier told of another process's load.
    pub(crate) fn heard(self: &Arc<Self>, rumour: Rumour) {
        let changed = self.inner.lock().gate.heard(rumour, self.clock.now());
        if changed {
            self.advance();
        }
    }

    /// May a load that failed be tried once more? It asks for a permit of its own then.
    pub(crate) fn may_retry(&self) -> bool {
        self.inner.lock().gate.may_retry(self.clock.now())
    }

    /// Everything that can be seen of it; loads that wait for a place in their key's share wait too.
    pub(crate) fn standing(&self) -> Standing {
        let in_shares = self.shares.lock().shares.waiting();
        let standing = self.inner.lock().gate.standing(self.clock.now());
        Standing { waiting: standing.waiting + in_shares, ..standing }
    }

    /// Loads that may run at once.
    pub(crate) fn max_concurrency(&self) -> u32 {
        self.budget.read().max_concurrency
    }

    /// Waits for a place in the share of `key`, before a load beside the flight table asks for a
    /// permit: as long as it would wait for that, at most until `give_up`.
    pub(crate) async fn share(self: &Arc<Self>, key: u64, ticket: Ticket, give_up: Tick) -> Result<KeyShare, Turned> {
        let queue_wait = self.budget.read().queue_wait;
        let answer = {
            let mut shares = self.shares.lock();
            match shares.shares.enter(key, ticket) {
                Entry::Go => return Ok(KeyShare { gate: self.clone(), key }),
                Entry::Full => return Err((Why::ShedQueue, Some(queue_wait))),
                Entry::Wait => {
                    let (sender, answer) = oneshot::channel();
                    shares.waiting.insert(ticket, sender);
                    answer
                }
            }
        };
        let _unqueue = Unqueue(self, key, ticket);
        let until = give_up.min(self.clock.now() + queue_wait);
        tokio::select! {
            // The sender lives in the table until it is used or taken out by this very task.
            place = answer => place.map_err(|_| (Why::ShedQueue, None)),
            () = self.clock.sleep_until(until) => Err((Why::ShedQueue, Some(queue_wait))),
        }
    }

    /// Waits for a permit. `place` tells the class, the waiters and the latest deadline of the load:
    /// asked again once the ticket is in the queue, so that what was inherited in between counts.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        ticket: Ticket,
        place: impl Fn() -> (Priority, u32, Tick),
    ) -> Result<Permit, Turned> {
        let (class, waiters, give_up) = place();
        let answer = {
            let mut inner = self.inner.lock();
            match inner.gate.ask(ticket, class, waiters, give_up, self.clock.now()) {
                Admission::Go(pass) => return Ok(Permit::new(self, pass)),
                Admission::Shed(why, retry_after) => return Err((why, retry_after)),
                Admission::Wait => {
                    let (sender, answer) = oneshot::channel();
                    inner.waiting.insert(ticket, sender);
                    answer
                }
            }
        };
        let _withdraw = Withdraw(self, ticket);
        let (class, waiters, give_up) = place();
        self.inner.lock().gate.raise(ticket, class, waiters, give_up);
        self.advance();
        // The sender lives in the table until it is used or withdrawn by this very task.
        answer.await.unwrap_or(Err((Why::ShedQueue, None)))
    }

    /// A flight that may wait here inherited a class, a deadline or more waiters.
    pub(crate) fn raise(self: &Arc<Self>, ticket: Ticket, flight: &Flight) {
        let give_up = flight.deadline.unwrap_or(Tick::NEVER);
        self.inner.lock().gate.raise(ticket, flight.priority, flight.followers, give_up);
        self.advance();
    }

    /// Lets go and sheds what is due; the answers are sent outside the lock, because an answer that
    /// nobody takes gives its permit back at once.
    fn advance(self: &Arc<Self>) {
        let mut answers = Vec::new();
        let mut inner = self.inner.lock();
        let mut verdicts = Vec::new();
        let before = inner.next;
        let next = inner.gate.advance(self.clock.now(), &mut verdicts);
        inner.next = next;
        for (ticket, admission) in verdicts {
            let Some(sender) = inner.waiting.remove(&ticket) else {
                // Its task is just withdrawing; a permit must not be lost with it.
                if let Admission::Go(pass) = admission {
                    answers.push((None, Ok(Permit::new(self, pass))));
                }
                continue;
            };
            match admission {
                Admission::Go(pass) => answers.push((Some(sender), Ok(Permit::new(self, pass)))),
                Admission::Shed(why, retry_after) => answers.push((Some(sender), Err((why, retry_after)))),
                Admission::Wait => unreachable!("advance only tells ends"),
            }
        }
        let start = next.is_some() && !inner.pumping;
        inner.pumping |= start;
        self.quiet_until.store(inner.gate.open_until().map_or(0, |until| until.0), Ordering::Relaxed);
        self.degraded.store(inner.gate.is_degraded(), Ordering::Relaxed);
        let Inner { gate, mood, .. } = &mut *inner;
        let news = mood.renew(gate);
        drop(inner);
        news.into_iter().flatten().for_each(|news| tell(&self.name, news));
        for (sender, answer) in answers {
            // Without a receiver the answer, and with it the permit, is dropped right here.
            if let Some(sender) = sender {
                drop(sender.send(answer));
            }
        }
        if start {
            self.runtime.spawn(self.clone().pump());
        } else if next.is_some() && next != before {
            self.earlier.notify_one();
        }
    }

    async fn pump(self: Arc<Self>) {
        loop {
            let next = {
                let mut inner = self.inner.lock();
                inner.pumping = inner.next.is_some();
                inner.next
            };
            let Some(next) = next else { return };
            tokio::select! {
                () = self.clock.sleep_until(next) => {}
                () = self.earlier.notified() => continue,
            }
            self.advance();
        }
    }
}

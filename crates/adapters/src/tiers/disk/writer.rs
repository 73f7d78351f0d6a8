//! Who writes, and what happens when the disk fails? One thread: orders in their order, several at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bellwether::shared::{TierError, TierTrouble};
use tokio::sync::mpsc;
use tokio::time::{timeout, timeout_at};

use super::clock::Machine;
use super::common::{Common, count};
use super::file::{File, Outcome, Terms, tally};
use super::floors::{Floors, KeyFloors};
use super::order::Order;
use super::place;
use super::row;
use super::trouble::Trouble;

/// Entries wait so long for others to be written with, unless somebody waits for the disk.
const LINGER: Duration = Duration::from_millis(20);
/// Without orders, the thread looks around so often: for what has expired, or whether the disk works again.
const IDLE: Duration = Duration::from_millis(200);
/// Likewise, while much has expired or must make room: orders come first.
const BREATH: Duration = Duration::from_millis(1);
/// Damage twice within this time is the disk's fault, not the file's.
const DAMAGE_AGAIN: Duration = Duration::from_secs(60);
/// How often floors are looked through.
const FLOORS_EVERY: Duration = Duration::from_secs(60);
/// How often the file is looked for: somebody may delete it, or its directory.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The wait before a disk that failed is tried again doubles up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The thread's own.
#[derive(Debug)]
pub(super) struct Writer {
    terms: Terms,
    common: Arc<Common>,
    state: State,
    /// The directory is ours; kept while the disk fails.
    taken: Option<place::Held>,
    keys: KeyFloors,
    /// Openings of the file so far.
    openings: u64,
    /// The first wait after a failure.
    pause: Duration,
    floors_due: Instant,
    look_due: Instant,
    /// There is more to tidy.
    untidy: bool,
    /// When the file was last found damaged.
    damaged: Option<Instant>,
}

#[derive(Debug)]
enum State {
    On(Box<File>),
    Off {
        /// When it is tried again.
        at: Instant,
        /// And how long that was away.
        pause: Duration,
        /// Something was removed that may still be in the file: it goes before anything is read from it again.
        owes_wipe: bool,
    },
}

impl Writer {
    /// Opens the tier. Only what is somebody else's is an error: a disk that fails turns the tier off.
    pub(super) fn open(
        terms: Terms,
        machine: &Machine,
        common: Arc<Common>,
        pause: Duration,
    ) -> Result<Writer, Trouble> {
        let mut writer = Writer {
            terms,
            common,
            state: State::Off { at: Instant::now(), pause: pause / 2, owes_wipe: false },
            taken: None,
            keys: KeyFloors::default(),
            openings: 0,
            pause,
            floors_due: Instant::now() + FLOORS_EVERY,
            look_due: Instant::now() + LOOK_EVERY,
            untidy: false,
            damaged: None,
        };
        match writer.start(machine) {
            Err(refused @ Trouble::Refused(_)) => Err(refused),
            Err(trouble) => {
                writer.go_off(&trouble, false);
                Ok(writer)
            }
            Ok(()) => Ok(writer),
        }
    }

    /// Until all handles are gone; then all that was ordered is on the platter.
    pub(super) fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => return self.go_off(&Trouble::Failed(format!("no runtime for its thread: {error}")), false),
        };
        let most = self.terms.limits.orders;
        runtime.block_on(async {
            loop {
                let mut batch = Vec::new();
                let gathered = timeout(self.idle(), gather(&mut orders, &mut batch, most)).await;
                match (batch.is_empty(), gathered) {
                    (true, Ok(())) => break,
                    (true, Err(_)) if self.common.ending.load(Ordering::Relaxed) => break,
                    (true, Err(_)) => self.tend(),
                    (false, _) => self.perform(batch),
                }
            }
        });
        if let State::On(file) = self.state
            && let Err(trouble) = file.close()
        {
            tracing::warn!(
                error = trouble.text(),
                "disk tier not closed in order: believed until this machine starts again"
            );
        }
    }

    /// Short while there is tidying to do.
    fn idle(&self) -> Duration {
        if self.untidy { BREATH } else { IDLE }
    }

    /// Opens the file, once the directory is ours.
    fn start(&mut self, machine: &Machine) -> Result<(), Trouble> {
        if self.taken.is_none() {
            self.taken = Some(self.terms.place.take()?);
        }
        let owes_wipe = matches!(self.state, State::Off { owes_wipe: true, .. });
        if owes_wipe || self.terms.place.is_distrusted() {
            self.terms.place.wipe()?;
            self.terms.place.trust();
        }
        let (file, floors) = match File::open(&self.terms, machine) {
            Err(Trouble::Damaged(text)) => self.begin_anew(machine, &text)?,
            opened => opened?,
        };
        self.go_on(file, floors);
        Ok(())
    }

    fn go_on(&mut self, file: File, floors: Floors) {
        self.openings += 1;
        self.common.begin(file.opening(self.openings), floors);
        self.state = State::On(Box::new(file));
    }

    /// Sets a damaged file aside and begins another.
    fn begin_anew(&mut self, machine: &Machine, text: &str) -> Result<(File, Floors), Trouble> {
        if self.damaged.replace(Instant::now()).is_some_and(|last| last.elapsed() < DAMAGE_AGAIN) {
            return Err(Trouble::Failed(format!("damaged again, soon after a fresh file was begun: {text}")));
        }
        let aside = self.terms.place.set_aside(machine.wall_ms / 1000)?;
        count(&self.common.counts.set_aside);
        tracing::error!(
            error = text,
            set_aside = %aside.display(),
            "disk tier's file is damaged: set aside, and a fresh one begun; delete it when you have looked at it"
        );
        File::open(&self.terms, machine)
    }

    fn go_off(&mut self, trouble: &Trouble, owes_wipe: bool) {
        let pause = match self.state {
            State::Off { pause, .. } => (pause * 2).min(LONGEST_PAUSE),
            State::On(_) => self.pause,
        };
        let text = format!("{} (tried again in {} s; memory serves meanwhile)", trouble.text(), pause.as_secs_f32());
        tracing::error!(directory = %self.terms.place.directory().display(), error = trouble.text(), "disk tier is off");
        count(&self.common.counts.failures);
        self.common.end(text);
        // The file is closed here.
        self.state = State::Off { at: Instant::now() + pause, pause, owes_wipe };
    }

    fn perform(&mut self, batch: Vec<Order>) {
        for part in split(batch, self.terms.limits.bytes) {
            self.perform_part(part);
            // Room for the next, in file and log.
            self.tend();
        }
    }

    fn perform_part(&mut self, mut orders: Vec<Order>) {
        let weight: usize = orders.iter().map(weight).sum();
        self.common.queued.fetch_sub(weight, Ordering::Relaxed);
        self.hear(&orders);
        if matches!(&self.state, State::On(file) if file.log_is_full()) {
            self.drop_puts(&mut orders);
        }
        // Each turn of the loop ends it, or is the one that made room, or leaves fewer orders or no file.
        let mut made_room = false;
        loop {
            let State::On(file) = &mut self.state else { return self.turn_away(orders) };
            match file.write(&orders, &self.common.floors, &mut self.keys) {
                Ok(outcomes) => return self.acknowledge(orders, &outcomes),
                Err(Trouble::Full(_)) if file.is_at_limit() && orders.iter().any(is_put) => {
                    match file.make_room(&self.common.counts) {
                        Ok(_) if made_room => self.drop_puts(&mut orders),
                        Ok(_) => made_room = true,
                        Err(trouble) => self.fail(&trouble),
                    }
                }
                Err(trouble) => self.fail(&trouble),
            }
        }
    }

    /// What the reader ran into, unless that was another file.
    fn hear(&mut self, orders: &[Order]) {
        for order in orders {
            if let Order::Trouble { opening, trouble } = order
                && *opening == self.openings
                && matches!(self.state, State::On(_))
            {
                self.fail(trouble);
            }
        }
    }

    /// Damage: another file. Anything else: off.
    fn fail(&mut self, trouble: &Trouble) {
        let Trouble::Damaged(text) = trouble else { return self.go_off(trouble, false) };
        // Closed before it is moved; and nothing is read from it any more.
        self.common.end(text.clone());
        self.state = State::Off { at: Instant::now(), pause: self.pause / 2, owes_wipe: true };
        match self.begin_anew(&Machine::now(), text) {
            Ok((file, floors)) => self.go_on(file, floors),
            Err(trouble) => self.go_off(&trouble, true),
        }
    }

    fn drop_puts(&self, orders: &mut Vec<Order>) {
        let before = orders.len();
        orders.retain(|order| !is_put(order));
        self.common.counts.dropped.fetch_add((before - orders.len()) as u64, Ordering::Relaxed);
    }

    fn acknowledge(&self, orders: Vec<Order>, outcomes: &[Outcome]) {
        for (order, outcome) in orders.into_iter().zip(outcomes) {
            tally(*outcome, &self.common.counts);
            self.answer(order, Ok(*outcome == Outcome::Removed(true)));
        }
    }

    /// Tells whoever waits; nobody may be left who does. What could not be removed stays covered in this life.
    fn answer(&self, order: Order, done: Result<bool, TierError>) {
        match order {
            Order::Remove { key, done: waits, .. } => {
                if done.is_ok() {
                    self.common.under_way.end_key(row::id(&key));
                }
                drop(waits.send(done));
            }
            Order::Raise { scope, done: waits, .. } => {
                if done.is_ok() {
                    self.common.under_way.end_scope(scope);
                }
                drop(waits.send(done.map(|_| ())));
            }
            Order::Flush { done: waits } => drop(waits.send(())),
            Order::Put(_) | Order::Forget { .. } | Order::Trouble { .. } => {}
        }
    }

    /// While the tier is off entries are dropped, and whatever is removed takes the whole file with it: it can't be
    /// written to, and what is in it must not come back.
    fn turn_away(&mut self, mut orders: Vec<Order>) {
        self.drop_puts(&mut orders);
        let removes = |order: &Order| matches!(order, Order::Remove { .. } | Order::Raise { .. });
        let done = if orders.iter().any(removes) { self.wipe() } else { Ok(false) };
        for order in orders {
            self.answer(order, done.clone());
        }
    }

    fn wipe(&mut self) -> Result<bool, TierError> {
        let place = &self.terms.place;
        let there = place.has_file();
        // What is not there now may be there later: a directory that was moved away, a disk that was not mounted.
        let is_gone = matches!((&self.taken, &there), (Some(_), Ok(true)));
        let wiped = match (&self.taken, there) {
            (_, Ok(false)) => Ok(()),
            (Some(_), Ok(true)) => place.wipe(),
            (None, Ok(true)) => Err(Trouble::Failed(format!("{} can't be written to", place.directory().display()))),
            (_, Err(trouble)) => Err(trouble),
        };
        // Another process may have the rights that this one lacks, and this one may be killed before it has them.
        if wiped.is_err() && !place.distrust() {
            tracing::error!(
                directory = %place.directory().display(),
                "something was removed that the disk tier's file may still hold, and nobody can be told: delete the directory"
            );
        }
        if let State::Off { owes_wipe, .. } = &mut self.state {
            *owes_wipe = !is_gone || wiped.is_err();
        }
        wiped.map(|()| false).map_err(|trouble| trouble.to_tier_error())
    }

    /// What is done between orders.
    fn tend(&mut self) {
        if let State::Off { at, owes_wipe, .. } = self.state {
            if Instant::now() >= at {
                self.try_again(owes_wipe);
            }
            return;
        }
        if Instant::now() >= self.look_due {
            self.look_due = Instant::now() + LOOK_EVERY;
            if matches!(&self.state, State::On(file) if !file.is_in_place()) {
                return self.lose();
            }
        }
        if let Err(trouble) = self.tidy() {
            self.fail(&trouble);
        }
    }

    /// The file was deleted, or moved away, or another one lies in its place: of that nothing is believed.
    fn lose(&mut self) {
        let path = self.terms.place.file();
        // The lock may be gone with its directory: who begins anew takes it anew.
        self.taken = None;
        self.go_off(&Trouble::Failed(format!("{} was deleted or replaced while it was in use", path.display())), true);
    }

    fn try_again(&mut self, owes_wipe: bool) {
        match self.start(&Machine::now()) {
            Ok(()) => tracing::info!(directory = %self.terms.place.directory().display(), "disk tier is on again"),
            Err(trouble) => self.go_off(&trouble, owes_wipe),
        }
    }

    /// A little of everything: orders wait no longer for it than for a batch.
    fn tidy(&mut self) -> Result<(), Trouble> {
        let State::On(file) = &mut self.state else { return Ok(()) };
        file.checkpoint()?;
        let expired = file.expire(&self.common.counts)?;
        let crowded = file.make_room(&self.common.counts)?;
        self.untidy = expired || crowded;
        if Instant::now() >= self.floors_due {
            self.floors_due = Instant::now() + FLOORS_EVERY;
            file.forget_floors(&self.common.floors)?;
        }
        file.checkpoint()
    }
}

/// Waits for orders; entries alone linger for others. None come once all senders are gone.
async fn gather(orders: &mut mpsc::Receiver<Order>, batch: &mut Vec<Order>, most: usize) {
    let mut came = orders.recv_many(batch, most).await;
    let until = tokio::time::Instant::now() + LINGER;
    while came > 0 && batch.len() < most && !batch.iter().any(Order::is_urgent) {
        let room = most - batch.len();
        match timeout_at(until, orders.recv_many(batch, room)).await {
            Ok(more) => came = more,
            Err(_) => break,
        }
    }
}

/// Parts of a batch whose bodies are at most `bytes` each; a larger one stands alone.
fn split(batch: Vec<Order>, bytes: usize) -> Vec<Vec<Order>> {
    let (mut parts, mut part, mut held) = (Vec::new(), Vec::new(), 0);
    for order in batch {
        let weight = weight(&order);
        if held + weight > bytes && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            held = 0;
        }
        held += weight;
        part.push(order);
    }
    parts.push(part);
    parts
}

fn weight(order: &Order) -> usize {
    match order {
        Order::Put(put) => put.weight(),
        _ => 0,
    }
}

fn is_put(order: &Order) -> bool {
    matches!(order, Order::Put(_))
}

/// The tier's thread is gone.
pub(super) fn gone() -> TierError {
    TierError { kind: TierTrouble::Failed, text: "the disk tier has ended".to_owned() }
}

/// Too many invalidations wait for the disk.
pub(super) fn stuck() -> TierError {
    TierError {
        kind: TierTrouble::Full,
        text: "the disk does not answer: too many invalidations wait for it".to_owned(),
    }
}

//! What is written to the file, and in which order does it survive? Batches, deletes, floors, the log.

use std::sync::atomic::Ordering;

use bellwether::disk::{OnRestart, Scope};
use bellwether::{Fence, Kind};
use bytes::Bytes;
use parking_lot::RwLock;
use rusqlite::{Connection, OptionalExtension, params};

use super::clock::{Continuity, FileClock, Left, Machine};
use super::common::{Counts, Opening, count};
use super::floors::{Floor, Floors, KeyFloors, Seq};
use super::limits::Limits;
use super::order::{Order, Put};
use super::place::Place;
use super::row::{self, About, Head};
use super::schema;
use super::trouble::Trouble;

/// How long a floor outlives the last entry it can cover, in ms: what was under way when it was raised.
const FLOOR_MARGIN_MS: u64 = 600_000;

/// Entries make room in so many steps at most before orders are looked at again.
const MOST_STEPS: u32 = 32;

/// What an opening needs to know.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) place: Place,
    pub(super) limits: Limits,
    pub(super) on_restart: OnRestart,
    pub(super) clock: bellwether::Clock,
}

/// The file, open to write.
#[derive(Debug)]
pub(super) struct File {
    connection: Connection,
    place: Place,
    limits: Limits,
    clock: FileClock,
    about: About,
    /// Entries make room until there is plenty.
    crowded: bool,
    /// Which file it is.
    identity: (u64, u64),
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Stored,
    /// An invalidation or something newer came first.
    Outdated,
    TooLarge,
    /// An entry was deleted; whether it is one that could still have been served.
    Removed(bool),
    /// None of the key was there.
    NothingRemoved,
    Done,
}

impl File {
    /// Opens the file, or begins a new one where there is none or the old one is not to be believed.
    pub(super) fn open(terms: &Terms, machine: &Machine) -> Result<(File, Floors), Trouble> {
        terms.place.touch()?;
        let path = terms.place.file();
        let connection = schema::connect(&path, terms.limits)?;
        if schema::is_new(&connection, &path)? {
            return File::begin(terms, machine, connection);
        }
        schema::prepare(&connection)?;
        let about = schema::about(&connection)?;
        match useless(terms, machine, &about, &connection)? {
            Err(why) => {
                tracing::info!(file = %path.display(), why, "disk tier begins anew");
                drop(connection);
                terms.place.wipe()?;
                terms.place.touch()?;
                File::begin(terms, machine, schema::connect(&path, terms.limits)?)
            }
            Ok(clock) => File::go_on(terms, machine, connection, about, clock),
        }
    }

    fn begin(terms: &Terms, machine: &Machine, connection: Connection) -> Result<(File, Floors), Trouble> {
        let anchor = FileClock::anchor(&terms.clock, machine.wall_ms);
        let left = Left { boot: machine.boot.clone(), anchor, latest_ms: anchor.wall_ms, clean: false };
        let about = About { left, life: 1, all: Seq::default() };
        schema::create(&connection, &about)?;
        let clock = FileClock::new(terms.clock.clone(), anchor);
        Ok((File::new(terms, connection, about, clock)?, Floors::default()))
    }

    fn go_on(
        terms: &Terms,
        machine: &Machine,
        connection: Connection,
        before: About,
        clock: FileClock,
    ) -> Result<(File, Floors), Trouble> {
        let floors = schema::floors(&connection, before.all)?;
        let left = Left {
            boot: machine.boot.clone(),
            anchor: clock.since(),
            latest_ms: clock.now_ms().max(before.left.latest_ms),
            clean: false,
        };
        let about = About { left, life: before.life + 1, all: before.all };
        // That the file is in use must be on the platter before anything is written to it: or a power cut would leave
        // a file that claims to have ended in order.
        let synchronous = if before.left.clean { "FULL" } else { "NORMAL" };
        connection.pragma_update(None, "synchronous", synchronous)?;
        schema::write_about(&connection, &about)?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Ok((File::new(terms, connection, about, clock)?, floors))
    }

    fn new(terms: &Terms, connection: Connection, about: About, clock: FileClock) -> Result<File, Trouble> {
        let (place, identity) = (terms.place.clone(), terms.place.identity()?);
        Ok(File { connection, place, limits: terms.limits, clock, about, crowded: false, identity })
    }

    /// Whether it still lies where it was opened: what is written to a file that nobody finds again is lost.
    pub(super) fn is_in_place(&self) -> bool {
        self.place.identity().is_ok_and(|there| there == self.identity)
    }

    /// For those who read it.
    pub(super) fn opening(&self, number: u64) -> Opening {
        Opening { number, path: self.place.file(), life: self.about.life, clock: self.clock.clone() }
    }

    /// Writes all orders or none. What it returns is in the log: it survives the process from here on.
    pub(super) fn write(
        &mut self,
        orders: &[Order],
        floors: &RwLock<Floors>,
        keys: &mut KeyFloors,
    ) -> Result<Vec<Outcome>, Trouble> {
        self.transaction(|file| orders.iter().map(|order| file.perform(order, floors, keys)).collect())
    }

    fn transaction<T>(&mut self, act: impl FnOnce(&mut File) -> Result<T, Trouble>) -> Result<T, Trouble> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = act(self).and_then(|done| {
            self.about.left.latest_ms = self.about.left.latest_ms.max(self.clock.now_ms());
            schema::write_about(&self.connection, &self.about)?;
            self.connection.execute_batch("COMMIT")?;
            Ok(done)
        });
        if done.is_err() && !self.connection.is_autocommit() {
            // The first failure is what is told; if this fails too, the connection is closed soon.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        done
    }

    fn perform(&mut self, order: &Order, floors: &RwLock<Floors>, keys: &mut KeyFloors) -> Result<Outcome, Trouble> {
        match order {
            Order::Put(put) => self.put(put, floors, keys),
            Order::Remove { key, fence, .. } => {
                let id = row::id(key);
                keys.raise(id, *fence);
                self.remove(id, key, *fence, floors)
            }
            Order::Raise { scope, fence, .. } => self.raise(*scope, *fence, floors),
            Order::Forget { id, sum } => {
                let sql = "DELETE FROM entry WHERE id = ?1 AND sum = ?2";
                self.connection.prepare_cached(sql)?.execute(params![id, sum])?;
                Ok(Outcome::Done)
            }
            Order::Trouble { .. } | Order::Flush { .. } => Ok(Outcome::Done),
        }
    }

    fn put(&self, put: &Put, floors: &RwLock<Floors>, keys: &KeyFloors) -> Result<Outcome, Trouble> {
        let (id, at) = (row::id(&put.key), Seq { life: self.about.life, fence: put.fence.0 });
        if keys.covers(id, put.fence) || floors.read().cover(at, put.space, &put.envelope.tags) {
            return Ok(Outcome::Outdated);
        }
        let Some((envelope, expires_ms)) = row::encode(&put.key, &put.envelope, self.clock.now_ms()) else {
            return Ok(Outcome::TooLarge);
        };
        if envelope.len() > self.limits.bytes {
            return Ok(Outcome::TooLarge);
        }
        let head = Head { key: &put.key, space: put.space, at, expires_ms };
        let sql = "INSERT INTO entry (id, key, space, life, fence, expires_ms, sum, envelope)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
            ON CONFLICT (id) DO UPDATE SET key = ?2, space = ?3, life = ?4, fence = ?5, expires_ms = ?6, sum = ?7,
            envelope = ?8 WHERE (life, fence) <= (?4, ?5)";
        let sum = head.sum(&envelope);
        let space = put.space.cast_signed();
        let values = params![id, put.key, space, at.life, at.fence, expires_ms, sum, envelope];
        let changed = self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(if changed > 0 { Outcome::Stored } else { Outcome::Outdated })
    }

    fn remove(&self, id: i64, key: &[u8], fence: Fence, floors: &RwLock<Floors>) -> Result<Outcome, Trouble> {
        let sql = "DELETE FROM entry WHERE id = ?1 AND key = ?2 AND (life, fence) <= (?3, ?4)
            RETURNING space, life, fence, expires_ms, envelope";
        let values = params![id, key, self.about.life, fence.0];
        let gone = self.connection.prepare_cached(sql)?.query_row(values, |row| {
            let at = Seq { life: row.get(1)?, fence: row.get(2)? };
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), at, row.get::<_, u64>(3)?, row.get::<_, Vec<u8>>(4)?))
        });
        let Some((space, at, expires_ms, envelope)) = gone.optional()? else { return Ok(Outcome::NothingRemoved) };
        let now = self.clock.now_ms();
        let held = row::decode(key, &Bytes::from(envelope), now).filter(|_| now < expires_ms);
        let was_there =
            held.is_some_and(|held| held.kind == Kind::Value && !floors.read().cover(at, space, &held.tags));
        Ok(Outcome::Removed(was_there))
    }

    fn raise(&mut self, scope: Scope, fence: Fence, floors: &RwLock<Floors>) -> Result<Outcome, Trouble> {
        let at = Seq { life: self.about.life, fence: fence.0 };
        let last_end = schema::last_end(&self.connection)?;
        let floor = Floor { at, until_ms: last_end.max(self.clock.now_ms()) + FLOOR_MARGIN_MS };
        // Those who read see it before it is acknowledged; too early only covers more.
        if !floors.write().raise(scope, floor) {
            floors.write().raise_all(at);
            self.about.all = self.about.all.max(at);
            self.connection.execute("DELETE FROM floor", [])?;
            return Ok(Outcome::Done);
        }
        let (kind, number) = row::columns(scope);
        let sql = "INSERT INTO floor (kind, scope, life, fence, until_ms, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
            ON CONFLICT (kind, scope) DO UPDATE SET life = ?3, fence = ?4, until_ms = ?5, sum = ?6
            WHERE (life, fence) <= (?3, ?4)";
        let values = params![kind, number, at.life, at.fence, floor.until_ms, row::floor_sum(scope, floor)];
        self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(Outcome::Done)
    }

    /// Deletes some of what has expired. True: there is more.
    pub(super) fn expire(&mut self, counts: &Counts) -> Result<bool, Trouble> {
        let now = self.clock.now_ms();
        let sql = "DELETE FROM entry WHERE id IN
            (SELECT id FROM entry WHERE expires_ms <= ?1 ORDER BY expires_ms LIMIT ?2)";
        // An empty look costs no write.
        if !self.connection.prepare_cached("SELECT 1 FROM entry WHERE expires_ms <= ?1")?.exists([now])? {
            return Ok(false);
        }
        let most = self.limits.orders;
        let gone = self.transaction(|file| Ok(file.connection.prepare_cached(sql)?.execute(params![now, most])?))?;
        counts.expired.fetch_add(gone as u64, Ordering::Relaxed);
        Ok(gone == most)
    }

    /// Lets go of floors that cover nothing any more.
    pub(super) fn forget_floors(&mut self, floors: &RwLock<Floors>) -> Result<(), Trouble> {
        let now = self.clock.now_ms();
        // From the file first: a floor that is in the file alone does no harm.
        if floors.read().any_before(now) {
            let sql = "DELETE FROM floor WHERE until_ms <= ?1";
            self.transaction(|file| Ok(file.connection.prepare_cached(sql)?.execute([now])?))?;
            floors.write().forget_before(now);
        }
        Ok(())
    }

    /// Keeps the file within its limit: from a mark on, the soonest-expiring entries go. True: there are more to go.
    pub(super) fn make_room(&mut self, counts: &Counts) -> Result<bool, Trouble> {
        for _ in 0..MOST_STEPS {
            let used = schema::used_pages(&self.connection)?;
            counts.used.store(used * super::limits::PAGE, Ordering::Relaxed);
            let urgent = used >= self.limits.crowded();
            self.crowded = urgent || self.crowded && used > self.limits.roomy();
            if self.crowded {
                self.evict(counts)?;
                self.checkpoint()?;
            }
            if !urgent {
                break;
            }
        }
        Ok(self.crowded)
    }

    /// Deletes the soonest-expiring entries, some at once.
    fn evict(&mut self, counts: &Counts) -> Result<(), Trouble> {
        let sql = "DELETE FROM entry WHERE id IN (SELECT id FROM entry ORDER BY expires_ms LIMIT ?1)";
        let most = self.limits.orders;
        let gone = self.transaction(|file| Ok(file.connection.prepare_cached(sql)?.execute([most])?))?;
        counts.evicted.fetch_add(gone as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Whether it is the tier's own limit that is reached, and not the disk's.
    pub(super) fn is_at_limit(&self) -> bool {
        // A file that can't even say is the disk's trouble.
        schema::all_pages(&self.connection).is_ok_and(|pages| pages + 64 >= self.limits.pages)
    }

    /// Empties the log into the file once it is long.
    pub(super) fn checkpoint(&self) -> Result<(), Trouble> {
        if self.place.log_bytes() >= self.limits.log {
            self.empty_log()?;
        }
        Ok(())
    }

    /// While the log can't be emptied, nothing may be stored: removals alone.
    pub(super) fn log_is_full(&self) -> bool {
        self.place.log_bytes() >= self.limits.most_log
    }

    fn empty_log(&self) -> Result<(), Trouble> {
        // Three numbers that say how far it came: what matters is how long the log is afterwards.
        Ok(self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }

    /// Notes an end in order, on the platter.
    pub(super) fn close(mut self) -> Result<(), Trouble> {
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        self.about.left.clean = true;
        self.transaction(|_| Ok(()))?;
        self.empty_log()
    }
}

/// The file's clock, or why what is in the file can't be used.
fn useless(
    terms: &Terms,
    machine: &Machine,
    about: &About,
    connection: &Connection,
) -> Result<Result<FileClock, &'static str>, Trouble> {
    if terms.on_restart == OnRestart::Drop {
        return Ok(Err("on_restart = \"drop\""));
    }
    if schema::all_pages(connection)? > terms.limits.pages {
        return Ok(Err("the file is larger than its limit, which was lowered"));
    }
    Ok(match Continuity::of(&about.left, machine, &terms.clock) {
        Continuity::Kept(anchor) => Ok(FileClock::new(terms.clock.clone(), anchor)),
        Continuity::Lost => {
            Err("the machine was started again after an end without order: the last removals may be lost")
        }
        Continuity::Backwards => Err("the clock stands before the file's last moment: ages mean nothing"),
    })
}

/// Counts what became of an entry.
pub(super) fn tally(outcome: Outcome, counts: &Counts) {
    match outcome {
        Outcome::Stored => count(&counts.stored),
        Outcome::Outdated => count(&counts.outdated),
        Outcome::TooLarge => count(&counts.too_large),
        Outcome::Removed(_) => count(&counts.removed),
        Outcome::NothingRemoved | Outcome::Done => {}
    }
}

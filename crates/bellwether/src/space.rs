//! What can be done with a family of keys? The typed face of a space.

use std::marker::PhantomData;
use std::sync::Arc;

use bellwether_core::cell::{Change, Ending, Only, When};
use bellwether_core::entry::{Kind, Meta};
use bellwether_core::fence::{Fence, Invalidation};
use bellwether_core::read::decide::Demand;
use bellwether_core::time::{Span, Tick};
use bellwether_core::why::Why;
use futures_util::future::{BoxFuture, FutureExt, ready};
use tokio::task::JoinHandle;

use crate::acknowledged::{Cleared, Ended, Invalidated, Written};
use crate::body::AnyBody;
use crate::cached::Cached;
use crate::engine::Engine;
use crate::engine::ask::Ask;
use crate::engine::decided::Decided;
use crate::engine::hit::Look;
use crate::engine::shelf::{Fetched, Unsure};
use crate::engine::token::given::Leased;
use crate::engine::told::Acknowledged;
use crate::engine::write::{Invalidating, ToTell, Writing};
use crate::entry::{Entry, Resident, Tag};
use crate::error::Error;
use crate::key::{CacheKey, Key};
use crate::load::Loaded;
use crate::shared::TierTrouble;
use crate::state::plan::Announced;
use crate::state::space::SpaceState;
use crate::token::{Of, Token};
use crate::weigh::Value;

/// A family of keys with one policy, one origin and one value type. Cheap to clone.
pub struct Space<K: ?Sized, V> {
    pub(crate) shared: Arc<Shared<V>>,
    of: PhantomData<fn(&K)>,
}

/// A moment in the order in which this process learns of invalidations: see [`Space::since`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since(Fence);

/// What a space's clones and futures share.
pub(crate) struct Shared<V> {
    pub(crate) engine: Arc<Engine>,
    pub(crate) state: Arc<SpaceState>,
    pub(crate) default: Option<Arc<Resident>>,
    pub(crate) of: PhantomData<fn() -> V>,
}

impl<K: ?Sized, V> Clone for Space<K, V> {
    fn clone(&self) -> Space<K, V> {
        Space { shared: self.shared.clone(), of: PhantomData }
    }
}

/// A value or the right to fill a plain space's key.
pub enum Lease<V> {
    /// A value; stale and with a token if this caller should renew it.
    Value(Cached<V>, Option<Token>),
    /// Known not to exist.
    Missing,
    /// Nothing resident: load it, then [`Space::publish`] under this token.
    Token(Token),
    /// Another holds the token, at most so much longer.
    Held(Span),
}

/// What lies on disk under a key. See [`Space::on_disk`].
pub struct OnDisk {
    key: Key,
    found: Fetched,
}

/// What became of a write under a condition.
pub struct Conditional<V> {
    /// Whether the condition held.
    pub stored: bool,
    /// What was there before, if it was asked for.
    pub before: Option<Cached<V>>,
}

impl<K: CacheKey + ?Sized, V: Value> Space<K, V> {
    pub(crate) fn new(engine: Arc<Engine>, state: Arc<SpaceState>) -> Space<K, V> {
        Space { shared: Arc::new(Shared { engine, state, default: None, of: PhantomData }), of: PhantomData }
    }

    /// The same space, answering with `value` where it could only answer with an error (why = `default`).
    #[must_use]
    pub fn with_default(&self, value: V) -> Space<K, V> {
        let Shared { engine, state, .. } = &*self.shared;
        let meta = Meta {
            fence: Fence::ZERO,
            born: Tick(0),
            fresh_until: Tick(0),
            swr_ms: 0,
            hard_ms: 0,
            cost_ms: 0,
            early_ms: 0,
            kind: Kind::Value,
        };
        let key = Key { hash: 0, bytes: [].into(), space: state.id };
        let default = Some(Arc::new(Entry::new(&key, meta, None, value.weight(), value)));
        let shared = Shared { engine: engine.clone(), state: state.clone(), default, of: PhantomData };
        Space { shared: Arc::new(shared), of: PhantomData }
    }

    /// The space's name: its label in metrics.
    pub fn name(&self) -> &str {
        &self.shared.state.name
    }

    /// What is resident, whether it may be served or not yet swept out; loads nothing, counts
    /// nothing, is no use that keeps an entry from eviction.
    pub fn peek(&self, key: &K) -> Option<Cached<V>> {
        let engine = &self.shared.engine;
        let entry = engine.live(&self.shared.state, &self.owned(key))?;
        Cached::new(entry, Why::Hit, engine.clock.now())
    }

    /// Whether memory answers a read of `key` by itself: it holds a value, and no other tier must be asked first.
    pub fn answers_alone(&self, key: &K) -> bool {
        let Shared { engine, state, .. } = &*self.shared;
        matches!(engine.look(state, self.owned(key).by_ref(), Demand::CachedOnly), Look::Serve { .. })
    }

    /// Whether the key is known not to exist.
    pub fn known_missing(&self, key: &K) -> bool {
        let Shared { engine, state, .. } = &*self.shared;
        engine.memory.peek(self.owned(key).by_ref()).is_some_and(|entry| {
            let covered = engine.floor_of(state, &entry).covers(entry.fence());
            entry.kind() == Kind::Negative && engine.clock.now() < entry.fresh_until() && !covered
        })
    }

    /// This moment, for [`unchanged_since`](Space::unchanged_since): to be asked before the origin is, for what is kept
    /// beside the cache.
    pub fn since(&self) -> Since {
        Since(self.shared.engine.next_fence())
    }

    /// Whether nothing is known against what was read at the origin after that moment and would carry `tags`: neither
    /// the space nor one of the tags was invalidated since, and no invalidation of another process can have been missed.
    /// Of single keys nothing is said.
    pub fn unchanged_since(&self, since: Since, tags: &[Arc<str>]) -> bool {
        let Shared { engine, state, .. } = &*self.shared;
        let tags: Vec<Tag> = tags.iter().map(Tag::named).collect();
        let floor = state.floor().merge(engine.tags.floor(&tags));
        !floor.covers(since.0) && since.0 > state.marks().suspect
    }

    /// Hard: from the moment this returns, no read that begins in this process gets the older value.
    pub fn remove(&self, key: &K) -> Invalidated {
        self.invalidate(key, Invalidation::Remove)
    }

    /// Soft: readers load anew; the old value is at most a rescue if that load fails, and only
    /// where the policy says so.
    pub fn expire(&self, key: &K) -> Invalidated {
        self.invalidate(key, Invalidation::Expire)
    }

    /// From now on reads of `key` at the shared tier are shared out among so many of its nodes (a Redis Cluster's, a
    /// Memcached fleet's), as far as there are as many; fewer than two: no more. It begins with the next value that is
    /// loaded. Without a shared tier, or where it is one node, nothing changes.
    pub fn spread(&self, key: &K, nodes: u16) {
        let Shared { engine, state, .. } = &*self.shared;
        if let (Some(spread), Some(travel)) = (&engine.spread, &state.travel) {
            spread.spread(&travel.name(&self.owned(key).bytes), nodes);
        }
    }

    fn invalidate(&self, key: &K, verb: Invalidation) -> Invalidated {
        let Shared { engine, state, .. } = &*self.shared;
        let key = self.owned(key);
        engine.look_at_write(state, &key.by_ref());
        let Invalidating { was_resident, to_tell, on_disk } = engine.invalidate(state, &key, verb);
        Invalidated { resident: was_resident, tier: self.tell_tier(key, to_tell), disk: on_disk }
    }

    /// Passes on what the shared tier must be told.
    fn tell_tier(&self, key: Key, to_tell: ToTell) -> Option<JoinHandle<Acknowledged>> {
        let engine = &self.shared.engine;
        match to_tell {
            ToTell::Nobody => None,
            ToTell::Tier => Some(engine.runtime().spawn(engine.clone().tell(key))),
            ToTell::Once(owed) => Some(engine.runtime().spawn(engine.clone().tell_once(owed, key))),
        }
    }

    /// Makes the value stale and ends the key's cool-down: the next read refreshes it. No
    /// invalidation: the value may be served meanwhile. False if nothing is resident.
    pub fn refresh(&self, key: &K) -> bool {
        self.shared.engine.make_stale(&self.shared.state, &self.owned(key))
    }

    /// Says that `key` will be hot: from half a minute before `from` until `until` it is treated as if it were, prepared
    /// before anybody asks. Said again, the later words count.
    /// False if that is over already, or too many keys are announced.
    pub fn announce(&self, key: &K, from: Tick, until: Tick) -> bool {
        let Shared { engine, .. } = &*self.shared;
        let now = engine.clock.now();
        until > now && from < until && engine.plans.announce(Announced { key: self.owned(key), from, until }, now)
    }

    /// Takes back that `key` will be hot: what was done about it is undone, unless it is hot. False if it is not announced.
    ///
    /// ```
    /// use bellwether::{Cache, Policy, Span};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = Cache::builder().build()?;
    /// let page = cache.space::<str, String>("page", Policy::ttl("60s"));
    /// let now = cache.clock().now();
    /// assert!(page.announce("sale", now, now + Span::secs(600)));
    /// assert_eq!(&*cache.announced()[0].key, b"sale");
    /// assert!(page.withdraw("sale") && cache.announced().is_empty());
    /// # Ok(()) }
    /// ```
    pub fn withdraw(&self, key: &K) -> bool {
        let Shared { engine, .. } = &*self.shared;
        engine.plans.withdraw(&self.owned(key), engine.clock.now())
    }

    /// Removes every key of the space, resident or not, in constant time. In this process; others that
    /// share a tier hear of it by the backplane, if there is one.
    pub fn clear(&self) -> Cleared {
        Cleared::new(self.shared.engine.invalidate_space(&self.shared.state, Invalidation::Remove))
    }

    /// Stores a value that the program already has. It is newer than everything before it: loads
    /// under way can't overwrite it. A shared tier gets it as well, soon. False if it may not be kept
    /// or is too large.
    pub fn put(&self, key: &K, loaded: impl Into<Loaded<V>>) -> bool {
        self.write(key, loaded).kept
    }

    /// Whether [`Space::write`] would keep a value of so many bytes, or find it too large. `loaded` makes what would be
    /// written; it is called only where that is in doubt.
    pub fn fits(&self, key: &K, bytes: usize, loaded: impl FnOnce() -> Loaded<V>) -> bool {
        let Shared { engine, state, .. } = &*self.shared;
        engine.fits(state, &self.owned(key), bytes, || loaded().map(|value| Box::new(value) as AnyBody))
    }

    /// As [`Space::put`]; await it to know that the shared tier has given up the older value and holds this one.
    pub fn write(&self, key: &K, loaded: impl Into<Loaded<V>>) -> Written {
        let loaded = loaded.into().map(|value| Box::new(value) as AnyBody);
        let key = self.owned(key);
        self.shared.engine.look_at_write(&self.shared.state, &key.by_ref());
        let Writing { kept, to_tell, on_disk } = self.shared.engine.put(&self.shared.state, &key, loaded);
        Written { kept, tier: self.tell_tier(key, to_tell), disk: on_disk }
    }

    /// Stores a value if `when` holds where the key is: in the shared tier, in one step with the write. `reads`: what was
    /// there before is wanted. It is done whoever waits for it.
    ///
    /// # Errors
    /// The tier did not decide (why = `bypass`): it can't be asked, the space is not in one, or the value can't go there.
    pub fn write_if(
        &self,
        key: &K,
        when: When,
        reads: bool,
        loaded: impl Into<Loaded<V>>,
    ) -> BoxFuture<'static, Result<Conditional<V>, Error>> {
        let Shared { engine, state, .. } = &*self.shared;
        let loaded = loaded.into().map(|value| Box::new(value) as AnyBody);
        let key = self.owned(key);
        engine.look_at_write(state, &key.by_ref());
        self.decided(engine.clone().write_if(state.clone(), key, when, reads, loaded))
    }

    /// Removes a value and hands it over, in one step in the shared tier: of all who take a key, in whatever process, one
    /// gets it. It is done whoever waits for it.
    ///
    /// # Errors
    /// As [`Space::write_if`].
    pub fn take(&self, key: &K) -> BoxFuture<'static, Result<Option<Cached<V>>, Error>> {
        self.change(key, Change::Take).map(|done| done.map(|done| done.before)).boxed()
    }

    /// Gives a value another end in the shared tier, for all processes: after `left`, or when the space says, if `only`
    /// allows it. After nothing it is removed. `before`: what it was.
    ///
    /// # Errors
    /// As [`Space::write_if`].
    pub fn end_if(&self, key: &K, left: Option<Span>, only: Only) -> BoxFuture<'static, Result<Conditional<V>, Error>> {
        let ending = self.shared.engine.ending(&self.shared.state, left, only);
        self.change(key, Change::End(ending))
    }

    /// Lets a value end in the shared tier, for all processes: fresh for `left` and gone after that, unless it ends sooner
    /// anyway.
    ///
    /// # Errors
    /// As [`Space::write_if`].
    pub fn end_sooner(&self, key: &K, left: Span) -> BoxFuture<'static, Result<Conditional<V>, Error>> {
        let only = Only::Sooner;
        self.change(key, Change::End(Ending { fresh: left, swr: Span::ZERO, hard: Span::ZERO, only }))
    }

    fn change(&self, key: &K, change: Change) -> BoxFuture<'static, Result<Conditional<V>, Error>> {
        let Shared { engine, state, .. } = &*self.shared;
        let key = self.owned(key);
        engine.look_at_write(state, &key.by_ref());
        self.decided(engine.clone().change(state.clone(), key, change))
    }

    /// Whether the shared tier is still to be told what this process did to a key: until then that is what holds here, and
    /// what this process has not is known not to be there.
    pub fn is_owed(&self, key: &K) -> bool {
        self.shared.engine.recall(&self.shared.state, &self.owned(key))
    }

    /// Takes over what the shared tier holds of a key that memory lacks. Never loads, and is no request.
    pub async fn take_over(&self, key: &K) {
        let Shared { engine, state, .. } = &*self.shared;
        // Nothing there, or nobody to ask: the next read finds out.
        let _ = engine.find(state, &self.owned(key)).await;
    }

    /// What the tier decides, whoever waits for it.
    fn decided(
        &self,
        task: impl Future<Output = Result<Decided, TierTrouble>> + Send + 'static,
    ) -> BoxFuture<'static, Result<Conditional<V>, Error>> {
        let engine = &self.shared.engine;
        let (clock, decided) = (engine.clock.clone(), engine.runtime().spawn(task));
        async move {
            let decided = decided.await.map_err(|_| Error::new(Why::Bypass))?.map_err(|_| Error::new(Why::Bypass))?;
            let before = decided.before.and_then(|entry| Cached::new(entry, Why::Hit, clock.now()));
            Ok(Conditional { stored: decided.stored, before })
        }
        .boxed()
    }

    /// Gives a fresh value its space's whole time again, grace included, as if it had been written
    /// now.
    pub fn renew(&self, key: &K) -> Ended {
        Ended(self.shared.engine.renew(&self.shared.state, &self.owned(key)))
    }

    /// Gives a resident value another end: fresh until then, and gone after.
    pub fn end_at(&self, key: &K, until: Tick) -> Ended {
        Ended(self.shared.engine.end_at(&self.shared.state, &self.owned(key), until))
    }

    /// What the disk has under a key that memory lacks, and a read would be answered with: for who decides by it whether
    /// to write. Nothing of it is taken up yet. `None`: nothing, or there is no disk.
    ///
    /// # Errors
    /// The disk did not tell in time (why = `timeout`): it may have something.
    pub async fn on_disk(&self, key: &K) -> Result<Option<OnDisk>, Error> {
        let Shared { engine, state, .. } = &*self.shared;
        let key = self.owned(key);
        match engine.surely_on_disk(state, &key).await {
            Ok(found) => Ok(found.map(|found| OnDisk { key, found })),
            Err(Unsure) => Err(Error::new(Why::Timeout)),
        }
    }

    /// That value, unless it was overwritten or removed since, or memory has another one. One of this life of the process
    /// is taken up into memory; one of an earlier life (why = `suspect`) stays where it is.
    pub fn take_up(&self, found: &OnDisk) -> Option<Cached<V>> {
        let Shared { engine, state, .. } = &*self.shared;
        let (entry, why, at) =
            (found.key.space == state.id).then(|| engine.take_up(state, &found.key, &found.found))??;
        Cached::new(entry, why, at)
    }

    /// For callers that load by themselves: a value, or the token to fill the key, one at a time.
    /// Others get the stale value at once, or wait up to `wait` for the holder's value. A token
    /// ends after `lease`, or when anybody removes or writes the key.
    ///
    /// In a space whose values live in a shared tier the token is the tier's lease: of all processes that share it one
    /// client has one, and what anybody does to the key anywhere voids it. Where the tier can't be asked the token is
    /// this process's alone: see [`Token::is_lone`].
    ///
    /// # Errors
    /// The key cools down, or too many keys are being loaded.
    pub async fn lease(&self, key: &K, demand: Demand, lease: Span, wait: Span) -> Result<Lease<V>, Error> {
        let shared = self.shared.clone();
        let owned = self.owned(key);
        let started = shared.engine.clock.now();
        let ask = Ask {
            demand,
            priority: shared.state.policy.priority,
            asked_us: started.0 * 1000,
            patience_ms: wait.as_u32(),
            default: shared.default.clone(),
        };
        let leased = shared.engine.lease(&shared.state, &owned, &ask, lease, wait).await;
        let (why, lease) = match leased {
            Ok(Leased::Value { entry, why, at, token }) => match Cached::new(entry, why, at) {
                Some(cached) => (why, Ok(Lease::Value(cached, token))),
                None => (Why::Negative, Ok(Lease::Missing)),
            },
            Ok(Leased::Token(token)) => {
                (if token.is_lone() { Why::Lone } else { Why::NotCached }, Ok(Lease::Token(token)))
            }
            Ok(Leased::Held(left)) => (Why::Held, Ok(Lease::Held(left))),
            // Not counted: who asks what is in its place is counted there.
            Ok(Leased::Gone) => return Err(Error::new(Why::NotCached)),
            Err(error) => (error.why(), Err(error)),
        };
        if let Some(drawn) = shared.state.count_drawn(why, shared.engine.heat.sampling()) {
            shared.engine.look_at_read(&shared.state, &owned.by_ref(), None, drawn);
        }
        lease
    }

    /// Whether a [revision](crate::Revision) dropped the space, or began it anew: nothing is kept through
    /// this handle any more, and nobody gets a token.
    pub fn is_dropped(&self) -> bool {
        self.shared.state.is_retired()
    }

    /// Stores a value under a token from [`Space::lease`]. False if the token is void: another
    /// write, a removal or the end of the lease came first, wherever that was.
    ///
    /// Without a shared tier it is done when this returns, and there is nothing to wait for. With one, the tier decides,
    /// whoever waits for it; where it does not answer, or the token was given out because it did not, the value is kept
    /// in this process for a second at most.
    pub fn publish(&self, key: &K, token: Token, loaded: impl Into<Loaded<V>>) -> BoxFuture<'static, bool> {
        let Shared { engine, state, .. } = &*self.shared;
        let loaded = loaded.into().map(|value| Box::new(value) as AnyBody);
        let key = self.owned(key);
        engine.look_at_write(state, &key.by_ref());
        match token.0 {
            Of::Here(token) | Of::Lone(token) => {
                let kept = engine.publish_here(state, &key, token, loaded);
                if kept && !engine.is_in_fleet(state) {
                    engine.shelve_written(state, &key, token);
                }
                ready(kept).boxed()
            }
            Of::Fleet(proof) => {
                let task = engine.clone().publish_in_fleet(state.clone(), key, proof, loaded);
                // A task that was aborted with its runtime has stored nothing.
                engine.runtime().spawn(task).map(|stored| stored.unwrap_or(false)).boxed()
            }
        }
    }

    /// Gives a token back unused. With a cool-down, readers get an error or a stale value for so long. False if it was
    /// void. As with [`Space::publish`], there is something to wait for only where there is a shared tier.
    pub fn release(&self, key: &K, token: Token, cool_down: Span) -> BoxFuture<'static, bool> {
        let Shared { engine, state, .. } = &*self.shared;
        let key = self.owned(key);
        match token.0 {
            Of::Here(token) | Of::Lone(token) => ready(engine.release_here(&key, token, cool_down)).boxed(),
            Of::Fleet(proof) => {
                let task = engine.clone().release_in_fleet(state.clone(), key, proof, cool_down);
                engine.runtime().spawn(task).map(|released| released.unwrap_or(false)).boxed()
            }
        }
    }
}

//! What is a key's value? From memory if it can be, else through the space's origin.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether::{BatchCtx, Cached, Demand, Error, LoadCtx, LoadError, Loaded, Why};
use bellwether_adapters::Payload;
use bellwether_core::filter::absent::Absent;
use bytes::Bytes;
use futures_util::future::{join, join_all};
use futures_util::stream::{self, StreamExt};

use super::Service;
use super::front::Facade;
use super::outcome::{Failure, Outcome, Terms};
use super::served::{Load, Served};
use super::serving::{Belongs, Serving};

/// Keys of one request that are read side by side, where no batch query loads them together.
const SIDE_BY_SIDE: usize = 1024;

thread_local! {
    /// Where a key with its generation is put together for a look at memory.
    static STORED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What is left to do for a read.
enum Next<'a> {
    End(Outcome),
    /// A plain space whose values other processes write: the tier is asked.
    Find(&'a Served),
    /// The filter may say that it is in vain: then it comes after all others.
    Load(&'a Served, Load, bool),
}

impl Service {
    /// A plainly fresh value at the lowest price: no wait, no allocation. `None` says nothing: ask
    /// [`Service::read`]. Only a hit is counted.
    #[inline]
    pub fn hit(&self, key: &[u8]) -> Option<Cached<Payload>> {
        self.0.current.with(|| self.serving().front.clone(), |front| front.space(key)?.hit(key))
    }

    /// As [`Service::hit`], of up to [`HIT_MANY`](bellwether::HIT_MANY) keys at once: `found` has a place for each.
    pub fn hit_many(&self, keys: &[&[u8]], found: &mut [Option<Cached<Payload>>]) {
        self.0.current.with(
            || self.serving().front.clone(),
            |front| {
                let mut from = 0;
                while let Some(key) = keys.get(from) {
                    let facade = front.space(key);
                    let same = |other: &&&[u8]| match (front.space(other), facade) {
                        (Some(other), Some(facade)) => std::ptr::eq(other, facade),
                        _ => false,
                    };
                    let to = from + 1 + keys[from + 1..].iter().take_while(same).count();
                    match facade {
                        Some(Facade { space, generation, .. }) if generation.is_empty() => {
                            space.hit_many(&keys[from..to], &mut found[from..to]);
                        }
                        Some(facade) => {
                            keys[from..to]
                                .iter()
                                .zip(&mut found[from..to])
                                .for_each(|(key, found)| *found = facade.hit(key));
                        }
                        None => found[from..to].fill_with(|| None),
                    }
                    from = to;
                }
            },
        );
    }

    /// The outcome of a read that needs no origin: a plain space, a wrong type, no space at all.
    /// `None`, and nothing counted: ask [`Service::read`].
    pub fn read_now(&self, key: &[u8], terms: &Terms) -> Option<Outcome> {
        let serving = self.serving();
        match serving.belongs(key) {
            Belongs::To(served, captures) if served.origin.is_some() => {
                (served.absent(key, &captures, terms) == Absent::Answers).then(|| served.told_absent())
            }
            _ => match serving.next(key, terms) {
                Next::End(outcome) => Some(outcome),
                Next::Find(_) | Next::Load(..) => None,
            },
        }
    }

    /// Reads a key through its space's origin. Dropping the future leaves a load that has begun to
    /// go on without this caller.
    pub async fn read(&self, key: Bytes, terms: Terms) -> Outcome {
        let serving = self.serving_on();
        let (served, load, lowered) = match serving.next(&key, &terms) {
            Next::End(outcome) => return outcome,
            Next::Find(served) => return served.find_plain(&served.stored(&key), &terms).await,
            Next::Load(served, load, lowered) => (served, load, lowered),
        };
        let stored = served.stored(&key);
        let vetted = match served.vet(&stored, lowered, &terms) {
            Ok(vetted) => vetted,
            Err(turned_away) => return turned_away,
        };
        let mut get = served.space.get(&*stored).demand(terms.demand).deadline(terms.asked + served.policy.timeout);
        if let Some(class) = vetted.class {
            get = get.priority(class);
        }
        let outcome = served.outcome(get.or_load(move |ctx: LoadCtx<Vec<u8>, Payload>| load.run(ctx)).await);
        vetted.ended(&key, &outcome, &terms);
        outcome
    }

    /// Reads several keys: outcomes in the order of the keys, duplicates answered each time. A
    /// space with a batch query loads all that memory lacks at once.
    pub async fn read_many(&self, keys: Vec<Bytes>, terms: Terms) -> Vec<Outcome> {
        let serving = &self.serving_on();
        let mut batches: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut single = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            match serving.batch_of(key, &terms) {
                Some(space) if serving.has_room(space, batches.get(&space).map_or(0, Vec::len), &terms) => {
                    batches.entry(space).or_default().push(at);
                }
                _ => single.push(at),
            }
        }
        let keys = &keys;
        let batches = join_all(batches.into_iter().map(|(space, places)| async move {
            let wanted: Vec<Cow<'_, [u8]>> = places.iter().map(|at| serving.spaces[space].stored(&keys[*at])).collect();
            let outcomes = read_batch(serving, space, &wanted, &terms).await;
            places.into_iter().zip(outcomes).collect::<Vec<_>>()
        }));
        let single = stream::iter(single)
            .map(|at| async move { (at, self.read(keys[at].clone(), terms).await) })
            .buffer_unordered(SIDE_BY_SIDE)
            .collect::<Vec<_>>();
        let (batches, single) = join(batches, single).await;
        let mut outcomes: Vec<(usize, Outcome)> = batches.into_iter().flatten().chain(single).collect();
        outcomes.sort_unstable_by_key(|(at, _)| *at);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }
}

/// Reads keys of one space that has a batch query.
async fn read_batch(serving: &Arc<Serving>, space: usize, keys: &[Cow<'_, [u8]>], terms: &Terms) -> Vec<Outcome> {
    let served = &serving.spaces[space];
    let mut get = served.space.get_many(keys).demand(terms.demand).deadline(terms.asked + served.policy.timeout);
    if let Some(priority) = terms.priority {
        get = get.priority(priority);
    }
    let payers: Vec<_> = keys.iter().map(|key| served.payer(key, terms)).collect();
    let of_load = serving.clone();
    let load = move |keys: Vec<Vec<u8>>, _: BatchCtx| {
        let serving = of_load.clone();
        async move { serving.spaces[space].load_many(keys).await }
    };
    let outcomes: Vec<Outcome> = get.or_load(load).await.into_iter().map(|result| served.outcome(result)).collect();
    for (outcome, payer) in outcomes.iter().zip(payers) {
        if let Some((budgets, peer)) = payer {
            budgets.spend(peer, outcome, terms.asked);
        }
    }
    outcomes
}

impl Facade {
    #[inline]
    fn hit(&self, key: &[u8]) -> Option<Cached<Payload>> {
        if self.generation.is_empty() {
            return self.space.hit(key);
        }
        STORED.with_borrow_mut(|stored| {
            stored.clear();
            stored.extend_from_slice(&self.generation);
            stored.extend_from_slice(key);
            self.space.hit(stored)
        })
    }
}

impl Serving {
    /// Whether this client may load so many keys of a space at once, and one more.
    fn has_room(&self, space: usize, keys: usize, terms: &Terms) -> bool {
        let budgets = self.spaces[space].budgets.as_deref().zip(terms.peer);
        budgets.is_none_or(|(budgets, peer)| budgets.has_room(peer, keys, terms.asked))
    }

    /// The space whose batch query can load this key. What its filter lacks is looked at alone.
    fn batch_of(&self, key: &[u8], terms: &Terms) -> Option<usize> {
        let Belongs::To(served, captures) = self.belongs(key) else { return None };
        let many = served.origin.as_ref().is_some_and(|source| source.many) && captures.are_utf8();
        let many = many && (terms.demand == Demand::CachedOnly || !served.is_strange(key));
        if many { self.spaces.iter().position(|space| std::ptr::eq(space, served)) } else { None }
    }

    fn next<'a>(&'a self, key: &'a [u8], terms: &Terms) -> Next<'a> {
        let missing = |served: &Served| {
            served.tally.count(Why::NegativeType);
            Next::End(Outcome::Missing(Why::NegativeType))
        };
        match self.belongs(key) {
            Belongs::To(served, captures) => match &served.origin {
                // What memory had a moment ago may be gone by now: then it is looked for as if it had never been there.
                None if served.is_elsewhere() && terms.demand != Demand::CachedOnly => {
                    let has = served.has(&served.stored(key), terms);
                    match has.then(|| served.read_plain(&served.stored(key), terms)) {
                        Some(outcome @ Outcome::Value(_)) => Next::End(outcome),
                        Some(_) | None => Next::Find(served),
                    }
                }
                None => Next::End(served.read_plain(&served.stored(key), terms)),
                Some(source) => match served.load(source, &captures) {
                    Some(load) => match served.absent(key, &captures, terms) {
                        Absent::Answers => Next::End(served.told_absent()),
                        said => Next::Load(served, load, said == Absent::Lowers),
                    },
                    None => missing(served),
                },
            },
            Belongs::WrongType(served) => missing(served),
            Belongs::TooLong => {
                self.nowhere.count(Why::NoSpace);
                Next::End(Outcome::KeyTooLong)
            }
            Belongs::Nowhere => {
                self.nowhere.count(Why::NoSpace);
                Next::End(Outcome::NoSpace)
            }
        }
    }
}

/// Whether a plain read may be answered with it.
fn fits(cached: &Cached<Payload>, terms: &Terms) -> bool {
    match terms.demand {
        Demand::MaxAge(most) => !cached.is_stale() && cached.age() <= most,
        _ => !cached.is_stale(),
    }
}

/// Whether it is of an age that the caller takes.
fn is_young(cached: &Cached<Payload>, terms: &Terms) -> bool {
    match terms.demand {
        Demand::MaxAge(most) => cached.age() <= most,
        _ => true,
    }
}

impl Served {
    /// A plain space never loads. What is stale, or too old for the caller, is not there: a client
    /// that was answered with it would have no reason to write it anew. The grace of a plain space
    /// is for those who get a token with the stale value.
    pub(super) fn read_plain(&self, stored: &[u8], terms: &Terms) -> Outcome {
        if self.space.peek(stored).is_some_and(|cached| !fits(&cached, terms)) {
            self.tally.count(Why::NotCached);
            return Outcome::Missing(Why::NotCached);
        }
        self.outcome(self.space.get(stored).if_cached())
    }

    /// As [`Served::read_plain`], of what memory or the tier has.
    async fn find_plain(&self, stored: &[u8], terms: &Terms) -> Outcome {
        let found = match self.on_disk {
            true => self.space.find_or_left_over(stored).await,
            false => self.space.find(stored).await,
        };
        match self.outcome(found) {
            Outcome::Value(cached) if cached.why() == Why::Suspect && is_young(&cached, terms) => {
                Outcome::Value(cached)
            }
            Outcome::Value(cached) if !fits(&cached, terms) => Outcome::Missing(Why::NotCached),
            // A plain space never fails: what can't be asked has nothing.
            Outcome::Failed(_) => Outcome::Missing(Why::NotCached),
            outcome => outcome,
        }
    }

    /// Whether memory has what a plain read answers. A copy that another tier must confirm first is none.
    fn has(&self, stored: &[u8], terms: &Terms) -> bool {
        self.space.answers_alone(stored) && self.space.peek(stored).is_some_and(|cached| fits(&cached, terms))
    }

    pub(super) fn outcome(&self, result: Result<Cached<Payload>, Error>) -> Outcome {
        match result {
            Ok(cached) => Outcome::Value(cached),
            Err(error) if error.is_missing() || error.is_not_cached() => Outcome::Missing(error.why()),
            Err(error) => Outcome::Failed(Failure::new(&error, self.policy.timeout)),
        }
    }

    /// Loads many keys of this space in one round trip. Rows that are not there are left out.
    async fn load_many(&self, keys: Vec<Vec<u8>>) -> Result<Vec<(Vec<u8>, Loaded<Payload>)>, LoadError> {
        let impossible = || LoadError::new(bellwether::FailClass::Failed, "the space has no batch query");
        let source = self.origin.as_ref().ok_or_else(impossible)?;
        let (captures, mut tags): (Vec<_>, Vec<_>) = self.loads(source, &keys).into_iter().unzip();
        if captures.len() != keys.len() {
            return Err(impossible());
        }
        let found = source.origin.load_many(captures).ok_or_else(impossible)?.await?;
        let tagged = found.into_iter().filter_map(|(at, loaded)| {
            let tags = std::mem::take(tags.get_mut(at)?);
            Some((keys.get(at)?.clone(), tags.into_iter().fold(loaded, Loaded::tag)))
        });
        Ok(tagged.collect())
    }
}

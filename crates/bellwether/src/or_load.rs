//! What does a caller wait for? A future that is small and quick to make, because most of them find a value and end at once.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bellwether_core::why::Why;
use futures_util::future::BoxFuture;

use crate::asked::{Terms, erase};
use crate::cached::Cached;
use crate::ctx::LoadCtx;
use crate::engine::due::Due;
use crate::engine::hit::{Closely, Glance, Unfit};
use crate::entry::Resident;
use crate::error::Error;
use crate::key::CacheKey;
use crate::load::{LoadError, Loaded};
use crate::space::{Shared, Space};
use crate::weigh::Value;

/// What a caller gets.
type Outcome<V> = Result<Cached<V>, Error>;
/// What it waits for.
type Waits<V> = BoxFuture<'static, Outcome<V>>;

/// What becomes of a read. By hand and no `async` block: that would be set up and marked as ended for each hit, in memory.
pub(crate) enum OrLoad<'a, K: ?Sized, V, F> {
    /// Nothing happened yet.
    Asked {
        space: &'a Space<K, V>,
        key: &'a K,
        terms: Option<Terms>,
        loader: F,
    },
    /// Memory did not answer. Boxed, so that the future of a hit stays small.
    Missed(Waits<V>),
    Answered,
}

// Nothing is ever pinned in place: what waits is boxed.
impl<K: ?Sized, V, F> Unpin for OrLoad<'_, K, V, F> {}

impl<K, V, F, Fut, E> Future for OrLoad<'_, K, V, F>
where
    K: CacheKey + ?Sized,
    V: Value,
    F: FnOnce(LoadCtx<K::Owned, V>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Loaded<V>, E>> + Send,
    E: Into<LoadError>,
{
    type Output = Outcome<V>;

    #[inline(always)] // the result then stays in registers
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let unfit = match this {
            OrLoad::Asked { space, key, terms, .. } if terms.is_none_or(Terms::takes_any) => match space.glance(key) {
                Ok(Glance { entry, at, closely }) => {
                    let entry = if closely.any() { this.look_closely(entry, closely) } else { entry };
                    // Not even noted that it is answered: that would be something to write for each hit.
                    return Poll::Ready(Ok(Cached::of_value(entry, Why::Hit, at)));
                }
                Err(unfit) => unfit.or_else(|| space.nothing(key)),
            },
            OrLoad::Asked { space, key, terms, .. } if terms.is_none_or(|terms| !terms.bypass) => space.found(key),
            _ => None,
        };
        this.go_on(unfit, cx)
    }
}

impl<K, V, F, Fut, E> OrLoad<'_, K, V, F>
where
    K: CacheKey + ?Sized,
    V: Value,
    F: FnOnce(LoadCtx<K::Owned, V>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Loaded<V>, E>> + Send,
    E: Into<LoadError>,
{
    /// A hit that is to be looked at. What it needs is read anew from here: kept at hand it would be put aside
    /// for each hit.
    #[cold]
    #[inline(never)]
    fn look_closely(&self, entry: Resident, closely: Closely) -> Resident {
        match self {
            OrLoad::Asked { space, key, .. } => space.look_closely(key, entry, closely),
            OrLoad::Missed(_) | OrLoad::Answered => entry,
        }
    }

    /// A plain hit was not all of it.
    #[cold]
    #[inline(never)]
    fn go_on(&mut self, unfit: Unfit, cx: &mut Context<'_>) -> Poll<Outcome<V>> {
        match mem::replace(self, OrLoad::Answered) {
            OrLoad::Asked { space, key, terms, loader } => match answer(space, key, terms, unfit, loader) {
                Ok(answer) => Poll::Ready(answer),
                Err(waits) => self.wait(waits, cx),
            },
            OrLoad::Missed(waits) => self.wait(waits, cx),
            OrLoad::Answered => panic!("a read was polled after it had been answered"),
        }
    }

    fn wait(&mut self, mut waits: Waits<V>, cx: &mut Context<'_>) -> Poll<Outcome<V>> {
        let polled = waits.as_mut().poll(cx);
        if polled.is_pending() {
            *self = OrLoad::Missed(waits);
        }
        polled
    }
}

/// The answer, if there is one at once: what memory has may do after a second look. Otherwise what to wait for.
fn answer<K, V, F, Fut, E>(
    space: &Space<K, V>,
    key: &K,
    terms: Option<Terms>,
    unfit: Unfit,
    loader: F,
) -> Result<Outcome<V>, Waits<V>>
where
    K: CacheKey + ?Sized,
    V: Value,
    F: FnOnce(LoadCtx<K::Owned, V>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Loaded<V>, E>> + Send,
    E: Into<LoadError>,
{
    let Shared { engine, state, .. } = &*space.shared;
    let terms = terms.unwrap_or_default();
    if !terms.bypass {
        match space.judge(key, unfit, terms.demand) {
            Ok(Some((cached, refresh))) => {
                if refresh {
                    let load = erase(key.to_owned_key(), loader);
                    engine.refresh(state, &space.owned(key), &Due::of(cached.entry(), engine), load);
                }
                return Ok(Ok(cached));
            }
            Ok(None) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
    let load = erase(key.to_owned_key(), loader);
    Err(space.shared.clone().miss(space.owned(key), terms, load))
}

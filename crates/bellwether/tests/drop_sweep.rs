//! What if a caller vanishes at any await point? Each kind of caller is dropped after n polls, for
//! every n until it completes: its load goes on, its permit comes back, the next caller is served (G4).

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use bellwether::testing::SharedMemory;
use bellwether::{Budget, Cache, Clock, Demand, Lease, LoadError, Loaded, Policy, Space, Span};
use common::{Naive, Source, soon, until};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

const LOAD: Duration = Duration::from_millis(2);

/// Notes that a future wants to be polled again.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Woken>) {
        self.0.store(true, SeqCst);
    }
}

/// Polls up to `n` times, each time when the future asks for it. True if it completed.
async fn poll_times(mut future: Pin<&mut (dyn Future<Output = ()> + Send)>, n: usize) -> bool {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    for _ in 0..n {
        until("the caller is woken", || woken.0.swap(false, SeqCst)).await;
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            return true;
        }
    }
    false
}

/// One cache with every place to wait at: a shared tier, a guard with a single permit, and a slow load.
struct Stage {
    cache: Cache,
    space: Space<u64, u64>,
    source: Source,
}

fn stage() -> Stage {
    let budget = Budget { max_concurrency: 1, queue_wait: Span::secs(8), ..Budget::default() };
    let tier = SharedMemory::new(Clock::system());
    let cache = Cache::builder().budget(budget).shared(tier).build().expect("the budget makes sense");
    let policy = Policy::ttl("60s").timeout("8s");
    let space = cache.shared_space("row", policy).expect("a new space");
    Stage { cache, space, source: Source::default() }
}

type Caller<'a> = BoxFuture<'a, ()>;

/// Sweeps one kind of caller. `beside` begins before it and lives on: whom it follows, or who holds the permit.
async fn sweep(
    kind: &str,
    caller: impl for<'a> Fn(&'a Stage) -> Caller<'a>,
    beside: impl for<'a> Fn(&'a Stage) -> Caller<'a>,
) {
    for n in 0.. {
        assert!(n < 50, "{kind}: it never completes");
        let stage = stage();
        let mut other = beside(&stage);
        let other = (&mut other).now_or_never().is_none().then_some(other);
        let mut dropped = caller(&stage);
        let completed = poll_times(dropped.as_mut(), n).await;
        drop(dropped);

        if let Some(other) = other {
            soon("whoever stood beside it", other).await;
        }
        let next = stage.space.get(&1).or_load(stage.source.loader(LOAD));
        let next = soon("the next caller", next).await;
        assert!(next.is_ok(), "{kind} dropped after {n} polls: {next:?}");
        until("no flight is left", || stage.cache.snapshot().live_flights == 0).await;
        until("every permit is back", || {
            let origin = &stage.cache.snapshot().origins[0];
            (origin.running, origin.waiting, stage.source.running()) == (0, 0, 0)
        })
        .await;
        assert!(stage.source.peak() <= 1, "g9: {kind} dropped after {n} polls");
        if completed {
            assert!(n > 0, "{kind}: something was swept");
            return;
        }
    }
}

fn nobody(_: &Stage) -> Caller<'_> {
    async {}.boxed()
}

/// Leads another key's load and so holds the only permit.
fn holder(stage: &Stage) -> Caller<'_> {
    async { drop(stage.space.get(&2).or_load(stage.source.loader(LOAD * 3)).await) }.boxed()
}

fn single(stage: &Stage) -> Caller<'_> {
    async { drop(stage.space.get(&1).or_load(stage.source.loader(LOAD)).await) }.boxed()
}

fn batch(stage: &Stage) -> Caller<'_> {
    async {
        let source = stage.source.clone();
        let load = move |keys: Vec<u64>, _| {
            let source = source.clone();
            async move {
                let value = source.read(LOAD).await;
                // The first try, of all keys at once, fails: each key is tried on its own.
                if keys.len() > 1 {
                    return Err(LoadError::refused("not at once"));
                }
                Ok(keys.into_iter().map(|key| (key, Loaded::value(value))).collect())
            }
        };
        drop(stage.space.get_many(&[1, 2, 3]).or_load(load).await);
    }
    .boxed()
}

/// An answer that may not be shared: its followers load for themselves.
fn private(stage: &Stage) -> Caller<'_> {
    async {
        let source = stage.source.clone();
        let load = |_| async move { Ok::<_, LoadError>(Loaded::value(source.read(LOAD).await).private()) };
        drop(stage.space.get(&1).or_load(load).await);
    }
    .boxed()
}

fn bypass(stage: &Stage) -> Caller<'_> {
    async { drop(stage.space.get(&1).bypass().or_load(stage.source.loader(LOAD)).await) }.boxed()
}

fn lease(stage: &Stage) -> Caller<'_> {
    async {
        let leased = stage.space.lease(&1, Demand::Any, Span::ms(20), Span::secs(5)).await;
        if let Ok(Lease::Token(token)) = leased {
            tokio::task::yield_now().await;
            stage.space.publish(&1, token, 7).await;
        }
    }
    .boxed()
}

/// Takes the token and never comes back: it ends by itself.
fn lost_lease(stage: &Stage) -> Caller<'_> {
    async { drop(stage.space.lease(&1, Demand::Any, Span::ms(20), Span::ZERO).await) }.boxed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_leaders_and_followers_may_vanish_at_any_await_point() {
    sweep("leader", single, nobody).await;
    sweep("leader in the guard's queue", single, holder).await;
    sweep("follower", single, single).await;
    sweep("follower of a batch", single, batch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_batches_may_vanish_at_any_await_point() {
    sweep("batch", batch, nobody).await;
    sweep("batch in the guard's queue", batch, holder).await;
    sweep("batch that follows", batch, single).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_lone_loads_may_vanish_at_any_await_point() {
    sweep("private", private, nobody).await;
    sweep("follower of a private answer", single, private).await;
    sweep("private in the guard's queue", private, holder).await;
    sweep("bypass", bypass, holder).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_holders_of_a_token_and_those_who_wait_for_it_may_vanish_at_any_await_point() {
    sweep("lease", lease, nobody).await;
    sweep("lease that waits for a lost one", lease, lost_lease).await;
    sweep("follower of a lost lease", single, lost_lease).await;
    sweep("lease beside a load", lease, single).await;
}

/// The same sweep over the cache that people write: whoever leads takes its load along when it goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_a_map_with_flights_loses_the_load_of_a_caller_that_vanishes() {
    let mut lost = 0;
    for n in 0.. {
        assert!(n < 50, "it never completes");
        let (naive, source) = (Naive::default(), Source::default());
        let read = || {
            let source = source.clone();
            async move { Ok::<_, ()>(source.read(LOAD).await) }
        };
        // Whatever it would get: it is dropped before.
        let mut dropped: Caller<'_> = async { naive.get(1, read()).await.map_or((), |_| ()) }.boxed();
        let completed = poll_times(dropped.as_mut(), n).await;
        drop(dropped);
        let begun = source.runs();
        soon("the next caller", naive.get(1, read())).await.expect("served");
        lost += u64::from(begun > 0 && source.runs() > begun);
        if completed {
            break;
        }
    }
    assert!(lost > 0, "control: a load was begun, lost with its caller and begun again");
    // The same in ours costs one load, whenever the caller goes.
    let stage = stage();
    let mut leader = single(&stage);
    assert!((&mut leader).now_or_never().is_none());
    until("the load begins", || stage.source.runs() == 1).await;
    drop(leader);
    soon("the next caller", stage.space.get(&1).or_load(stage.source.loader(LOAD))).await.expect("served");
    assert_eq!(stage.source.runs(), 1);
}

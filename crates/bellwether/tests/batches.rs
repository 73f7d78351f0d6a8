//! What does `get_many` promise? One load for what is missing, an outcome for every key, in order.

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::sync::{Arc, Mutex};

use bellwether::{BatchCtx, Budget, Cache, Clock, Error, LoadError, Loaded, Priority, Space, Span, Why};
use common::{Answer, Source, manual, minute, soon, until, wide};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

type Found = Vec<(u64, Loaded<u64>)>;

/// An origin of batches: notes which keys it was asked for; row n has the value 10 n, row 3 is missing.
#[derive(Clone)]
struct Rows {
    asked: Arc<Mutex<Vec<Vec<u64>>>>,
    source: Source,
    gate: Arc<Semaphore>,
    /// Batches of more than one key fail, and so does this key on its own.
    broken: Option<u64>,
}

impl Rows {
    fn new() -> Rows {
        let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Rows { asked: Arc::default(), source: Source::default(), gate, broken: None }
    }

    fn load(
        &self,
    ) -> impl Fn(Vec<u64>, BatchCtx) -> BoxFuture<'static, Result<Found, LoadError>> + Send + Sync + 'static {
        let rows = self.clone();
        move |keys, _| {
            let rows = rows.clone();
            async move {
                let _running = rows.source.begin();
                rows.asked.lock().expect("no panic").push(keys.clone());
                rows.gate.acquire().await.expect("never closed").forget();
                if rows.broken.is_some_and(|broken| keys.len() > 1 || keys == [broken]) {
                    return Err(LoadError::refused("broken"));
                }
                // In no order, without the row that is missing, and with one that nobody asked for.
                let found = keys.iter().rev().filter(|key| **key != 3).map(|key| (*key, Loaded::value(10 * key)));
                Ok(found.chain([(777_777, Loaded::value(0))]).collect())
            }
            .boxed()
        }
    }

    fn asked(&self) -> Vec<Vec<u64>> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn plain(answers: &[Answer]) -> Vec<Result<u64, Why>> {
    answers.iter().map(|answer| answer.as_ref().map(|cached| **cached).map_err(Error::why)).collect()
}

async fn many(space: &Space<u64, u64>, keys: &[u64], rows: &Rows) -> Vec<Result<u64, Why>> {
    plain(&soon("a batch", space.get_many(keys).or_load(rows.load())).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g5_each_key_gets_its_own_row_in_the_order_asked_and_a_duplicate_is_asked_once() {
    let (cache, space, _clock) = manual(minute());
    let rows = Rows::new();
    assert!(space.put(&2, 20));
    let answers = many(&space, &[5, 2, 3, 5, 1], &rows).await;
    assert_eq!(answers, [Ok(50), Ok(20), Err(Why::Negative), Ok(50), Ok(10)]);
    assert_eq!(rows.asked(), [vec![5, 3, 1]], "once, without what is resident");
    assert!(space.known_missing(&3) && space.peek(&777_777).is_none());
    assert_eq!(many(&space, &[3, 1], &rows).await, [Err(Why::Negative), Ok(10)]);
    assert_eq!(rows.asked().len(), 1);
    let counts = &cache.snapshot().spaces[0];
    assert_eq!((counts.total(), counts.loads(), counts.of(Why::Loaded), counts.of(Why::Hit)), (7, 1, 3, 2));
    assert!(many(&space, &[], &rows).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_fails_is_tried_key_by_key_before_any_key_cools_down() {
    let (_cache, space, _clock) = manual(minute());
    let rows = Rows { broken: Some(2), ..Rows::new() };
    let answers = many(&space, &[1, 2, 4], &rows).await;
    assert_eq!(answers, [Ok(10), Err(Why::OriginRefused), Ok(40)], "one bad row does not hide the others");
    let mut asked = rows.asked();
    asked[1..].sort();
    assert_eq!(asked, [vec![1, 2, 4], vec![1], vec![2], vec![4]]);
    assert_eq!(many(&space, &[1, 2], &rows).await, [Ok(10), Err(Why::Cooling)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g9_more_than_500_keys_are_split_and_each_batch_needs_one_permit() {
    let budget = Budget { max_concurrency: 1, ..wide() };
    let cache = Cache::builder().budget(budget).build().unwrap();
    let space = cache.space::<u64, u64>("row", minute());
    let rows = Rows::new();
    let keys: Vec<u64> = (10..1_210).collect();
    let answers = many(&space, &keys, &rows).await;
    assert!(answers.iter().zip(&keys).all(|(answer, key)| *answer == Ok(10 * key)));
    let mut sizes: Vec<usize> = rows.asked().iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!((sizes, rows.source.peak()), (vec![200, 500, 500], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_a_batch_joins_flights_under_way_and_others_join_its_own() {
    let (_cache, space, _clock) = manual(minute());
    let (rows, single, gate) =
        (Rows { gate: Arc::new(Semaphore::new(0)), ..Rows::new() }, Source::default(), Arc::new(Semaphore::new(0)));
    let mut first = Box::pin(space.get(&1).or_load(single.held(&gate)));
    assert!((&mut first).now_or_never().is_none());
    let mut batch = Box::pin(space.get_many(&[1, 2, 4]).or_load(rows.load()));
    assert!((&mut batch).now_or_never().is_none());
    let mut last = Box::pin(space.get(&4).or_load(single.loader(std::time::Duration::ZERO)));
    assert!((&mut last).now_or_never().is_none());
    until("both loads run", || single.running() == 1 && rows.source.running() == 1).await;
    assert_eq!(rows.asked(), [vec![2, 4]], "what is under way is not asked for again");
    gate.add_permits(1);
    rows.gate.add_permits(1);
    assert_eq!(soon("the first", first).await.unwrap().why(), Why::Loaded);
    assert_eq!(soon("the last", last).await.map(|cached| (*cached, cached.why())).unwrap(), (40, Why::Coalesced));
    let whys: Vec<Why> = soon("the batch", batch).await.iter().map(|a| a.as_ref().unwrap().why()).collect();
    assert_eq!(whys, [Why::Coalesced, Why::Loaded, Why::Loaded]);
    assert_eq!(single.runs(), 1);
}

/// Two batches that each hold what the other wants would wait for each other for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_batches_that_overlap_in_opposite_order_do_not_wait_for_each_other() {
    let budget = Budget { max_concurrency: 1, ..wide() };
    let cache = Cache::builder().budget(budget).build().unwrap();
    let space = cache.space::<u64, u64>("row", minute());
    let rows = Rows::new();
    for round in 0..50 {
        let up: Vec<u64> = (10..30).map(|key| 100 * round + key).collect();
        let down: Vec<u64> = up.iter().rev().copied().collect();
        let (a, b) = tokio::join!(many(&space, &up, &rows), many(&space, &down, &rows));
        assert!(a.iter().chain(&b).all(Result::is_ok), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_every_key_of_a_batch_is_answered_by_the_callers_deadline() {
    let (_cache, space, clock) = manual(minute().stale_if_error("1h"));
    let rows = Rows { gate: Arc::new(Semaphore::new(0)), ..Rows::new() };
    assert!(space.put(&1, 1));
    clock.advance(Span::secs(61));
    let mut batch = Box::pin(space.get_many(&[1, 2, 4]).timeout("100ms").or_load(rows.load()));
    assert!((&mut batch).now_or_never().is_none());
    clock.advance(Span::ms(100));
    let answers = plain(&soon("the batch's deadline", batch).await);
    assert_eq!(answers, [Ok(1), Err(Why::Timeout), Err(Why::Timeout)]);
    rows.gate.add_permits(1);
    until("its load goes on", || space.hit(&4).is_some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_who_joins_a_batch_in_the_queue_lends_it_class_and_deadline() {
    let clock = Clock::manual();
    let budget = Budget { max_concurrency: 1, queue_wait: Span::secs(60), ..wide() };
    let cache = Cache::builder().clock(clock.clone()).budget(budget).build().unwrap();
    let space = cache.space::<u64, u64>("row", minute().timeout("60s"));
    let (rows, single, gate) = (Rows::new(), Source::default(), Arc::new(Semaphore::new(0)));
    let mut holder = Box::pin(space.get(&9).or_load(single.held(&gate)));
    assert!((&mut holder).now_or_never().is_none());
    until("the permit is taken", || single.running() == 1).await;
    let waiting = |n: usize| move |cache: &Cache| cache.snapshot().origins[0].waiting == n;
    let mut normal = Box::pin(space.get(&8).or_load(single.held(&gate)));
    assert!((&mut normal).now_or_never().is_none());
    until("it queues", || waiting(1)(&cache)).await;
    let low = space.get_many(&[1, 2]).priority(Priority::Low).timeout("100ms");
    let mut low = Box::pin(low.or_load(rows.load()));
    assert!((&mut low).now_or_never().is_none());
    until("the batch queues behind it", || waiting(2)(&cache)).await;
    let critical = space.get(&2).priority(Priority::Critical);
    let mut critical = Box::pin(critical.or_load(single.held(&gate)));
    assert!((&mut critical).now_or_never().is_none());
    clock.advance(Span::ms(100));
    assert_eq!(plain(&soon("the batch's own caller", low).await), [Err(Why::Timeout); 2]);
    gate.add_permits(1);
    soon("the holder", holder).await.unwrap();
    let carried = soon("the batch is carried to the front", critical).await.unwrap();
    assert_eq!((*carried, carried.why(), rows.asked().len()), (20, Why::Coalesced, 1));
    gate.add_permits(1);
    soon("the rest", normal).await.unwrap();
}

/// What `get_many` would be without its rules: each key for itself, or one lock after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g9_control_keys_asked_for_one_by_one_cost_a_load_each() {
    let (cache, space, _clock) = manual(minute());
    let source = Source::default();
    let keys: Vec<u64> = (10..60).collect();
    let single = keys.iter().map(|key| space.get(key).or_load(source.loader(std::time::Duration::ZERO)));
    soon("one by one", futures_util::future::join_all(single)).await;
    assert_eq!((source.runs(), cache.snapshot().spaces[0].loads()), (50, 50), "control");
    let rows = Rows::new();
    space.clear();
    many(&space, &keys, &rows).await;
    assert_eq!((rows.asked().len(), cache.snapshot().spaces[0].loads()), (1, 51));
}

/// Two callers that take the keys' locks in the order asked, and keep them until all are theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_control_batches_that_hold_what_the_other_wants_wait_for_ever() {
    let locks = [tokio::sync::Mutex::new(()), tokio::sync::Mutex::new(())];
    let met = tokio::sync::Barrier::new(2);
    let batch = |first: usize| {
        let (locks, met) = (&locks, &met);
        async move {
            let _first = locks[first].lock().await;
            met.wait().await;
            let _second = locks[1 - first].lock().await;
        }
    };
    let both = futures_util::future::join(batch(0), batch(1));
    let ended = tokio::time::timeout(std::time::Duration::from_millis(100), both).await;
    assert!(ended.is_err(), "control: the overlap of the test above, without the rule");
}

//! Does a storm of removals on one hot key keep its promises? 500 removals and 10,000 reads a second:
//! never more than two loads at once (G1), never a value older than an acknowledged removal (G2).

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use common::{Naive, Source, cache, minute, soon};
use futures_util::future::join_all;

const STORM: Duration = Duration::from_secs(2);
/// One removal every 2 ms.
const PAUSE: Duration = Duration::from_millis(2);
/// Each reads every 2 ms or a little less often.
const READERS: u32 = 120;
const LOAD: Duration = Duration::from_millis(3);

/// What a storm did: reads, removals, reads older than a removal acknowledged before they began.
struct Storm {
    reads: u64,
    removals: u64,
    stale: u64,
}

async fn storm<F>(
    length: Duration,
    load: Duration,
    source: &Source,
    remove: impl Fn(),
    get: impl Fn() -> F + Clone + Send + 'static,
) -> Storm
where
    F: Future<Output = u64> + Send,
{
    let acknowledged = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let reader = |number: u32| {
        // Out of step, or all would always wait for the same load and nobody come while it runs.
        let pause = PAUSE + load * (number % 5) / 5;
        let (get, acknowledged) = (get.clone(), acknowledged.clone());
        tokio::spawn(async move {
            let (mut reads, mut stale) = (0, 0);
            while started.elapsed() < length {
                let known = acknowledged.load(SeqCst);
                stale += u64::from(get().await < known);
                reads += 1;
                tokio::time::sleep(pause).await;
            }
            (reads, stale)
        })
    };
    let readers: Vec<_> = (0..READERS).map(reader).collect();
    let mut removals = 0;
    let mut ticks = tokio::time::interval(PAUSE);
    while started.elapsed() < length {
        let version = source.write();
        remove();
        acknowledged.store(version, SeqCst);
        removals += 1;
        ticks.tick().await;
    }
    let mut told = Storm { reads: 0, removals, stale: 0 };
    for reader in soon("the readers of the storm", join_all(readers)).await {
        let (reads, stale) = reader.expect("no reader fails");
        told.reads += reads;
        told.stale += stale;
    }
    told
}

async fn survives(length: Duration, load: Duration) -> Source {
    let (cache, space) = cache(minute());
    let source = Source::default();
    let told = storm(length, load, &source, || drop(space.remove(&1)), {
        let (space, source) = (space.clone(), source.clone());
        move || {
            let (space, source) = (space.clone(), source.clone());
            async move { *space.get(&1).or_load(source.loader(load)).await.expect("served") }
        }
    })
    .await;
    let Storm { reads, removals, stale } = told;
    println!("{reads} reads, {removals} removals, {} loads, at most {} at once", source.runs(), source.peak());
    assert_eq!(stale, 0);
    assert!(source.peak() <= 2, "{} loads at once", source.peak());
    assert!(source.runs() <= removals + 1, "{} loads for {removals} removals", source.runs());
    assert!(reads > 100 && removals > 50, "a storm: {reads} reads, {removals} removals");
    let counts = cache.snapshot();
    assert_eq!((counts.spaces[0].total(), counts.spaces[0].loads()), (reads, source.runs()));
    source
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_g2_a_storm_of_removals_on_one_key_0_stale_and_at_most_2_loads_at_once() {
    survives(STORM, LOAD).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_g2_in_the_storm_a_successor_of_a_slow_load_starts_beside_it_and_no_third() {
    let source = survives(STORM / 2, Duration::from_millis(80)).await;
    assert_eq!(source.peak(), 2, "control: two are reached, so the limit of two is tested");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_control_a_map_with_flights_serves_removed_values_in_the_storm() {
    let (naive, source) = (Naive::default(), Source::default());
    // Whether a reader comes at the wrong moment is up to the scheduler: as often as it takes.
    for _ in 0..20 {
        let told = storm(STORM / 4, LOAD, &source, || naive.remove(1), {
            let (naive, source) = (naive.clone(), source.clone());
            move || {
                let (naive, source) = (naive.clone(), source.clone());
                async move { naive.get(1, async { Ok::<_, ()>(source.read(LOAD).await) }).await.expect("served") }
            }
        })
        .await;
        if told.stale > 0 {
            return;
        }
    }
    panic!("the control was fresh in 20 storms");
}

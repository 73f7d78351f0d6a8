//! Can one key that nobody may share answers of take a whole origin? It gets half, others the rest (G9).

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::sync::Arc;
use std::time::Duration;

use bellwether::{Budget, Cache, Span, Why};
use common::{Source, minute, soon, until};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const PERMITS: u32 = 4;

fn cache(queue_wait: Span) -> Cache {
    let budget = Budget { max_concurrency: PERMITS, timeout: Span::secs(30), queue_wait, ..Budget::default() };
    Cache::builder().budget(budget).build().expect("the builder's values make sense")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g9_one_key_loaded_side_by_side_leaves_half_of_the_permits_to_others() {
    let cache = cache(Span::secs(30));
    let space = cache.space::<u64, u64>("row", minute());
    let (busy, other, gate) = (Source::default(), Source::default(), Arc::new(Semaphore::new(0)));
    let mut crowd = JoinSet::new();
    for _ in 0..20 {
        let (space, load) = (space.clone(), busy.held(&gate));
        crowd.spawn(async move { space.get(&1).bypass().or_load(load).await.map(|value| value.why()) });
    }
    until("its share is taken", || busy.running() == PERMITS as usize / 2).await;
    // Control: without a share of its own the crowd's 20 would hold all permits, and this one would wait for them.
    for key in 2..10 {
        let answer = soon("another key", space.get(&key).or_load(other.loader(Duration::ZERO))).await;
        assert_eq!(answer.expect("loaded").why(), Why::Loaded);
    }
    assert_eq!(busy.running(), PERMITS as usize / 2, "and nobody of the crowd was served meanwhile");
    gate.add_permits(20);
    while let Some(answer) = soon("the crowd", crowd.join_next()).await {
        assert_eq!(answer.expect("no panic").expect("loaded"), Why::Bypass);
    }
    assert_eq!((busy.runs(), busy.peak()), (20, PERMITS as usize / 2));
    assert_eq!(cache.snapshot().origins[0].running, 0, "every place and permit came back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g4_who_waits_for_a_keys_share_is_shed_in_time_and_loses_no_place() {
    let cache = cache(Span::ms(50));
    let space = cache.space::<u64, u64>("row", minute());
    let (source, gate) = (Source::default(), Arc::new(Semaphore::new(0)));
    let mut held = JoinSet::new();
    for _ in 0..PERMITS / 2 {
        let (space, load) = (space.clone(), source.held(&gate));
        held.spawn(async move { space.get(&1).bypass().or_load(load).await });
    }
    until("its share is taken", || source.running() == PERMITS as usize / 2).await;
    let late = soon("one more", space.get(&1).bypass().or_load(source.loader(Duration::ZERO))).await;
    assert_eq!(late.err().map(|error| error.why()), Some(Why::ShedQueue));
    gate.add_permits(10);
    while let Some(answer) = soon("the first", held.join_next()).await {
        assert!(answer.expect("no panic").is_ok());
    }
    let again = soon("the next", space.get(&1).bypass().or_load(source.loader(Duration::ZERO))).await;
    assert_eq!(again.expect("there is room again").why(), Why::Bypass);
}

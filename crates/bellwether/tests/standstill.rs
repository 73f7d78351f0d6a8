//! Does a process that stood still blame its origin for it?

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::future::ready;
use std::sync::Arc;

use bellwether::{Clock, LoadCtx, LoadError, Loaded, Span};
use common::{Source, manual, minute, soon};
use tokio::sync::Semaphore;

/// How long the slowest loads of a space take for all that it knows, after one of thirty took two hundred times as long as
/// the others by `pass`. Leases are as long as that says, and whoever ran out of patience is told to come back after it.
async fn slowest(pass: fn(&Clock, Span), batched: bool) -> Option<Span> {
    let (_cache, space, clock) = manual(minute());
    for key in 0..30 {
        let clock = clock.clone();
        let takes = move || match key {
            20 => pass(&clock, Span::ms(1000)),
            _ => clock.advance(Span::ms(5)),
        };
        if batched {
            let load = move |keys: Vec<u64>, _| {
                takes();
                ready(Ok::<_, LoadError>(keys.into_iter().map(|key| (key, Loaded::value(key))).collect::<Vec<_>>()))
            };
            assert!(soon("a batch", space.get_many(&[key]).or_load(load)).await.iter().all(Result::is_ok));
        } else {
            let load = move |_: LoadCtx<u64, u64>| {
                takes();
                ready(Ok::<_, LoadError>(Loaded::value(key)))
            };
            soon("a load", space.get(&key).or_load(load)).await.expect("loaded");
        }
    }
    let (never, source) = (Arc::new(Semaphore::new(0)), Source::default());
    let mut asked = Box::pin(space.get(&99).timeout("50ms").or_load(source.held(&never)));
    tokio::select! {
        biased;
        _ = &mut asked => panic!("nothing is loaded"),
        () = common::until("it loads", || source.runs() == 1) => {}
    }
    clock.advance(Span::ms(60));
    soon("its patience ends", asked).await.err().and_then(|error| error.retry_after())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_stood_still_is_no_load_time() {
    for batched in [false, true] {
        let stopped = slowest(Clock::stand_still, batched).await;
        assert_eq!(stopped, Some(Span::ms(5)), "batched: {batched}");
        // Control: an origin that was slow for as long was slow.
        let slow = slowest(Clock::advance, batched).await;
        assert!(slow.is_some_and(|slow| slow >= Span::ms(1000)), "batched: {batched}, {slow:?}");
    }
}

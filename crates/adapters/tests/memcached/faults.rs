//! Does a reply belong to its request, whatever the network and the callers do?

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bellwether::shared::{Acquired, Change, Found, Tier, TierTrouble, Verified};
use bellwether::{Fence, Invalidation, Mode, Span};
use bellwether_adapters::tiers::memcached::{MemcachedOptions, MemcachedTier};
use bellwether_faults::{Ending, Faults, Proxy, Slice};

use super::{ask, entry, run, servers, until};

const KEYS: usize = 40;

/// A value that says whose it is.
fn said(n: usize, round: usize) -> String {
    format!("{{\"key\":{n},\"round\":{round},\"filler\":\"{}\"}}", "x".repeat(n * 7))
}

/// No caller is forgotten between the queue, the wire and the reply, however many come at once.
#[test]
fn every_call_of_a_server_that_answers_is_answered() {
    run(servers(1), |servers| async move {
        let tier = Arc::new(super::open(&servers));
        assert!(tier.check().await.is_empty());
        let tasks = (0..64u64).map(|task| {
            let tier = tier.clone();
            tokio::spawn(async move {
                for round in 0..200u64 {
                    let key = format!("k{}", (task * 7 + round) % 50).into_bytes();
                    let done = match round % 3 {
                        0 => tier.get(&key).await.map(drop),
                        1 => tier.acquire(&key, ask(Mode::Miss)).await.map(drop),
                        _ => tier.invalidate(&key, Invalidation::Remove, Fence::ZERO, Span::ZERO).await.map(drop),
                    };
                    // Somebody may be quicker each time: that is an answer.
                    if let Err(error) = done {
                        assert_eq!(error.kind, TierTrouble::Failed, "{error}");
                    }
                    if round % 16 == task % 16 {
                        tokio::time::sleep(Duration::from_micros(fastrand::u64(..300))).await;
                    }
                }
            })
        });
        futures_util::future::try_join_all(tasks).await.unwrap();
        let counts = tier.counts();
        assert!(counts.unreachable == 0 && counts.calls > 64 * 200, "{counts:?}");
    });
}

/// What was asked over a connection that breaks is asked over the next one, within the same call.
#[test]
fn a_question_survives_the_connection_that_it_went_over() {
    run(servers(1), |servers| async move {
        let proxy = Proxy::start(servers[0].address(), 815).await.unwrap();
        let tier =
            Arc::new(MemcachedTier::open(&format!("memcached://{}", proxy.address()), super::patient()).unwrap());
        assert!(tier.check().await.is_empty());
        super::store(&tier, b"k", entry("v")).await;
        for _ in 0..20 {
            // So slow that the connection is cut in between.
            proxy.set_both(Faults { latency: Duration::from_millis(50), ..Faults::NONE });
            let asked = tokio::spawn({
                let tier = tier.clone();
                async move { super::body(&tier, b"k").await }
            });
            tokio::time::sleep(Duration::from_millis(20)).await;
            proxy.cut(Ending::Reset);
            proxy.calm();
            assert_eq!(asked.await.unwrap().unwrap(), "v");
        }
        assert_eq!(tier.counts().unreachable, 0);
    });
}

/// Who takes a value may have been told that nothing was done when the server comes to it.
#[test]
fn a_value_that_is_taken_when_nobody_waits_any_more_goes_back_unless_somebody_changed_the_key() {
    run(servers(1), |servers| async move {
        let proxy = Proxy::start(servers[0].address(), 911).await.unwrap();
        let far = Arc::new(MemcachedTier::open(&format!("memcached://{}", proxy.address()), super::patient()).unwrap());
        assert!(far.check().await.is_empty());
        let late = async |key: &'static [u8]| {
            // The question is answered, what takes the value is on its way; then the caller gives up.
            proxy.set_both(Faults { latency: Duration::from_millis(100), ..Faults::NONE });
            let taken = far.change(key, Change::Take, Fence::ZERO, Span::secs(1));
            assert!(tokio::time::timeout(Duration::from_millis(250), taken).await.is_err(), "the caller has gone");
            proxy.calm();
        };
        let before = super::store(&far, b"k", entry("v")).await;
        late(b"k").await;
        until(
            "it to be taken, and put back",
            async || matches!(far.verify(b"k").await, Ok(Verified::Holds(fence)) if fence > before),
        )
        .await;
        assert_eq!(super::body(&far, b"k").await.unwrap(), "v");
        // What somebody has said since holds, before it is put back or after.
        for _ in 0..5 {
            super::store(&far, b"removed", entry("v")).await;
            late(b"removed").await;
            far.invalidate(b"removed", Invalidation::Remove, Fence::ZERO, Span::ZERO).await.unwrap();
            tokio::time::sleep(Duration::from_millis(400)).await;
            assert_eq!(super::body(&far, b"removed").await, None);
            far.invalidate(b"removed", Invalidation::Remove, Fence::ZERO, Span::ZERO).await.unwrap();
        }
        // And whoever waits gets it, once.
        super::store(&far, b"once", entry("v")).await;
        let taken = far.change(b"once", Change::Take, Fence::ZERO, Span::secs(1)).await.unwrap();
        assert!(taken.stored.is_some() && matches!(taken.before, Found::Entry { .. }));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(super::body(&far, b"once").await, None);
    });
}

/// G5: no reply crosses to another key, whatever is cancelled, reset or damaged.
#[test]
fn g5_no_reply_crosses_to_another_key() {
    run(servers(1), |servers| async move {
        let proxy = Proxy::start(servers[0].address(), 4711).await.unwrap();
        let options = MemcachedOptions {
            connect_timeout: Duration::from_millis(300),
            // Callers that give up are what this is about: the server is not to be left alone because of them.
            patience: Duration::from_secs(5),
            ..MemcachedOptions::default()
        };
        let tier = Arc::new(MemcachedTier::open(&format!("memcached://{}", proxy.address()), options).unwrap());
        let (answered, cancelled) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let mut tried = Vec::new();
        let kinds = [
            Faults { slice: Some(Slice { bytes: 400, pause: Duration::ZERO }), ..Faults::NONE },
            Faults { corrupt: 0.01, ..Faults::NONE },
            Faults { reset: 0.01, ..Faults::NONE },
            Faults { duplicate: 0.005, ..Faults::NONE },
            Faults { latency: Duration::from_millis(3), jitter: Duration::from_millis(6), ..Faults::NONE },
        ];
        for (kind, faults) in kinds.into_iter().enumerate() {
            proxy.set_both(faults);
            // On a busy machine most give up: again, until enough of both was seen.
            for _ in 0..10 {
                let tasks = (0..8).map(|worker| {
                    let (tier, answered, cancelled) = (tier.clone(), answered.clone(), cancelled.clone());
                    tokio::spawn(async move {
                        for round in 0..60 {
                            let n = (worker * 31 + round * 17) % KEYS;
                            let key = format!("crossed:{n}").into_bytes();
                            // A caller that gives up at a moment of chance.
                            let patience = Duration::from_micros(fastrand::u64(50..60_000));
                            let work = async {
                                let found = tier.get(&key).await;
                                if found.is_err() {
                                    tokio::time::sleep(Duration::from_millis(5)).await;
                                }
                                if let Ok(Found::Entry { envelope, .. }) = found {
                                    let text = String::from_utf8(envelope.body.to_vec()).unwrap();
                                    assert!(text.starts_with(&format!("{{\"key\":{n},")), "{n} was answered {text}");
                                    answered.fetch_add(1, Ordering::Relaxed);
                                }
                                if let Ok(Acquired::Granted { token, .. }) = tier.acquire(&key, ask(Mode::Backup)).await
                                {
                                    // Errors are what this is about.
                                    let _ = tier.publish(&key, token, entry(said(n, round))).await;
                                }
                            };
                            if tokio::time::timeout(patience, work).await.is_err() {
                                cancelled.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    })
                });
                futures_util::future::try_join_all(tasks).await.unwrap();
                let enough = |count: &AtomicU32| count.load(Ordering::Relaxed) > 20;
                if enough(&answered) && enough(&cancelled) {
                    break;
                }
            }
            tried.push((answered.swap(0, Ordering::Relaxed), cancelled.swap(0, Ordering::Relaxed)));
            if kind == 2 {
                proxy.cut(Ending::Reset);
            }
        }
        proxy.calm();
        until("it works again", async || tier.get(b"crossed:1").await.is_ok()).await;
        assert!(
            tried.iter().all(|(answered, cancelled)| *answered > 20 && *cancelled > 20),
            "nothing was tried: {tried:?}"
        );
    });
}

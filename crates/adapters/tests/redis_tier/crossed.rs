//! G5 behind a bad network: whatever is cut, delayed and given up, an answer belongs to its key.

use futures_util::future::join_all;

use super::*;
use bellwether_faults::{Direction, Ending, Faults, Proxy};

const CALLERS: usize = 16;
const CALLS: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn g5_no_answer_crosses_to_another_key_whatever_is_cut_or_given_up() {
    let server = redis(&[]).await;
    let proxy = Arc::new(Proxy::start(server.address(), 11).await.expect("a proxy"));
    let tier = Arc::new(open(&format!("redis://{}", proxy.address())));
    let straight = calm(&server.url());
    for n in 0..64 {
        let key = format!("key:{n}");
        store(&straight, key.as_bytes(), key.repeat(1 + n * 20)).await;
    }
    let stir = Faults { latency: Duration::from_millis(1), jitter: Duration::from_millis(4), ..Faults::NONE };
    proxy.set(Direction::ToClient, stir);
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let cutter = {
        let (proxy, done) = (proxy.clone(), done.clone());
        tokio::spawn(async move {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(200)).await;
                proxy.cut(Ending::Reset);
            }
        })
    };
    let tasks: Vec<_> = (0..CALLERS).map(|caller| tokio::spawn(caller_of(tier.clone(), caller as u64))).collect();
    let (mut right, mut given_up) = (0, 0);
    for task in tasks {
        let (r, g) = task.await.expect("no crossed answer");
        right += r;
        given_up += g;
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    cutter.await.unwrap();
    println!("{right} right answers, {given_up} given up, {} connections lost", tier.counts().lost);
    assert!(right > CALLERS * CALLS / 10 && given_up > 50 && tier.counts().lost > 2, "{right} {given_up}");
}

async fn caller_of(tier: Arc<RedisTier>, seed: u64) -> (usize, usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut right, mut given_up) = (0, 0);
    for _ in 0..CALLS {
        let n = random.usize(..64);
        let key = format!("key:{n}");
        let patience = Duration::from_micros(random.u64(500..60_000));
        let check = |found: Found| match found {
            Found::Entry { envelope, .. } => assert_eq!(envelope.body, key.repeat(1 + n * 20)),
            other => panic!("{key}: {other:?}"),
        };
        if random.u8(..4) == 0 {
            let other = format!("key:{}", random.usize(..64));
            let keys = [key.clone().into_bytes(), other.into_bytes()];
            match tokio::time::timeout(patience, tier.get_many(&keys)).await {
                Ok(Ok(mut found)) => {
                    right += 1;
                    check(found.swap_remove(0));
                }
                // It is being connected again: an answer that comes at once is none that can cross.
                Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(2)).await,
                Err(_) => given_up += 1,
            }
        } else {
            match tokio::time::timeout(patience, tier.get(key.as_bytes())).await {
                Ok(Ok(found)) => {
                    right += 1;
                    check(found);
                }
                // It is being connected again: an answer that comes at once is none that can cross.
                Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(2)).await,
                Err(_) => given_up += 1,
            }
        }
    }
    (right, given_up)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_answers_belong_to_other_questions_is_given_up() {
    let server = redis(&[]).await;
    let proxy = Proxy::start(server.address(), 12).await.expect("a proxy");
    let tier = open(&format!("redis://{}", proxy.address()));
    let keys: Vec<String> = (0..8).map(|n| format!("key:{n}")).collect();
    let straight = calm(&server.url());
    for key in &keys {
        store(&straight, key.as_bytes(), key.clone()).await;
    }
    let rounds = async |rounds: usize| {
        let (mut right, mut missed) = (0, 0);
        for _ in 0..rounds {
            // Always some under way: an answer too many that nobody waits for would be dropped.
            for (key, found) in keys.iter().zip(join_all(keys.iter().map(|key| tier.get(key.as_bytes()))).await) {
                match found {
                    Ok(Found::Entry { envelope, .. }) => {
                        assert_eq!(envelope.body, *key);
                        right += 1;
                    }
                    Ok(Found::Nothing { .. }) => missed += 1,
                    Ok(other) => panic!("{key}: {other:?}"),
                    // It is being connected again.
                    Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        }
        (right, missed)
    };
    assert_eq!(rounds(2).await, (16, 0));
    // Answers come twice: from then on each is taken for the next question's.
    proxy.set(Direction::ToClient, Faults { duplicate: 1.0, ..Faults::NONE });
    let mut missed = 0;
    for _ in 0..50 {
        missed += rounds(1).await.1;
    }
    proxy.set(Direction::ToClient, Faults::NONE);
    assert!(missed > 0, "nothing was out of step");
    let (right, _) = rounds(50).await;
    assert!(right > 350 && tier.counts().out_of_step > 0, "{right} right, {:?}", tier.counts());
    assert_eq!(rounds(2).await, (16, 0));
}

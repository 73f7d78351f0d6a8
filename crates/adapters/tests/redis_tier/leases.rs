//! Who may load, and whose value is stored.

use super::*;
use bellwether::Invalidation;
use bellwether::shared::Draw;
use bellwether_core::cell::TOKEN_STEP;

#[tokio::test(flavor = "multi_thread")]
async fn g1_of_200_who_ask_at_once_one_loads_twenty_times_over() {
    let server = redis(&[]).await;
    // As several processes: each with connections of its own.
    let tiers: Vec<Arc<RedisTier>> = (0..4).map(|_| Arc::new(calm(&server.url()))).collect();
    for round in 0..20 {
        let key = format!("round:{round}").into_bytes();
        let tasks: Vec<_> = (0..200)
            .map(|n| {
                let (tier, key) = (tiers[n % tiers.len()].clone(), key.clone());
                tokio::spawn(async move { tier.acquire(&key, ask(Mode::Miss)).await.expect("an answer") })
            })
            .collect();
        let mut tokens = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                Acquired::Granted { token, .. } => tokens.push(token),
                Acquired::Denied { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(tokens.len(), 1, "round {round}");
        tiers[0].publish(&key, tokens[0], entry("v")).await.unwrap();
        assert!(matches!(tiers[1].acquire(&key, ask(Mode::Miss)).await.unwrap(), Acquired::Fresh(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_a_token_is_void_after_whatever_took_the_key_away() {
    let server = redis(&[]).await;
    let tier = calm(&server.url());
    for words in [
        &["DEL", "bw:k"][..],
        &["SET", "bw:k", "theirs"],
        &["FLUSHALL"],
        &["UNLINK", "bw:k"],
        &["PEXPIRE", "bw:k", "0"],
    ] {
        let token = granted(&tier, b"k").await;
        call(&server, words).await;
        assert_eq!(tier.publish(b"k", token, entry("late")).await.unwrap(), Stored::Refused, "{words:?}");
        assert!(!tier.renew(b"k", token, Span::secs(1)).await.unwrap(), "{words:?}");
        assert!(!tier.release(b"k", token, None).await.unwrap(), "{words:?}");
        call(&server, &["DEL", "bw:k"]).await;
    }
    for verb in [Invalidation::Remove, Invalidation::Expire] {
        let token = granted(&tier, b"k").await;
        tier.invalidate(b"k", verb, Fence::ZERO, Span::ZERO).await.unwrap();
        assert_eq!(tier.publish(b"k", token, entry("late")).await.unwrap(), Stored::Refused, "{verb:?}");
    }
    // Servers forget scripts: that voids nothing.
    let token = granted(&tier, b"scripts").await;
    call(&server, &["SCRIPT", "FLUSH"]).await;
    assert_eq!(tier.publish(b"scripts", token, entry("v")).await.unwrap(), Stored::Yes(token));
    assert!(tier.counts().script_fallbacks > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_a_token_is_void_after_its_key_was_evicted() {
    let server = redis(&["--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru"]).await;
    let tier = calm(&server.url());
    let token = granted(&tier, b"k").await;
    let mut n = 0;
    until("an eviction", async || {
        n += 1;
        store(&tier, format!("filler:{n}").as_bytes(), noise(40_000)).await;
        (call(&server, &["EXISTS", "bw:k"]).await.as_int() == Some(0)).then_some(())
    })
    .await;
    assert_eq!(tier.publish(b"k", token, entry("late")).await.unwrap(), Stored::Refused);
    assert_eq!(body(tier.get(b"k").await), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_let_in_after_two_missed_heartbeats_and_the_late_holder_is_refused() {
    let server = redis(&[]).await;
    let tier = calm(&server.url());
    let lease = Span::ms(900);
    let short = |mode| Ask { lease, ..ask(mode) };
    let Ok(Acquired::Granted { token: first, .. }) = tier.acquire(b"k", short(Mode::Miss)).await else { panic!() };
    let since = Instant::now();
    assert!(matches!(tier.acquire(b"k", short(Mode::Backup)).await.unwrap(), Acquired::Denied { .. }));
    // A heartbeat moves it on.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(tier.renew(b"k", first, lease).await.unwrap());
    let second = until("a backup", async || match tier.acquire(b"k", short(Mode::Backup)).await.unwrap() {
        Acquired::Granted { token, .. } => Some(token),
        Acquired::Denied { .. } => None,
        other => panic!("{other:?}"),
    })
    .await;
    assert!(since.elapsed() >= Duration::from_millis(300 + 600), "{:?}: two beats after the last", since.elapsed());
    assert_eq!(tier.publish(b"k", first, entry("late")).await.unwrap(), Stored::Refused);
    assert_eq!(tier.publish(b"k", second, entry("right")).await.unwrap(), Stored::Yes(second));
    assert_eq!(body(tier.get(b"k").await).as_deref(), Some(&b"right"[..]));
    // A lease that nobody renewed is over: its holder is late as well.
    let Ok(Acquired::Granted { token, .. }) =
        tier.acquire(b"over", Ask { lease: Span::ms(40), ..ask(Mode::Miss) }).await
    else {
        panic!()
    };
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(tier.publish(b"over", token, entry("late")).await.unwrap(), Stored::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_above_all_that_its_key_has_had_and_voids_every_token() {
    let server = redis(&[]).await;
    let tier = calm(&server.url());
    let remove = async || tier.invalidate(b"k", Invalidation::Remove, Fence::ZERO, Span::ZERO).await.unwrap().fence;
    let removed = remove().await;
    let first = set(&tier, b"k", entry("one")).await.unwrap();
    assert!(first > removed, "a tombstone beats older writes, and this one is newer");
    assert_eq!(body(tier.get(b"k").await).as_deref(), Some(&b"one"[..]));
    // Giving a lease back does not shorten a tombstone: what was read before is refused all the same.
    let removed = remove().await;
    let token = granted(&tier, b"k").await;
    tier.release(b"k", token, Some((Span::ms(1), bellwether::FailClass::Failed))).await.unwrap();
    assert_eq!(tier.publish(b"k", token, entry("old")).await.unwrap(), Stored::Refused);
    let token = granted(&tier, b"other").await;
    assert!(set(&tier, b"k", entry("new")).await.unwrap() > removed);
    assert!(set(&tier, b"other", entry("new")).await.unwrap() > token);
    assert_eq!(tier.publish(b"other", token, entry("late")).await.unwrap(), Stored::Refused);
    assert_eq!(body(tier.get(b"other").await).as_deref(), Some(&b"new"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn fences_use_all_64_bits_in_order() {
    let server = redis(&[]).await;
    let tier = calm(&server.url());
    // Where doubles lose their last bit, where halves carry over, where a sign turns. The clock is at some 7 << 60.
    let ahead = 1 << 63;
    let edges = [
        (1 << 53) + 1,
        0xFFFF_FFFF_FFFF,
        (0x7FFF_FFFF << 32) | 0xFFFF_FFFF,
        ahead | (1 << 53) | 1,
        ahead | (5 << 53) | 1,
        ahead | 0xFFFF_FFFE,
        ahead | 0xFFFF_FFFF,
    ];
    let is_ahead = |edge: u64| edge >= ahead - 1;
    let plain = |mode| Ask { draw: Draw(0), ..ask(mode) };
    for (n, edge) in edges.into_iter().enumerate() {
        let key = format!("edge:{n}").into_bytes();
        let at_least = Fence(edge);
        let Ok(Acquired::Granted { token, .. }) = tier.acquire(&key, Ask { at_least, ..plain(Mode::Miss) }).await
        else {
            panic!()
        };
        assert!(token >= at_least, "{edge:x}");
        assert!(!is_ahead(edge) || token == at_least, "{edge:x}");
        for wrong in [token.0 - 1, token.0 + 1, token.0 ^ 1 << 40] {
            assert_eq!(tier.publish(&key, Fence(wrong), entry("x")).await.unwrap(), Stored::Refused, "{edge:x}");
        }
        assert_eq!(tier.publish(&key, token, entry("v")).await.unwrap(), Stored::Yes(token));
        // What the asker holds is compared exactly.
        let held = |fence| Ask { holds: Fence(fence), ..plain(Mode::Early) };
        assert!(matches!(tier.acquire(&key, held(token.0 - 1)).await.unwrap(), Acquired::Fresh(_)), "{edge:x}");
        let Ok(Acquired::Granted { token: next, stale: Some(stale) }) = tier.acquire(&key, held(token.0)).await else {
            panic!()
        };
        assert_eq!((stale.fence, next), (token, Fence(token.0.max(next.0 - 1) + 1)), "{edge:x}");
        assert!(next > token, "{edge:x}");
        let raised = tier.invalidate(&key, Invalidation::Expire, Fence::ZERO, Span::ZERO).await.unwrap();
        assert!(raised.fence > next, "{edge:x}");
        let written = set(&tier, &key, entry("x")).await.unwrap();
        assert!(written > raised.fence, "{edge:x}");
        if is_ahead(edge) {
            assert_eq!(raised.fence, Fence(next.0 + 1), "{edge:x}: one more, to the last bit");
            assert_eq!(written, Fence(raised.fence.0 + 1), "{edge:x}: and one more");
        }
        // A token's step is added across the halves as well.
        let (key, draw) = (format!("step:{n}").into_bytes(), Draw(u64::MAX));
        let Ok(Acquired::Granted { token, .. }) = tier.acquire(&key, Ask { at_least, draw, ..ask(Mode::Miss) }).await
        else {
            panic!()
        };
        assert!(!is_ahead(edge) || token == Fence(edge + TOKEN_STEP - 1), "{edge:x}: {token:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g3_a_token_that_the_server_has_forgotten_is_void_although_its_clock_stands_behind() {
    let server = redis(&[]).await;
    let tier = calm(&server.url());
    // Both know of a fence that this server's clock has not reached.
    let at_least = Fence((1 << 63) + 5);
    let mut late = 0;
    for draw in [None, Some(Draw(7))] {
        for _ in 0..50 {
            let ask = || Ask { at_least, draw: draw.unwrap_or_else(|| ask(Mode::Miss).draw), ..ask(Mode::Miss) };
            let Ok(Acquired::Granted { token: first, .. }) = tier.acquire(b"k", ask()).await else { panic!() };
            call(&server, &["DEL", "bw:k"]).await;
            let Ok(Acquired::Granted { .. }) = tier.acquire(b"k", ask()).await else { panic!() };
            late += u32::from(tier.publish(b"k", first, entry("late")).await.unwrap() != Stored::Refused);
            call(&server, &["DEL", "bw:k"]).await;
        }
        match draw {
            None => assert_eq!(late, 0, "each draws for itself"),
            Some(_) => assert_eq!(late, 50, "control: with one draw for all the token is the same"),
        }
    }
}

//! What is stored, and what is found: ours, others', damaged, large.

use super::*;
use bellwether::Invalidation;
use bellwether::shared::{TierTrouble, Verified};

fn misread(tier: &RedisTier, reason: &str) -> u64 {
    tier.counts().misread.iter().find(|(name, _)| *name == reason).map_or(0, |(_, count)| *count)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_comes_back_with_all_that_is_known_of_it() {
    let server = redis(&[]).await;
    let tier = calm(&server.url());
    let full = Envelope {
        version: Some(42),
        seen: Position { epoch: 2, number: 9 },
        tags: vec![1, u64::MAX],
        format: Format::Json,
        about: vec![(64, Bytes::from_static(b"\"etag\""))],
        ..entry("{\"id\":1}".repeat(1000))
    };
    let token = granted(&tier, b"full").await;
    tier.publish(b"full", token, full.clone()).await.unwrap();
    let Ok(Found::Entry { envelope, lease: None }) = tier.get(b"full").await else { panic!("no entry") };
    assert!((5..5000).contains(&envelope.age_ms) && envelope.fresh_ms <= 60_000 && envelope.fresh_ms > 50_000);
    let expected = Envelope { fence: token, age_ms: envelope.age_ms, fresh_ms: envelope.fresh_ms, ..full };
    assert_eq!(envelope, expected);
    // Anybody can see it, and it leaves by itself.
    let left = call(&server, &["PTTL", "bw:full"]).await.as_int().expect("a number");
    assert!((100_000..=160_000).contains(&left), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_says_is_seen_by_a_plain_read_and_by_who_wants_to_load() {
    let server = redis(&[]).await;
    let tier = calm(&server.url());
    // A load under way.
    let token = granted(&tier, b"k").await;
    assert!(matches!(tier.get(b"k").await, Ok(Found::Nothing { lease: Some(left) }) if left > Span::secs(4)));
    // It failed.
    assert!(tier.release(b"k", token, Some((Span::secs(9), bellwether::FailClass::Overloaded))).await.unwrap());
    let failed = |class| class == bellwether::FailClass::Overloaded;
    assert!(matches!(tier.get(b"k").await, Ok(Found::Failed { class, .. }) if failed(class)));
    assert!(matches!(tier.acquire(b"k", ask(Mode::Miss)).await, Ok(Acquired::Failed { class, .. }) if failed(class)));
    // Its answers may not be kept; there is no row.
    for (key, kind) in [(&b"h"[..], Kind::HitForMiss), (b"n", Kind::Negative)] {
        let token = granted(&tier, key).await;
        tier.publish(key, token, Envelope { kind, ..entry("") }).await.unwrap();
    }
    assert!(matches!(tier.get(b"h").await, Ok(Found::HitForMiss { .. })));
    assert!(matches!(tier.acquire(b"h", ask(Mode::Miss)).await, Ok(Acquired::HitForMiss { .. })));
    assert!(matches!(tier.get(b"n").await, Ok(Found::Entry { envelope, .. }) if envelope.kind == Kind::Negative));
    // A load of what is there failed: readers go on with it, and nobody else tries for a while.
    let fence = store(&tier, b"s", "stale").await;
    let early = Ask { holds: fence, ..ask(Mode::Early) };
    let Ok(Acquired::Granted { token, .. }) = tier.acquire(b"s", early).await else { panic!("refused") };
    tier.release(b"s", token, Some((Span::secs(9), bellwether::FailClass::Timeout))).await.unwrap();
    assert_eq!(body(tier.get(b"s").await).as_deref(), Some(&b"stale"[..]));
    let tried = tier.acquire(b"s", early).await;
    assert!(matches!(tried, Ok(Acquired::Failed { class: bellwether::FailClass::Timeout, .. })), "{tried:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_leaves_nothing_and_an_expiry_a_rescue_alone() {
    let server = redis(&[]).await;
    let tier = calm(&server.url());
    for verb in [Invalidation::Remove, Invalidation::Expire] {
        let fence = store(&tier, b"k", "old").await;
        assert_eq!(tier.verify(b"k").await.unwrap(), Verified::Holds(fence));
        let raised = tier.invalidate(b"k", verb, Fence::ZERO, Span::ZERO).await.unwrap();
        assert!(raised.was_resident && raised.fence > fence);
        assert_eq!(tier.verify(b"k").await.unwrap(), Verified::Gone);
        let rescue = match tier.get(b"k").await.unwrap() {
            Found::Entry { envelope, .. } => {
                assert!(envelope.invalidated && envelope.fresh_ms == 0 && envelope.swr_ms == 0);
                true
            }
            Found::Nothing { lease: None } => false,
            other => panic!("{other:?}"),
        };
        assert_eq!(rescue, verb == Invalidation::Expire);
        let again = tier.invalidate(b"k", Invalidation::Remove, Fence::ZERO, Span::ZERO).await.unwrap();
        assert_eq!(again.was_resident, rescue, "a rescue is resident, a tombstone is not");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_values_are_handed_out_with_their_end_and_never_rewritten() {
    let server = redis(&[]).await;
    let tier = calm(&server.url());
    let large = "x".repeat(300_000);
    call(&server, &["SET", "bw:plain", "theirs"]).await;
    call(&server, &["SET", "bw:ends", "theirs", "PX", "60000"]).await;
    call(&server, &["SET", "bw:large", &large]).await;
    call(&server, &["SET", "bw:empty", ""]).await;
    for (key, expected, ends) in
        [(&b"plain"[..], "theirs", false), (b"ends", "theirs", true), (b"large", &large, false)]
    {
        let found = tier.get(key).await.unwrap();
        assert!(
            matches!(&found, Found::Foreign { body, left } if body == expected && left.is_some() == ends),
            "{found:?}"
        );
        let asked = tier.acquire(key, ask(Mode::Backup)).await.unwrap();
        assert!(matches!(&asked, Acquired::Foreign { body, left } if body == expected && left.is_some() == ends));
        let now = Fence(u64::MAX >> 1);
        assert_eq!(tier.publish(key, now, entry("ours")).await.unwrap(), Stored::Refused);
        assert!(!tier.renew(key, now, Span::secs(1)).await.unwrap());
    }
    // Nothing to read, but something is there: who wants to load is told.
    assert_eq!(tier.get(b"empty").await.unwrap(), Found::Nothing { lease: None });
    assert!(
        matches!(tier.acquire(b"empty", ask(Mode::Miss)).await.unwrap(), Acquired::Foreign { body, .. } if body.is_empty())
    );
    // A removal removes all the same.
    assert!(tier.invalidate(b"plain", Invalidation::Expire, Fence::ZERO, Span::ZERO).await.unwrap().was_resident);
    assert_eq!(tier.get(b"plain").await.unwrap(), Found::Nothing { lease: None });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_value_of_100_mb_is_not_taken_in() {
    let server = redis(&[]).await;
    let tier = calm(&server.url());
    call(&server, &["SETRANGE", "bw:huge", "99999999", "x"]).await;
    call(&server, &["SETRANGE", "bw:fits", "999999", "x"]).await;
    let sent = async || {
        let info = call(&server, &["INFO", "stats"]).await;
        let text = String::from_utf8_lossy(info.as_bytes().expect("text")).into_owned();
        let line =
            text.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:")).expect("a count").to_owned();
        line.trim().parse::<u64>().expect("a number")
    };
    let before = sent().await;
    assert_eq!(tier.get(b"huge").await.unwrap_err().kind, TierTrouble::Unfit);
    assert_eq!(tier.acquire(b"huge", ask(Mode::Miss)).await.unwrap_err().kind, TierTrouble::Unfit);
    let taken = sent().await - before;
    assert!(taken < 300_000, "{taken} bytes");
    // The count does count: what fits is taken in whole.
    assert!(matches!(tier.get(b"fits").await.unwrap(), Found::Foreign { body, .. } if body.len() == 1_000_000));
    assert!(sent().await - before > 1_000_000);
    assert_eq!(tier.counts().unfit, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_go_their_own_way_and_arrive_whole() {
    let server = redis(&[]).await;
    let tier = calm(&server.url());
    let large = noise(400_000);
    let fence = store(&tier, b"large", large.clone()).await;
    assert_eq!(body(tier.get(b"large").await), Some(large.clone()));
    assert!(tier.counts().large >= 2);
    assert!(
        matches!(tier.acquire(b"large", ask(Mode::Miss)).await.unwrap(), Acquired::Fresh(envelope) if envelope.body == large)
    );
    let early = Ask { holds: fence, ..ask(Mode::Early) };
    assert!(
        matches!(tier.acquire(b"large", early).await.unwrap(), Acquired::Granted { stale: Some(envelope), .. } if envelope.body == large)
    );
    let too_large = tier.publish(b"x", Fence(1), entry(noise((16 << 20) + 1))).await.unwrap_err();
    assert_eq!(too_large.kind, TierTrouble::Unfit);
    // Around the length from which on values go their own way nothing is lost either.
    for length in 65_300..65_600 {
        let key = format!("edge:{}", length % 8);
        let value = noise(length);
        set(&tier, key.as_bytes(), entry(value.clone())).await.unwrap();
        assert_eq!(body(tier.get(key.as_bytes()).await), Some(value), "{length}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g8_a_damaged_entry_is_a_miss_that_is_counted_and_does_not_come_back() {
    let server = redis(&[]).await;
    let tier = calm(&server.url());
    let damages: [(usize, &str, &str); 6] = [
        (90, "!", "bad_crc"),
        (0, "!", "bad_header"),
        (3, "2", "future_version"),
        (3, "0", "future_version"),
        (4, "\u{9}", "bad_header"),
        (5, "\u{f}", "unknown_codec"),
    ];
    for (at, byte, reason) in damages {
        store(&tier, b"k", "0123456789".repeat(4)).await;
        call(&server, &["SETRANGE", "bw:k", &at.to_string(), byte]).await;
        let before = misread(&tier, reason);
        assert_eq!(body(tier.get(b"k").await), None, "{reason} at {at}");
        assert_eq!(misread(&tier, reason), before + 1, "{reason} at {at}");
        // It would be handed over as fresh for ever: whoever wants to load may.
        store(&tier, b"k", "new").await;
        assert_eq!(body(tier.get(b"k").await).as_deref(), Some(&b"new"[..]), "{reason} at {at}");
        tier.invalidate(b"k", Invalidation::Remove, Fence::ZERO, Span::ZERO).await.unwrap();
    }
    // Another key's entry is damage too.
    store(&tier, b"a", "of a").await;
    call(&server, &["COPY", "bw:a", "bw:b"]).await;
    assert_eq!(body(tier.get(b"b").await), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_type_is_passed_by() {
    let server = redis(&[]).await;
    let tier = calm(&server.url());
    call(&server, &["LPUSH", "bw:list", "x"]).await;
    store(&tier, b"k", "v").await;
    let keys = [b"list".to_vec(), b"k".to_vec()];
    let trouble = [
        tier.get(b"list").await.map(drop),
        tier.acquire(b"list", ask(Mode::Miss)).await.map(drop),
        tier.publish(b"list", Fence(1), entry("v")).await.map(drop),
        set(&tier, b"list", entry("v")).await.map(drop),
        tier.verify(b"list").await.map(drop),
    ];
    for result in trouble {
        assert_eq!(result.unwrap_err().kind, TierTrouble::WrongType);
    }
    let many = tier.get_many(&keys).await.unwrap();
    assert!(
        matches!(&many[..], [Found::Nothing { .. }, Found::Entry { .. }]),
        "one key does not take the others along"
    );
    assert!(tier.counts().wrong_type >= 5);
}

/// G2: what stands in the way of a value goes as any value does, and what is written then is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_type_is_removed_like_any_other() {
    let server = redis(&[]).await;
    let tier = calm(&server.url());
    for (command, verb) in [("LPUSH", Invalidation::Remove), ("SADD", Invalidation::Expire)] {
        call(&server, &[command, "bw:k", "x"]).await;
        let raised = tier.invalidate(b"k", verb, Fence::ZERO, Span::ZERO).await.unwrap();
        assert!(raised.was_resident, "{command}");
        assert_eq!(body(tier.get(b"k").await), None, "a tombstone stands there");
        assert!(set(&tier, b"k", entry("v")).await.unwrap() > raised.fence);
        assert_eq!(body(tier.get(b"k").await).as_deref(), Some(&b"v"[..]));
        call(&server, &["DEL", "bw:k"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_are_found_in_their_order() {
    let server = redis(&[]).await;
    let tier = calm(&server.url());
    let keys: Vec<Vec<u8>> = (0..700).map(|n| format!("many:{n}").into_bytes()).collect();
    for key in keys.iter().step_by(3) {
        store(&tier, key, key.clone()).await;
    }
    call(&server, &["SET", "bw:many:1", "theirs"]).await;
    let found = tier.get_many(&keys).await.unwrap();
    assert_eq!(found.len(), keys.len());
    for (at, found) in found.into_iter().enumerate() {
        match found {
            Found::Entry { envelope, .. } => assert_eq!((at % 3, &envelope.body[..]), (0, &keys[at][..])),
            Found::Foreign { body, .. } => assert_eq!((at, &body[..]), (1, &b"theirs"[..])),
            other => assert!(at % 3 != 0 && other == Found::Nothing { lease: None }),
        }
    }
    assert_eq!(tier.get_many(&[]).await.unwrap(), vec![]);
    // Any bytes are a key, up to 4 KiB and beyond.
    for key in [vec![0, 255, 13, 10], vec![b'{'; 4096], Vec::new()] {
        store(&tier, &key, "odd").await;
        assert_eq!(body(tier.get(&key).await).as_deref(), Some(&b"odd"[..]));
    }
}

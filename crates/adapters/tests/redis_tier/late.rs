//! What comes late: does it leave alone what came after it, and only that?

use super::*;
use bellwether::Invalidation;

const REMOVE: Invalidation = Invalidation::Remove;

/// What a removal leaves that was answered so long ago, and of which the server did not hear.
async fn after_a_late_removal(tier: &RedisTier, key: &[u8], answered: Instant) -> Option<Bytes> {
    let ago = Span(u64::try_from(answered.elapsed().as_millis()).unwrap());
    tier.invalidate(key, REMOVE, Fence::ZERO, ago).await.unwrap();
    body(tier.get(key).await)
}

async fn pass(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_removal_leaves_what_was_written_since_and_its_lease_and_nothing_else() {
    let server = redis(&[]).await;
    let (tier, other) = (calm(&server.url()), calm(&server.url()));
    set(&tier, b"old", entry("old")).await.unwrap();
    let late = granted(&other, b"loading").await;
    let loaded_before = granted(&other, b"loaded").await;
    pass(50).await;
    let answered = Instant::now();
    pass(50).await;
    set(&other, b"new", Envelope { age_ms: 0, ..entry("new") }).await.unwrap();
    // A load that began before it: what it brings is of before, whenever it is published.
    let of_before = Envelope { age_ms: 90, ..entry("of before") };
    assert!(matches!(other.publish(b"loaded", loaded_before, of_before).await.unwrap(), Stored::Yes(_)));
    let early = Ask { holds: Fence(u64::MAX), ..ask(Mode::Early) };
    let Acquired::Granted { token, .. } = other.acquire(b"new", early).await.unwrap() else { panic!("no lease") };
    assert_eq!(after_a_late_removal(&tier, b"new", answered).await.as_deref(), Some(&b"new"[..]));
    assert!(matches!(other.publish(b"new", token, entry("newer")).await.unwrap(), Stored::Yes(_)), "its lease holds");
    for key in [&b"old"[..], b"loaded", b"loading"] {
        assert_eq!(after_a_late_removal(&tier, key, answered).await, None, "{key:?}");
    }
    assert_eq!(other.publish(b"loading", late, entry("late")).await.unwrap(), Stored::Refused);
    // Who was not there then knows nothing of the clock of then.
    set(&other, b"new", Envelope { age_ms: 0, ..entry("new") }).await.unwrap();
    let stranger = calm(&server.url());
    stranger.verify(b"new").await.unwrap();
    assert_eq!(after_a_late_removal(&stranger, b"new", answered).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lay_in_a_frozen_servers_socket_is_of_when_it_was_sent() {
    let server = redis(&[]).await;
    let (tier, other) = (calm(&server.url()), Arc::new(calm(&server.url())));
    set(&tier, b"k", entry("old")).await.unwrap();
    let token = granted(&other, b"loaded").await;
    server.freeze().unwrap();
    let young = || Envelope { age_ms: 0, ..entry("sent before") };
    let sent = [true, false].map(|publishes| {
        let other = other.clone();
        tokio::spawn(async move {
            match publishes {
                true => assert!(matches!(other.publish(b"loaded", token, young()).await.unwrap(), Stored::Yes(_))),
                false => drop(set(&other, b"k", young()).await.unwrap()),
            }
        })
    });
    pass(200).await;
    let answered = Instant::now();
    pass(200).await;
    server.thaw().unwrap();
    for sent in sent {
        sent.await.unwrap();
    }
    for key in [&b"k"[..], b"loaded"] {
        assert_eq!(body(tier.get(key).await).as_deref(), Some(&b"sent before"[..]), "control: they were stored");
        assert_eq!(after_a_late_removal(&tier, key, answered).await, None, "and are older than the removal");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_write_yields_to_what_was_written_or_removed_since() {
    let server = redis(&[]).await;
    let (tier, other) = (calm(&server.url()), calm(&server.url()));
    set(&tier, b"untouched", entry("old")).await.unwrap();
    pass(50).await;
    let answered = Instant::now();
    pass(50).await;
    set(&other, b"written", Envelope { age_ms: 0, ..entry("newer") }).await.unwrap();
    other.invalidate(b"removed", REMOVE, Fence::ZERO, Span::ZERO).await.unwrap();
    let found = async |key: &[u8]| {
        let ago = Span(u64::try_from(answered.elapsed().as_millis()).unwrap());
        let envelope = Envelope { age_ms: ago.0, ..entry("late") };
        let wrote = tier.write(key, Write { late: ago, ..Write::default() }, envelope).await.unwrap();
        let body = body(tier.get(key).await).map(|body| String::from_utf8(body.to_vec()).unwrap());
        (wrote.stored.is_some(), body)
    };
    assert_eq!(found(b"written").await, (false, Some("newer".to_owned())));
    assert_eq!(found(b"removed").await, (false, None));
    for key in [&b"untouched"[..], b"new"] {
        assert_eq!(found(key).await, (true, Some("late".to_owned())), "control");
    }
}

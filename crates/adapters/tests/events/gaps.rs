//! What is missing, silent, or begun anew is noticed, and only what is proven is believed again.

use std::sync::Arc;

use bellwether::events::{Cause, Covered, Transport, Turn};
use bellwether_faults::{Faults, Proxy};
use bellwether_servers::Redis;

use crate::followed::{Followed, at, events, key, publish, redis, tag};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_trimmed_before_it_was_read_is_a_gap() {
    let server = redis();
    let to = at(&server);
    let mut followed = Followed::live(to.clone()).await;
    let before = followed.at;
    // It does not read meanwhile, and its connection has one answer under way at most.
    let mut last = before;
    for number in 0..50 {
        last = publish(&to, [key("k", number + 1)]).await;
    }
    let purged = publish(&to, [tag(1)]).await;
    server.call(&["XTRIM", "{bw}:stream", "MAXLEN", "0"]).unwrap();
    let after = publish(&to, [key("after", 1)]).await;
    followed.until("past the gap, and live", |f| f.at >= after && f.is_live()).await;
    assert_eq!(followed.turns[1..], [Turn::Gap(Cause::Missing), Turn::Live { lost: true }]);
    assert_eq!(followed.floors.covers(last, "user", &[1]), Covered::Removed, "the floors say what the stream can't");
    assert_eq!(followed.floors.covers(purged, "user", &[1]), Covered::No);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_forgets_the_stream_begins_a_new_epoch() {
    let server = redis();
    let to = at(&server);
    let mut followed = Followed::live(to.clone()).await;
    let before = publish(&to, [tag(1)]).await;
    followed.until("heard", |f| f.at >= before).await;
    server.kill().unwrap();
    server.restart().unwrap();
    followed.until("live in another epoch", |f| f.is_live() && f.at.epoch > before.epoch).await;
    assert!(matches!(followed.turns[1], Turn::Gap(_)) && followed.turns.last() == Some(&Turn::Live { lost: true }));
    assert_eq!(followed.floors.covers(before, "user", &[]), Covered::Removed, "everything seen before is suspect");
    let purged = publish(&to, [tag(2)]).await;
    followed.until("heard in the new epoch", |f| f.heard(&tag(2))).await;
    assert_eq!(purged.epoch, followed.at.epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_from_an_older_snapshot_uses_no_number_twice() {
    let server = redis();
    let to = at(&server);
    let mut followed = Followed::live(to.clone()).await;
    publish(&to, [tag(1)]).await;
    server.call(&["SAVE"]).unwrap();
    let lost = publish(&to, [tag(2)]).await;
    followed.until("heard", |f| f.at >= lost).await;
    server.kill().unwrap();
    server.restart().unwrap();
    // A control: what the server holds now knows nothing of the second purge, under numbers that were given out.
    let held = |tag: &str| server.call(&["HGET", "{bw}:floors", tag]).unwrap() != bellwether_servers::Value::Nil;
    assert!(held("tr:0000000000000001") && !held("tr:0000000000000002"));
    let again = publish(&to, [tag(3)]).await;
    assert!(again.epoch > lost.epoch, "{lost:?} then {again:?}");
    followed.until("live in the new epoch", |f| f.is_live() && f.at.epoch == again.epoch).await;
    assert_eq!(followed.floors.covers(lost, "user", &[2]), Covered::Removed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_connection_is_a_gap_and_what_it_held_back_is_heard_after_it() {
    let server = redis();
    let proxy = Proxy::start(server.address(), 1).await.unwrap();
    let behind = Arc::new(events(&format!("redis://{}", proxy.address())));
    let mut followed = Followed::live(behind).await;
    proxy.set_both(Faults { dead: true, ..Faults::default() });
    let sent = publish(&at(&server), [key("k", 1)]).await;
    followed.until("silence is noticed", |f| !f.is_live()).await;
    assert_eq!(followed.turns.last(), Some(&Turn::Gap(Cause::Silence)));
    assert!(!followed.heard(&key("k", 1)));
    proxy.calm();
    followed.until("live again", |f| f.is_live()).await;
    assert!(followed.at >= sent && followed.heard(&key("k", 1)), "nothing was lost: it was read on");
    assert_eq!(followed.turns.last(), Some(&Turn::Live { lost: false }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_is_a_gap() {
    let server = redis();
    let mut followed = Followed::live(at(&server)).await;
    server.freeze().unwrap();
    followed.until("silence is noticed", |f| !f.is_live()).await;
    server.thaw().unwrap();
    followed.until("live again", |f| f.is_live()).await;
    assert_eq!(followed.turns.last(), Some(&Turn::Live { lost: false }));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_somebody_else_does_to_its_keys_begins_a_new_epoch() {
    for deed in [
        &["DEL", "{bw}:stream"][..],
        &["DEL", "{bw}:floors"],
        &["FLUSHALL"],
        &["XADD", "{bw}:stream", "*", "b", "x"],
        &["XADD", "{bw}:stream", "*", "somebody", "else"],
    ] {
        let server = redis();
        let to = at(&server);
        let mut followed = Followed::live(to.clone()).await;
        let before = publish(&to, [tag(1)]).await;
        followed.until("heard", |f| f.at >= before).await;
        server.call(deed).unwrap();
        let after = publish(&to, [tag(2)]).await;
        assert!(after.epoch > before.epoch, "{deed:?}: {before:?} then {after:?}");
        followed.until("live in the new epoch", |f| f.is_live() && f.at.epoch == after.epoch).await;
        let covered = followed.floors.covers(before, "user", &[1]);
        assert_eq!(covered, Covered::Removed, "{deed:?}: what it had told is suspect");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn best_effort_notices_what_it_lost() {
    let server = redis();
    let proxy = Proxy::start(server.address(), 1).await.unwrap();
    let to = Arc::new(events(&server.url()).best_effort());
    let behind = Arc::new(events(&format!("redis://{}", proxy.address())).best_effort());
    let mut followed = Followed::live(behind).await;
    publish(&to, [key("heard", 1)]).await;
    followed.until("heard", |f| f.heard(&key("heard", 1))).await;
    proxy.cut(bellwether_faults::Ending::Reset);
    let before = publish(&to, [key("lost", 1)]).await;
    let purged = publish(&to, [tag(1)]).await;
    followed.until("live again", |f| f.is_live() && f.at >= purged).await;
    assert!(!followed.heard(&key("lost", 1)), "this transport tells nothing twice");
    assert_eq!(followed.turns.last(), Some(&Turn::Live { lost: true }), "and says that it lost something");
    assert_eq!(followed.floors.covers(before, "user", &[1]), Covered::Removed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_says_so() {
    let guarded = Redis::start(&["--requirepass", "secret"]).unwrap();
    let error = events(&guarded.url()).head().await.unwrap_err().to_string();
    assert!(error.contains("NOAUTH"), "{error}");
    let wrong = events(&guarded.url().replace("redis://", "redis://:hunter2@"));
    let error = wrong.head().await.unwrap_err().to_string();
    assert!(!error.contains("hunter2"), "{error}");
    let right = events(&guarded.url().replace("redis://", "redis://:secret@"));
    assert!(right.head().await.is_ok());
    let nobody = events("redis://127.0.0.1:1");
    assert!(nobody.head().await.is_err());
    let server = redis();
    server.call(&["SET", "{bw}:stream", "x"]).unwrap();
    let error = events(&server.url()).head().await.unwrap_err().to_string();
    assert!(error.contains("WRONGTYPE"), "{error}");
}

//! One order for everybody, and what a process that starts later must know.

use std::sync::Arc;
use std::time::Duration;

use bellwether::Position;
use bellwether::events::{Covered, Transport};

use crate::followed::{Followed, at, batch, events, key, publish, redis, tag};

#[tokio::test(flavor = "multi_thread")]
async fn everybody_hears_everything_in_one_order_without_a_hole() {
    let server = redis();
    let (one, two) = (at(&server), at(&server));
    let (mut a, mut b) = (Followed::live(one.clone()).await, Followed::live(two.clone()).await);
    let sending = [one, two].map(|to| {
        tokio::spawn(async move {
            for number in 0..200 {
                publish(&to, [key(&format!("k{number}"), number + 1)]).await;
            }
        })
    });
    for sent in sending {
        sent.await.unwrap();
    }
    let last = publish(&events(&server.url()), [key("last", 1)]).await;
    for followed in [&mut a, &mut b] {
        followed.until("the last one", |f| f.at >= last).await;
        assert_eq!(followed.applied.len(), 401);
        assert_eq!(followed.turns.len(), 1, "never in doubt: {:?}", followed.turns);
    }
    assert_eq!(a.applied, b.applied);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_write_one_heartbeat_a_second_between_them() {
    let server = redis();
    let all: Vec<_> = (0..8).map(|_| at(&server)).collect();
    let first = all[0].head().await.unwrap().at;
    for _ in 0..30 {
        futures_util::future::join_all(all.iter().map(|events| events.head())).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let last = all[0].head().await.unwrap().at;
    assert_eq!(last.epoch, first.epoch);
    // Three seconds and whatever this machine took besides; each of the 240 would be one without the rule.
    assert!((2..12).contains(&(last.number - first.number)), "{first:?} to {last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_starts_after_a_purge_knows_of_it() {
    let server = redis();
    let before = events(&server.url()).head().await.unwrap().at;
    let purged = publish(&at(&server), [tag(1), tag(2), key("k", 3)]).await;
    let late = Followed::live(at(&server)).await;
    assert_eq!(late.floors.covers(before, "user", &[1]), Covered::Removed);
    assert_eq!(late.floors.covers(purged, "user", &[1, 2]), Covered::No);
    assert_eq!(late.floors.covers(before, "user", &[3]), Covered::No, "another tag");
    assert_eq!(late.floors.covers(Position::NONE, "user", &[]), Covered::Removed, "loaded without a backplane");
}

#[tokio::test(flavor = "multi_thread")]
async fn floors_that_leave_raise_the_floor_of_everything() {
    let server = redis();
    let forgetful = Arc::new(events(&server.url()).floors_kept(bellwether::Span::ms(50)));
    let before = forgetful.head().await.unwrap().at;
    let purged = publish(&forgetful, [tag(1)]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    publish(&forgetful, [key("k", 1)]).await;
    let held = forgetful.floors().await.unwrap().1;
    assert_eq!(held.len(), 2, "the floor of everything, seen twice: {held:?}");
    let late = Followed::live(at(&server)).await;
    assert_eq!(late.floors.covers(before, "user", &[1]), Covered::Removed);
    assert_eq!(late.floors.covers(before, "user", &[9]), Covered::Removed, "more is covered");
    assert_eq!(late.floors.covers(purged, "user", &[1]), Covered::No, "and nothing that came later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_five_hundred_tags_is_one_position() {
    let server = redis();
    let to = at(&server);
    let mut followed = Followed::live(to.clone()).await;
    let tags: Vec<_> = (0..500).map(tag).collect();
    let purged = publish(&to, tags).await;
    followed.until("all of them", |f| f.at >= purged).await;
    assert_eq!(followed.applied.len(), 500);
    assert!(followed.applied.iter().all(|(at, _)| *at == purged));
    let late = Followed::live(at(&server)).await;
    assert_eq!(late.floors.len(), 500);
    assert_eq!(batch([]).raises(1).count(), 0);
}

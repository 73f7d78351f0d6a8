//! Is everybody told of exactly what they keep?

use super::*;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn invalid(text: &str) -> Message {
    Message::Invalid(What::Key(bytes(text)))
}

#[test]
fn who_was_handed_a_key_hears_once_that_it_changed() {
    let watch = Watch::default();
    let (one, two) = (watch.enter(1), watch.enter(2));
    watch.track(1, Some(Tracking::default()));
    watch.track(2, Some(Tracking::default()));
    watch.hands(b"a", Some(1));
    watch.hands(b"b", Some(2));
    watch.changed(b"a", Some(1));
    watch.changed(b"a", Some(2));
    assert_eq!(one.take_quietly(), [invalid("a")], "its own change too, and once: it keeps nothing any more");
    assert!(two.take_quietly().is_empty());
    watch.hands(b"a", Some(1));
    watch.good_until(b"a", Tick(10));
    watch.sweep(Tick(9));
    assert!(one.take_quietly().is_empty());
    watch.sweep(Tick(10));
    assert_eq!(one.take_quietly(), [invalid("a")]);
    watch.track(1, None);
    watch.hands(b"a", Some(1));
    watch.changed(b"a", None);
    assert!(one.take_quietly().is_empty(), "it no longer tracks");
}

#[test]
fn noloop_redirect_and_a_target_that_is_gone() {
    let watch = Watch::default();
    let (one, two) = (watch.enter(1), watch.enter(2));
    let to_two = Tracking { redirect: Some(2), noloop: true, broadcast: None };
    watch.track(1, Some(to_two));
    watch.hands(b"a", Some(1));
    watch.changed(b"a", Some(1));
    assert!(one.take_quietly().is_empty() && two.take_quietly().is_empty(), "its own change");
    watch.hands(b"a", Some(1));
    watch.changed(b"a", Some(2));
    assert!(one.take_quietly().is_empty());
    assert_eq!(two.take_quietly(), [invalid("a")]);
    watch.leave(2);
    assert!(!watch.is_here(2) && watch.is_here(1));
    watch.hands(b"a", Some(1));
    watch.changed(b"a", None);
    assert_eq!(one.take_quietly(), [Message::Broken(2)]);
}

#[test]
fn a_prefix_hears_of_what_it_never_read_and_of_the_end_of_what_anybody_read() {
    let watch = Watch::default();
    let one = watch.enter(1);
    assert!(!watch.is_broadcasting());
    watch.track(1, Some(Tracking { broadcast: Some(vec![bytes("p:")]), ..Tracking::default() }));
    assert!(watch.is_broadcasting());
    watch.changed(b"p:1", None);
    watch.changed(b"q:1", None);
    assert_eq!(one.take_quietly(), [invalid("p:1")]);
    // Somebody else reads: when that ends, whoever caches the prefix must know.
    for key in [b"p:2", b"q:2"] {
        watch.hands(key, None);
        watch.good_until(key, Tick(5));
    }
    watch.sweep(Tick(5));
    assert_eq!(one.take_quietly(), [invalid("p:2")]);
    watch.track(1, None);
    assert!(!watch.is_broadcasting());
    let many = vec![bytes("x"); MOST_PREFIXES];
    assert_eq!(watch.room_for(1, MOST_PREFIXES), Ok(()));
    watch.track(1, Some(Tracking { broadcast: Some(many), ..Tracking::default() }));
    watch.enter(2);
    assert_eq!(watch.room_for(2, 0), Err(TooManyPrefixes));
    assert_eq!(watch.room_for(1, MOST_PREFIXES), Ok(()), "in place of its own");
}

#[test]
fn a_tag_and_a_reload_leave_nobody_anything() {
    let watch = Watch::default();
    let (keeps, follows, idle) = (watch.enter(1), watch.enter(2), watch.enter(3));
    watch.track(1, Some(Tracking::default()));
    watch.follow(2, true);
    watch.hands(b"a", Some(1));
    watch.tag_changed(b"t");
    watch.everything_changed();
    watch.changed(b"a", None);
    assert_eq!(keeps.take_quietly(), [Message::Invalid(What::All)]);
    let told = [What::Tag(bytes("t")), What::All, What::Key(bytes("a"))].map(Message::Told);
    assert_eq!(follows.take_quietly(), told);
    assert!(idle.take_quietly().is_empty());
    watch.leave(1);
    watch.leave(2);
    assert!(!watch.is_anybody_interested());
    assert_eq!(watch.counts(), [0, 0, 0, 0]);
}

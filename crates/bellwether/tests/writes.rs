//! Does a write keep what its writer said?

use bellwether::{Cache, Clock, Loaded, Policy, Span};

#[test]
fn a_ttl_that_a_writer_names_is_exact_and_the_spaces_own_is_jittered() {
    let cache = Cache::builder().clock(Clock::manual()).build().expect("a cache");
    let space = cache.space::<u64, u64>("n", Policy::ttl("1000s").jitter(0.5));
    let remaining = |key| space.peek(&key).expect("resident").remaining();
    for key in 0..50 {
        assert!(space.put(&key, Loaded::value(key).ttl(Span::secs(60))));
        assert_eq!(remaining(key), Span::secs(60));
    }
    // The control: without a ttl of its own a value gets the space's, jittered.
    let jittered = (100..150).filter(|key| space.put(key, *key) && remaining(*key) < Span::secs(990)).count();
    assert!(jittered > 30, "only {jittered} of 50 were jittered");
}

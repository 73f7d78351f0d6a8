//! From when on is a key hot, and which thresholds contradict each other?

use super::*;
use bellwether::{HotPolicy, Span};

fn hot(knobs: &str) -> String {
    format!("[[space]]\nmatch = \"a:{{id}}\"\nttl = \"1m\"\n[hot]\n{knobs}\n")
}

#[test]
fn thresholds_are_read_and_follow_enter() {
    let policy = |knobs: &str| valid(&hot(knobs)).hot.policy;
    assert_eq!(policy(""), HotPolicy::default());
    assert_eq!(valid(&plain("")).hot.policy, HotPolicy::default(), "without a section");
    let set = "capacity = \"80000/s\"\nenter = \"40%\"\nhold = \"2m\"\nabsolute = \"5000/s\"\nextend_ttl = true";
    let expected = HotPolicy {
        capacity: Some(80_000.0),
        enter: 0.4,
        watch: 0.2,
        leave: 0.2 * 0.8,
        hold: Span::secs(120),
        absolute: Some(5_000.0),
        extend_ttl: true,
    };
    assert_eq!(policy(set), expected);
    assert_eq!(
        policy("watch = \"10%\"\nleave = \"5%\""),
        HotPolicy { watch: 0.1, leave: 0.05, ..HotPolicy::default() }
    );
    let env = [("BELLWETHER__HOT__CAPACITY", "1000/s")];
    assert_eq!(read_with(&hot(""), &env, false).expect("valid").hot.policy.capacity, Some(1_000.0));
}

#[test]
fn thresholds_without_sense_are_told_where_they_stand() {
    one(&hot("capacity = \"0/s\""), &["b.toml:5:12", "a rate above zero"]);
    one(&hot("capacity = 50000"), &["b.toml:5:12", "write \"50000/s\""]);
    one(&hot("enter = \"0%\""), &["b.toml:5:9", "above 0 %"]);
    one(&hot("enter = \"40%\"\nwatch = \"60%\""), &["b.toml:6:9", "must not be above `enter`"]);
    one(&hot("leave = \"30%\""), &["b.toml:5:9", "must be below `watch`"]);
    one(&hot("hold = \"20m\""), &["b.toml:5:8", "at most 15m"]);
    one(&hot("capasity = \"1/s\""), &["b.toml:5:1", "did you mean `capacity`?"]);
    one(&hot("extend_ttl = \"yes\""), &["b.toml:5:14", "true or false"]);
}

#[test]
fn other_thresholds_take_effect_at_once() {
    let (old, new) = (valid(&hot("")), valid(&hot("enter = \"40%\"")));
    let changes = changes(&old, &new);
    assert!(changes.hot && !changes.is_nothing() && changes.at_next_start.is_empty(), "{changes:?}");
    assert!(!crate::config::changes(&old, &old).hot);
    assert_eq!(until_next_start(&old, new).hot.policy.enter, 0.4);
}

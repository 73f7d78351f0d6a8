//! What does a process still serve that has lost its backplane, and nothing else? Real servers; the backplane is a Redis of
//! its own, which is stopped.

use std::thread;
use std::time::{Duration, Instant};

use bellwether_servers::Redis;
use bellwether_system::{Bellwether, Value, config, until};

const LIMIT: Duration = Duration::from_secs(20);
const RESYNC: Duration = Duration::from_secs(1);

#[test]
fn a_plain_value_that_is_in_the_shared_tier_is_there_for_who_has_lost_the_backplane_alone() {
    let [tier, backplane] = [(), ()].map(|()| Redis::start(&[]).unwrap_or_else(|error| panic!("{error}")));
    let spaces = format!(
        "[shared]\nurl = \"{}\"\nbackplane = \"{}\"\nresync = \"1s\"\n\
         [[space]]\nmatch = \"user:{{id}}\"\nttl = \"30m\"\n\
         [[space]]\nmatch = \"team:{{id}}\"\nttl = \"30m\"\ntags = [\"teams\"]\n",
        tier.url(),
        backplane.url()
    );
    let text = config("", &spaces);
    let fleet = [(), ()].map(|()| Bellwether::start(Some(&text)));
    let live = |server: &Bellwether| server.metrics().sum("bellwether_backplane_live", &[]);
    until(LIMIT, "both to follow", || fleet.iter().all(|server| live(server) >= 1.0).then_some(()));
    let (mut one, mut two) = (fleet[0].connect(), fleet[1].connect());
    for key in ["user:a", "user:b", "team:a"] {
        assert_eq!(one.call(&["SET", key, "v"]), Value::ok());
    }
    // The second has read one of them while all was well.
    assert_eq!(two.call(&["GET", "user:b"]), Value::bulk("v"));
    backplane.freeze().expect("it is stopped");
    until(LIMIT, "both to notice", || fleet.iter().all(|server| live(server) == 0.0).then_some(()));
    thread::sleep(RESYNC * 3 / 2);
    for _ in 0..20 {
        assert_eq!(two.call(&["GET", "user:a"]), Value::bulk("v"), "what is older than `resync` is there");
        assert_eq!(two.call(&["GET", "user:b"]), Value::bulk("v"), "and what was copied before");
        assert_eq!(two.call(&["GET", "team:a"]), Value::Nil, "control: what a tag may cover is not");
        thread::sleep(Duration::from_millis(100));
    }
    // A token is not given out for what is there, and a write under one that is out goes by the tier.
    assert_eq!(two.call(&["BW.GET", "user:a"]).items()[0], Value::bulk("v"));
    // G2: what is removed or written at the other is not served for longer than is promised: no backplane tells of it.
    for (words, now) in [(&["DEL", "user:a"][..], Value::Nil), (&["SET", "user:b", "w"], Value::bulk("w"))] {
        assert!(one.call(words).error().is_none());
        let (done, key) = (Instant::now(), words[1]);
        until(LIMIT, "the other to see it", || (two.call(&["GET", key]) == now).then_some(()));
        // `resync`, a quarter of it, a second in which copies are suspect again; the rest is for a busy machine.
        assert!(done.elapsed() < RESYNC * 4, "{words:?} after {:?}", done.elapsed());
        let again = Instant::now();
        while again.elapsed() < RESYNC * 2 {
            assert_eq!(two.call(&["GET", key]), now, "{words:?}: no older value comes back");
        }
    }
    backplane.thaw().expect("it goes on");
    until(LIMIT, "both to follow again", || fleet.iter().all(|server| live(server) >= 1.0).then_some(()));
    until(LIMIT, "the tagged one", || (two.call(&["GET", "team:a"]) == Value::bulk("v")).then_some(()));
}

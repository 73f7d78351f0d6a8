//! Does a plain key that is written again and again stay there for whoever reads it in another process?

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bellwether_servers::{Memcached, Redis};
use bellwether_system::{Bellwether, Resp, Value, config, until};

const LIMIT: Duration = Duration::from_secs(20);
/// Clients of one process that write the same key.
const WRITERS: usize = 4;
/// How often each of them does: before it was mended, one write in 200 was a read of nothing elsewhere.
const WRITES: usize = 600;

/// Two plain spaces behind the tier: copies of one live in each process's memory as well.
fn text(url: &str) -> String {
    let shared = format!("[shared]\nurl = \"{url}\"\ntimeout = \"2s\"\n");
    let near = "[[space]]\nmatch = \"near:{id}\"\nttl = \"30m\"\n";
    let far = "[[space]]\nmatch = \"far:{id}\"\nttl = \"30m\"\ntiers = [\"shared\"]\n";
    config("", &[&shared, near, far].concat())
}

/// How often a key was read, and how often nothing was there: no value, or a token to fill it.
fn reads(client: &mut Resp, key: &str, done: &AtomicBool) -> (usize, usize) {
    let (mut reads, mut nothing) = (0, 0);
    while !done.load(Ordering::SeqCst) {
        let answer = client.call(&["GET", key]);
        assert!(matches!(answer, Value::Nil | Value::Bulk(_)), "{answer:?}");
        // Value, why, age, token: who is given one would write what it read before over what is there.
        let filled = client.call(&["BW.GET", key]);
        let Value::Array(parts) = &filled else { panic!("{filled:?}") };
        let is_there = matches!(parts[0], Value::Bulk(_)) && parts[3] == Value::Nil;
        (reads, nothing) = (reads + 2, nothing + usize::from(answer == Value::Nil) + usize::from(!is_there));
    }
    (reads, nothing)
}

fn a_key_is_always_there(fleet: &[Bellwether; 2], key: &str) {
    let [one, other] = fleet;
    until(LIMIT, "the first value to be seen in the other process", || {
        assert_eq!(one.connect().call(&["SET", key, "first"]), Value::ok());
        (other.connect().call(&["GET", key]) != Value::Nil).then_some(())
    });
    let done = AtomicBool::new(false);
    let seen: Vec<(usize, usize)> = thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let mut client = other.connect();
                let done = &done;
                scope.spawn(move || reads(&mut client, key, done))
            })
            .collect();
        let writers: Vec<_> = (0..WRITERS)
            .map(|n| {
                let mut client = one.connect();
                scope.spawn(move || {
                    for i in 0..WRITES {
                        assert_eq!(client.call(&["SET", key, &format!("{n}:{i}")]), Value::ok());
                    }
                })
            })
            .collect();
        let wrote: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::SeqCst);
        wrote.into_iter().for_each(|wrote| wrote.expect("no panic"));
        readers.into_iter().map(|reader| reader.join().expect("no panic")).collect()
    });
    let (reads, nothing) = seen.iter().fold((0, 0), |all, seen| (all.0 + seen.0, all.1 + seen.1));
    assert!(reads > 100, "control: {reads} reads came between the writes");
    assert_eq!(nothing, 0, "of {reads} reads of {key}, which was there all the while");
}

fn plain_keys_are_always_there(url: &str) {
    let fleet = [(), ()].map(|()| Bellwether::start(Some(&text(url))));
    for key in ["near:k", "far:k"] {
        a_key_is_always_there(&fleet, key);
    }
}

#[test]
fn a_plain_key_that_is_written_again_and_again_is_there_for_readers_of_another_process() {
    let redis = Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    plain_keys_are_always_there(&redis.url());
}

#[test]
fn the_same_behind_memcached() {
    let memcached = Memcached::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    plain_keys_are_always_there(&format!("memcached://{}", memcached.address()));
}

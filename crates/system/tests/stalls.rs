//! Is a process that stands still for a moment taken for a tier that does not answer? Real servers, stopped while they ask.

use std::thread;
use std::time::Duration;

use bellwether_servers::{Memcached, Redis};
use bellwether_system::{Bellwether, Origin, Value, config};

/// So long one of three servers stands still: longer than a request may wait for the tier, and shorter than a holder is waited
/// for that gives no sign of life.
const PAUSE: Duration = Duration::from_millis(250);
const ROUNDS: usize = 12;
/// Keys that each server is asked for in a round.
const KEYS: usize = 8;
/// Loads too many, of 96 keys: a machine that is busy with other things stops servers for longer than we do. Where a pause is
/// taken for silence it is about twenty.
const MOST_EXTRA: usize = 3;

fn text(url: &str, origin: &Origin) -> String {
    let rest = format!(
        "[shared]\nurl = \"{url}\"\n\
         [origin.api]\nhttp = \"{}\"\nmax_concurrency = 128\ntimeout = \"5s\"\n\
         [[space]]\nmatch = \"v:{{id}}\"\norigin = \"api\"\nget = \"/v/{{id}}\"\nttl = \"10m\"\ntimeout = \"8s\"\n",
        origin.url()
    );
    config("", &rest)
}

/// All keys of a round are asked for at all servers at once, and one of these is stopped meanwhile.
fn round(fleet: &[Bellwether], number: usize) {
    thread::scope(|scope| {
        for key in 0..KEYS {
            for server in fleet {
                scope.spawn(move || {
                    let path = format!("/v/{number}-{key}");
                    let answer = server.connect().call(&["GET", &format!("v:{number}-{key}")]);
                    assert_eq!(answer, Value::bulk(&format!("{{\"path\":\"{path}\"}}")));
                });
            }
        }
        // At another moment each time: while the tier is asked, while the origin is, and when the value is published.
        thread::sleep(Duration::from_millis(37 * number as u64));
        let stopped = &fleet[number % fleet.len()];
        stopped.process.signal("STOP");
        thread::sleep(PAUSE);
        stopped.process.signal("CONT");
    });
}

fn nobody_loads_because_it_stood_still(url: &str) {
    let origin = Origin::start();
    let fleet: Vec<_> = (0..3).map(|_| Bellwether::start(Some(&text(url, &origin)))).collect();
    origin.delay(Duration::from_millis(300));
    (0..ROUNDS).for_each(|number| round(&fleet, number));
    let loads: usize =
        (0..ROUNDS).flat_map(|n| (0..KEYS).map(move |k| (n, k))).map(|(n, k)| requests(&origin, n, k)).sum();
    let said: Vec<_> = fleet.iter().map(|server| server.metrics().shown("bellwether_shared_total")).collect();
    assert!(loads >= ROUNDS * KEYS, "control: every key was loaded");
    assert!(loads <= ROUNDS * KEYS + MOST_EXTRA, "{loads} loads of {} keys\n{}", ROUNDS * KEYS, said.join("\n--\n"));
}

fn requests(origin: &Origin, number: usize, key: usize) -> usize {
    usize::try_from(origin.requests_for(&format!("/v/{number}-{key}"))).expect("a count")
}

#[test]
fn g1_nobody_loads_beside_others_because_it_stood_still() {
    let redis = Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    nobody_loads_because_it_stood_still(&redis.url());
}

#[test]
fn g1_the_same_behind_memcached() {
    let memcached = Memcached::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    nobody_loads_because_it_stood_still(&format!("memcached://{}", memcached.address()));
}

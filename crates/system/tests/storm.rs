//! Does `serve` keep its promises in a storm on one key? 500 DEL and 10,000 GET a second, over the wire: never more
//! than two loads at once (G1), never a value older than an acknowledged removal (G2).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use bellwether_system::{Bellwether, Origin, config};

/// Two seconds of 500 removals a second. On a slow machine they take longer; their number stays.
const REMOVALS: u64 = 1_000;
/// And of 10,000 reads a second.
const READS: u64 = 20_000;
/// One removal every 2 ms.
const PAUSE: Duration = Duration::from_millis(2);
/// Connections that read, each with so many reads at a time.
const READERS: u64 = 10;
const AT_A_TIME: usize = 10;
/// A storm takes no longer, on whatever machine.
const LONGEST: Duration = Duration::from_secs(60);

struct Storm {
    reads: u64,
    removals: u64,
    /// Reads older than a removal that was acknowledged before they were sent.
    stale: u64,
}

/// A storm of writes to the origin, each followed by a DEL if `delete`.
fn storm(server: &Bellwether, origin: &Origin, removals: u64, reads: u64, delete: bool) -> Storm {
    let acknowledged = Arc::new(AtomicU64::new(0));
    let (done, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    origin.set("/v/hot", "0");
    let reader = |_| {
        let (mut db, acknowledged) = (server.connect(), acknowledged.clone());
        let (done, over) = (done.clone(), over.clone());
        thread::spawn(move || {
            let gets = vec![vec!["GET", "v:hot"]; AT_A_TIME];
            let mut stale = 0;
            while !over.load(SeqCst) {
                let known = acknowledged.load(SeqCst);
                let answers = db.pipeline(&gets);
                let older =
                    |answer: &&bellwether_system::Value| answer.text().parse::<u64>().expect("a version") < known;
                stale += answers.iter().filter(older).count() as u64;
                done.fetch_add(AT_A_TIME as u64, SeqCst);
                thread::sleep(PAUSE);
            }
            stale
        })
    };
    let readers: Vec<_> = (0..READERS).map(reader).collect();
    let mut db = server.connect();
    let (begun, mut version) = (Instant::now(), 0);
    while version < removals || done.load(SeqCst) < reads {
        assert!(begun.elapsed() < LONGEST, "{version} removals, {} reads in {LONGEST:?}", done.load(SeqCst));
        version += 1;
        origin.set("/v/hot", &version.to_string());
        if delete {
            db.call(&["DEL", "v:hot"]);
        }
        acknowledged.store(version, SeqCst);
        thread::sleep(PAUSE);
    }
    over.store(true, SeqCst);
    let stale = readers.into_iter().map(|reader| reader.join().expect("every read is answered")).sum();
    println!("{version} removals, {} reads in {:?}, {} loads", done.load(SeqCst), begun.elapsed(), origin.requests());
    Storm { reads: done.load(SeqCst), removals: version, stale }
}

fn over(origin: &Origin) -> Bellwether {
    origin.delay(Duration::from_millis(3));
    let space =
        "[[space]]\nmatch = \"v:{id}\"\norigin = \"api\"\nget = \"/v/{id}\"\nttl = \"10m\"\ntimeout = \"20s\"\n";
    Bellwether::start(Some(&config("", &format!("[origin.api]\nhttp = \"{}\"\n{space}", origin.url()))))
}

#[test]
fn g1_g2_a_storm_of_del_over_the_wire_0_stale_and_at_most_2_loads_at_once() {
    let origin = Origin::start();
    let server = over(&origin);
    let told = storm(&server, &origin, REMOVALS, READS, true);
    assert_eq!(told.stale, 0, "of {} reads", told.reads);
    assert!(origin.peak() <= 2, "{} loads at once", origin.peak());
    assert!(origin.requests() <= told.removals + 1, "{} loads for {} removals", origin.requests(), told.removals);
    assert!(origin.requests() >= told.removals / 20, "{} loads: no storm", origin.requests());
    assert!(told.reads >= READS && told.removals >= REMOVALS);
    assert_eq!(server.metrics().sum("bellwether_requests_total", &["space=\"v\""]), told.reads as f64);
}

#[test]
fn g2_control_without_the_del_reads_are_older_than_what_was_written() {
    let origin = Origin::start();
    let server = over(&origin);
    let told = storm(&server, &origin, REMOVALS / 10, READS / 20, false);
    assert!(told.stale > 0, "the storm would see it");
}

//! Which GETs wait for those of other clients, and is everybody answered as if they had not?

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::super::company::{self, Chair, Line, Open};
use super::super::conn::{Conn, Stop};
use super::{Bench, bench, command, said};

/// What a client has got, how much it takes at once, and how often its connection was woken.
struct Client {
    got: Mutex<Vec<u8>>,
    takes: AtomicUsize,
    woken: AtomicU32,
}

impl Line for Client {
    fn send(&self, bytes: &[u8]) -> usize {
        let takes = bytes.len().min(self.takes.load(Ordering::Relaxed));
        self.got.lock().extend_from_slice(&bytes[..takes]);
        takes
    }
}

impl Wake for Client {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::Relaxed);
    }
}

/// A client with its connection.
struct Guest {
    conn: Conn,
    client: Arc<Client>,
}

impl Guest {
    fn new(mut conn: Conn) -> Guest {
        let (got, takes, woken) = (Mutex::default(), AtomicUsize::new(usize::MAX), AtomicU32::new(0));
        let client = Arc::new(Client { got, takes, woken });
        conn.chair = Chair::take(client.clone(), &client.clone().into());
        assert!(conn.chair.is_some(), "somebody answers on this thread");
        Guest { conn, client }
    }

    /// Whether a GET of `key` waits.
    fn asks(&mut self, key: &str) -> bool {
        self.conn.joins(&get(key))
    }

    fn woken(&self) -> u32 {
        self.client.woken.load(Ordering::Relaxed)
    }

    /// What the client has got without a turn of its connection.
    fn heard(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *self.client.got.lock()))
            .replace("\r\n", " ")
            .trim_end()
            .to_owned()
    }

    /// What the client has got after a turn of its connection.
    fn hears(&mut self, runtime: &Runtime) -> String {
        let sent = {
            // What memory lacks begins to be loaded there.
            let _inside = runtime.enter();
            self.conn.answer().expect("it is known here")
        };
        let output = &mut self.conn.client.replies.output;
        let all = [&self.client.got.lock()[..], &output[sent..]].concat();
        self.client.got.lock().clear();
        *output = all;
        said(runtime, &mut self.conn, "")
    }
}

fn get(key: &str) -> Vec<u8> {
    command(&["GET", key])
}

/// What GET answers where this is the value.
fn value(value: impl Into<String>) -> String {
    let value = value.into();
    format!("${} {value}", value.len())
}

/// A service with numbers, and so many clients of it.
fn guests(count: u64) -> (Bench, Vec<Guest>) {
    // For as long as the test lasts.
    std::mem::forget(Open::by(Waker::noop()));
    let mut bench = bench("");
    (0..count).for_each(|n| assert_eq!(bench.say(format!("SET n:{n} v{n}\r\n")), "+OK"));
    let guests = (0..count).map(|n| Guest::new(bench.beside(100 + n))).collect();
    (bench, guests)
}

#[test]
fn whoever_waited_gets_the_value_of_the_key_it_asked_for() {
    // More than are looked up at once, fewer than may wait.
    let (bench, mut guests) = guests(50);
    let hits = |bench: &Bench| {
        let counted = bench.conn.client.service.snapshot();
        counted.spaces.iter().flat_map(|space| &space.requests).map(|(_, count)| count).sum::<u64>()
    };
    let (before, commands) = (hits(&bench), bench.conn.client.clients.commands());
    for round in 0..4u64 {
        for (n, guest) in guests.iter_mut().enumerate() {
            assert!(guest.asks(&format!("n:{}", (n as u64 + round) % 50)));
        }
        // In an order of their own.
        for n in (0..50).map(|n| n * 7 % 50) {
            let expected = value(format!("v{}", (n as u64 + round) % 50));
            if round % 2 == 0 {
                company::answer();
                assert_eq!(guests[n].heard(), expected, "round {round}");
                assert_eq!(guests[n].hears(&bench.runtime), "", "that was all");
            } else {
                // A connection that has a turn before that.
                assert_eq!(guests[n].hears(&bench.runtime), expected, "round {round}");
            }
        }
    }
    assert_eq!(hits(&bench) - before, 200, "each is counted once");
    assert_eq!(bench.conn.client.clients.commands() - commands, 200);
    assert!(guests.iter().all(|guest| guest.conn.client.commands == 4 && guest.woken() == 0));
}

#[test]
fn who_answers_is_woken_once_for_all() {
    let (bench, mut guests) = guests(70);
    let awake = Arc::new(Client { got: Mutex::default(), takes: AtomicUsize::new(0), woken: AtomicU32::new(0) });
    let _open = Open::by(&awake.clone().into());
    for (n, guest) in guests[..64].iter_mut().enumerate() {
        assert!(guest.asks(&format!("n:{n}")));
    }
    assert_eq!(awake.woken.load(Ordering::Relaxed), 1);
    assert!(guests.iter().all(|guest| guest.heard().is_empty()), "all wait");
    for (n, guest) in guests[64..].iter_mut().enumerate() {
        assert!(guest.asks(&format!("n:{}", 64 + n)), "so many more do not");
    }
    assert!((0..64).all(|n| guests[n].heard() == value(format!("v{n}"))));
    assert!(guests[64..].iter().all(|guest| guest.heard().is_empty()));
    assert_eq!(guests[66].hears(&bench.runtime), "$3 v66");
    assert_eq!(awake.woken.load(Ordering::Relaxed), 2);
}

#[test]
fn nothing_is_begun_behind_a_get_that_waits() {
    let (bench, mut guests) = guests(1);
    assert!(guests[0].asks("n:0"));
    assert_eq!(guests[0].conn.process(b"DEL n:0\r\n"), (0, Stop::Company));
    assert_eq!(guests[0].hears(&bench.runtime), "$2 v0");
    assert_eq!(said(&bench.runtime, &mut guests[0].conn, "DEL n:0\r\nGET n:0\r\n"), ":1 $-1");
}

#[test]
fn what_memory_lacks_is_read_as_ever() {
    let (bench, mut guests) = guests(4);
    for (guest, key) in guests.iter_mut().zip(["n:77", "product:3", "nowhere:1", "n:2"]) {
        assert!(guest.asks(key), "{key}");
    }
    company::answer();
    assert!(guests.iter().map(Guest::woken).eq([1, 1, 1, 0]), "only these need a turn");
    let answers: Vec<String> = guests.iter_mut().map(|guest| guest.hears(&bench.runtime)).collect();
    let expected = ["$-1", "$8 {\"id\":3}", "-BWNOSPACE no space matches key 'nowhere:1'", "$2 v2"];
    assert_eq!(answers, expected);
}

#[test]
fn who_takes_less_than_a_reply_gets_the_rest_from_its_connection() {
    let (mut bench, mut guests) = guests(6);
    let large = "x".repeat(100_000);
    assert_eq!(bench.say(command(&["SET", "n:5", &large])), "+OK");
    for (n, takes) in [0, 1, 3, 7].into_iter().enumerate() {
        guests[n].client.takes.store(takes, Ordering::Relaxed);
    }
    for (n, guest) in guests.iter_mut().enumerate() {
        assert!(guest.asks(&format!("n:{n}")));
    }
    company::answer();
    assert!(guests.iter().map(Guest::woken).eq([1, 1, 1, 1, 0, 1]));
    for (n, guest) in guests[..5].iter_mut().enumerate() {
        assert_eq!(guest.hears(&bench.runtime), format!("$2 v{n}"));
    }
    assert_eq!(guests[5].heard(), "", "a long one is not copied by all");
    assert_eq!(guests[5].hears(&bench.runtime), value(large));
}

#[test]
fn only_a_get_that_came_alone_waits() {
    let (bench, mut guests) = guests(2);
    let (long, two) = (get(&format!("n:{}", "9".repeat(80))), [get("n:0"), get("n:1")].concat());
    for input in [&two[..], &long, &get("n:0")[..20], b"TTL n:0\r\n", b"GET\r\n", b"PING\r\n"] {
        assert!(!guests[0].conn.joins(input), "{}", input.escape_ascii());
    }
    // While anything else is under way, or nothing is to be said.
    for before in ["MULTI\r\n", "DISCARD\r\nCLIENT REPLY SKIP\r\n", "PING\r\nCLIENT REPLY OFF\r\n"] {
        said(&bench.runtime, &mut guests[0].conn, before);
        assert!(!guests[0].asks("n:0"), "{before}");
    }
    said(&bench.runtime, &mut guests[0].conn, "CLIENT REPLY ON\r\n");
    assert_eq!(guests[0].conn.process(b"PING\r\n"), (6, Stop::Input));
    assert!(!guests[0].asks("n:0"), "a reply is still to be sent");
    said(&bench.runtime, &mut guests[0].conn, "");
    // One behind the other, and nothing between them.
    for _ in 0..3 {
        assert!(guests[0].asks("n:0"), "control");
        assert_eq!(guests[0].hears(&bench.runtime), "$2 v0");
    }
    said(&bench.runtime, &mut guests[0].conn, "MULTI\r\n");
    assert!(!guests[0].asks("n:0"), "what came since counts");
    // A client that is told of changes has more done for it than a lookup.
    let subscribed = said(&bench.runtime, &mut guests[1].conn, "SUBSCRIBE bellwether:invalidate\r\n");
    assert!(subscribed.contains("$9 subscribe"), "{subscribed}");
    assert!(!guests[1].asks("n:1"));
}

#[test]
fn what_is_handed_out_while_somebody_watches_prefixes_is_remembered_although_it_waited() {
    let (bench, mut guests) = guests(3);
    assert!(guests[2].asks("n:2"));
    company::answer();
    assert!(guests[2].conn.is_answered() && guests[2].asks("n:2"));
    company::answer();
    assert!(guests[2].conn.is_answered());
    assert!(guests[0].asks("n:0"));
    let tracking = said(&bench.runtime, &mut guests[1].conn, "HELLO 3\r\nCLIENT TRACKING ON BCAST PREFIX n:\r\n");
    assert!(tracking.ends_with("+OK"), "{tracking}");
    company::answer();
    assert_eq!((guests[0].heard().as_str(), guests[0].woken()), ("", 1));
    assert_eq!(guests[0].hears(&bench.runtime), "$2 v0");
    assert!(!guests[2].asks("n:2"), "from now on nobody waits");
}

#[test]
fn clients_of_another_service_do_not_wait_with_those_of_this_one() {
    let (one, mut of_one) = guests(2);
    let (mut other, mut of_other) = guests(1);
    assert_eq!(other.say("SET n:0 other\r\n"), "+OK");
    assert!(of_one[0].asks("n:0") && of_other[0].asks("n:0"));
    assert_eq!((of_one[0].heard().as_str(), of_other[0].heard().as_str()), ("$2 v0", ""));
    assert_eq!(of_other[0].hears(&other.runtime), "$5 other");
    assert_eq!(of_one[0].hears(&one.runtime), "", "that was all");
}

#[test]
fn a_client_that_goes_while_it_waits_leaves_the_others_theirs() {
    let (bench, mut guests) = guests(40);
    for (n, guest) in guests.iter_mut().enumerate() {
        assert!(guest.asks(&format!("n:{n}")));
    }
    let gone: Vec<Guest> = [39, 36, 20, 3].into_iter().map(|gone| guests.remove(gone)).collect();
    let told: Vec<Arc<Client>> = gone.iter().map(|guest| guest.client.clone()).collect();
    drop(gone);
    // Who comes before they are answered has a place of its own.
    let mut late = Guest::new(bench.beside(200));
    assert!(late.asks("n:39"));
    let answers: Vec<String> = guests.iter_mut().map(|guest| guest.hears(&bench.runtime)).collect();
    let expected = (0..40).filter(|n| ![39, 36, 20, 3].contains(n)).map(|n| value(format!("v{n}")));
    assert!(answers.into_iter().eq(expected));
    assert_eq!(late.heard(), "$3 v39");
    assert!(told.iter().all(|client| client.got.lock().is_empty()));
    assert!(told.iter().all(|client| Arc::strong_count(client) == 1), "nothing of them is kept");
    let mut next: Vec<Guest> = (0..6).map(|n| Guest::new(bench.beside(300 + n))).collect();
    next.iter_mut().enumerate().for_each(|(n, guest)| assert!(guest.asks(&format!("n:{n}"))));
    company::answer();
    assert!(next.iter().enumerate().all(|(n, guest)| guest.heard() == value(format!("v{n}"))));
}

#[test]
fn on_another_thread_nobody_waits_and_nothing_is_known_of_who_did() {
    let (_bench, mut guests) = guests(2);
    assert!(guests[0].asks("n:0"));
    std::thread::scope(|scope| {
        let there = scope.spawn(|| (guests[0].conn.answer(), guests[1].asks("n:1")));
        assert_eq!(there.join().expect("no panic"), (None, false));
    });
    company::answer();
    assert_eq!(guests[0].heard(), "$2 v0", "once");
}

#[test]
fn where_nobody_answers_any_more_nobody_waits_and_who_did_is_cut() {
    let (bench, mut guests) = guests(3);
    let open = Open::by(Waker::noop());
    assert!(guests[0].asks("n:0") && guests[1].asks("n:1"));
    drop(open);
    assert!(guests.iter().map(Guest::woken).eq([1, 1, 0]));
    assert_eq!((guests[0].conn.answer(), guests[1].conn.answer()), (None, None));
    assert!(!guests[2].asks("n:2"));
    assert_eq!(said(&bench.runtime, &mut guests[2].conn, get("n:2")), "$2 v2");
    assert!(Chair::take(guests[2].client.clone(), Waker::noop()).is_none());
}

#[test]
fn after_a_panic_nobody_is_answered_twice_and_who_was_not_is_woken_to_be_cut() {
    struct Breaks;
    impl Line for Breaks {
        fn send(&self, _: &[u8]) -> usize {
            panic!("on purpose");
        }
    }
    let (bench, mut guests) = guests(5);
    guests[1].conn.chair = Chair::take(Arc::new(Breaks), Waker::noop());
    for (n, guest) in guests[..3].iter_mut().enumerate() {
        assert!(guest.asks(&format!("n:{n}")));
    }
    assert!(guests[4].asks("n:4"));
    guests[4].conn.chair = None;
    assert!(std::panic::catch_unwind(company::answer).is_err());
    assert_eq!(guests[0].heard(), "$2 v0");
    assert_eq!((guests[0].woken(), guests[2].woken()), (0, 1));
    assert_eq!(Arc::strong_count(&guests[4].client), 1, "who has left keeps no place");
    assert!(guests[0].asks("n:0") && guests[3].asks("n:3"), "it goes on");
    company::answer();
    assert_eq!((guests[0].heard().as_str(), guests[3].heard().as_str()), ("$2 v0", "$2 v3"));
    assert_eq!(guests[0].hears(&bench.runtime), "");
    assert_eq!((guests[1].conn.answer(), guests[2].conn.answer()), (None, None));
}

#[test]
fn who_is_alone_stops_waiting_and_tries_again_later() {
    let (bench, mut guests) = guests(1);
    let mut waited = Vec::new();
    for _ in 0..2_000 {
        let waits = guests[0].asks("n:0");
        waited.push(waits);
        assert_eq!(guests[0].hears(&bench.runtime), if waits { "$2 v0" } else { "" });
    }
    let count = waited.iter().filter(|waited| **waited).count();
    assert!((60..100).contains(&count), "{count}");
    assert!(waited[..60].iter().all(|waited| *waited) && waited[1_000..].contains(&true));
}

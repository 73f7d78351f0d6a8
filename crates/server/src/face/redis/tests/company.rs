//! Which GETs wait for those of other clients, and is everybody answered as if they had not?

use tokio::runtime::Runtime;

use super::super::conn::{Conn, Stop};
use super::{Bench, bench, said};

/// What `input` makes of a connection whose GETs may wait.
fn asks(conn: &mut Conn, input: &str) -> Stop {
    let (used, stop) = conn.process_in_company(input.as_bytes());
    assert_eq!(used, input.len(), "{input}");
    stop
}

/// What the GET that waited is answered.
fn hears(runtime: &Runtime, conn: &mut Conn) -> String {
    {
        // What memory lacks begins to be loaded there.
        let _inside = runtime.enter();
        conn.answer();
    }
    said(runtime, conn, "")
}

/// A service with numbers, and so many clients of it.
fn clients(count: u64) -> (Bench, Vec<Conn>) {
    let mut bench = bench("");
    (0..count).for_each(|n| assert_eq!(bench.say(format!("SET n:{n} v{n}\r\n")), "+OK"));
    let clients = (0..count).map(|n| bench.beside(100 + n)).collect();
    (bench, clients)
}

#[test]
fn whoever_waited_gets_the_value_of_the_key_it_asked_for() {
    // More than are looked up at once, fewer than fit.
    let (bench, mut clients) = clients(50);
    let hits = |bench: &Bench| {
        let counted = bench.conn.client.service.snapshot();
        counted.spaces.iter().flat_map(|space| &space.requests).map(|(_, count)| count).sum::<u64>()
    };
    let before = hits(&bench);
    for round in 0..3u64 {
        for (n, client) in clients.iter_mut().enumerate() {
            assert_eq!(asks(client, &format!("GET n:{}\r\n", (n as u64 + round) % 50)), Stop::Company);
        }
        // In an order of their own.
        for n in (0..50).map(|n| n * 7 % 50) {
            let value = format!("v{}", (n as u64 + round) % 50);
            assert_eq!(hears(&bench.runtime, &mut clients[n]), format!("${} {value}", value.len()), "round {round}");
        }
    }
    assert_eq!(hits(&bench) - before, 150, "each is counted once");
    assert!(clients.iter().all(|client| client.client.commands == 3));
}

#[test]
fn nothing_is_begun_behind_a_get_that_waits() {
    let (bench, mut clients) = clients(1);
    assert_eq!(asks(&mut clients[0], "GET n:0\r\n"), Stop::Company);
    assert_eq!(clients[0].process(b"DEL n:0\r\n"), (0, Stop::Company));
    assert_eq!(hears(&bench.runtime, &mut clients[0]), "$2 v0");
    assert_eq!(said(&bench.runtime, &mut clients[0], "DEL n:0\r\nGET n:0\r\n"), ":1 $-1");
}

#[test]
fn what_memory_lacks_is_read_as_ever() {
    let (bench, mut clients) = clients(4);
    for (client, key) in clients.iter_mut().zip(["n:77", "product:3", "nowhere:1", "n:2"]) {
        assert_eq!(asks(client, &format!("GET {key}\r\n")), Stop::Company, "{key}");
    }
    let answers: Vec<String> = clients.iter_mut().map(|client| hears(&bench.runtime, client)).collect();
    let expected = ["$-1", "$8 {\"id\":3}", "-BWNOSPACE no space matches key 'nowhere:1'", "$2 v2"];
    assert_eq!(answers, expected);
}

#[test]
fn only_a_get_that_came_alone_waits() {
    let (bench, mut clients) = clients(2);
    let long = format!("GET n:{}\r\n", "9".repeat(80));
    for input in ["GET n:0\r\nGET n:1\r\n", "TTL n:0\r\n", "GET\r\n", "PING\r\n", "MULTI\r\nGET n:0\r\nEXEC\r\n", &long]
    {
        assert_eq!(asks(&mut clients[0], input), Stop::Input, "{input}");
    }
    clients[0].client.replies.output.clear();
    assert_eq!(clients[0].process_in_company(b"GET n:"), (0, Stop::Input), "half a command");
    // A client that is told of changes has more done for it than a lookup.
    let subscribed = said(&bench.runtime, &mut clients[1], "SUBSCRIBE bellwether:invalidate\r\n");
    assert!(subscribed.contains("$9 subscribe"), "{subscribed}");
    assert_eq!(asks(&mut clients[1], "GET n:1\r\n"), Stop::Input);
}

#[test]
fn another_service_is_asked_by_its_own_clients_alone() {
    let (one, mut of_one) = clients(2);
    let (mut other, mut of_other) = clients(1);
    assert_eq!(other.say("SET n:0 other\r\n"), "+OK");
    assert_eq!(asks(&mut of_one[0], "GET n:0\r\n"), Stop::Company);
    assert_eq!(asks(&mut of_other[0], "GET n:0\r\n"), Stop::Input, "answered at once");
    assert_eq!(said(&other.runtime, &mut of_other[0], ""), "$5 other");
    assert_eq!(hears(&one.runtime, &mut of_one[0]), "$2 v0");
    assert_eq!(asks(&mut of_other[0], "GET n:0\r\n"), Stop::Company, "nobody else waits now");
    assert_eq!(hears(&other.runtime, &mut of_other[0]), "$5 other");
}

#[test]
fn a_client_that_goes_while_it_waits_leaves_the_others_theirs() {
    let (bench, mut clients) = clients(40);
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(asks(client, &format!("GET n:{n}\r\n")), Stop::Company);
    }
    // Some that were looked up, some that were not.
    for gone in [39, 36, 20, 3] {
        drop(clients.remove(gone));
    }
    let answers: Vec<String> = clients.iter_mut().map(|client| hears(&bench.runtime, client)).collect();
    let expected = (0..40).filter(|n| ![39, 36, 20, 3].contains(n)).map(|n| format!("v{n}"));
    assert!(answers.iter().zip(expected).all(|(answer, value)| *answer == format!("${} {value}", value.len())));
}

#[test]
fn a_connection_that_moves_to_another_thread_is_answered_there() {
    let (bench, mut clients) = clients(2);
    let runtime = &bench.runtime;
    assert_eq!(asks(&mut clients[0], "GET n:0\r\n"), Stop::Company);
    let mut moved = clients.remove(0);
    std::thread::scope(|scope| {
        let there = scope.spawn(|| hears(runtime, &mut moved));
        assert_eq!(there.join().expect("no panic"), "$2 v0");
    });
    assert_eq!(asks(&mut clients[0], "GET n:1\r\n"), Stop::Company);
    assert_eq!(hears(&bench.runtime, &mut clients[0]), "$2 v1");
}

#[test]
fn who_is_alone_stops_waiting_and_tries_again_later() {
    let (bench, mut clients) = clients(1);
    let mut waited = Vec::new();
    for _ in 0..2_000 {
        let stop = asks(&mut clients[0], "GET n:0\r\n");
        waited.push(stop == Stop::Company);
        assert_eq!(hears(&bench.runtime, &mut clients[0]), "$2 v0");
    }
    let count = waited.iter().filter(|waited| **waited).count();
    assert!((60..100).contains(&count), "{count}");
    assert!(waited[..60].iter().all(|waited| *waited) && waited[1_000..].contains(&true));
}

//! Does a fleet spare a real database what does not exist, and hide nothing that was invalidated through any of it?

use std::thread::sleep;
use std::time::Duration;

use bellwether_servers::{Postgres, Redis};
use bellwether_system::{Bellwether, Resp, Value, config, until};

const LIMIT: Duration = Duration::from_secs(30);
const ROWS: u64 = 20_000;
/// Questions for rows that do not exist, each once.
const OTHERS: u64 = 300;

/// Lookups of the products' key so far, as PostgreSQL counts them. A connection tells its own once it ends a statement a
/// second after it last told them: each server is made to look up a row that nobody has asked for, from `row` on.
fn lookups(postgres: &Postgres, clients: &mut [Resp], row: u64) -> u64 {
    sleep(Duration::from_millis(1_500));
    for (row, client) in (row..).zip(clients) {
        assert_eq!(client.call(&["GET", &format!("product:{row}")]).json()["id"], row);
    }
    let said = postgres.exec("SELECT idx_scan FROM pg_stat_user_tables WHERE relname = 'products'");
    said.expect("it answers").trim().parse().expect("a number")
}

fn spaces(postgres: &Postgres, redis: &Redis, knobs: &str) -> String {
    format!(
        "[shared]\nurl = \"{}\"\ntimeout = \"500ms\"\n[origin.shop]\nsql = \"{}\"\n\
         [[space]]\nmatch = \"product:{{id:int}}\"\norigin = \"shop\"\nttl = \"60s\"\ntimeout = \"10s\"\n\
         query = \"SELECT id, name FROM products WHERE id = :id\"\nkeys = \"SELECT id FROM listed\"\n{knobs}",
        redis.url(),
        postgres.url()
    )
}

/// `OTHERS` rows from `first` on do not exist.
fn scan(client: &mut Resp, first: u64) {
    for id in first..first + OTHERS {
        assert_eq!(client.call(&["GET", &format!("product:{id}")]), Value::Nil);
    }
}

#[test]
fn a_scan_of_a_fleet_leaves_the_database_alone_and_a_new_row_is_seen_once_its_key_is_removed_anywhere() {
    let postgres = Postgres::start().unwrap_or_else(|error| panic!("{error}"));
    let redis = Redis::start(&[]).unwrap_or_else(|error| panic!("{error}"));
    let rows = format!(
        "CREATE TABLE products (id BIGINT PRIMARY KEY, name TEXT);
         INSERT INTO products SELECT id, 'p' || id FROM generate_series(1, {ROWS}) AS id;
         CREATE TABLE listed AS SELECT id FROM products; ANALYZE;"
    );
    postgres.exec(&rows).expect("rows");
    let text = config("", &spaces(&postgres, &redis, "filter = true\nfilter_hides = \"1h\"\n"));
    let fleet = [(), ()].map(|()| Bellwether::start(Some(&text)));
    for server in &fleet {
        let ready = || {
            let metrics = server.metrics();
            let keys = metrics.sum("bellwether_filter_keys", &[]);
            (keys == ROWS as f64 && metrics.sum("bellwether_backplane_live", &[]) == 1.0).then_some(())
        };
        until(LIMIT, "a filter, and a backplane that is followed", ready);
    }
    // The control's tier is its own: what it finds must not answer for the others.
    let alone = spaces(&postgres, &redis, "").replace("[origin.shop]", "prefix = \"alone:\"\n[origin.shop]");
    let naive = Bellwether::start(Some(&config("", &alone)));
    let mut clients = [&fleet[0], &fleet[1], &naive].map(Bellwether::connect);
    // Connections are opened by the first: these tell of it later.
    lookups(&postgres, &mut clients, 1);
    let before = lookups(&postgres, &mut clients, 5);
    scan(&mut clients[0], 1_000_000);
    scan(&mut clients[1], 2_000_000);
    let passed = lookups(&postgres, &mut clients, 11) - before - 3;
    assert!(passed <= 4, "{passed} of {} passed two filters that let one in 65,536 pass", 2 * OTHERS);
    let answered = fleet.iter().map(|server| {
        let metrics = server.metrics();
        metrics.sum("bellwether_requests_total", &["why=\"negative_filter\""]) as u64
    });
    assert_eq!(answered.sum::<u64>() + passed, 2 * OTHERS);
    scan(&mut clients[2], 3_000_000);
    let control = lookups(&postgres, &mut clients, 21) - before - 6 - passed;
    assert_eq!(control, OTHERS, "control: without a filter each of them is a lookup");

    let [one, two, _] = &mut clients;
    postgres.exec("INSERT INTO products VALUES (700000, 'new'), (700001, 'new')").expect("rows");
    for client in [&mut *one, &mut *two] {
        assert_eq!(client.call(&["GET", "product:700000"]), Value::Nil, "control: both hide it");
    }
    assert!(one.call(&["DEL", "product:700000"]).error().is_none());
    assert_eq!(one.call(&["GET", "product:700000"]).json()["name"], "new", "here at once");
    let seen = || (two.call(&["GET", "product:700000"]) != Value::Nil).then_some(());
    until(LIMIT, "the other to hear of it", seen);
    assert_eq!(two.call(&["GET", "product:700001"]), Value::Nil, "others stay hidden");
}

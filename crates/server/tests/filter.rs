//! Does a filter of existing keys spare the origin what does not exist, and hide no row longer than somebody said?

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use bellwether_server::config;
use bellwether_server::connections::Face;
use bellwether_server::run::Server;
use rusqlite::Connection;
use serde_json::Value;

/// Something that takes no second usually.
const SOON: Duration = Duration::from_secs(20);
/// The bound that tests state, and with it how often a filter is made.
const HIDES: Duration = Duration::from_secs(4);

/// A server over a shop of its own.
struct Shop {
    server: Server,
    home: tempfile::TempDir,
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a number: {value}"))
}

impl Shop {
    /// With rows 1 to `rows`.
    fn open(rows: u64, knobs: &str) -> Shop {
        Shop::of(rows, &text(knobs))
    }

    fn of(rows: u64, text: &str) -> Shop {
        let home = tempfile::tempdir().expect("a directory");
        let shop = Connection::open(home.path().join("shop.db")).expect("a database");
        shop.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT)")
            .and_then(|()| shop.execute_batch(LISTED))
            .expect("a table and a view");
        let insert = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < ?1)
            INSERT INTO products SELECT id, 'p' || id FROM n";
        shop.execute(insert, [rows]).expect("rows");
        Shop { server: Shop::serve(home.path(), text), home }
    }

    fn serve(home: &Path, text: &str) -> Server {
        let config = config::parse(text, "b.toml", home, [], false).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        Server::start(config).expect("it starts")
    }

    fn sql(&self, text: &str) {
        Connection::open(self.home.path().join("shop.db"))
            .and_then(|shop| shop.busy_timeout(SOON).and_then(|()| shop.execute_batch(text)))
            .expect("the statement runs");
    }

    fn client(&self) -> TcpStream {
        connect(self.server.address(Face::Redis))
    }

    fn http(&self, face: Face, path: &str) -> String {
        let mut stream = connect(self.server.address(face));
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it is answered");
        answer
    }

    /// What `/api/penetration` says of the only space.
    fn penetration(&self) -> Value {
        let answer = self.http(Face::Admin, "/api/penetration");
        let body = answer.split_once("\r\n\r\n").expect("a body").1;
        serde_json::from_str::<Value>(body).unwrap_or_else(|_| panic!("JSON: {answer}"))["spaces"][0].clone()
    }

    fn filter(&self) -> Value {
        self.penetration()["filter"].clone()
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.http(Face::Admin, "/metrics");
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).map_or(0, |value| value as u64)
    }

    /// Loads that ended well so far: that there is no row is an answer.
    fn loads(&self) -> u64 {
        self.metric("bellwether_loads_total{space=\"product\",result=\"success\"}")
    }

    fn answered(&self, why: &str) -> u64 {
        self.metric(&format!("bellwether_requests_total{{space=\"product\",why=\"{why}\"}}"))
    }

    fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.until_within(SOON, what, holds)
    }

    fn until_within(&self, limit: Duration, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let filter = self.filter();
            if holds(&filter) {
                return filter;
            }
            assert!(begun.elapsed() < limit, "{what} never came: {filter}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn until_on(&self) -> Value {
        self.until("a filter", |filter| filter["state"] == "on")
    }

    /// A moment at which a filter is young: what follows is done long before it is made anew.
    fn until_made_anew(&self) {
        let builds = number(&self.until_on()["builds"]);
        self.until("the next filter", |filter| number(&filter["builds"]) > builds);
    }
}

/// What a server of a shop is told.
fn text(knobs: &str) -> String {
    format!(
        "[listen]\nredis = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
             [origin.shop]\nsql = \"sqlite://shop.db\"\n\
             [[space]]\nmatch = \"product:{{id:int}}\"\norigin = \"shop\"\nttl = \"60s\"\ntags = [\"shop\", \"p:{{id}}\"]\n\
             query = \"SELECT id, name FROM products WHERE id = :id\"\n\
             many = \"SELECT id, name FROM products WHERE id IN (:ids)\"\n{knobs}"
    )
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(SOON)).expect("a limit");
    stream
}

/// One line of a reply, and the next where it is a bulk string.
fn ask(client: &mut TcpStream, command: &str) -> String {
    client.write_all(format!("{command}\r\n").as_bytes()).expect("it is sent");
    let line = line(client);
    match line.strip_prefix('$').and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => {
            let mut body = vec![0; length + 2];
            client.read_exact(&mut body).expect("its body");
            String::from_utf8_lossy(&body[..length]).into_owned()
        }
        None => line,
    }
}

fn line(client: &mut TcpStream) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("a line");
        line.push(byte[0]);
    }
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

const NIL: &str = "$-1";
const KEYS: &str = "keys = \"SELECT id FROM listed\"\nfilter = true\n";
const LISTED: &str = "CREATE VIEW listed AS SELECT id FROM products";
const OTHERS: u64 = 2_000;

fn scan(client: &mut TcpStream, from: u64) {
    for id in from..from + OTHERS {
        assert_eq!(ask(client, &format!("GET product:{id}")), NIL);
    }
}

#[test]
fn a_scan_for_rows_that_do_not_exist_costs_the_origin_next_to_nothing() {
    let shop = Shop::open(10_000, &format!("{KEYS}filter_hides = \"10m\"\n"));
    let filter = shop.until_on();
    assert_eq!(number(&filter["keys"]), 10_000);
    let bits = filter["bits_per_key"].as_f64().unwrap_or_default();
    assert!((16.0..22.0).contains(&bits), "{filter}");
    let mut client = shop.client();
    scan(&mut client, 1_000_000);
    let loads = shop.loads();
    assert!(loads <= 3, "{loads} loads of {OTHERS}: one in 65,536 passes");
    assert_eq!(shop.answered("negative_filter") + loads, OTHERS);
    assert_eq!(shop.metric("bellwether_filter_keys{"), 10_000);
    for id in [1, 5_000, 10_000] {
        assert_eq!(ask(&mut client, &format!("GET product:{id}")), format!("{{\"id\":{id},\"name\":\"p{id}\"}}"));
    }
    let http = shop.http(Face::Http, "/v1/product:2000000");
    assert!(http.starts_with("HTTP/1.1 404") && http.contains("detail=negative_filter"), "{http}");
    let explained = shop.http(Face::Admin, "/api/explain/product:2000000");
    assert!(explained.contains("\"would\":\"negative_filter\""), "{explained}");
    assert_eq!(ask(&mut client, "MGET product:3000000 product:3000001"), "*2");
    assert_eq!((line(&mut client), line(&mut client)), (NIL.to_owned(), NIL.to_owned()));
    assert!(shop.loads() - loads <= 4, "the values, and no batch for what does not exist");

    // Control: without a filter each of them is a load.
    let naive = Shop::open(10_000, "");
    scan(&mut naive.client(), 1_000_000);
    assert_eq!(naive.loads(), OTHERS);
}

#[test]
fn without_a_stated_bound_a_filter_hides_nothing_and_lowers_only_the_class() {
    let shop = Shop::open(100, KEYS);
    shop.until_on();
    shop.sql("INSERT INTO products VALUES (500, 'new')");
    let mut client = shop.client();
    assert_eq!(ask(&mut client, "GET product:500"), "{\"id\":500,\"name\":\"new\"}", "at once");
    assert_eq!(ask(&mut client, "GET product:501"), NIL);
    let filter = shop.filter();
    assert_eq!((number(&filter["lowered"]), number(&filter["new_rows"])), (2, 1), "{filter}");
    assert_eq!((number(&filter["overlay_keys"]), shop.answered("negative_filter")), (1, 0));
}

#[test]
fn a_row_inserted_past_us_is_seen_at_the_latest_after_the_stated_bound() {
    let shop = Shop::open(100, &format!("{KEYS}filter_hides = \"{}s\"\n", HIDES.as_secs()));
    let mut client = shop.client();
    shop.until_made_anew();
    shop.sql("INSERT INTO products VALUES (600, 'new')");
    let inserted = Instant::now();
    // Control: it is hidden at first, or nothing is shown by its being seen later.
    assert_eq!(ask(&mut client, "GET product:600"), NIL);
    assert_eq!(shop.answered("negative_filter"), 1);
    let seen = loop {
        let asked = inserted.elapsed();
        if ask(&mut client, "GET product:600") != NIL {
            break asked;
        }
        assert!(asked <= HIDES, "it is hidden for {asked:?}");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(seen > Duration::ZERO);
    // Whoever insists is told what the origin says, whatever the filter thinks.
    shop.sql("INSERT INTO products VALUES (601, 'new')");
    assert_eq!(ask(&mut client, "BW.GET product:601 FRESH"), "*5");
    assert_eq!((line(&mut client), line(&mut client)), ("$23".to_owned(), "{\"id\":601,\"name\":\"new\"}".to_owned()));
}

#[test]
fn what_is_invalidated_through_us_is_seen_at_once() {
    let shop = Shop::open(100, &format!("{KEYS}filter_hides = \"10m\"\n"));
    shop.until_on();
    let mut client = shop.client();
    let new = |id: u64| format!("{{\"id\":{id},\"name\":\"new\"}}");
    for (id, invalidate) in [(700, "DEL product:700"), (701, "BW.EXPIRE product:701"), (702, "BW.TAG.REMOVE p:702")] {
        assert_eq!(ask(&mut client, &format!("GET product:{id}")), NIL);
        shop.sql(&format!("INSERT INTO products VALUES ({id}, 'new')"));
        assert_eq!(ask(&mut client, &format!("GET product:{id}")), NIL, "control: it is hidden");
        ask(&mut client, invalidate);
        assert_eq!(ask(&mut client, &format!("GET product:{id}")), new(id), "{invalidate}");
    }
    assert_eq!(ask(&mut client, "GET product:703"), NIL);
    assert_eq!(shop.answered("negative_filter"), 7, "others are told as before");
    // A tag of all keys: nothing older than its removal is told, until the filter is made anew.
    ask(&mut client, "BW.TAG.REMOVE shop");
    let loads = shop.loads();
    assert_eq!(ask(&mut client, "GET product:704"), NIL);
    assert_eq!(shop.loads() - loads, 1);
}

#[test]
fn a_list_that_fails_half_way_leaves_the_last_filter_until_its_bound_and_then_nothing_is_hidden() {
    let shop = Shop::open(100, &format!("{KEYS}filter_hides = \"{}s\"\n", HIDES.as_secs()));
    shop.until_made_anew();
    // An integer overflows there, behind fifty rows.
    shop.sql(
        "DROP VIEW listed; INSERT INTO products VALUES (600, 'new');
        CREATE VIEW listed AS SELECT abs(CASE WHEN id <= 50 THEN id ELSE -9223372036854775807 - 1 END) AS id
        FROM products",
    );
    let inserted = Instant::now();
    let mut client = shop.client();
    let failing = shop.until("trouble", |filter| filter["state"] == "ageing");
    assert!(failing["trouble"].as_str().is_some_and(|words| words.contains("after 50 keys")), "{failing}");
    assert_eq!(number(&failing["keys"]), 100, "the last one goes on, and nothing of the half list is in it");
    assert_eq!(ask(&mut client, "GET product:600"), NIL, "control: it hides the row");
    while ask(&mut client, "GET product:600") == NIL {
        assert!(inserted.elapsed() <= HIDES, "it is hidden for {:?}", inserted.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(shop.filter()["state"], "ageing", "no new filter has shown it");
    assert_eq!(ask(&mut client, "GET product:601"), NIL);
    assert!(number(&shop.filter()["lowered"]) >= 2, "behind its bound it only lowers: {}", shop.filter());
    shop.sql(&format!("DROP VIEW listed; {LISTED}"));
    assert_eq!(number(&shop.until_on()["keys"]), 101, "it recovers by itself");
}

#[test]
fn an_origin_that_can_not_tell_its_keys_is_no_reason_not_to_serve() {
    // `keys` reads what is not there only while it runs.
    let keys = "keys = \"SELECT abs(-9223372036854775807 - 1 + 0 * id) AS id FROM products\"\nfilter = true\nfilter_hides = \"1m\"\n";
    let shop = Shop::open(100, keys);
    let filter = shop.until("trouble", |filter| filter["state"] == "failing");
    assert!(filter["trouble"].as_str().is_some_and(|words| words.contains("after 0 keys")), "{filter}");
    let mut client = shop.client();
    assert_eq!(ask(&mut client, "GET product:7"), "{\"id\":7,\"name\":\"p7\"}");
    assert_eq!(ask(&mut client, "GET product:7000"), NIL);
    assert_eq!((shop.loads(), shop.answered("negative_filter")), (2, 0));
}

#[test]
fn readers_never_wait_for_a_list_of_keys_even_where_one_load_may_run_at_once() {
    // Counting takes its time before the first row comes.
    let count =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 16000000) SELECT max(i) FROM n";
    let keys = format!("keys = \"SELECT id FROM products WHERE id < ({count})\"\nfilter = true\n");
    // Longer than a busy machine takes for a read; the list takes longer than all of them.
    let narrow = text(&format!("{keys}timeout = \"5s\"\n"));
    let narrow = narrow.replace("shop.db\"\n", "shop.db\"\nmax_concurrency = 1\n");
    assert!(narrow.contains("max_concurrency = 1"), "{narrow}");
    let shop = Shop::of(100, &narrow);
    // By now it is being read.
    std::thread::sleep(Duration::from_millis(500));
    let mut client = shop.client();
    for id in 1..=20 {
        assert_eq!(ask(&mut client, &format!("GET product:{id}")), format!("{{\"id\":{id},\"name\":\"p{id}\"}}"));
    }
    let filter = shop.filter();
    assert_eq!(filter["state"], "making", "the control: all the while the list was read, {filter}");
    assert_eq!(shop.loads(), 20);
    // It counts for seconds, on a machine with nothing else to do.
    let made = shop.until_within(SOON * 6, "a filter", |filter| filter["state"] == "on");
    assert_eq!(number(&made["keys"]), 100);
}

/// Loads that a client may ask for in vain at ten a second, before the next is refused: a second's worth, and as much debt.
const OF_ITS_OWN: u64 = 20;

impl Shop {
    /// The first answer of the HTTP face, in that client's place, that is not an answer of the origin.
    ///
    /// A client has paid enough back after a tenth of a second, which is over now and then before the other face was asked:
    /// then it is in debt once more first. With a budget of its own there, each of these requests would be answered.
    fn turned_away_by_http(&self, client: &mut TcpStream) -> String {
        let mut strange = 20_000..;
        let mut http = String::new();
        for id in 19_000..19_000 + OF_ITS_OWN {
            let begun = Instant::now();
            while !ask(client, &format!("GET product:{}", strange.next().unwrap_or_default())).starts_with("-BWSHED") {
                assert!(begun.elapsed() < SOON, "it is never turned away");
            }
            http = self.http(Face::Http, &format!("/v1/product:{id}"));
            if !http.starts_with("HTTP/1.1 404") {
                break;
            }
        }
        http
    }
}

#[test]
fn one_client_that_asks_in_vain_is_put_last_and_then_turned_away_and_others_are_not() {
    let shop = Shop::open(100, "absent_per_client = \"10/s\"\n");
    let mut client = shop.client();
    let begun = Instant::now();
    let replies: Vec<String> = (0..200).map(|id| ask(&mut client, &format!("GET product:{}", 9_000 + id))).collect();
    // At once: it pays its debt back within a second.
    let clients = shop.penetration()["clients"].clone();
    let (loaded, took) = (shop.loads(), begun.elapsed().as_secs() + 1);
    assert!(loaded <= 21 + 10 * took, "{loaded} loads in {took} s");
    let refused =
        replies.iter().filter(|reply| reply.starts_with("-BWSHED shed_client retry_after_ms=")).count() as u64;
    assert_eq!(refused + loaded, 200, "{:?}", replies.last());
    assert!(refused > 100, "{refused}");
    assert_eq!(shop.answered("shed_client"), refused);
    assert_eq!((number(&clients["over"]), number(&clients["refused"])), (1, refused), "{clients}");
    assert!(number(&clients["lowered"]) >= 9, "{clients}");
    assert_eq!(ask(&mut client, "GET product:9000"), NIL, "what is known costs nothing");
    let http = shop.turned_away_by_http(&mut client);
    assert!(http.starts_with("HTTP/1.1 503") && http.contains("shed_client"), "the same address: {http}");

    let busters = Shop::open(300, "loads_per_client = \"10/s\"\n");
    let mut client = busters.client();
    let begun = Instant::now();
    let replies: Vec<String> = (1..=300).map(|id| ask(&mut client, &format!("GET product:{id}"))).collect();
    let (loaded, took) = (busters.loads(), begun.elapsed().as_secs() + 1);
    assert!(loaded <= 21 + 10 * took, "rows that exist count as well: {loaded} loads in {took} s");
    assert!(replies.iter().any(|reply| reply.starts_with("-BWSHED shed_client")));
}

#[test]
fn a_reload_leaves_the_filter_of_the_same_keys_at_work_and_makes_another_of_others() {
    let shop = Shop::open(100, &format!("{KEYS}filter_hides = \"10m\"\n"));
    shop.until_on();
    let service = shop.server.service();
    let reload = |knobs: &str| {
        let config = config::parse(&text(knobs), "b.toml", shop.home.path(), [], false);
        service.reload(config.unwrap_or_else(|wrong| panic!("{wrong:?}"))).expect("it is put to work");
    };
    reload(&format!("{KEYS}filter_hides = \"20m\"\n"));
    let same = shop.filter();
    assert_eq!((number(&same["builds"]), number(&same["hides_ms"])), (1, 1_200_000), "{same}");
    reload("keys = \"SELECT id FROM listed WHERE id > 50\"\nfilter = true\n");
    let other = shop.until_on();
    assert_eq!((number(&other["builds"]), number(&other["keys"])), (1, 50), "{other}");
    reload(KEYS.lines().next().unwrap_or_default());
    assert!(shop.filter().is_null(), "{}", shop.filter());
}

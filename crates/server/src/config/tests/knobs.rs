//! How is one knob read at a time? Values, listeners, memory, origins.

use super::*;
use crate::config::units;
use bellwether::Eviction;
use bellwether_core::time::Span;

#[test]
fn durations_help_their_writer() {
    for (written, hint) in [
        ("\"60 s\"", "write \"60s\""),
        ("\"60\"", "write \"60s\""),
        ("60", "write \"60s\""),
        ("\"5 minutes\"", "write \"5m\""),
        ("\"1.5s\"", "1500ms"),
        ("\"500d\"", "at most 400 days"),
        ("true", "text in quotes"),
        ("\"soon\"", "\"10m\""),
        ("\"\"", "a duration"),
    ] {
        one(&plain(&format!("grace = {written}")), &["b.toml:4:9", hint]);
    }
    assert_eq!(units::duration("90s"), Ok(Span::secs(90)));
}

#[test]
fn sizes_rates_and_percentages() {
    for (text, bytes) in
        [("256 MiB", 256 << 20), ("256MiB", 256 << 20), ("4 GiB", 4 << 30), ("1 B", 1), ("2 TiB", 2 << 40)]
    {
        assert_eq!(units::size(text), Ok(bytes), "{text}");
    }
    for (text, hint) in
        [("256 MB", "256 MiB"), ("256", "256 MiB"), ("4 gb", "4 GiB"), ("64k", "64 KiB"), ("12 parsec", "12 MiB")]
    {
        let wrong = units::size(text).expect_err(text);
        assert!(wrong.hint.as_deref().is_some_and(|h| h.contains(hint)), "{text}: {wrong:?}");
    }
    for text in ["", "0 MiB", "-1 MiB", "99999999999 TiB", "1  MiB", "99999999999999999999 B"] {
        assert!(units::size(text).is_err(), "{text}");
    }
    assert_eq!((units::rate("1000/s"), units::rate("0.5/s")), (Ok(1000.0), Ok(0.5)));
    for text in ["", "1000", "/s", "0/s", "-1/s", "inf/s", "nan/s", "1e3/s", "1000/m", "1.2.3/s"] {
        assert!(units::rate(text).is_err(), "{text}");
    }
    assert_eq!(
        (units::percentage("10%"), units::percentage("0%"), units::percentage("12.5%")),
        (Ok(0.1), Ok(0.0), Ok(0.125))
    );
    for text in ["", "10", "%", "101%", "-1%", "0.1", "nan%"] {
        assert!(units::percentage(text).is_err(), "{text}");
    }
}

fn listening(keys: &str) -> String {
    format!("[listen]\n{keys}\n{}", plain(""))
}

#[test]
fn addresses_help_their_writer() {
    for (written, words) in [
        ("redis = \"127.0.0.1\"", ["b.toml:2:9", "the port is missing"]),
        ("redis = \"127.0.0.1:port\"", ["b.toml:2:9", "`port` is no port"]),
        ("redis = \"127.0.0.1:70000\"", ["b.toml:2:9", "0 to 65535"]),
        ("redis = \":7000\"", ["b.toml:2:9", "\"127.0.0.1:7000\" for this machine"]),
        ("redis = \"7000\"", ["b.toml:2:9", "write \"127.0.0.1:7000\""]),
        ("redis = 7000", ["b.toml:2:9", "write \"127.0.0.1:7000\""]),
        ("redis = \"db.internal:7000\"", ["b.toml:2:9", "names are not resolved"]),
        ("redis = \"::1\"", ["b.toml:2:9", "an address and a port"]),
        ("redis = \"127.0.0.1:8080\"", ["b.toml:2:9", "`redis` and `http` would share port 8080"]),
        ("admin = \"127.0.0.1:6380\"", ["b.toml:2:9", "`redis` and `admin` would share port 6380"]),
    ] {
        one(&listening(written), &words);
    }
    assert_eq!(valid(&listening("redis = \"localhost:7000\"")).listen.redis.to_string(), "127.0.0.1:7000");
    assert_eq!(valid(&listening("redis = \"[::1]:7000\"")).listen.redis.to_string(), "[::1]:7000");
    valid(&listening("redis = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\""));
}

#[test]
fn an_address_that_others_reach_needs_a_password() {
    for address in ["0.0.0.0:7000", "[::]:7000", "192.168.1.5:7000", "[::ffff:192.168.1.5]:7000"] {
        let text = listening(&format!("http = \"{address}\""));
        one(&text, &["b.toml:2:8", "without a password", "--insecure"]);
        assert!(read_with(&text, &[], true).is_ok(), "--insecure allows it");
        valid(&listening(&format!("http = \"{address}\"\npassword = \"x\"")));
    }
    for address in ["127.0.0.2:7000", "[::1]:7000", "[::ffff:127.0.0.1]:7000"] {
        valid(&listening(&format!("http = \"{address}\"")));
    }
    one(&listening("http = \"0.0.0.0:7000\"\npasword = \"x\""), &["b.toml:3:1", "did you mean `password`?"]);
}

#[test]
fn memory_has_a_limit_above_zero() {
    one(&format!("[memory]\nlimit = \"0 MiB\"\n{}", plain("")), &["b.toml:2:9", "above zero"]);
    one(&format!("[memory]\nlimit = 268435456\n{}", plain("")), &["b.toml:2:9", "write \"268435456 MiB\""]);
    assert_eq!(valid(&plain("")).memory.limit, 256 << 20);
}

#[test]
fn every_eviction_policy_can_be_chosen_and_auto_is_the_default() {
    for policy in Eviction::ALL {
        let config = valid(&format!("[memory]\neviction = \"{policy}\"\n{}", plain("")));
        assert_eq!(config.memory.eviction, policy);
        assert!(policy.is_built_in(), "what a configuration may say, the server can do");
    }
    assert_eq!(valid(&plain("")).memory.eviction, Eviction::Auto);
}

fn origin(keys: &str) -> String {
    format!("[origin.o]\n{keys}\n{}", plain(""))
}

#[test]
fn an_sql_origin_is_a_sqlite_file_or_a_postgres() {
    for (url, words) in [
        ("postgres://h/db", "name the user"),
        ("postgres:u@h/db", "begin with postgres://"),
        ("postgres://u@h", "name the database"),
        ("postgres://u@h/db?sslmode=on", "disable, prefer, require or verify-full"),
        ("mysql://h/db", "not in this version; remove it"),
        ("sqlite://:memory:", "would be empty"),
        ("sqlite://", "the file is missing"),
        ("sqlite:shop.db", "write \"sqlite://shop.db\""),
        ("shop.db", "write \"sqlite://shop.db\""),
        ("sqlite://shop.db?mode=ro", "always opened read-only"),
        ("https://api", "write `http`"),
        ("oracle://x", "a SQLite file"),
    ] {
        one(&origin(&format!("sql = \"{url}\"")), &["b.toml:2:7", words]);
    }
    let config = valid(&origin("sql = \"postgresql://shop:pw@db:6432/shop\""));
    let OriginKind::Postgres(url) = &config.origins[0].kind else { panic!("{:?}", config.origins[0].kind) };
    assert_eq!(format!("{url:?}"), "postgres://shop:***@db:6432/shop?sslmode=prefer");
    let config = valid(&origin("sql = \"sqlite:///var/shop.db\""));
    assert_eq!(config.origins[0].kind, OriginKind::Sqlite { path: "/var/shop.db".into() });
}

#[test]
fn an_http_origin_is_a_base_url() {
    for (url, words) in [
        ("api.internal", "begin with http://"),
        ("ftp://api", "only http:// and https://"),
        ("https://", "a host"),
        ("https://:80", "a host"),
        ("https://api:0", "a host"),
        ("https://api:99999", "a host"),
        ("https://api:", "a host"),
        ("https://[::1", "a host"),
        ("https://[nonsense]", "a host"),
        ("https://a b", "a host"),
        ("https://api?x=1", "a query belongs"),
        ("https://api/#top", "a query belongs"),
        ("https://api/{x}", "captures belong to `get`"),
        ("https://me:pw@api", "end up in logs"),
        ("sqlite://shop.db", "write `sql`"),
    ] {
        one(&origin(&format!("http = \"{url}\"")), &["b.toml:2:8", words]);
    }
    for (url, shown) in [
        ("https://API.internal/", "https://api.internal"),
        ("http://127.0.0.1:8000/base/", "http://127.0.0.1:8000/base"),
        ("http://[::1]:80", "http://[::1]"),
        ("https://h:443/a/b", "https://h/a/b"),
    ] {
        let config = valid(&origin(&format!("http = \"{url}\"")));
        let OriginKind::Http(base) = &config.origins[0].kind else { panic!("an HTTP origin") };
        assert_eq!(base.to_string(), shown);
    }
}

#[test]
fn an_origin_is_one_thing_with_a_budget_that_can_hold() {
    let sqlite = "sql = \"sqlite://shop.db\"\n";
    for (keys, words) in [
        (String::new(), ["b.toml:1:", "neither `sql` nor `http`"]),
        ("sgl = \"sqlite://x\"".to_owned(), ["b.toml:2:1", "did you mean `sql`?"]),
        (format!("{sqlite}http = \"https://api\""), ["b.toml:3:8", "make it two origins"]),
        (format!("{sqlite}max_concurrency = 0"), ["b.toml:3:19", "from 1 to"]),
        (format!("{sqlite}max_concurrency = \"16\""), ["b.toml:3:19", "max_concurrency = 16"]),
        (format!("{sqlite}timeout = \"0s\""), ["b.toml:3:11", "longer than zero"]),
        (format!("{sqlite}rate = \"500\""), ["b.toml:3:8", "write \"500/s\""]),
        (format!("{sqlite}rate = \"500/s\"\nrefresh_rate = \"900/s\""), ["b.toml:4:16", "above rate = 500/s"]),
        (format!("{sqlite}rates = \"500/s\""), ["b.toml:3:1", "did you mean `rate`?"]),
        (format!("{sqlite}adaptive = \"yes\""), ["b.toml:3:12", "expected true or false"]),
        (format!("{sqlite}braker = false"), ["b.toml:3:1", "did you mean `breaker`?"]),
    ] {
        one(&origin(&keys), &words);
    }
    one(&format!("[origin.\"a b\"]\n{sqlite}{}", plain("")), &["b.toml:1:", "the name \"a b\""]);
}

#[test]
fn a_ramp_is_auto_or_a_time() {
    use bellwether_core::guard::ramp::Mode;
    let ramp = |text: &str| {
        valid(&format!("[listen]\nramp = \"{text}\"\n[[space]]\nmatch = \"k:{{k}}\"\nttl = \"1m\"\n")).listen.ramp
    };
    assert_eq!((ramp("auto"), ramp("5m")), (Mode::Auto, Mode::Within(Span::secs(300))));
    for wrong in ["off", "0s", "30d", "5 minutes"] {
        let text = format!("[listen]\nramp = \"{wrong}\"\n[[space]]\nmatch = \"k:{{k}}\"\nttl = \"1m\"\n");
        one(&text, &["b.toml:2:8", "\"auto\", or a time"]);
    }
}

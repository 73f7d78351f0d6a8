//! How are whole files read? The contract's example, many mistakes at once, the environment, secrets.

use super::*;
use bellwether_core::policy::{Early, Priority};
use bellwether_core::time::Span;
use proptest::prelude::*;

/// The contract's example, but for the budget of hot-key reactions.
const CONTRACT: &str = r#"
[listen]
redis = "127.0.0.1:6380"
http  = "127.0.0.1:8080"
admin = "127.0.0.1:9090"
password = "${BW_PASSWORD}"

[memory]
limit    = "256 MiB"
eviction = "auto"

[disk]
path  = "bellwether-data"
limit = "4 GiB"

[shared]
url     = "redis://127.0.0.1:6379"
prefix  = "bw:"
timeout = "50ms"
resync  = "5s"

[origin.shop]
sql = "sqlite://shop.db"
max_concurrency = 16
rate = "1000/s"
refresh_rate = "500/s"
timeout = "2s"

[origin.api]
http = "https://api.internal"

[[space]]
name   = "product"
match  = "product:{id:int}"
origin = "shop"
query  = "SELECT id, name, price, stock FROM products WHERE id = :id"
many   = "SELECT id, name, price, stock FROM products WHERE id IN (:ids)"
rows   = "one"
ttl    = "60s"
grace  = "10m"
timeout = "1s"
negative_ttl = "5s"
jitter = "10%"
early  = "lead"
priority = "normal"
tags   = ["catalogue", "product:{id}"]
tiers  = ["memory", "disk", "shared"]
generation = "v2"

[[space]]
match  = "page:{path*}"
origin = "api"
get    = "/pages/{path}"
ttl    = "30s"
default = '{"title":"back soon"}'
accept = { status = [200], content_type = "application/json", json = true }

[[space]]
match = "session:{id}"
ttl   = "30m"
"#;

#[test]
fn the_contracts_example_reads_as_written() {
    let config = read_with(CONTRACT, &[("BW_PASSWORD", "s3cret")], false).unwrap_or_else(|p| panic!("{}", said(&p)));
    assert_eq!(config.listen.redis.to_string(), "127.0.0.1:6380");
    assert_eq!(config.listen.password.as_ref().map(Secret::expose), Some("s3cret"));
    assert_eq!(config.memory.limit, 256 << 20);
    let [api, shop] = config.origins.as_slice() else { panic!("two origins") };
    assert_eq!(shop.kind, OriginKind::Sqlite { path: "/etc/bw/shop.db".into() });
    assert_eq!((shop.budget.rate, shop.budget.refresh_rate), (Some(1000.0), Some(500.0)));
    let OriginKind::Http(base) = &api.kind else { panic!("an HTTP origin") };
    assert_eq!(base.to_string(), "https://api.internal");
    let [product, page, session] = config.spaces.as_slice() else { panic!("three spaces") };
    assert_eq!((product.name.as_str(), page.name.as_str(), session.name.as_str()), ("product", "page", "session"));
    assert_eq!(product.policy.stale_if_error, Span::secs(600));
    assert_eq!((product.policy.early, product.policy.priority), (Early::Lead, Priority::Normal));
    assert_eq!(product.generation.as_deref(), Some("v2"));
    assert_eq!(product.tags.len(), 2);
    let Source::Http(http) = &page.source else { panic!("an HTTP space") };
    assert!(http.accept.json && http.accept.content_type.as_deref() == Some("application/json"));
    assert_eq!(page.default.as_deref(), Some(r#"{"title":"back soon"}"#));
    assert!(matches!(session.source, Source::Plain));
    assert_eq!(session.place, Place::Line { line: 58, column: 1 });
}

#[test]
fn a_space_needs_no_more_than_match_and_ttl_and_has_the_contracts_defaults() {
    let config = valid(&plain(""));
    let policy = &config.spaces[0].policy;
    assert_eq!((policy.timeout, policy.negative_ttl, policy.jitter), (Span::secs(1), Span::secs(5), 0.10));
    assert_eq!(policy.stale_while_revalidate, Span::ZERO);
    assert_eq!(config.listen.admin.to_string(), "127.0.0.1:9090");
    assert_eq!(valid(&sql(QUERY)).origins[1].budget.max_concurrency, 16);
}

#[test]
fn five_mistakes_are_five_problems_each_with_its_line() {
    let text = r#"[listen]
redis = "127.0.0.1:99999"

[origin.shop]
sql = "sqlite://shop.db"
rate = "fast"

[[space]]
match = "product:{id:int}"
orgin = "shop"
query = "SELECT name FROM products WHERE id = ':id'"
ttl = "60 s"
"#;
    let problems = read(text).expect_err("five mistakes");
    let lines: Vec<_> = problems.iter().map(|problem| problem.line()).collect();
    assert_eq!(lines, [Some(2), Some(6), Some(10), Some(11), Some(12)], "{}", said(&problems));
    let said = said(&problems);
    assert!(said.contains("did you mean `origin`?"), "{said}");
    assert!(
        said.contains(
            "b.toml:12:7: [[space]] 'product': found ttl = \"60 s\"; expected a duration such as \"250ms\", \"60s\", \"10m\", \"6h\" or \"2d\"; hint: write \"60s\""
        ),
        "{said}"
    );
}

#[test]
fn syntax_errors_are_reported_together_with_what_could_be_read() {
    let problems = read(&plain("jitter = 10%\ngrace = \"soon\"\ntags = [\n")).expect_err("three mistakes");
    let lines: Vec<_> = problems.iter().filter_map(Problem::line).collect();
    assert!(lines.contains(&4) && lines.contains(&5), "{}", said(&problems));
    // What the broken line may have said is not called missing.
    let said = wrong("[[space]]\nmatch = session:{id}\nttl = \"60s\"\n");
    assert!(!said.contains("no `match`"), "{said}");
}

#[test]
fn the_environment_overrides_the_file() {
    let env = [
        ("BELLWETHER__LISTEN__REDIS", "127.0.0.1:0"),
        ("BELLWETHER__MEMORY__LIMIT", "1 GiB"),
        ("BELLWETHER__ORIGIN__SHOP__RATE", "7/s"),
        ("BELLWETHER__ORIGIN__SHOP__MAX_CONCURRENCY", "3"),
        ("BELLWETHER_LOG", "one underscore is none of ours"),
    ];
    let config = read_with(&sql(QUERY), &env, false).unwrap_or_else(|p| panic!("{}", said(&p)));
    assert_eq!(config.listen.redis.port(), 0);
    assert_eq!(config.memory.limit, 1 << 30);
    let shop = &config.origins[1].budget;
    assert_eq!((shop.rate, shop.max_concurrency), (Some(7.0), 3));
}

#[test]
fn a_wrong_override_names_its_variable() {
    for (name, value, words) in [
        (
            "BELLWETHER__LISTEN__REDIS",
            "nowhere",
            ["environment variable BELLWETHER__LISTEN__REDIS:", "[listen]", "port"],
        ),
        ("BELLWETHER__MEMORY__LIMT", "1 GiB", ["BELLWETHER__MEMORY__LIMT", "unknown key `limt`", "`limit`"]),
        (
            "BELLWETHER_LISTEN_REDIS",
            "127.0.0.1:0",
            ["BELLWETHER_LISTEN_REDIS", "two underscores", "BELLWETHER__LISTEN__REDIS?"],
        ),
        (
            "BELLWETHER__MEMRY__LIMIT",
            "1 GiB",
            ["BELLWETHER__MEMRY__LIMIT", "an override of nothing", "BELLWETHER__MEMORY?"],
        ),
        ("BELLWETHER__ORIGIN__SHOPP__RATE", "1/s", ["BELLWETHER__ORIGIN__SHOPP__RATE", "'shopp'", "[origin.shopp]"]),
        (
            "BELLWETHER__SPACE__PRODUCT__TTL",
            "1s",
            ["BELLWETHER__SPACE__PRODUCT__TTL", "nothing", "can't be overridden"],
        ),
        ("BELLWETHER__SHARED__URL", "redis:/x", ["BELLWETHER__SHARED__URL", "[shared]", "begin with redis://"]),
    ] {
        one_with(&sql(QUERY), &[(name, value)], &words);
    }
}

#[test]
fn variables_are_filled_in_and_missed() {
    let text = sql("query = \"SELECT ${COLUMN} FROM products WHERE id = :id\"\ndefault = '$${literal}'\n");
    let config = read_with(&text, &[("COLUMN", "name")], false).unwrap_or_else(|p| panic!("{}", said(&p)));
    let Source::Sql(source) = &config.spaces[0].source else { panic!("an SQL space") };
    assert_eq!(source.query.text, "SELECT name FROM products WHERE id = :id");
    assert_eq!(config.spaces[0].default.as_deref(), Some("${literal}"));
    one(
        &sql("query = \"SELECT ${COLUMN} FROM products\""),
        &["b.toml:12:9", "environment variable COLUMN", "export COLUMN="],
    );
    one(&sql(&format!("{QUERY}default = \"${{open\"")), &["never closed", "$${"]);
}

#[test]
fn a_secret_is_never_shown() {
    let text = format!("[listen]\npassword = \"${{PW}}\"\nredis = \"elsewhere\"\n{}", plain(""));
    let shown = said(&read_with(&text, &[("PW", "hunter2")], false).expect_err("a wrong address"));
    assert!(!shown.contains("hunter2") && shown.contains("elsewhere"), "{shown}");
    let config = valid(&format!("[listen]\npassword = \"hunter2\"\n{}", plain("")));
    assert!(!format!("{config:?}").contains("hunter2"));
    let secret = config.listen.password.expect("set");
    assert_eq!((secret.to_string(), format!("{secret:?}")), ("***".into(), "***".into()));
    assert!(
        secret.matches(b"hunter2")
            && !secret.matches(b"hunter")
            && !secret.matches(b"hunter22")
            && !secret.matches(b"")
    );
    for text in ["password = 12345", "passwrd = \"12345\"", "password = [\"12345\"]"] {
        let shown = wrong(&format!("[listen]\n{text}\n{}", plain("")));
        assert!(!shown.contains("12345"), "{shown}");
    }
    for url in ["sql = \"postgres://me:12345@h\"", "sql = \"postgres:me:12345@h/d\"", "http = \"https://me:12345@h\""] {
        let shown = wrong(&format!("[origin.o]\n{url}\n{}", plain("")));
        assert!(!shown.contains("12345") && shown.contains("***@h"), "{shown}");
    }
    let shown = wrong(&format!("[origin.o]\nsql = \"postgres://me@h/db?password=12345\"\n{}", plain("")));
    assert!(!shown.contains("12345") && shown.contains("password=***"), "{shown}");
    for secret in [
        "sql = \"postgres://me@h/db?sslpassword=12345\"",
        "sql = \"postgres://me@h/db?sslmode=on&token=12345\"",
        "sql = \"postgres://me@h/db?12345\"",
        "sql = \"postgres://me@h/12345/x\"",
        "sql = \"postgres://me:x12345\"",
        "sql = \"mysql://h/db?pwd=12345\"",
        "sql = \"host=h user=me password=12345\"",
        "sql = \"host=h;Pwd=12345\"",
        "sql = \"me:12345@h\"",
        "http = \"https://h/v1?api_key=12345\"",
        "http = \"https://h?secret=12345\"",
        "http = \"h/v1?access_token=12345\"",
    ] {
        let shown = wrong(&format!("[origin.o]\n{secret}\n{}", plain("")));
        assert!(!shown.contains("12345") && shown.contains("***"), "{shown}");
    }
    let get = |rest: &str| {
        let space = "[[space]]\nmatch = \"p:{id}\"\norigin = \"o\"\nttl = \"1s\"";
        wrong(&format!("[origin.o]\nhttp = \"https://h\"\n{space}\nget = \"/p/{{nosuch}}?{rest}\"\n"))
    };
    assert!(get("v=12345").contains("12345"), "control: it is shown");
    assert!(!get("api_key=12345").contains("12345") && get("api_key=12345").contains("api_key=***"));
    let config = valid(&format!("[origin.o]\nsql = \"postgres://me:12345@h/db\"\n{}", plain("")));
    assert!(!format!("{config:?}").contains("12345"));
}

#[test]
fn a_password_may_stand_in_a_file_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("pw"), "from-file\n").expect("written");
    std::fs::write(dir.path().join("empty"), "\n").expect("written");
    let read = |path: &str| {
        let text = format!("[listen]\nredis = \"0.0.0.0:6380\"\npassword = \"file:{path}\"\n{}", plain(""));
        parse(&text, "b.toml", dir.path(), [], false)
    };
    let config = read("pw").unwrap_or_else(|p| panic!("{}", said(&p)));
    assert_eq!(config.listen.password.as_ref().map(Secret::expose), Some("from-file"));
    let problems = said(&read("absent").expect_err("no such file"));
    assert!(problems.contains("b.toml:3:12") && problems.contains("can't be read"), "{problems}");
    assert_eq!(problems.lines().count(), 1, "no word about the open address: a password was meant: {problems}");
    assert!(said(&read("empty").expect_err("empty")).contains("let everybody in"));
}

#[test]
fn a_missing_or_unreadable_file_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    for (path, words) in [
        (dir.path().join("absent.toml"), "no such file"),
        (dir.path().to_path_buf(), "a directory"),
        (file("latin.toml", b"\n# caf\xe9"), "line 2 that are no UTF-8"),
        (file("large.toml", &vec![b'#'; (1 << 20) + 1]), "more than 1024 KiB"),
        (file("empty.toml", b""), "no [[space]]"),
    ] {
        let problems = load(&path, [], false).expect_err(words);
        assert_eq!(problems.len(), 1);
        assert!(
            said(&problems).contains(words) && said(&problems).contains("hint") | words.contains("KiB"),
            "{}",
            said(&problems)
        );
    }
    let good = file("good.toml", sql(QUERY).as_bytes());
    let config = load(&good, [], false).unwrap_or_else(|p| panic!("{}", said(&p)));
    assert_eq!(config.origins[1].kind, OriginKind::Sqlite { path: dir.path().join("shop.db") });
}

#[test]
fn the_sample_needs_no_file_and_takes_overrides() {
    let database = Path::new("/srv/x/made.db");
    let config = sample(database, [("BELLWETHER__LISTEN__HTTP".to_owned(), "127.0.0.1:0".to_owned())], false)
        .unwrap_or_else(|p| panic!("{}", said(&p)));
    assert_eq!(config.origins[0].kind, OriginKind::Sqlite { path: database.into() });
    assert_eq!(config.listen.http.port(), 0);
    let names: Vec<_> = config.spaces.iter().map(|space| space.name.as_str()).collect();
    assert_eq!(names, ["product", "category", "search", "session"]);
    let elsewhere = ("BELLWETHER__ORIGIN__SHOP__SQL".to_owned(), "sqlite:///srv/own.db".to_owned());
    let config = sample(database, [elsewhere], false).expect("valid");
    assert_eq!(config.origins[0].kind, OriginKind::Sqlite { path: "/srv/own.db".into() });
}

#[test]
fn unknown_keys_and_later_features_are_refused() {
    for (text, words) in [
        (format!("[lisen]\n{}", plain("")), ["b.toml:1:", "unknown key `lisen`", "did you mean `listen`?"]),
        (format!("[nonsense]\n{}", plain("")), ["b.toml:1:", "unknown key `nonsense`", "listen, memory"]),
        (plain("tll = \"1s\""), ["b.toml:4:1", "unknown key `tll`", "did you mean `ttl`?"]),
        (plain("xyzzy = 1"), ["b.toml:4:1", "unknown key `xyzzy`", "match, name"]),
        (format!("[dsik]\npath = \"d\"\n{}", plain("")), ["b.toml:1:", "unknown key `dsik`", "did you mean `disk`?"]),
        (format!("[share]\nurl = \"redis://x\"\n{}", plain("")), ["b.toml:1:", "`share`", "did you mean `shared`?"]),
        (format!("strict = \"yes\"\n{}", plain("")), ["b.toml:1:10", "strict", "true or false"]),
        (
            format!("[memory]\neviction = \"s3fifo\"\n{}", plain("")),
            ["b.toml:2:12", "expected", "did you mean \"s3-fifo\"?"],
        ),
        (format!("[memory]\neviction = \"lfo\"\n{}", plain("")), ["b.toml:2:12", "\"sieve\"", "did you mean"]),
        (plain("preset = \"fortres\""), ["b.toml:4:10", "\"fresh\", \"balanced\"", "did you mean \"fortress\"?"]),
        (plain("staleness_budget = \"2\""), ["b.toml:4:20", "a duration", "\"2\""]),
        (plain("tiers = [\"memory\", \"disk\"]"), ["b.toml:4:20", "a section [disk]", "add one, or remove it"]),
        (plain("tiers = [\"memory\", \"shared\"]"), ["b.toml:4:20", "a section [shared]", "add one, or remove it"]),
        (plain("tiers = [\"ram\"]"), ["b.toml:4:10", "\"memory\", \"disk\" or \"shared\"", "\"ram\""]),
        (plain("tiers = []"), ["b.toml:4:9", "tiers", "remove it"]),
        (format!("listen = 5\n{}", plain("")), ["b.toml:1:10", "a single value", "[listen]"]),
        ("space = \"x\"\n".to_owned(), ["b.toml:1:9", "a list", "space"]),
        ("[space]\nmatch = \"a:{id}\"\nttl = \"1s\"\n".to_owned(), ["b.toml:1:", "a list", "write [[space]]"]),
        (
            format!("[[origin.shop]]\nhttp = \"http://127.0.0.1:1\"\n{}", plain("")),
            ["b.toml:1:", "found a list", "write [origin.shop]"],
        ),
    ] {
        one(&text, &words);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn reading_any_text_never_panics(text in "\\PC{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn a_damaged_file_never_panics(at in 0usize..1200, cut in 0usize..6, put in "[\\PC\n\"\\[\\]{}=$:']{0,6}") {
        let mut text: Vec<char> = CONTRACT.chars().collect();
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        text.splice(at..end, put.chars());
        let text: String = text.into_iter().collect();
        // Whatever it says, it says it without a panic, and never without a reason.
        if let Err(problems) = read_with(&text, &[("BW_PASSWORD", "x")], false) {
            prop_assert!(!problems.is_empty());
        }
    }
}

#[test]
fn a_problem_is_one_line_whatever_the_file_says() {
    let said = wrong("\"a\\nb\\u001b[31m\" = 1\n");
    assert!(said.contains("the unknown key `a\\nb\\u{1b}[31m`"), "{said}");
    assert!(said.lines().all(|line| line.starts_with("b.toml:")), "{said}");
}

#[test]
fn a_secret_is_not_read_from_what_never_ends() {
    one(
        "[listen]\npassword = \"file:/dev/zero\"\n[[space]]\nmatch = \"a:{b}\"\nttl = \"1s\"\n",
        &["b.toml:2:", "more than 64 KiB"],
    );
}

#[test]
fn a_section_of_which_there_may_be_several_is_told_how_that_is_written_once() {
    let space = |brackets: [&str; 2], name: &str| {
        let [open, close] = brackets;
        format!("{open}space{close}\nmatch = \"{name}:{{id}}\"\nttl = \"1m\"\n")
    };
    let (one, many) = (["[", "]"], ["[[", "]]"]);
    for (brackets, line) in [([one, one], 4), ([one, many], 1), ([many, one], 4)] {
        let [first, second] = brackets;
        let text = space(first, "a") + &space(second, "b");
        let problems = said(&read(&text).expect_err("one of them is written wrongly"));
        assert_eq!(problems.lines().count(), 1, "{problems}");
        assert!(problems.starts_with(&format!("b.toml:{line}:")) && problems.contains("[[space]]"), "{problems}");
    }
    let announced = format!("{}[hot.announce]\nkey = \"a:1\"\n", space(many, "a"));
    let problems = said(&read(&announced).expect_err("not one of several"));
    assert!(problems.contains("write [[hot.announce]]"), "{problems}");
    // Control: what is there twice in one section is a mistake as ever.
    let twice = space(many, "a") + "ttl = \"2m\"\n" + &space(many, "b");
    let problems = said(&read(&twice).expect_err("two of them"));
    assert!(problems.starts_with("b.toml:4:") && problems.contains("duplicate key"), "{problems}");
}

#[test]
fn a_pattern_of_another_kind_is_warned_of() {
    let warnings = |pattern: &str| {
        let text = format!("[[space]]\nname = \"x\"\nmatch = \"{pattern}\"\nttl = \"1m\"\n");
        read(&text).map(|config| said(&config.warnings)).map_err(|problems| said(&problems))
    };
    for glob in ["user:?", "user:[0-9]"] {
        let said = warnings(glob).expect("it may be meant");
        assert!(said.contains(glob) && said.contains("one key alone") && said.contains("`{x*}`"), "{said}");
    }
    assert!(warnings("user:*").expect_err("no key has a star by chance").contains("`{x*}`"));
    for meant in ["page:{path}?q={q}", "user:7", "a[{x}]"] {
        assert_eq!(warnings(meant).expect("it is right"), "", "{meant}");
    }
}

#[test]
fn a_sections_name_that_breaks_off_is_one_mistake_whatever_stands_below_it() {
    let space = "match = \"a:{id}\"\norigin = \"shop\"\nquery = \"SELECT 1 WHERE :id\"\nttl = \"60s\"\n";
    one(&format!("[origin.shop\nsql = \"sqlite://shop.db\"\n[[space]]\n{space}"), &["b.toml:1:", "[name]"]);
    one(&format!("[listen\nredis = \"127.0.0.1:0\"\n{ORIGINS}[[space]]\n{space}"), &["b.toml:1:", "[name]"]);
    let second = space.replace("a:", "b:");
    one(&format!("{ORIGINS}[[space]]\n{space}[[space]\n{second}"), &["b.toml:13:", "[[name]]"]);
    // What stands in a section that could be read is judged all the same.
    let said = wrong("[listen\nredsi = \"127.0.0.1:0\"\n[memory]\nlimit = \"plenty\"\n");
    assert_eq!((said.lines().count(), said.contains("plenty")), (2, true), "{said}");
}

//! How are `[disk]`, `[shared]`, presets and `strict` read, and what is said of what they can't guarantee?

use super::*;
use bellwether_adapters::tiers::address::{RedisShape, RedisTarget};
use bellwether_core::policy::Policy;
use bellwether_core::time::Span;

/// A tagless plain space behind `[shared]` with `keys`, the first of them on line 2.
fn shared(keys: &str) -> String {
    format!("[shared]\n{keys}\n{}", plain(""))
}

/// The shared tier at `url`.
fn at(url: &str) -> Shared {
    valid(&shared(&format!("url = \"{url}\""))).shared.expect("a shared tier")
}

fn redis(url: &str) -> RedisTarget {
    let SharedAt::Redis(url) = at(url).at else { panic!("{url} is a Redis") };
    url
}

fn warnings(text: &str) -> String {
    said(&valid(text).warnings)
}

/// The only warning of `text`, which must contain all `words`.
#[track_caller]
fn one_warning(text: &str, words: &[&str]) {
    let said = warnings(text);
    assert_eq!(said.lines().count(), 1, "{text}\n{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
}

#[test]
fn every_scheme_leads_where_it_says() {
    for (url, shown) in [
        ("redis://127.0.0.1", "redis://127.0.0.1:6379"),
        ("redis://127.0.0.1:6380/3", "redis://127.0.0.1:6380/3"),
        ("redis://h?db=3", "redis://h:6379/3"),
        ("rediss://Cache.Internal:6390/", "rediss://cache.internal:6390"),
        ("redis://[::1]:7", "redis://[::1]:7"),
        ("redis+unix:///run/redis.sock", "redis+unix:///run/redis.sock"),
        ("redis+unix:///run/redis.sock?db=2", "redis+unix:///run/redis.sock?db=2"),
        ("redis+cluster://a:1,b:2,c", "redis+cluster://a:1,b:2,c:6379"),
        ("rediss+cluster://a:1", "rediss+cluster://a:1"),
        ("redis+sentinel://a,b:2/mymaster", "redis+sentinel://a:26379,b:2/mymaster"),
        ("redis+sentinel://a/mymaster?db=4", "redis+sentinel://a:26379/mymaster?db=4"),
        ("redis+sentinel://a/mymaster/4", "redis+sentinel://a:26379/mymaster?db=4"),
        ("redis+cluster://a/0", "redis+cluster://a:6379"),
        ("valkey://h", "redis://h:6379"),
        ("valkeys+cluster://h", "rediss+cluster://h:6379"),
        ("memcached://a,b:2", "memcached://a:11211,b:2"),
    ] {
        assert_eq!(at(url).at.to_string(), shown);
    }
    let url = redis("redis://app:p%40ss%2Fw%3Ard@h");
    assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("app"), Some("p@ss/w:rd")));
    let url = redis("redis://:only@h");
    assert_eq!((url.user, url.password.as_deref()), (None, Some("only")));
    assert_eq!(redis("redis://app@h").user.as_deref(), Some("app"));
    assert_eq!(redis("redis+unix://app:pw@/run/redis.sock").shape, RedisShape::Unix("/run/redis.sock".into()));
}

#[test]
fn a_wrong_url_says_what_is_wrong_with_it() {
    for (url, hint) in [
        ("", "begin with redis://"),
        ("127.0.0.1:6379", "begin with redis://"),
        ("valkye://h", "did you mean valkey://?"),
        ("redis-cluster://h", "did you mean redis+cluster://?"),
        ("memcache://h", "did you mean memcached://?"),
        ("rediss+clustr://h", "did you mean rediss+cluster://?"),
        ("postgres://h", "redis+unix:///PATH"),
        ("redis://", "a host is missing"),
        ("redis://h:port", ":PORT, from 1 to 65535"),
        ("redis://h:0", ":PORT, from 1 to 65535"),
        ("redis://a,b", "redis+cluster://"),
        ("redis://h/x", "0 to 65535"),
        ("redis://h/99999", "0 to 65535"),
        ("redis://h/1?db=2", "twice"),
        ("redis://h?protocol=3", "only db=NUMBER"),
        ("redis+unix://run/redis.sock", "three slashes"),
        ("redis+unix://", "the socket's path is missing"),
        ("redis+cluster://a,,b", "a host is missing"),
        ("redis+cluster://u:p@a:1,u:p@b:2", "the login stands once, before the first server"),
        ("redis+sentinel://a:1,u:p@b:2/n", "the login stands once, before the first server"),
        ("redis://h?auth=x", "the password belongs to `password`"),
        ("redis://h?db=1&token=x", "only db=NUMBER"),
        ("redis+cluster://a,a:6379", "twice"),
        ("redis+cluster://a/1", "the database 0 alone"),
        ("redis+sentinel://a,b", "mymaster"),
        ("redis+sentinel://a/my/master", "0 to 65535"),
        ("memcached://a/1", "nothing behind the hosts"),
    ] {
        one(&shared(&format!("url = \"{url}\"")), &["b.toml:2:7: [shared]", hint]);
    }
    one(&shared("prefix = \"x:\""), &["b.toml:1:2", "no `url`"]);
    one(&shared("ulr = \"redis://h\""), &["b.toml:2:1", "did you mean `url`?"]);
    one(&shared("url = 6379"), &["b.toml:2:7", "a URL in quotes"]);
    let many: Vec<String> = (0..65).map(|i| format!("h{i}")).collect();
    one(&shared(&format!("url = \"memcached://{}\"", many.join(","))), &["b.toml:2:7", "at most 64 hosts"]);
}

#[test]
fn no_problem_and_no_debug_output_shows_a_password() {
    for url in [
        "redis://app:hunter2@h:x",
        "redis://:hunter2@h/x",
        "redis://:hun/ter2@h",
        "redis://:hunter2/@h",
        "redis://:hunter2?@h",
        "redis://:hunter2#x@h",
        "redis://:hunter2%zz@h",
        "redis:hunter2@h",
        "redi://app:hunter2@h",
        "redis://h?password=hunter2",
        "redis+unix:///run/s?pass=hunter2",
        "memcached://app:hunter2@h",
        "memcached://h?x=hunter2",
        "redis://h?auth=hunter2",
        "redis://h?db=1&auth=hunter2",
        "redis://h?pw=hunter2",
        "redis://h?hunter2",
        "redis://h:hunter2",
        "redis://h:1#hunter2",
        "redis://h/hunter2",
        "redis+unix://h/hunter2",
        "u:hunter2://h",
        "hunter2",
        "redis+cluster://u:hunter2@a:1,u:hunter2@b:2",
        "redis+sentinel://u:hunter2@a:1,hunter2:pw@b:1/n",
    ] {
        let said = wrong(&shared(&format!("url = \"{url}\"")));
        assert!(!said.contains("hunter2") && !said.contains("ter2") && said.contains("***"), "{said}");
        let said = wrong(&shared(&format!("url = \"redis://h\"\nbackplane = \"{url}\"")));
        assert!(!said.contains("hunter2") && !said.contains("ter2") && said.contains("***"), "{said}");
        let env = [("BELLWETHER__SHARED__URL", url)];
        let said = said_of(&plain(""), &env);
        assert!(!said.contains("hunter2") && !said.contains("ter2"), "{said}");
        // From a variable it is shown as it is written.
        let said = said_of(&shared("url = \"${URL}\""), &[("URL", url)]);
        assert!(!said.contains("hunter2") && !said.contains("ter2") && said.contains("${URL}"), "{said}");
    }
    // What is wrong is still named, as far as no secret can be in it.
    for (url, shown) in [
        ("redis://h?db=1&auth=hunter2", "url = \"redis://h?db=***&auth=***\""),
        ("redis://h:hunter2", "url = \"redis://h:***\""),
        ("redis://a,b/1", "url = \"redis://a,b/***\""),
    ] {
        one(&shared(&format!("url = \"{url}\"")), &[shown]);
    }
    for text in ["url = \"redis://app:hunter2@h\"", "url = \"redis://h\"\npassword = \"hunter2\""] {
        let config = valid(&shared(text));
        let shown = format!("{config:?} {}", config.shared.as_ref().expect("there").at);
        assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
        let SharedAt::Redis(url) = config.shared.expect("there").at else { panic!("a Redis") };
        assert_eq!(url.password.as_deref(), Some("hunter2"), "but there it is");
    }
}

fn said_of(text: &str, env: &[(&str, &str)]) -> String {
    said(&read_with(text, env, false).expect_err(text))
}

#[test]
fn a_password_beside_the_url_needs_no_encoding() {
    let text = shared("url = \"redis://app@h\"\npassword = \"${PW}\"");
    let config = read_with(&text, &[("PW", "p@ss/w:rd%")], false).unwrap_or_else(|p| panic!("{}", said(&p)));
    let Some(Shared { at: SharedAt::Redis(url), .. }) = config.shared else { panic!("a Redis") };
    assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("app"), Some("p@ss/w:rd%")));
    one(&shared("url = \"redis://:x@h\"\npassword = \"y\""), &["b.toml:3:12", "beside a password in `url`"]);
    one(&shared("url = \"memcached://h\"\npassword = \"y\""), &["b.toml:3:12", "asked without one"]);
    one(&shared("url = \"redis://h\"\npassword = \"${NO}\""), &["b.toml:3:12", "NO to be set"]);
}

#[test]
fn shared_has_the_contracts_defaults_and_takes_every_knob() {
    let usual = at("redis://h");
    assert_eq!((usual.prefix.as_str(), usual.timeout, usual.resync), ("bw:", Span::ms(50), Span::secs(5)));
    assert_eq!((usual.on_start, usual.replica_reads), (OnStart::Degraded, false));
    let SharedAt::Redis(url) = &usual.at else { panic!("a Redis") };
    assert_eq!(usual.backplane, Backplane::On { url: url.clone(), mode: BackplaneMode::Streams });
    let all = "url = \"redis+cluster://h\"\nprefix = \"shop/\"\ntimeout = \"20ms\"\nresync = \"2s\"\non_start = \"refuse\"\n\
               replica_reads = true\nbackplane = \"rediss://other\"\nbackplane_mode = \"pubsub\"";
    let shop = valid(&shared(all)).shared.expect("there");
    assert_eq!((shop.prefix.as_str(), shop.timeout, shop.resync), ("shop/", Span::ms(20), Span::secs(2)));
    assert_eq!((shop.on_start, shop.replica_reads), (OnStart::Refuse, true));
    let Backplane::On { url, mode } = shop.backplane else { panic!("a backplane") };
    assert_eq!((url.to_string().as_str(), mode), ("rediss://other:6379", BackplaneMode::PubSub));
    let fleet = at("memcached://a,b");
    assert_eq!(fleet.backplane, Backplane::Off, "Memcached carries no messages");
    assert!(matches!(fleet.at, SharedAt::Memcached { placement: Placement::Rendezvous, .. }));
    let ketama = valid(&shared("url = \"memcached://a\"\nplacement = \"ketama\"\nbackplane = \"redis://r\"")).shared;
    let Some(Shared { at: SharedAt::Memcached { placement, .. }, backplane, .. }) = ketama else { panic!("Memcached") };
    assert_eq!(placement, Placement::Ketama);
    assert!(matches!(backplane, Backplane::On { .. }));
    assert_eq!(valid(&shared("url = \"redis://h\"\nprefix = \"\"")).shared.expect("there").prefix, "");
}

#[test]
fn knobs_of_the_tiers_are_refused_where_they_mean_nothing() {
    for (keys, words) in [
        ("url = \"redis://h\"\nprefix = \"{x}\"", ["b.toml:3:10", "one node of a cluster"]),
        ("url = \"redis://h\"\nprefix = \"a b\"", ["b.toml:3:10", "at most 64 letters"]),
        ("url = \"redis://h\"\ntimeout = \"0s\"", ["b.toml:3:11", "more than zero"]),
        ("url = \"redis://h\"\ntimeout = \"1m\"", ["b.toml:3:11", "at most \"10s\""]),
        ("url = \"redis://h\"\nresync = \"0s\"", ["b.toml:3:10", "more than zero"]),
        ("url = \"redis://h\"\non_start = \"wait\"", ["b.toml:3:12", "\"degraded\" or \"refuse\""]),
        ("url = \"redis://h\"\nreplica_reads = true", ["b.toml:3:17", "redis+cluster://"]),
        ("url = \"redis://h\"\nplacement = \"ketama\"", ["b.toml:3:13", "only a Memcached fleet"]),
        ("url = \"memcached://h\"\nplacement = \"ketma\"", ["b.toml:3:13", "did you mean \"ketama\"?"]),
        ("url = \"redis://h\"\nbackplane = \"on\"", ["b.toml:3:13", "\"off\", or a URL"]),
        ("url = \"redis://h\"\nbackplane = \"memcached://h\"", ["b.toml:3:13", "carries no messages"]),
        ("url = \"redis://h\"\nbackplane_mode = \"stream\"", ["b.toml:3:18", "did you mean \"streams\"?"]),
        (
            "url = \"redis://h\"\nbackplane = \"off\"\nbackplane_mode = \"pubsub\"",
            ["b.toml:4:18", "there is none here"],
        ),
        ("url = \"memcached://h\"\nbackplane_mode = \"pubsub\"", ["b.toml:3:18", "there is none here"]),
        ("url = \"redis://h\"\nresinc = \"5s\"", ["b.toml:3:1", "did you mean `resync`?"]),
    ] {
        one(&shared(keys), &words);
    }
    let disk = |keys: &str| format!("[disk]\n{keys}\n{}", plain(""));
    for (keys, words) in [
        ("path = \"\"", ["b.toml:2:8", "a directory"]),
        ("limit = \"1 MiB\"", ["b.toml:2:9", "at least \"16 MiB\""]),
        ("limit = \"4 GB\"", ["b.toml:2:9", "4 GiB"]),
        ("on_restart = \"stale\"", ["b.toml:2:14", "\"serve_stale\", \"revalidate\" or \"drop\""]),
        ("pth = \"d\"", ["b.toml:2:1", "did you mean `path`?"]),
    ] {
        one(&disk(keys), &words);
    }
    let usual = valid(&disk("")).disk.expect("there");
    assert_eq!(
        (usual.path, usual.limit, usual.on_restart),
        ("/etc/bw/bellwether-data".into(), 4 << 30, OnRestart::ServeStale)
    );
    let all = valid(&disk("path = \"/var/d\"\nlimit = \"64 MiB\"\non_restart = \"drop\"")).disk.expect("there");
    assert_eq!((all.path, all.limit, all.on_restart), ("/var/d".into(), 64 << 20, OnRestart::Drop));
}

#[test]
fn a_space_lives_in_all_tiers_unless_it_says_otherwise() {
    let tiers = |head: &str, knob: &str| valid(&format!("{head}{}", plain(knob))).spaces[0].tiers;
    let (disk, redis) = ("[disk]\n", "[shared]\nurl = \"redis://h\"\n");
    assert_eq!(tiers("", ""), Tiers { disk: false, shared: false });
    assert_eq!(tiers(disk, ""), Tiers { disk: true, shared: false });
    assert_eq!(tiers(&format!("{disk}{redis}"), ""), Tiers { disk: true, shared: true });
    assert_eq!(
        tiers(&format!("{disk}{redis}"), "tiers = [\"memory\", \"shared\"]"),
        Tiers { disk: false, shared: true }
    );
    assert_eq!(tiers(&format!("{disk}{redis}"), "tiers = [\"memory\"]"), Tiers::default());
    one(&format!("{disk}{}", plain("tiers = [\"disk\"]")), &["b.toml:5:9", "\"memory\" or \"shared\""]);
    one(&plain("tiers = [\"shared\"]"), &["a section [shared]: there is none"]);
    one(&plain("tiers = []"), &["\"memory\" or \"shared\""]);
    let memory = |knob: &str| valid(&format!("{redis}{}", plain(knob))).spaces[0].policy.memory;
    assert_eq!(tiers(redis, "tiers = [\"shared\"]"), Tiers { disk: false, shared: true });
    assert!(!memory("tiers = [\"shared\"]") && memory("tiers = [\"memory\", \"shared\"]") && memory(""));
    // A section that can't be read is no section that is missing.
    one(&format!("[shared]\nurl = \"h\"\n{}", plain("tiers = [\"memory\", \"shared\"]")), &["b.toml:2:7"]);
}

#[test]
fn what_a_tier_can_not_guarantee_is_a_warning_and_under_strict_a_mistake() {
    let tagged = "tags = [\"t\"]";
    for (keys, space, words) in [
        ("url = \"redis://h\"\nbackplane = \"off\"", "", ["b.toml:3:13: [shared]", "up to 5s later"]),
        ("url = \"memcached://h\"\nresync = \"2s\"", "", ["b.toml:1:2: [shared]", "up to 2s later"]),
        ("url = \"redis://h\"\nbackplane_mode = \"pubsub\"", tagged, ["b.toml:3:18: [shared]", "Pub/Sub loses"]),
        ("url = \"redis+cluster://h\"\nreplica_reads = true", tagged, ["b.toml:3:17: [shared]", "a replica that lags"]),
    ] {
        let text = format!("[shared]\n{keys}\n{}", plain(space));
        one_warning(&text, &words);
        one(&format!("{text}strict = true\n"), &words);
        one(&format!("{text}strict = true\n"), &["beside `strict`"]);
    }
    // A tag that reaches one process only is said where the tag is.
    let text = format!("[shared]\nurl = \"redis://h\"\nbackplane = \"off\"\n{}", plain(tagged));
    let said = warnings(&text);
    assert!(said.contains("b.toml:7:8: [[space]] 'session'") && said.contains("one process only"), "{said}");
    assert_eq!(wrong(&format!("strict = true\n{text}")).lines().count(), 2);
    // A space that is not in the shared tier needs nothing of it.
    let memory = format!("[shared]\nurl = \"redis://h\"\nbackplane = \"off\"\n{}tiers = [\"memory\"]\n", plain(tagged));
    one_warning(&format!("strict = true\n{memory}"), &["no space uses"]);
    let lax = format!("strict = true\n{}", text.replace(tagged, "strict = false"));
    one_warning(&lax, &["up to 5s later"]);
}

#[test]
fn strict_does_not_start_without_its_tier() {
    let text = shared("url = \"redis://h\"");
    assert_eq!(valid(&text).shared.expect("there").on_start, OnStart::Degraded);
    let strict = format!("strict = true\n{text}");
    assert_eq!(valid(&strict).shared.expect("there").on_start, OnStart::Refuse);
    assert_eq!(warnings(&strict), "");
    one(
        &format!("strict = true\n{}", shared("url = \"redis://h\"\non_start = \"degraded\"")),
        &["b.toml:4:12", "on_start = \"refuse\""],
    );
    // Without a shared tier there is nothing to be strict about.
    assert_eq!(warnings(&format!("strict = true\n{}", plain("tags = [\"t\"]"))), "");
}

#[test]
fn what_is_hardly_meant_is_a_warning() {
    for url in ["redis://:pw@h", "redis+cluster://:pw@127.0.0.1,h", "redis+sentinel://:pw@h/m"] {
        one_warning(&shared(&format!("url = \"{url}\"")), &["b.toml:2:7", "rediss://", "unencrypted"]);
    }
    for url in ["rediss://:pw@h", "redis://:pw@localhost", "redis://:pw@[::1]", "redis+unix://:pw@/s", "redis://h"] {
        assert_eq!(warnings(&shared(&format!("url = \"{url}\""))), "", "{url}");
    }
    let slow = |timeout: &str| format!("{}[shared]\nurl = \"redis://h\"\ntimeout = \"{timeout}\"\n", sql(QUERY));
    one_warning(&slow("2s"), &["[[space]] 'product'", "callers wait 1s"]);
    assert_eq!(warnings(&slow("900ms")), "");
    one_warning(&format!("[disk]\n{}", plain("tiers = [\"memory\"]")), &["b.toml:1:2: [disk]", "no space uses"]);
}

#[test]
fn a_preset_sets_what_follows_from_it_and_a_knob_beside_it_wins() {
    let policy = |knobs: &str| valid(&sql(&format!("{QUERY}{knobs}"))).spaces.remove(0).policy;
    let usual = Policy::ttl(Span::secs(60));
    assert_eq!(policy(""), usual);
    assert_eq!(policy("preset = \"fresh\""), Policy { negative_ttl: Span::secs(1), ..usual.clone() });
    let balanced = Policy { stale_while_revalidate: Span::secs(60), stale_if_error: Span::secs(600), ..usual.clone() };
    assert_eq!(policy("preset = \"balanced\""), balanced);
    let fortress = Policy {
        stale_while_revalidate: Span::secs(600),
        stale_if_error: Span::secs(24 * 3600),
        jitter: 0.2,
        rescue_invalidated: true,
        ..usual
    };
    assert_eq!(policy("preset = \"fortress\""), fortress);
    let own = "preset = \"fortress\"\njitter = \"0%\"\nstale_if_error = \"5m\"\nrescue_invalidated = false\n";
    let expected =
        Policy { jitter: 0.0, stale_if_error: Span::secs(300), rescue_invalidated: false, ..fortress.clone() };
    assert_eq!(policy(own), expected);
    let graced = policy("preset = \"fortress\"\ngrace = \"1m\"");
    assert_eq!((graced.stale_while_revalidate, graced.stale_if_error), (Span::secs(60), Span::secs(60)));
    // However long the ttl is, the windows are ones that a space may have.
    for preset in ["fresh", "balanced", "fortress"] {
        let text = format!("[[space]]\nmatch = \"s:{{id}}\"\nttl = \"400d\"\npreset = \"{preset}\"\n");
        assert_eq!(valid(&text).spaces[0].policy.mistakes(), []);
    }
}

#[test]
fn tiers_open_and_close_with_the_server_and_that_is_said() {
    let base = plain("");
    let with = |keys: &str| format!("[shared]\nurl = \"redis://h\"\n{keys}{base}");
    let changed = |old: &str, new: &str| changes(&valid(old), &valid(new));
    for (keys, said) in [
        ("prefix = \"x\"\n", "[shared] prefix"),
        ("timeout = \"1ms\"\n", "[shared] timeout"),
        ("resync = \"1s\"\n", "[shared] resync"),
        ("on_start = \"refuse\"\n", "[shared] on_start"),
        ("backplane = \"redis://b\"\n", "[shared] backplane"),
        ("backplane = \"off\"\n", "[shared] backplane"),
        ("password = \"x\"\n", "[shared] url"),
    ] {
        let changes = changed(&with(""), &with(keys));
        assert_eq!(changes.at_next_start, [said]);
        assert!(changes.is_nothing(), "the rest is as it was");
    }
    assert_eq!(changed(&with(""), &with("").replace("redis://h", "redis://i")).at_next_start, ["[shared] url"]);
    for (old, new) in [(base.clone(), with("")), (with(""), base.clone())] {
        let changes = changed(&old, &new);
        assert_eq!(changes.at_next_start, ["[shared]"]);
        assert!(changes.is_nothing(), "spaces stay where they are until then: {changes:?}");
        let kept = until_next_start(&valid(&old), valid(&new));
        assert_eq!((kept.shared.is_some(), kept.spaces[0].tiers.shared), (old != base, old != base));
    }
    let disk = |keys: &str| format!("[disk]\n{keys}{base}");
    for (keys, said) in [
        ("path = \"x\"\n", "[disk] path"),
        ("limit = \"64 MiB\"\n", "[disk] limit"),
        ("on_restart = \"drop\"\n", "[disk] on_restart"),
    ] {
        assert_eq!(changed(&disk(""), &disk(keys)).at_next_start, [said]);
    }
    assert_eq!(changed(&base, &disk("")).at_next_start, ["[disk]"]);
    // A space that moves between tiers that are open begins anew.
    let moved = changed(&with(""), &format!("{}tiers = [\"memory\"]\n", with("")));
    assert_eq!(moved.space("session"), &SpaceChange::Renewed(vec!["tiers"]));
    assert!(moved.at_next_start.is_empty());
}

#[test]
fn certificates_are_named_for_a_redis_over_tls_alone_and_a_key_with_its_certificate() {
    let tls = at("rediss://h\"\ntls_ca = \"ca.pem\"\ntls_cert = \"me.pem\"\ntls_key = \"me.key").tls;
    let name = |path: &std::path::Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    assert_eq!(tls.ca.as_deref().and_then(name).as_deref(), Some("ca.pem"));
    assert!(tls.identity.is_some());
    for (text, words) in [
        ("url = \"redis://h\"\ntls_ca = \"ca.pem\"", "rediss://"),
        ("url = \"memcached://h\"\ntls_ca = \"ca.pem\"", "rediss://"),
        ("url = \"rediss://h\"\ntls_cert = \"me.pem\"", "`tls_key` beside it"),
        ("url = \"rediss://h\"\ntls_key = \"me.pem\"", "`tls_cert` beside it"),
        ("url = \"rediss://h\"\ntls_ca = \"\"", "a file"),
        ("url = \"redis://::1:7\"", "[::1]:6379"),
    ] {
        let told = wrong(&shared(text));
        assert!(told.contains(words), "{text}: {told}");
    }
}

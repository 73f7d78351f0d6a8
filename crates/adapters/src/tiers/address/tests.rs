//! Is every form of address read as its words say, and is a wrong one told without its secret?

use super::*;

fn at(host: &str, port: u16) -> ServerAddress {
    ServerAddress { host: host.into(), port }
}

fn good(text: &str) -> RedisTarget {
    RedisTarget::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// As it prints.
fn read(text: &str) -> String {
    match TierAddress::parse(text) {
        Ok(TierAddress::Redis(target)) => target.to_string(),
        Ok(TierAddress::Memcached(servers)) => format!("memcached://{}", Servers(&servers)),
        Err(mistake) => panic!("{text}: {}", mistake.problem()),
    }
}

#[test]
fn every_form_of_address_is_understood() {
    assert!(good("redis://cache").shape == RedisShape::One(at("cache", 6379)));
    let full = good("rediss://app:s%2Fcret@10.0.0.5:7000/3");
    assert!(full.tls && full.db == 3 && full.shape == RedisShape::One(at("10.0.0.5", 7000)));
    assert_eq!((full.user.as_deref(), full.password.as_deref()), (Some("app"), Some("s/cret")));
    let alone = good("valkey://:p@ss@[::1]:1");
    assert_eq!((alone.user, alone.password.as_deref()), (None, Some("p@ss")));
    assert!(alone.shape == RedisShape::One(at("::1", 1)));
    // One login for all of them; an `@` of the password is understood, a comma is encoded.
    let guarded = good("redis+cluster://u:p@s%2Cs@a:1,b:2");
    assert_eq!((guarded.user.as_deref(), guarded.password.as_deref()), (Some("u"), Some("p@s,s")));
    assert!(guarded.shape == RedisShape::Cluster(vec![at("a", 1), at("b", 2)]));
    assert_eq!(good("redis://u:p,s@h").password.as_deref(), Some("p,s"));
    let unix = good("redis+unix:///run/redis.sock?db=2");
    assert!(unix.db == 2 && unix.shape == RedisShape::Unix("/run/redis.sock".into()));
    let cluster = good("redis+cluster://a:1,b:2,[::1]:3");
    assert!(cluster.shape == RedisShape::Cluster(vec![at("a", 1), at("b", 2), at("::1", 3)]));
    let sentinel = good("redis+sentinel://a,b:2/main/5");
    let named = RedisShape::Sentinel { sentinels: vec![at("a", 26379), at("b", 2)], name: "main".into() };
    assert!(sentinel.db == 5 && sentinel.shape == named);
}

#[test]
fn an_address_reads_as_it_prints_whichever_of_its_words_is_used() {
    for (printed, ways) in [
        (
            "redis://h:6379",
            &["redis://h", "valkey://h", "Redis://H:6379", "redis://h/", "redis://h/0", "redis://h?db=0"][..],
        ),
        ("redis://h:6379/3", &["redis://h/3", "redis://h?db=3", "valkey://h/?db=3"]),
        ("rediss://h:6379", &["rediss://h", "valkeys://h"]),
        ("redis+unix:///run/a@b.sock", &["redis+unix:///run/a@b.sock", "valkey+unix:///run/a@b.sock?db=0"]),
        ("redis+unix:///run/s?db=2", &["redis+unix:///run/s?db=2", "redis+unix://app:pw@/run/s?db=2"]),
        (
            "redis+cluster://a:6379,b:1",
            &["redis+cluster://a,b:1", "valkey+cluster://a,b:1/0", "redis+cluster://a,b:1?db=0"],
        ),
        ("rediss+cluster://a:6379", &["rediss+cluster://a", "valkeys+cluster://a/"]),
        ("redis+sentinel://a:26379/m", &["redis+sentinel://a/m", "redis+sentinel://a/m/0", "valkey+sentinel://a/m/"]),
        ("redis+sentinel://a:26379/m?db=4", &["redis+sentinel://a/m/4", "redis+sentinel://a/m?db=4"]),
        ("rediss+sentinel://a:26379/m", &["rediss+sentinel://a/m", "valkeys+sentinel://a/m"]),
        ("memcached://a:11211", &["memcached://a", "memcached://A/"]),
        ("memcached://a:1,b:2,10.0.0.1:11211", &["memcached://a:1,b:2,10.0.0.1/"]),
        ("memcached://[::1]:5,[::2]:11211", &["memcached://[::1]:5,[::2]"]),
    ] {
        for way in ways.iter().chain([&printed]) {
            assert_eq!(read(way), printed, "{way}");
        }
    }
    assert_eq!(ServerAddress::parse("[fe80::1%eth0]:7", 1), Ok(at("fe80::1%eth0", 7)));
}

#[test]
fn a_wrong_address_is_told_with_a_way_out_and_without_its_secret() {
    let cases = [
        ("localhost:6379", "needs a scheme", "redis://"),
        ("reddis://h", "is no scheme", "did you mean redis://?"),
        ("redis+clustr://:hunter2@h", "is no scheme", "did you mean redis+cluster://?"),
        ("redis-cluster://h", "is no scheme", "did you mean redis+cluster://?"),
        ("memcache://h", "is no scheme", "did you mean memcached://?"),
        ("http://h", "is no scheme", "redis+cluster"),
        ("app:hunter2@h://x", "is no scheme", "redis://"),
        ("redis://", "no host", "HOST"),
        ("redis://:hunter2@", "no host", "HOST"),
        ("redis://:hunter2@h:0", "no port", ":PORT"),
        ("redis://:hunter2@h:70000", "no port", ":PORT"),
        ("redis://:hunter2@h:+7", "no port", ":PORT"),
        ("redis://:hunter2@::1", "IPv6", "[::1]:6379"),
        ("redis://[::1", "a host that is none", "a name or address"),
        ("redis://[h]:1", "a host that is none", "a name or address"),
        ("redis://a b", "a host that is none", "a name or address"),
        ("redis://h/x", "a database that is none", "number from 0 to 65535"),
        ("redis://h/65536", "a database that is none", "number from 0 to 65535"),
        ("redis://h/+1", "a database that is none", "number from 0 to 65535"),
        ("redis://h/1?db=1", "two databases", "twice"),
        ("redis://h?db=1&db=1", "two databases", "twice"),
        ("redis+sentinel://h/m/1?db=1", "two databases", "twice"),
        ("redis://:hunter2/x@h", "as it is", "%2F"),
        ("redis://:hunter2?x@h", "as it is", "%2F"),
        ("redis://:hunter2#x@h", "as it is", "%2F"),
        ("redis://:hunter2%zz@h", "as it is", "%25"),
        ("redis://:hunter2%00@h", "as it is", "%25"),
        ("redis://a,b", "several hosts", "redis+cluster"),
        ("redis+cluster://a,b/1", "no databases", "nothing behind"),
        ("redis+cluster://a?db=1", "no databases", "nothing behind"),
        ("redis+cluster://a,a:6379", "twice", "twice"),
        ("redis+sentinel://a", "name", "mymaster"),
        ("redis+sentinel://a/my%20master", "name", "mymaster"),
        ("redis+sentinel://a/my/master", "a database that is none", "number"),
        ("redis+unix://run/redis.sock", "absolute path", "three slashes"),
        ("redis+unix://", "absolute path", "path is missing"),
        ("redis://h?tls=1", "mean nothing", "db=NUMBER"),
        ("redis://h?password=hunter2", "behind", "before the host"),
        ("redis://h?auth=hunter2", "behind", "before the host"),
        ("redis://h?db=1&pw=hunter2", "behind", "before the host"),
        ("redis://h?token=hunter2", "mean nothing", "db=NUMBER"),
        ("redis://h:hunter2", "no port", ":PORT"),
        ("redis://h/hunter2", "a database that is none", "number"),
        (
            "redis+cluster://u:hunter2@a:1,u:hunter2@b:2",
            "than the first",
            "the login stands once, before the first server",
        ),
        ("redis+cluster://a:1,u:hunter2@b:2", "than the first", "the login stands once, before the first server"),
        ("valkeys+cluster://:hunter2@a,:hunter2@b", "than the first", "the login stands once, before the first server"),
        ("redis+sentinel://u:hunter2@a:1,hunter2:pw@b:1/n", "than the first", "once, before the first server"),
        ("redis+cluster://u:hun,ter2@a:1", "than the first", "a comma of a password is %2C"),
        ("memcached://h", "not of a Redis", "redis://"),
        ("memcached://", "no host", "HOST"),
        ("memcached://a,,b", "no host", "HOST"),
        ("memcached://a:x", "no port", ":PORT"),
        ("memcached://a:1/0", "something behind its servers", "nothing behind"),
        ("memcached://a:1,b:2,a:1", "twice", "twice"),
        ("memcached://app:hunter2@a:1", "without user and password", "nothing before"),
    ];
    for (text, problem, hint) in cases {
        let Err(error) = RedisTarget::parse(text) else { panic!("{text} was taken") };
        assert!(error.problem().contains(problem), "{text}: {error}");
        assert!(error.hint().contains(hint), "{text}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{text}: {error}");
    }
    let many = |n: usize| (0..n).map(|i| format!("h{i}")).collect::<Vec<_>>().join(",");
    assert!(TierAddress::parse(&format!("memcached://{}", many(MOST_SERVERS))).is_ok());
    let one_more = TierAddress::parse(&format!("memcached://{}", many(MOST_SERVERS + 1)));
    assert_eq!(one_more, Err(AddressMistake::TooManyHosts));
}

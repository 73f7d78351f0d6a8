//! Where is a tier? One URL: its scheme says what it is, the rest where, and who asks.

use super::host::host_and_port;
use super::problem::{Wrong, did_you_mean};
use super::resolved::{Node, RedisAt, RedisUrl};
use super::secret::Secret;
use std::path::PathBuf;

/// The most servers that one URL names.
const MAX_NODES: usize = 64;
/// The highest database number: Redis takes what its `databases` says, 16 unless set.
const MAX_DATABASE: u32 = 65_535;
/// Ports of those who name none.
const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const MEMCACHED_PORT: u16 = 11211;

/// What a URL leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TierUrl {
    Redis(RedisUrl),
    Memcached(Vec<Node>),
}

/// What a scheme says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    One,
    Socket,
    Cluster,
    Sentinel,
    Memcached,
}

/// Scheme, what it leads to, over TLS.
const SCHEMES: [(&str, Kind, bool); 8] = [
    ("redis", Kind::One, false),
    ("rediss", Kind::One, true),
    ("redis+unix", Kind::Socket, false),
    ("redis+cluster", Kind::Cluster, false),
    ("rediss+cluster", Kind::Cluster, true),
    ("redis+sentinel", Kind::Sentinel, false),
    ("rediss+sentinel", Kind::Sentinel, true),
    ("memcached", Kind::Memcached, false),
];

/// What people write for what they mean.
const OTHER_NAMES: [(&str, &str); 8] = [
    ("valkey", "redis"),
    ("valkeys", "rediss"),
    ("unix", "redis+unix"),
    ("redis-cluster", "redis+cluster"),
    ("redis-sentinel", "redis+sentinel"),
    ("sentinel", "redis+sentinel"),
    ("memcache", "memcached"),
    ("tcp", "redis"),
];

fn expected() -> Wrong {
    Wrong::expected(
        "a URL: redis://HOST:PORT, rediss://…, redis+unix:///PATH, redis+cluster://A:1,B:2, \
         redis+sentinel://A:1,B:2/NAME or memcached://A:1,B:2",
    )
}

/// A password that cuts a URL in pieces.
const ENCODE: &str =
    "percent-encode what is no letter or digit of a user or password, or write the password as `password`";

/// Hints quote nothing of it: a password may stand where its writer did not mean it to.
pub(super) fn tier_url(text: &str) -> Result<TierUrl, Wrong> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(expected().hint("begin with redis:// or memcached://"));
    };
    let Some((_, kind, tls)) = SCHEMES.iter().find(|(name, ..)| *name == scheme) else { return Err(no_such(scheme)) };
    if rest.rsplit_once('@').is_some_and(|(who, _)| who.contains(['/', '?', '#'])) {
        return Err(expected().hint(ENCODE));
    }
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // The last one: a password may contain an `@` that its writer forgot to encode.
    let (who, hosts) = authority.rsplit_once('@').map_or((None, authority), |(who, hosts)| (Some(who), hosts));
    if *kind == Kind::Memcached {
        return memcached(who, hosts, path, query).map(TierUrl::Memcached);
    }
    let (user, password) = who.map_or(Ok((None, None)), credentials)?;
    let mut database = query.map_or(Ok(None), database_of_query)?;
    let at = match kind {
        Kind::One => {
            if database.is_none() && path.len() > 1 {
                database = Some(number(path.trim_start_matches('/'))?);
            } else if path.len() > 1 {
                return Err(expected().hint("the database twice: as a path, or as ?db="));
            }
            RedisAt::One(one(hosts)?)
        }
        Kind::Socket => socket(hosts, path)?,
        Kind::Cluster => cluster(hosts, path, database)?,
        Kind::Sentinel | Kind::Memcached => sentinel(hosts, path)?,
    };
    Ok(TierUrl::Redis(RedisUrl { at, tls: *tls, user, password, database: database.unwrap_or(0) }))
}

fn no_such(scheme: &str) -> Wrong {
    let meant = OTHER_NAMES.iter().find(|(name, _)| *name == scheme).map(|(_, meant)| *meant);
    let meant = meant.or_else(|| did_you_mean(scheme, SCHEMES.iter().map(|(name, ..)| *name)));
    match meant {
        Some(meant) => expected().hint(format!("did you mean {meant}://?")),
        None => expected(),
    }
}

fn memcached(who: Option<&str>, hosts: &str, path: &str, query: Option<&str>) -> Result<Vec<Node>, Wrong> {
    if who.is_some() {
        return Err(expected().hint("Memcached is asked without a password: put nothing before the hosts"));
    }
    if path.len() > 1 || query.is_some() {
        return Err(expected().hint("nothing behind the hosts of a Memcached fleet"));
    }
    nodes(hosts, MEMCACHED_PORT)
}

fn one(hosts: &str) -> Result<Node, Wrong> {
    if hosts.contains(',') {
        return Err(expected().hint("for several hosts write redis+cluster:// or redis+sentinel://"));
    }
    node(hosts, REDIS_PORT)
}

fn socket(hosts: &str, path: &str) -> Result<RedisAt, Wrong> {
    if !hosts.is_empty() {
        return Err(expected().hint("three slashes in front of the path: redis+unix:///run/redis.sock"));
    }
    if path.len() < 2 || path.contains('\0') {
        return Err(expected().hint("the socket's path is missing: redis+unix:///run/redis.sock"));
    }
    Ok(RedisAt::Socket(PathBuf::from(path)))
}

fn cluster(hosts: &str, path: &str, database: Option<u32>) -> Result<RedisAt, Wrong> {
    if path.len() > 1 || database.is_some_and(|database| database != 0) {
        return Err(expected().hint("nothing behind the hosts of a cluster: it has the database 0 alone"));
    }
    Ok(RedisAt::Cluster(nodes(hosts, REDIS_PORT)?))
}

fn sentinel(hosts: &str, path: &str) -> Result<RedisAt, Wrong> {
    let name = path.strip_prefix('/').unwrap_or_default();
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !plain {
        let hint = "the name that the sentinels know the primary by, behind the hosts: …/mymaster";
        return Err(expected().hint(hint));
    }
    Ok(RedisAt::Sentinel { nodes: nodes(hosts, SENTINEL_PORT)?, name: name.to_owned() })
}

fn nodes(hosts: &str, port: u16) -> Result<Vec<Node>, Wrong> {
    let mut nodes: Vec<Node> = Vec::new();
    for host in hosts.split(',') {
        let node = node(host, port)?;
        if nodes.contains(&node) {
            return Err(expected().hint("one host stands there twice"));
        }
        nodes.push(node);
    }
    if nodes.len() > MAX_NODES {
        return Err(Wrong::expected(format!("at most {MAX_NODES} hosts in one URL")));
    }
    Ok(nodes)
}

fn node(host: &str, port: u16) -> Result<Node, Wrong> {
    let hint = match host.matches(':').count() {
        _ if host.is_empty() => "a host is missing",
        2.. if !host.starts_with('[') => "an IPv6 address stands in brackets: [::1]:6379",
        _ => "a host is a name or address, then perhaps :PORT",
    };
    let (host, given) = host_and_port(host).ok_or_else(|| expected().hint(hint))?;
    Ok(Node { host: host.to_ascii_lowercase(), port: given.unwrap_or(port) })
}

/// `user:password`, `:password`, `user`.
fn credentials(who: &str) -> Result<(Option<String>, Option<Secret>), Wrong> {
    let (user, password) = who.split_once(':').map_or((who, None), |(user, password)| (user, Some(password)));
    let plain = |text: &str| decoded(text).ok_or_else(|| expected().hint(ENCODE));
    let some = |text: String| if text.is_empty() { None } else { Some(text) };
    let password = password.map(plain).transpose()?.and_then(some);
    Ok((some(plain(user)?), password.map(Secret::new)))
}

/// `None`: a `%` without two hexadecimal digits, bytes that are no text, or what would have to be encoded.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
                bytes.push(u8::try_from(value).ok()?);
            }
            b'@' | b'/' | b'#' => return None,
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

fn database_of_query(query: &str) -> Result<Option<u32>, Wrong> {
    let mut database = None;
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("db", value)) => database = Some(number(value)?),
            Some(("pass" | "password" | "user" | "username", _)) => {
                return Err(expected().hint("the password belongs to `password`, the user before the host: user@HOST"));
            }
            _ => return Err(expected().hint("behind `?` only db=NUMBER")),
        }
    }
    Ok(database)
}

fn number(text: &str) -> Result<u32, Wrong> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = if digits { text.parse().ok().filter(|&n| n <= MAX_DATABASE) } else { None };
    number.ok_or_else(|| expected().hint(format!("the database is a number from 0 to {MAX_DATABASE}")))
}

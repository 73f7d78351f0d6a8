//! What does an address say? Text to nouns, piece by piece: scheme, login, hosts, path, query.

use super::mistake::AddressMistake as Mistake;
use super::nouns::{MOST_SERVERS, RedisShape, RedisTarget, ServerAddress, TierAddress};
use crate::SetupError;

/// Ports of those who name none.
const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
pub(crate) const MEMCACHED_PORT: u16 = 11211;
/// How alike a scheme has to be to be suggested.
const ALIKE: f64 = 0.8;

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
const SCHEMES: [(&str, Kind, bool); 15] = [
    ("redis", Kind::One, false),
    ("rediss", Kind::One, true),
    ("redis+unix", Kind::Socket, false),
    ("redis+cluster", Kind::Cluster, false),
    ("rediss+cluster", Kind::Cluster, true),
    ("redis+sentinel", Kind::Sentinel, false),
    ("rediss+sentinel", Kind::Sentinel, true),
    ("valkey", Kind::One, false),
    ("valkeys", Kind::One, true),
    ("valkey+unix", Kind::Socket, false),
    ("valkey+cluster", Kind::Cluster, false),
    ("valkeys+cluster", Kind::Cluster, true),
    ("valkey+sentinel", Kind::Sentinel, false),
    ("valkeys+sentinel", Kind::Sentinel, true),
    ("memcached", Kind::Memcached, false),
];

/// What people write for what they mean.
const OTHER_NAMES: [(&str, &str); 6] = [
    ("unix", "redis+unix"),
    ("redis-cluster", "redis+cluster"),
    ("redis-sentinel", "redis+sentinel"),
    ("sentinel", "redis+sentinel"),
    ("memcache", "memcached"),
    ("tcp", "redis"),
];

/// What people call user and password behind a `?`.
const LOGIN_NAMES: [&str; 8] = ["auth", "pass", "passwd", "password", "pw", "pwd", "user", "username"];

impl TierAddress {
    /// Reads `redis://USER:PASSWORD@HOST:6379/0`, `rediss://…` (TLS), `redis+unix:///PATH?db=1`,
    /// `redis+cluster://A:6379,B:6379`, `redis+sentinel://A:26379,B:26379/NAME/0` or `memcached://A:11211,B:11211`;
    /// `valkey` is another word for `redis`, and `?db=0` for `/0`.
    ///
    /// ```
    /// use bellwether_adapters::tiers::address::{AddressMistake, TierAddress};
    /// assert_eq!(TierAddress::parse("valkey://cache/3"), TierAddress::parse("redis://cache:6379?db=3"));
    /// assert_eq!(TierAddress::parse("redis://a,b"), Err(AddressMistake::SeveralHosts));
    /// ```
    ///
    /// # Errors
    /// What is wrong, which quotes nothing but a scheme.
    pub fn parse(text: &str) -> Result<TierAddress, Mistake> {
        address(text)
    }
}

impl RedisTarget {
    /// [`TierAddress::parse`], of a Redis or Valkey.
    ///
    /// # Errors
    /// What is wrong and what to write instead, never with the password in it.
    ///
    /// ```
    /// use bellwether_adapters::tiers::address::RedisTarget;
    /// assert_eq!(RedisTarget::parse("rediss://cache.example/3")?.db, 3);
    /// assert!(RedisTarget::parse("reddis://cache").unwrap_err().to_string().contains("did you mean redis://"));
    /// # Ok::<(), bellwether_adapters::SetupError>(())
    /// ```
    pub fn parse(text: &str) -> Result<RedisTarget, SetupError> {
        match TierAddress::parse(text)? {
            TierAddress::Redis(target) => Ok(target),
            TierAddress::Memcached(_) => Err(Mistake::NoRedis.into()),
        }
    }
}

impl ServerAddress {
    /// Reads one as it prints; `port` is that of those who name none.
    ///
    /// # Errors
    /// It is no host, or no port.
    pub fn parse(text: &str, port: u16) -> Result<ServerAddress, Mistake> {
        server(text, port)
    }
}

fn address(text: &str) -> Result<TierAddress, Mistake> {
    let (scheme, rest) = text.split_once("://").ok_or(Mistake::NoScheme)?;
    let (kind, tls) = kind(scheme)?;
    // The path of a socket may hold an `@`; whose address begins with the path has no login.
    let has_login = kind != Kind::Socket || !rest.starts_with('/');
    // The last one: a password may contain an `@` that its writer forgot to encode.
    let (login, rest) = match rest.rsplit_once('@').filter(|_| has_login) {
        Some((login, _)) if login.contains(['/', '?', '#']) => return Err(Mistake::Encoding),
        // Read as one long password, it would leave one server of several, and nobody would know.
        Some((login, _)) if login.contains(',') && matches!(kind, Kind::Cluster | Kind::Sentinel) => {
            return Err(Mistake::LoginTwice);
        }
        Some((login, rest)) => (Some(login), rest),
        None => (None, rest),
    };
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (hosts, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if kind == Kind::Memcached {
        return memcached(login, hosts, path, query).map(TierAddress::Memcached);
    }
    let (user, password) = login.map_or(Ok((None, None)), credentials)?;
    let asked = query.map_or(Ok(None), database_of_query)?;
    let behind = path.strip_prefix('/').unwrap_or_default();
    let (shape, db) = match kind {
        Kind::One => (RedisShape::One(one(hosts)?), database(behind, asked)?),
        Kind::Socket => (socket(hosts, path)?, asked.unwrap_or(0)),
        Kind::Cluster => (cluster(hosts, behind, asked)?, 0),
        Kind::Sentinel | Kind::Memcached => {
            let (name, number) = behind.split_once('/').unwrap_or((behind, ""));
            let name = sentinel_name(name)?;
            let sentinels = servers(hosts, SENTINEL_PORT)?;
            (RedisShape::Sentinel { sentinels, name }, database(number, asked)?)
        }
    };
    Ok(TierAddress::Redis(RedisTarget { shape, tls, user, password, db: i64::from(db) }))
}

fn kind(scheme: &str) -> Result<(Kind, bool), Mistake> {
    let wanted = scheme.to_ascii_lowercase();
    if let Some((_, kind, tls)) = SCHEMES.iter().find(|(name, ..)| *name == wanted) {
        return Ok((*kind, *tls));
    }
    let other = OTHER_NAMES.iter().find(|(name, _)| *name == wanted).map(|(_, meant)| *meant);
    let close = || {
        let alike = SCHEMES.iter().map(|(name, ..)| (strsim::jaro_winkler(&wanted, name), *name));
        alike.filter(|(alike, _)| *alike > ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
    };
    // Before the first "://" there is no secret, unless the scheme was forgotten.
    let shown = is_scheme(scheme).then(|| scheme.to_owned());
    Err(Mistake::UnknownScheme { scheme: shown, meant: other.or_else(close) })
}

pub(super) fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b))
}

fn memcached(login: Option<&str>, hosts: &str, path: &str, query: Option<&str>) -> Result<Vec<ServerAddress>, Mistake> {
    if login.is_some() {
        return Err(Mistake::MemcachedLogin);
    }
    if path.len() > 1 || query.is_some() {
        return Err(Mistake::MemcachedTail);
    }
    servers(hosts, MEMCACHED_PORT)
}

fn one(hosts: &str) -> Result<ServerAddress, Mistake> {
    if hosts.contains(',') { Err(Mistake::SeveralHosts) } else { named(hosts, REDIS_PORT) }
}

fn socket(hosts: &str, path: &str) -> Result<RedisShape, Mistake> {
    match path {
        _ if !hosts.is_empty() => Err(Mistake::SocketHost),
        path if path.len() < 2 || path.contains('\0') => Err(Mistake::SocketPath),
        path => Ok(RedisShape::Unix(path.into())),
    }
}

fn cluster(hosts: &str, behind: &str, asked: Option<u16>) -> Result<RedisShape, Mistake> {
    if !matches!(database(behind, asked), Ok(0)) {
        return Err(Mistake::ClusterDatabase);
    }
    Ok(RedisShape::Cluster(servers(hosts, REDIS_PORT)?))
}

/// Redis names the charset of such names in its sentinel.conf.
fn sentinel_name(text: &str) -> Result<String, Mistake> {
    let name = decoded(text).unwrap_or_default();
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if plain { Ok(name) } else { Err(Mistake::SentinelName) }
}

fn servers(hosts: &str, port: u16) -> Result<Vec<ServerAddress>, Mistake> {
    let mut servers: Vec<ServerAddress> = Vec::new();
    for host in hosts.split(',') {
        let server = named(host, port)?;
        if servers.contains(&server) {
            return Err(Mistake::HostTwice);
        }
        if servers.len() == MOST_SERVERS {
            return Err(Mistake::TooManyHosts);
        }
        servers.push(server);
    }
    Ok(servers)
}

/// A server that an address names: the same whatever case it is written in, since where keys lie may hang on its name.
fn named(text: &str, port: u16) -> Result<ServerAddress, Mistake> {
    let mut server = server(text, port)?;
    if !server.host.contains(':') {
        server.host.make_ascii_lowercase();
    }
    Ok(server)
}

/// A name, an IPv4 address, or an IPv6 address in brackets; then perhaps a port.
pub(super) fn server(text: &str, default: u16) -> Result<ServerAddress, Mistake> {
    let (host, tail) = match text.strip_prefix('[') {
        _ if text.is_empty() => return Err(Mistake::NoHost),
        Some(rest) => {
            let (host, tail) = rest.split_once(']').ok_or(Mistake::BadHost)?;
            (is_ipv6(host).then_some(host).ok_or(Mistake::BadHost)?, tail)
        }
        None if text.matches(':').count() > 1 => return Err(Mistake::Brackets),
        None => {
            let (host, tail) = text.split_at(text.find(':').unwrap_or(text.len()));
            let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
            match host {
                "" => return Err(Mistake::NoHost),
                host if plain => (host, tail),
                _ => return Err(Mistake::BadHost),
            }
        }
    };
    let port = match tail.strip_prefix(':') {
        Some(port) => {
            digits(port).and_then(|port| port.parse().ok()).filter(|port| *port > 0).ok_or(Mistake::BadPort)?
        }
        None if tail.is_empty() => default,
        None => return Err(Mistake::BadHost),
    };
    Ok(ServerAddress { host: host.to_owned(), port })
}

/// Perhaps with the zone of an address of one link.
fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, "0"));
    let plain = !zone.is_empty() && zone.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
    plain && address.parse::<std::net::Ipv6Addr>().is_ok()
}

/// `user:password`, `:password`, `user`.
fn credentials(login: &str) -> Result<(Option<String>, Option<String>), Mistake> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let part = |text| decoded(text).map(|text| Some(text).filter(|text| !text.is_empty())).ok_or(Mistake::Encoding);
    Ok((part(user)?, part(password)?))
}

/// `None`: a `%` without two hexadecimal digits, or bytes that are no text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        match byte {
            b'%' => bytes.push(u8::try_from(digit(rest.next()?)? * 16 + digit(rest.next()?)?).ok()?),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

fn database_of_query(query: &str) -> Result<Option<u16>, Mistake> {
    let mut database = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("db", _)) if database.is_some() => return Err(Mistake::DatabaseTwice),
            Some(("db", value)) => database = Some(number(value)?),
            Some((name, _)) if LOGIN_NAMES.contains(&name) => return Err(Mistake::LoginBehind),
            _ => return Err(Mistake::Parameter),
        }
    }
    Ok(database)
}

/// The database, which is named by `/N` or by `?db=N`; by neither, it is the first.
fn database(path: &str, asked: Option<u16>) -> Result<u16, Mistake> {
    match (path, asked) {
        ("", asked) => Ok(asked.unwrap_or(0)),
        (path, None) => number(path),
        (_, Some(_)) => Err(Mistake::DatabaseTwice),
    }
}

/// At most `MAX_DATABASE`, which is the most that the type holds.
fn number(text: &str) -> Result<u16, Mistake> {
    digits(text).and_then(|text| text.parse().ok()).ok_or(Mistake::Database)
}

/// The text, if it is nothing but digits: a number may be parsed from more.
fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
}

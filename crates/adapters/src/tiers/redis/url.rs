//! What does an address say? `redis://user:password@host:6379/0` and its relatives, read without ever repeating a
//! secret in an error.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::SetupError;

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// More addresses than this are a mistake.
const MOST_ADDRESSES: usize = 64;
const EXAMPLES: &str = "write redis://HOST:6379/0, rediss://HOST:6379 (TLS), redis+unix:///PATH/TO/SOCKET, \
    redis+cluster://HOST:6379,HOST:6379 or redis+sentinel://HOST:26379,HOST:26379/NAME";

/// Schemes, what they mean, and whether over TLS.
const SCHEMES: [(&str, Form, bool); 12] = [
    ("redis", Form::One, false),
    ("rediss", Form::One, true),
    ("valkey", Form::One, false),
    ("valkeys", Form::One, true),
    ("redis+unix", Form::Unix, false),
    ("valkey+unix", Form::Unix, false),
    ("redis+cluster", Form::Cluster, false),
    ("rediss+cluster", Form::Cluster, true),
    ("valkey+cluster", Form::Cluster, false),
    ("redis+sentinel", Form::Sentinel, false),
    ("rediss+sentinel", Form::Sentinel, true),
    ("valkey+sentinel", Form::Sentinel, false),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    One,
    Unix,
    Cluster,
    Sentinel,
}

/// Host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RedisAddress {
    /// A name, or an address of IPv4 or IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What is behind an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisShape {
    /// One server.
    One(RedisAddress),
    /// One server, at a socket of this machine.
    Unix(PathBuf),
    /// A cluster, some of its nodes.
    Cluster(Vec<RedisAddress>),
    /// Whatever server the sentinels say is the primary.
    Sentinel {
        /// Some of them.
        sentinels: Vec<RedisAddress>,
        /// What they call it.
        name: String,
    },
}

/// Where a Redis is, and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisTarget {
    /// One server or several.
    pub shape: RedisShape,
    /// Whether over TLS.
    pub tls: bool,
    /// The ACL user; the default one if `None`.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The number of the database; zero in a cluster.
    pub db: i64,
}

impl fmt::Debug for RedisTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|_| "***");
        write!(f, "RedisTarget {{ {:?}, tls: {}, user: {:?}, ", self.shape, self.tls, self.user)?;
        write!(f, "password: {password:?}, db: {} }}", self.db)
    }
}

impl RedisTarget {
    /// Reads `redis://USER:PASSWORD@HOST:6379/0`, `rediss://…` (TLS), `redis+unix:///PATH?db=1`,
    /// `redis+cluster://A:6379,B:6379` or `redis+sentinel://A:26379,B:26379/NAME/0`.
    ///
    /// # Errors
    /// What is wrong and what to write instead, never with the password in it.
    ///
    /// ```
    /// use bellwether_adapters::tiers::redis::RedisTarget;
    /// assert_eq!(RedisTarget::parse("rediss://cache.example/3")?.db, 3);
    /// assert!(RedisTarget::parse("reddis://cache").unwrap_err().to_string().contains("did you mean redis://"));
    /// # Ok::<(), bellwether_adapters::SetupError>(())
    /// ```
    pub fn parse(text: &str) -> Result<RedisTarget, SetupError> {
        read(text)
    }
}

fn read(text: &str) -> Result<RedisTarget, SetupError> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(SetupError::new("the address of a Redis needs a scheme, such as redis://", EXAMPLES));
    };
    let (form, tls) = form(scheme)?;
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
    if path.contains('@') || query.is_some_and(|query| query.contains('@')) || rest.contains('#') {
        return Err(SetupError::new(
            "user or password of the Redis address holds one of / ? # as it is",
            "write them as %2F, %3F and %23",
        ));
    }
    let (login, hosts) = authority.rsplit_once('@').map_or(("", authority), |(login, hosts)| (login, hosts));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (user, password) = (decoded(user)?, decoded(password)?);
    let query = query_db(query, form)?;
    let (shape, db) = match form {
        Form::One => {
            let [address] = &addresses(hosts, PORT)?[..] else {
                return Err(SetupError::new(
                    "a plain Redis address names several hosts",
                    "for a cluster write redis+cluster://A:6379,B:6379, for sentinels redis+sentinel://A:26379,B:26379/NAME",
                ));
            };
            (RedisShape::One(address.clone()), db(path)?)
        }
        Form::Unix if !hosts.is_empty() || path.is_empty() => {
            return Err(SetupError::new(
                "the address of a unix socket needs an absolute path",
                "write redis+unix:///run/redis.sock, with three slashes; a database is chosen by ?db=1",
            ));
        }
        Form::Unix => (RedisShape::Unix(format!("/{path}").into()), query),
        Form::Cluster if !path.is_empty() && path != "0" => {
            return Err(SetupError::new("a Redis Cluster has no databases", "leave away what follows the hosts"));
        }
        Form::Cluster => (RedisShape::Cluster(addresses(hosts, PORT)?), 0),
        Form::Sentinel => {
            let (name, number) = path.split_once('/').unwrap_or((path, ""));
            let Some(name) = decoded(name)? else {
                return Err(SetupError::new(
                    "sentinels have to be asked for a name",
                    "write redis+sentinel://HOST:26379,HOST:26379/NAME, the name being what `sentinel monitor` calls it",
                ));
            };
            (RedisShape::Sentinel { sentinels: addresses(hosts, SENTINEL_PORT)?, name }, db(number)?)
        }
    };
    Ok(RedisTarget { shape, tls, user, password, db })
}

fn form(scheme: &str) -> Result<(Form, bool), SetupError> {
    let wanted = scheme.to_ascii_lowercase();
    if let Some((_, form, tls)) = SCHEMES.iter().find(|(name, ..)| *name == wanted) {
        return Ok((*form, *tls));
    }
    let close = SCHEMES.iter().map(|(name, ..)| (strsim::jaro_winkler(&wanted, name), name));
    let hint = match close.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((likeness, name)) if likeness > 0.8 => format!("did you mean {name}://?"),
        _ => EXAMPLES.to_owned(),
    };
    // Before the first "://" there is no secret, unless the scheme was forgotten.
    let shown = if scheme.contains([':', '@']) { "what stands before ://".to_owned() } else { format!("\"{scheme}\"") };
    Err(SetupError::new(format!("{shown} is no scheme of a Redis address"), hint))
}

fn addresses(text: &str, port: u16) -> Result<Vec<RedisAddress>, SetupError> {
    if text.is_empty() {
        return Err(SetupError::new("the Redis address names no host", EXAMPLES));
    }
    let all = text.split(',').map(|one| address(one, port)).collect::<Result<Vec<_>, _>>()?;
    if all.len() > MOST_ADDRESSES {
        return Err(SetupError::new(
            format!("the Redis address names {} hosts, {MOST_ADDRESSES} at most are looked at", all.len()),
            "a few nodes are enough: they tell of the others",
        ));
    }
    Ok(all)
}

fn address(text: &str, default: u16) -> Result<RedisAddress, SetupError> {
    let bad = |what: &str| {
        SetupError::new(
            format!("{what} in \"{text}\" of the Redis address"),
            format!("write HOST:PORT, such as 10.0.0.5:{default} or [2001:db8::5]:{default}"),
        )
    };
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(|| bad("a bracket is not closed"))?;
            let port = rest.strip_prefix(':');
            if port.is_none() && !rest.is_empty() {
                return Err(bad("something other than a port follows the bracket"));
            }
            (host, port)
        }
        None if text.matches(':').count() > 1 => return Err(bad("an IPv6 address without brackets")),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace()) {
        return Err(bad("no host"));
    }
    let port = match port {
        None => default,
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(bad("no port between 1 and 65535")),
        },
    };
    Ok(RedisAddress { host: host.to_owned(), port })
}

fn db(text: &str) -> Result<i64, SetupError> {
    match text {
        "" => Ok(0),
        text => text.parse::<u16>().map(i64::from).map_err(|_| {
            SetupError::new(
                format!("\"{text}\" is no database number in the Redis address"),
                "a database is a number such as 0; leave it away for the first",
            )
        }),
    }
}

fn query_db(query: Option<&str>, form: Form) -> Result<i64, SetupError> {
    match query {
        None | Some("") => Ok(0),
        Some(query) => match query.split_once('=') {
            Some(("db", number)) if form == Form::Unix => db(number),
            _ => Err(SetupError::new(
                "the Redis address has parameters after \"?\" that mean nothing",
                "only redis+unix:///PATH?db=1 has one; all else is set by options of its own",
            )),
        },
    }
}

fn decoded(text: &str) -> Result<Option<String>, SetupError> {
    if text.is_empty() {
        return Ok(None);
    }
    percent_decode_str(text).decode_utf8().map(|text| Some(text.into_owned())).map_err(|_| {
        SetupError::new(
            "user, password or name in the Redis address is no UTF-8 once it is decoded",
            "check the % signs",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> RedisAddress {
        RedisAddress { host: host.into(), port }
    }

    fn good(text: &str) -> RedisTarget {
        read(text).unwrap_or_else(|error| panic!("{text}: {error}"))
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
        let unix = good("redis+unix:///run/redis.sock?db=2");
        assert!(unix.db == 2 && unix.shape == RedisShape::Unix("/run/redis.sock".into()));
        let cluster = good("redis+cluster://a:1,b:2,[::1]:3");
        assert!(cluster.shape == RedisShape::Cluster(vec![at("a", 1), at("b", 2), at("::1", 3)]));
        let sentinel = good("redis+sentinel://a,b:2/main/5");
        assert!(
            sentinel.db == 5
                && sentinel.shape
                    == RedisShape::Sentinel { sentinels: vec![at("a", 26379), at("b", 2)], name: "main".into() }
        );
    }

    #[test]
    fn a_wrong_address_is_told_with_a_way_out_and_without_its_secret() {
        let cases = [
            ("localhost:6379", "needs a scheme", "redis://"),
            ("reddis://h", "is no scheme", "did you mean redis://?"),
            ("redis+clustr://:hunter2@h", "is no scheme", "did you mean redis+cluster://?"),
            ("http://h", "is no scheme", "redis+cluster"),
            ("app:hunter2@h://x", "is no scheme", "redis://"),
            ("redis://", "no host", "redis://HOST"),
            ("redis://:hunter2@", "no host", "redis://HOST"),
            ("redis://:hunter2@h:0", "no port", "HOST:PORT"),
            ("redis://:hunter2@h:70000", "no port", "HOST:PORT"),
            ("redis://:hunter2@::1", "IPv6", "[2001:db8::5]"),
            ("redis://h/x", "no database number", "number"),
            ("redis://:hunter2/x@h", "/ ? #", "%2F"),
            ("redis://:hunter2?x@h", "/ ? #", "%2F"),
            ("redis://:hunter2#x@h", "/ ? #", "%2F"),
            ("redis://a,b", "several hosts", "redis+cluster"),
            ("redis+cluster://a,b/1", "no databases", "leave away"),
            ("redis+sentinel://a", "name", "sentinel monitor"),
            ("redis+unix://run/redis.sock", "absolute path", "three slashes"),
            ("redis://h?tls=1", "mean nothing", "options"),
        ];
        for (text, problem, hint) in cases {
            let Err(error) = read(text) else { panic!("{text} was taken") };
            assert!(error.problem().contains(problem), "{text}: {error}");
            assert!(error.hint().contains(hint), "{text}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{text}: {error}");
        }
    }
}

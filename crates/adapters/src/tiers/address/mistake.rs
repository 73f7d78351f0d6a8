//! What can be wrong with an address? A closed list: what it is, and what to write instead.

use super::nouns::{MAX_DATABASE, MOST_SERVERS};
use crate::SetupError;

/// What every kind of address looks like.
const EXAMPLES: &str = "write redis://HOST:6379/0, rediss://HOST:6379 (TLS), redis+unix:///PATH/TO/SOCKET, \
    redis+cluster://HOST:6379,HOST:6379, redis+sentinel://HOST:26379,HOST:26379/NAME or memcached://HOST:11211,HOST:11211";

/// What is wrong with an address. Nothing of it quotes the address, but for a scheme: a password may stand where its
/// writer did not mean it to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressMistake {
    /// There is no `://`.
    NoScheme,
    /// A scheme of nothing that we know.
    UnknownScheme {
        /// The scheme, unless a secret may be in it.
        scheme: Option<String>,
        /// What was probably meant.
        meant: Option<&'static str>,
    },
    /// A password that cuts the address in pieces, or is no text once it is decoded.
    Encoding,
    /// A user or password before another server than the first.
    LoginTwice,
    /// A host is missing.
    NoHost,
    /// No name, and no address.
    BadHost,
    /// An IPv6 address without brackets.
    Brackets,
    /// No port from 1 to 65535.
    BadPort,
    /// Several hosts, where one is meant.
    SeveralHosts,
    /// One host twice.
    HostTwice,
    /// More hosts than anybody means.
    TooManyHosts,
    /// A socket with a host.
    SocketHost,
    /// A socket without a path.
    SocketPath,
    /// A cluster with a database.
    ClusterDatabase,
    /// Sentinels without the name of whom they watch.
    SentinelName,
    /// A database that is no number.
    Database,
    /// Two databases.
    DatabaseTwice,
    /// A user or password behind the `?`.
    LoginBehind,
    /// Something else behind the `?`.
    Parameter,
    /// A user or password for Memcached.
    MemcachedLogin,
    /// Something behind the hosts of Memcached.
    MemcachedTail,
    /// A Memcached where a Redis is meant.
    NoRedis,
    /// A Redis where a Memcached is meant.
    NoMemcached,
}

impl AddressMistake {
    /// What is wrong.
    pub fn problem(&self) -> String {
        use AddressMistake as M;
        let said = match self {
            M::UnknownScheme { scheme: Some(scheme), .. } => {
                return format!("\"{scheme}\" is no scheme of a tier's address");
            }
            M::NoScheme => "the address of a tier needs a scheme, such as redis://",
            M::UnknownScheme { scheme: None, .. } => "what stands before :// is no scheme of a tier's address",
            M::Encoding => "user or password of the address holds what can't stand there as it is",
            M::LoginTwice => "user or password stand before another server than the first",
            M::NoHost => "the address names no host",
            M::BadHost => "the address names a host that is none",
            M::Brackets => "the address names an IPv6 address without brackets",
            M::BadPort => "the address names no port between 1 and 65535",
            M::SeveralHosts => "the address of one server names several hosts",
            M::HostTwice => "the address names a host twice",
            M::TooManyHosts => "the address names too many hosts",
            M::SocketHost | M::SocketPath => "the address of a unix socket needs an absolute path",
            M::ClusterDatabase => "a cluster has no databases",
            M::SentinelName => "sentinels have to be asked for a name",
            M::Database => "the address names a database that is none",
            M::DatabaseTwice => "the address names two databases",
            M::LoginBehind => "user or password stand behind the \"?\" of the address",
            M::Parameter => "the address has parameters behind \"?\" that mean nothing",
            M::MemcachedLogin => "a Memcached fleet is reached without user and password",
            M::MemcachedTail => "the address of a Memcached fleet has something behind its servers",
            M::NoRedis => "this is the address of a Memcached fleet, not of a Redis",
            M::NoMemcached => "the address of a Memcached fleet begins with memcached://",
        };
        said.to_owned()
    }

    /// What to write instead.
    pub fn hint(&self) -> String {
        use AddressMistake as M;
        let said = match self {
            M::UnknownScheme { meant: Some(meant), .. } => return format!("did you mean {meant}://?"),
            M::TooManyHosts => return format!("at most {MOST_SERVERS} hosts in one address"),
            M::Database => return format!("the database is a number from 0 to {MAX_DATABASE}"),
            M::UnknownScheme { meant: None, .. } => EXAMPLES,
            M::NoScheme => "begin with redis:// or memcached://",
            M::Encoding => {
                "percent-encode what is no letter or digit of a user or password: / is %2F, ? %3F, # %23, % %25"
            }
            M::LoginTwice => {
                "the login stands once, before the first server: USER:PASSWORD@HOST,HOST; a comma of a password is %2C"
            }
            M::NoHost => "a host is missing: HOST or HOST:PORT",
            M::BadHost => "a host is a name or address, then perhaps :PORT",
            M::Brackets => "an IPv6 address stands in brackets: [::1]:6379",
            M::BadPort => "behind a name or address stands :PORT, from 1 to 65535",
            M::SeveralHosts => "for several hosts write redis+cluster:// or redis+sentinel://",
            M::HostTwice => "one host stands there twice",
            M::SocketHost => "three slashes in front of the path: redis+unix:///run/redis.sock",
            M::SocketPath => "the socket's path is missing: redis+unix:///run/redis.sock",
            M::ClusterDatabase => "nothing behind the hosts of a cluster but /0: it has the database 0 alone",
            M::SentinelName => {
                "the name that the sentinels know the primary by, behind the hosts: …/mymaster, or …/mymaster/0 with a database"
            }
            M::DatabaseTwice => "the database stands there twice: as a path, or as ?db=",
            M::LoginBehind => "user and password stand before the host: USER:PASSWORD@HOST",
            M::Parameter => "behind `?` only db=NUMBER",
            M::MemcachedLogin => "Memcached is asked without a password: put nothing before the hosts",
            M::MemcachedTail => "nothing behind the hosts of a Memcached fleet",
            M::NoRedis => "begin with redis://",
            M::NoMemcached => "write memcached://HOST:11211,HOST:11211",
        };
        said.to_owned()
    }
}

impl From<AddressMistake> for SetupError {
    fn from(mistake: AddressMistake) -> SetupError {
        SetupError::new(mistake.problem(), mistake.hint())
    }
}

//! Which endpoint is put to the test? `redis://[[USER]:PASSWORD@]HOST:PORT[/DB]`.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::DrillError;

/// Where the password comes from if the URL has none: a command line is seen by everyone on the machine.
pub const PASSWORD: &str = "BELLWETHER_DRILL_PASSWORD";

/// Redis's own port.
const DEFAULT_PORT: u16 = 6379;

/// A RESP endpoint. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) db: u32,
}

impl Target {
    /// Reads a URL; `password` is taken if it has none.
    pub fn parse(url: &str, password: Option<String>) -> Result<Target, DrillError> {
        let wrong = |wrong| DrillError::BadTarget { shown: without_password(url), wrong };
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(wrong("it does not begin with redis://"));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "redis" | "valkey" => {}
            "rediss" | "valkeys" => return Err(wrong("TLS is not in this version of the drill")),
            _ => return Err(wrong("the scheme is not redis://")),
        }
        let (authority, db) = rest.split_once('/').unwrap_or((rest, ""));
        let db = match db {
            "" => 0,
            number => number.parse().map_err(|_| wrong("the database behind the / is no number"))?,
        };
        let (login, address) = match authority.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, authority),
        };
        let (host, port) = host_and_port(address).ok_or_else(|| wrong("host or port is not readable"))?;
        let (user, of_url) = match login.map(|login| login.split_once(':').unwrap_or(("", login))) {
            Some((user, secret)) => (decoded(user), decoded(secret)),
            None => (None, None),
        };
        Ok(Target { host, port, user, password: of_url.or(password), db })
    }

    /// The same, reached by way of another address.
    pub(crate) fn at(&self, address: std::net::SocketAddr) -> Target {
        Target { host: address.ip().to_string(), port: address.port(), ..self.clone() }
    }

    /// As a URL, with its password.
    pub(crate) fn url(&self) -> String {
        let encode = |part: &str| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string();
        let login = match (&self.user, &self.password) {
            (None, None) => String::new(),
            (user, password) => {
                let [user, password] = [user, password].map(|part| part.as_deref().map(encode).unwrap_or_default());
                format!("{user}:{password}@")
            }
        };
        self.to_string().replacen("redis://", &format!("redis://{login}"), 1)
    }

    /// A server that the drill itself has started.
    pub(crate) fn started(address: std::net::SocketAddr) -> Target {
        Target { host: address.ip().to_string(), port: address.port(), user: None, password: None, db: 0 }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brackets = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "redis://{}{}{}:{}", brackets.0, self.host, brackets.1, self.port)?;
        if self.db == 0 { Ok(()) } else { write!(f, "/{}", self.db) }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a message may show of a URL: a password may stand anywhere in one that is wrong.
fn without_password(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+') => format!("{scheme}://…"),
        _ => "…".to_owned(),
    }
}

fn host_and_port(address: &str) -> Option<(String, u16)> {
    let (host, port) = match address.strip_prefix('[') {
        Some(inner) => {
            let (host, tail) = inner.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, tail)
        }
        None => address.split_at(address.find(':').unwrap_or(address.len())),
    };
    let port = match port.strip_prefix(':') {
        Some(number) => number.parse().ok().filter(|&port| port > 0)?,
        None if port.is_empty() => DEFAULT_PORT,
        None => return None,
    };
    let readable = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:%".contains(&b));
    readable.then(|| (host.to_owned(), port))
}

/// A part of the login; none if it is empty.
fn decoded(part: &str) -> Option<String> {
    let text = percent_decode_str(part).decode_utf8_lossy();
    (!text.is_empty()).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Target {
        Target::parse(url, None).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn every_part_is_read() {
        let target = parsed("redis://me:s%40cret@127.0.0.1:7000/3");
        assert_eq!((target.host.as_str(), target.port, target.db), ("127.0.0.1", 7000, 3));
        assert_eq!((target.user.as_deref(), target.password.as_deref()), (Some("me"), Some("s@cret")));
        assert_eq!(parsed("redis://:pw@h").password.as_deref(), Some("pw"));
        assert_eq!(parsed("redis://pw@h").password.as_deref(), Some("pw"));
        assert_eq!(parsed("redis://h").port, DEFAULT_PORT);
        assert_eq!(parsed("valkey://h/1").to_string(), "redis://h:6379/1");
        assert_eq!(parsed("redis://[::1]:7000/").to_string(), "redis://[::1]:7000");
        let of_environment = Target::parse("redis://h", Some("env".into())).unwrap();
        assert_eq!(of_environment.password.as_deref(), Some("env"));
        assert_eq!(Target::parse("redis://:url@h", Some("env".into())).unwrap().password.as_deref(), Some("url"));
    }

    #[test]
    fn what_is_wrong_is_said_and_no_password_is_shown() {
        for (url, word) in [
            ("127.0.0.1:6379", "does not begin with redis://"),
            ("http://127.0.0.1:6379", "scheme"),
            ("rediss://127.0.0.1:6379", "TLS"),
            ("redis://", "host or port"),
            ("redis://h:0", "host or port"),
            ("redis://h:99999", "host or port"),
            ("redis://h:1/x", "no number"),
            ("redis://a b:1", "host or port"),
            ("redis://[::1:1", "host or port"),
            ("redis://:hunter2@h:x", "host or port"),
            ("redis://h:hunter2", "host or port"),
            ("redis://h?auth=hunter2", "host or port"),
            ("redis://h/hunter2", "no number"),
            ("u:hunter2://h", "scheme"),
            ("hunter2", "does not begin with redis://"),
        ] {
            let error = Target::parse(url, None).expect_err(url).to_string();
            assert!(error.contains(word) && error.contains("expected redis://"), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(!format!("{:?}", parsed("redis://:hunter2@h")).contains("hunter2"));
    }
}

//! Where is a PostgreSQL, who are we there, and is the way to it encrypted? `postgres://user:password@host/database`.

use std::fmt;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;

use super::super::SetupError;

const PORT: u16 = 5432;

/// The address of a database. Nothing shows its password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) place: Place,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) mode: SslMode,
    /// Whose certificates are trusted instead of the system's.
    pub(super) root: Option<PathBuf>,
}

/// How the server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Host(String),
    /// The directory of a unix socket.
    Socket(PathBuf),
}

/// What is asked of the way to the server; words and meanings are PostgreSQL's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslMode {
    /// In plain text.
    Disable,
    /// Encrypted if the server can, whoever it is.
    #[default]
    Prefer,
    /// Encrypted, whoever the server is.
    Require,
    /// Encrypted, and the certificate is the host's and trusted.
    VerifyFull,
}

impl SslMode {
    const ALL: [(&'static str, SslMode); 4] = [
        ("disable", SslMode::Disable),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-full", SslMode::VerifyFull),
    ];

    fn as_str(self) -> &'static str {
        SslMode::ALL.iter().find(|(_, mode)| *mode == self).map_or("", |(word, _)| word)
    }
}

impl PostgresUrl {
    /// Reads a URL; a relative `sslrootcert` starts at `base`. Whatever stands in front of the last `@` is user and
    /// password, so that a password may hold any character but `%`, which begins an encoded one.
    ///
    /// # Errors
    /// What is wrong with it. A password never shows.
    pub fn parse(text: &str, base: &Path) -> Result<PostgresUrl, SetupError> {
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        let rest = rest.ok_or_else(|| wrong("begins with no postgres://", "begin with postgres://"))?;
        if rest.contains('\0') {
            return Err(wrong("holds a NUL byte", "remove it"));
        }
        let (login, address) = rest
            .rsplit_once('@')
            .ok_or_else(|| wrong("lacks the user", "name the user: postgres://user:${PASSWORD}@host/database"))?;
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        if user.is_empty() {
            return Err(wrong("lacks the user", "the user's name stands in front of the `:`"));
        }
        let (address, parameters) = address.split_once('?').unwrap_or((address, ""));
        let parameters = Parameters::parse(parameters, base)?;
        let (host, database) = address.split_once('/').unwrap_or((address, ""));
        if database.is_empty() {
            return Err(wrong("lacks the database", "name the database behind the host: …@host/database"));
        }
        if database.contains('/') {
            return Err(wrong("has a `/` in the database's name", "percent-encode it as %2F"));
        }
        let (place, port) = address_of(host, parameters.socket)?;
        if matches!(place, Place::Socket(_)) && matches!(parameters.mode, SslMode::Require | SslMode::VerifyFull) {
            return Err(wrong("asks for TLS on a unix socket", "leave `sslmode` out: nobody can listen in there"));
        }
        if parameters.root.is_some() && parameters.mode != SslMode::VerifyFull {
            return Err(wrong(
                "has a `sslrootcert` that nothing is checked against",
                "set sslmode=verify-full, or leave `sslrootcert` out",
            ));
        }
        Ok(PostgresUrl {
            user: decoded(user)?,
            password: password.map(decoded).transpose()?,
            place,
            port,
            database: decoded(database)?,
            mode: parameters.mode,
            root: parameters.root,
        })
    }

    /// Which database it is, and who asks there, part by part: others may see other rows. Neither the password nor how
    /// the way there is encrypted.
    pub fn identity(&self) -> [String; 5] {
        let (kind, place) = match &self.place {
            Place::Host(host) => ("host", host.clone()),
            Place::Socket(directory) => ("socket", directory.to_string_lossy().into_owned()),
        };
        [kind.to_owned(), place, self.port.to_string(), self.database.clone(), self.user.clone()]
    }

    pub(super) fn config(&self) -> tokio_postgres::Config {
        use tokio_postgres::config::SslMode as Mode;
        let mut config = tokio_postgres::Config::new();
        config.user(&self.user).dbname(&self.database).port(self.port).application_name("bellwether");
        if let Some(password) = &self.password {
            config.password(password);
        }
        match &self.place {
            Place::Host(host) => config.host(host),
            Place::Socket(directory) => config.host_path(directory),
        };
        config.ssl_mode(match self.mode {
            SslMode::Disable => Mode::Disable,
            SslMode::Prefer => Mode::Prefer,
            SslMode::Require | SslMode::VerifyFull => Mode::Require,
        });
        config
    }
}

/// Without the password: for logs and debug output.
impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = if self.password.is_some() { ":***" } else { "" };
        write!(f, "postgres://{}{secret}@", self.user)?;
        match &self.place {
            Place::Host(host) => write!(f, "{host}:{}", self.port)?,
            Place::Socket(directory) => write!(f, "{}", directory.display())?,
        }
        write!(f, "/{}?sslmode={}", self.database, self.mode.as_str())
    }
}

#[derive(Default)]
struct Parameters {
    mode: SslMode,
    root: Option<PathBuf>,
    socket: Option<PathBuf>,
}

impl Parameters {
    fn parse(text: &str, base: &Path) -> Result<Parameters, SetupError> {
        let mut found = Parameters::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value)?;
            match name {
                "sslmode" => {
                    let known = SslMode::ALL.iter().find(|(word, _)| *word == value);
                    let hint = "write disable, prefer, require or verify-full";
                    found.mode = known.ok_or_else(|| wrong(&format!("has sslmode={value}"), hint))?.1;
                }
                "sslrootcert" if !value.is_empty() => found.root = Some(base.join(value)),
                "host" if value.starts_with('/') => found.socket = Some(PathBuf::from(value)),
                "host" => {
                    let hint = "`host` names the directory of a unix socket; a host stands behind the `@`";
                    return Err(wrong("has a `host` that is no directory", hint));
                }
                // Its value may be a secret, and what has none may be the rest of one.
                other => {
                    let hint = "only `sslmode`, `sslrootcert` and `host` are known";
                    let names = |name: &str| name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
                    let named = pair.contains('=') && names(other);
                    let problem = if named {
                        format!("has the parameter `{other}`")
                    } else {
                        "has a parameter without name or value".into()
                    };
                    return Err(wrong(&problem, hint));
                }
            }
        }
        Ok(found)
    }
}

fn address_of(text: &str, socket: Option<PathBuf>) -> Result<(Place, u16), SetupError> {
    if text.contains(',') {
        return Err(wrong("names several hosts", "name one: an address that always leads to the right server"));
    }
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, tail)) => (host, tail.strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let no_port = || wrong("has no valid port", "a number from 1 to 65535 behind the host and a colon");
    let port = port.map_or(Ok(PORT), |port| port.parse().map_err(|_| no_port()))?;
    if port == 0 {
        return Err(no_port());
    }
    let host = decoded(host)?;
    match (host, socket) {
        (host, Some(directory)) if host.is_empty() => Ok((Place::Socket(directory), port)),
        (_, Some(_)) => Err(wrong("names a host and a socket", "keep one of them")),
        (host, None) if host.starts_with('/') => Ok((Place::Socket(host.into()), port)),
        (host, None) if host.is_empty() => Err(wrong(
            "lacks the host",
            "name the host behind the `@`, or the socket's directory: ?host=/run/postgresql",
        )),
        (host, None) => {
            let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b));
            let hint = "a name or an address, without spaces; an IPv6 address in brackets";
            if plain { Ok((Place::Host(host), port)) } else { Err(wrong("has no valid host", hint)) }
        }
    }
}

fn decoded(text: &str) -> Result<String, SetupError> {
    let decoded = percent_decode_str(text).decode_utf8();
    let text = decoded.map_err(|_| wrong("holds percent-encoded bytes that are no UTF-8", "encode UTF-8"))?;
    if text.contains('\0') { Err(wrong("holds a NUL byte", "remove it")) } else { Ok(text.into_owned()) }
}

fn wrong(problem: &str, hint: &str) -> SetupError {
    SetupError::new(format!("the PostgreSQL URL {problem}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PostgresUrl, SetupError> {
        PostgresUrl::parse(text, Path::new("/etc/bw"))
    }

    #[test]
    fn a_url_is_taken_apart() {
        let url = parse("postgres://shop:p%40ss@db.internal:6432/store?sslmode=verify-full&sslrootcert=ca.pem");
        let expected = PostgresUrl {
            user: "shop".into(),
            password: Some("p@ss".into()),
            place: Place::Host("db.internal".into()),
            port: 6432,
            database: "store".into(),
            mode: SslMode::VerifyFull,
            root: Some("/etc/bw/ca.pem".into()),
        };
        assert_eq!(url, Ok(expected));
        let url = parse("postgresql://u@[::1]/d").expect("valid");
        assert_eq!((url.place, url.port, url.password), (Place::Host("::1".into()), 5432, None));
        for socket in ["postgres://u@/d?host=/run/postgresql", "postgres://u@%2Frun%2Fpostgresql/d"] {
            assert_eq!(parse(socket).expect("valid").place, Place::Socket("/run/postgresql".into()));
        }
    }

    #[test]
    fn a_password_from_the_environment_needs_no_encoding_but_of_percent() {
        for password in ["a@b", "a/b", "a:b", "a?b#c", "a b", "ä€"] {
            let url = parse(&format!("postgres://u:{password}@h/d")).expect("valid");
            assert_eq!((url.password.as_deref(), url.place), (Some(password), Place::Host("h".into())));
        }
    }

    #[test]
    fn debug_output_has_no_password() {
        let url = parse("postgres://shop:hunter2@h/d").expect("valid");
        assert_eq!(format!("{url:?}"), "postgres://shop:***@h:5432/d?sslmode=prefer");
    }

    #[test]
    fn what_is_wrong_with_a_url_is_told_without_its_password() {
        for (text, words) in [
            ("postgres:hunter2@h/d", "postgres://"),
            ("postgres://h/d", "name the user"),
            ("postgres://:hunter2@h/d", "the user's name"),
            ("postgres://u:hunter2@h", "name the database"),
            ("postgres://u:hunter2@h/", "name the database"),
            ("postgres://u:hunter2@/d", "name the host"),
            ("postgres://u:hunter2@h:0/d", "1 to 65535"),
            ("postgres://u:hunter2@h:x/d", "1 to 65535"),
            ("postgres://u:hunter2@a,b/d", "name one"),
            ("postgres://u:hunter2@h/d?sslmode=on", "disable, prefer, require or verify-full"),
            ("postgres://u:hunter2@h/d?sslrootcert=x", "set sslmode=verify-full"),
            ("postgres://u:hunter2@/d?host=/run&sslmode=require", "leave `sslmode` out"),
            ("postgres://u@h/d?password=hunter2", "only `sslmode`"),
            ("postgres://u:hunter2@h/d?host=x", "directory of a unix socket"),
            ("postgres://u:hunter2@h h/d", "without spaces"),
            ("postgres://u:%ff@h/d", "UTF-8"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(words) && !error.contains("hunter2"), "{text}: {error}");
        }
    }
}

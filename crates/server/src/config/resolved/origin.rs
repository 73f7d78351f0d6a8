//! Where do values come from, and what does that place bear?

use crate::config::problem::Place;
use bellwether_adapters::OnConnect;
#[cfg(feature = "postgres")]
use bellwether_adapters::PostgresUrl;
use bellwether_core::policy::Budget;
use std::fmt;
use std::path::PathBuf;

/// A source of truth.
#[derive(Clone, Debug)]
pub struct OriginConfig {
    /// As in `[origin.NAME]`.
    pub name: String,
    /// What it is and where.
    pub kind: OriginKind,
    /// What it may be asked to bear.
    pub budget: Budget,
    /// Where `sql` or `http` is written.
    pub place: Place,
    /// Done to each connection of an SQLite origin: for programs that embed the server, no file can say it.
    pub on_connect: OnConnect,
}

/// What an origin is and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginKind {
    /// `sqlite://…`: a database file.
    Sqlite {
        /// Absolute, or relative to the working directory if the configuration's own path was.
        path: PathBuf,
    },
    /// `postgres://…`.
    #[cfg(feature = "postgres")]
    Postgres(PostgresUrl),
    /// `http://…` or `https://…`.
    Http(HttpBase),
}

/// The base of an HTTP origin's URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpBase {
    /// `https`.
    pub tls: bool,
    /// A name or an address; an IPv6 address in brackets.
    pub host: String,
    /// 80 or 443 unless written.
    pub port: u16,
    /// In front of every path: empty, or `/base` without a slash at its end.
    pub path: String,
}

impl HttpBase {
    /// Host, and the port unless it is the scheme's own: the `Host` header.
    pub fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for HttpBase {
    /// As a URL without a slash at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

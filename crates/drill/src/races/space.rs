//! Which spaces do the races use, and what must an endpoint know of them?

use std::net::SocketAddr;
use std::time::Duration;

use crate::key::{Key, PREFIX};

/// Where an origin listens that an endpoint of one's own was told of, unless `--origin` says otherwise.
pub const ORIGIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7411);

/// A load ends after so many seconds, and nobody waits longer for one.
const LOAD: u64 = 5;

/// A family of keys with the behaviour that some rows need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// Kept for long.
    Row,
    /// As `Row`; the same ids name other rows here.
    Other,
    /// Its callers are told soon that they wait in vain.
    Hasty,
    /// Fresh for a moment, then stale.
    Grace,
}

impl Space {
    /// All of them.
    pub(crate) const ALL: [Space; 4] = [Space::Row, Space::Other, Space::Hasty, Space::Grace];
    /// The deadline of `Hasty`.
    pub(crate) const DEADLINE: Duration = Duration::from_millis(250);
    /// The ttl of `Grace`.
    pub(crate) const SHORT_TTL: Duration = Duration::from_millis(300);

    /// Its name in keys and paths.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Space::Row => "row",
            Space::Other => "other",
            Space::Hasty => "hasty",
            Space::Grace => "grace",
        }
    }

    /// One of its keys.
    pub(crate) fn key(self, run: &str, id: u64) -> Key {
        Key::new(self.name(), run, id)
    }

    /// The space that is called so.
    pub(crate) fn named(name: &str) -> Option<Space> {
        Space::ALL.into_iter().find(|candidate| candidate.name() == name)
    }

    /// How long its values are fresh.
    pub(crate) fn ttl(self) -> Duration {
        if self == Space::Grace { Space::SHORT_TTL } else { Duration::from_secs(600) }
    }

    /// What it needs besides its ttl, as TOML.
    fn knobs(self) -> String {
        match self {
            Space::Row | Space::Other => format!("timeout = \"{LOAD}s\"\n"),
            Space::Hasty => format!("timeout = \"{}ms\"\n", Space::DEADLINE.as_millis()),
            Space::Grace => format!("grace = \"600s\"\njitter = \"0%\"\nearly = \"off\"\ntimeout = \"{LOAD}s\"\n"),
        }
    }
}

/// What Bellwether has to be told to read the drill's keys through, as TOML; other endpoints need the same.
pub fn config(origin: SocketAddr) -> String {
    let mut text = format!(
        "# What `bellwether drill races` asks for: a GET of {PREFIX}RUN:SPACE:ID reads http://{origin}/SPACE/RUN/ID,\n\
         # 200 is the value, 404 is nil; DEL removes. Add it to the endpoint's configuration while you drill.\n\
         [origin.drill]\nhttp = \"http://{origin}\"\nmax_concurrency = 256\ntimeout = \"{LOAD}s\"\n"
    );
    for space in Space::ALL {
        let (name, knobs) = (space.name(), space.knobs());
        let ttl = match space.ttl() {
            long if long.subsec_millis() == 0 => format!("{}s", long.as_secs()),
            short => format!("{}ms", short.as_millis()),
        };
        text += &format!(
            "\n[[space]]\nname = \"drill-{name}\"\nmatch = \"{PREFIX}{{run}}:{name}:{{id}}\"\norigin = \"drill\"\n\
             get = \"/{name}/{{run}}/{{id}}\"\nttl = \"{ttl}\"\n{knobs}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_every_space_and_the_origin() {
        let text = config(ORIGIN);
        assert!(text.contains("http = \"http://127.0.0.1:7411\""));
        assert_eq!(text.matches("[[space]]").count(), Space::ALL.len());
    }
}

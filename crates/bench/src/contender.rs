//! Who is measured, what is it called, and what do we aim at beside it?

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::wire::Wire;

/// Where servers are that a user's `PATH` leaves out.
const ALSO: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// Ours.
    Bellwether,
    /// Redis.
    Redis,
    /// Its fork.
    Valkey,
    /// Memcached.
    Memcached,
    /// Varnish, an HTTP cache.
    Varnish,
    /// nginx with `proxy_cache`.
    Nginx,
}

/// What we aim at beside another server at one depth; ratios of ours to theirs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Aims {
    /// CPU per operation, at most.
    pub cpu: Option<f64>,
    /// Throughput, at least.
    pub rate: Option<f64>,
    /// p99, at most.
    pub p99: Option<f64>,
}

impl Contender {
    /// All but ours.
    pub const OTHERS: [Contender; 5] =
        [Contender::Redis, Contender::Valkey, Contender::Memcached, Contender::Varnish, Contender::Nginx];

    /// All of them, ours first.
    pub const ALL: [Contender; 6] = [
        Contender::Bellwether,
        Contender::Redis,
        Contender::Valkey,
        Contender::Memcached,
        Contender::Varnish,
        Contender::Nginx,
    ];

    /// In tables and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Contender::Bellwether => "bellwether",
            Contender::Redis => "redis",
            Contender::Valkey => "valkey",
            Contender::Memcached => "memcached",
            Contender::Varnish => "varnish",
            Contender::Nginx => "nginx",
        }
    }

    /// One of them by its name.
    pub fn named(name: &str) -> Option<Contender> {
        Contender::ALL.into_iter().find(|contender| contender.name() == name)
    }

    /// The executable's name.
    pub const fn program(self) -> &'static str {
        match self {
            Contender::Bellwether => "bellwether",
            Contender::Redis => "redis-server",
            Contender::Valkey => "valkey-server",
            Contender::Memcached => "memcached",
            Contender::Varnish => "varnishd",
            Contender::Nginx => "nginx",
        }
    }

    /// What brings it on Debian and its like.
    pub const fn package(self) -> &'static str {
        match self {
            Contender::Bellwether => "bellwether",
            Contender::Redis => "redis-server",
            Contender::Valkey => "valkey-server",
            Contender::Memcached => "memcached",
            Contender::Varnish => "varnish",
            Contender::Nginx => "nginx-light",
        }
    }

    /// The protocols that it is asked in.
    pub const fn wires(self) -> &'static [Wire] {
        match self {
            Contender::Bellwether => &[Wire::Resp, Wire::Http],
            Contender::Redis | Contender::Valkey => &[Wire::Resp],
            Contender::Memcached => &[Wire::Memcached],
            Contender::Varnish | Contender::Nginx => &[Wire::Http],
        }
    }

    /// What of ours it stands beside.
    pub const fn beside(self) -> Wire {
        match self {
            Contender::Bellwether | Contender::Redis | Contender::Valkey | Contender::Memcached => Wire::Resp,
            Contender::Varnish | Contender::Nginx => Wire::Http,
        }
    }

    /// What we aim at beside it.
    pub const fn aims(self, depth: usize) -> Aims {
        let none = Aims { cpu: None, rate: None, p99: None };
        match (self, depth) {
            (Contender::Redis, 1) => Aims { cpu: Some(0.9), rate: Some(1.0), p99: Some(1.0) },
            (Contender::Redis, _) => Aims { cpu: Some(0.7), rate: Some(1.5), p99: Some(1.0) },
            (Contender::Memcached, 1) => Aims { cpu: Some(0.9), ..none },
            (Contender::Memcached, _) => Aims { cpu: Some(0.6), ..none },
            (Contender::Varnish, _) => Aims { cpu: Some(0.5), rate: Some(1.2), ..none },
            (Contender::Nginx, _) => Aims { cpu: Some(0.9), rate: Some(1.2), ..none },
            (Contender::Bellwether | Contender::Valkey, _) => none,
        }
    }

    /// Where its executable is, if it is installed.
    pub fn installed(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = std::env::split_paths(&path).chain(ALSO.into_iter().map(PathBuf::from));
        places.map(|place| place.join(self.program())).find(|file| file.is_file())
    }

    /// The version that `program` says it has.
    pub fn version(self, program: &Path) -> Option<String> {
        let flag = match self {
            Contender::Bellwether | Contender::Redis | Contender::Valkey => "--version",
            Contender::Memcached | Contender::Varnish => "-V",
            Contender::Nginx => "-v",
        };
        let said = Command::new(program).arg(flag).stdin(Stdio::null()).output().ok()?;
        // nginx and varnishd answer on stderr.
        let text = [said.stdout, said.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let number =
            |word: &str| word.split('.').nth(1).is_some_and(|part| part.starts_with(|c: char| c.is_ascii_digit()));
        let words = text.split(|c: char| c.is_whitespace() || matches!(c, '=' | '/' | '-' | '(' | ')'));
        words.map(|word| word.trim_start_matches('v')).find(|word| number(word)).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_has_a_name_that_finds_it() {
        for contender in Contender::ALL {
            assert_eq!(Contender::named(contender.name()), Some(contender));
        }
        assert_eq!(Contender::named("redis-server"), None);
    }

    #[test]
    fn aims_are_there_for_those_beside_whom_the_design_names_some() {
        assert_eq!(Contender::Redis.aims(16).cpu, Some(0.7));
        assert_eq!(Contender::Nginx.aims(1).rate, Some(1.2));
        assert!(Contender::Valkey.aims(1).cpu.is_none());
    }
}

//! Which servers does an address name? `memcached://a:11211,b:11211`.

use std::fmt;

use crate::SetupError;

const PORT: u16 = 11211;
/// More are a mistake.
const MOST: usize = 64;
const SCHEME: &str = "memcached://";
const EXAMPLE: &str = "write memcached://HOST:11211,HOST:11211";

/// A server: host and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemcachedAddress {
    /// A name, or an address of IPv4 or IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for MemcachedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Reads an address.
pub(super) fn parse(url: &str) -> Result<Vec<MemcachedAddress>, SetupError> {
    let Some(list) = url.strip_prefix(SCHEME) else {
        return Err(SetupError::new("the address of a Memcached fleet begins with memcached://", EXAMPLE));
    };
    if list.contains('@') {
        // What stands before it may be a password: it is not repeated.
        return Err(SetupError::new("a Memcached fleet is reached without user and password", EXAMPLE));
    }
    let list = list.strip_suffix('/').unwrap_or(list);
    if list.contains(['/', '?', '#']) {
        return Err(SetupError::new(format!("'{list}' has something behind its servers"), EXAMPLE));
    }
    let servers = list.split(',').map(server).collect::<Result<Vec<_>, _>>()?;
    for (place, address) in servers.iter().enumerate() {
        if servers[..place].contains(address) {
            return Err(SetupError::new(format!("the server {address} is named twice"), "name each server once"));
        }
    }
    if servers.len() > MOST {
        return Err(SetupError::new(format!("{} servers are named", servers.len()), format!("name at most {MOST}")));
    }
    Ok(servers)
}

/// Reads a server, as it prints.
pub(super) fn server(text: &str) -> Result<MemcachedAddress, SetupError> {
    let wrong = |what: &str| SetupError::new(format!("{what} in '{text}'"), EXAMPLE);
    let (host, rest) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or_else(|| wrong("no closing bracket"))?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(wrong("no host"));
    }
    let port = match rest.strip_prefix(':') {
        Some(digits) => digits.parse().ok().filter(|port| *port != 0).ok_or_else(|| wrong("a wrong port"))?,
        None if rest.is_empty() => PORT,
        None => return Err(wrong("something behind the bracket")),
    };
    Ok(MemcachedAddress { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_they_print() {
        let read = |url| parse(url).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        assert_eq!(read("memcached://a").as_deref(), Ok("a:11211"));
        assert_eq!(read("memcached://a:1,b:2,10.0.0.1/").as_deref(), Ok("a:1 b:2 10.0.0.1:11211"));
        assert_eq!(read("memcached://[::1]:5,[::2]").as_deref(), Ok("[::1]:5 [::2]:11211"));
    }

    #[test]
    fn what_is_wrong_is_told_without_a_secret() {
        for (url, expected) in [
            ("redis://a", "begins with memcached://"),
            ("memcached://", "no host in ''"),
            ("memcached://a,,b", "no host in ''"),
            ("memcached://a:0", "a wrong port in 'a:0'"),
            ("memcached://a:x", "a wrong port in 'a:x'"),
            ("memcached://a:1/0", "something behind its servers"),
            ("memcached://[::1", "no closing bracket"),
            ("memcached://a b:1", "no host"),
            ("memcached://a:1,b:2,a:1", "the server a:1 is named twice"),
            ("memcached://app:hush@a:1", "without user and password"),
        ] {
            let said = parse(url).expect_err(url).to_string();
            assert!(said.contains(expected) && !said.contains("hush"), "{url}: {said}");
        }
    }
}

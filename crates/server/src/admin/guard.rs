//! Who may see the admin pages? Those who ask under an address of ours, not through a web page of
//! somebody else, and know the password if there is one.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, ORIGIN};

use crate::config::Secret;
use crate::face::http::allowed;

/// The rules of one listener.
pub(super) struct Guard {
    address: SocketAddr,
    password: Option<Secret>,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It names a host that we are not: a name that somebody let point here (DNS rebinding).
    Host,
    /// It comes from a page of another origin.
    Origin,
    /// It does not know the password.
    Password,
}

impl Guard {
    pub(super) fn new(address: SocketAddr, password: Option<Secret>) -> Guard {
        Guard { address, password }
    }

    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refused> {
        if !allowed(self.password.as_ref(), headers) && !self.knows_it_as_a_browser_says_it(headers) {
            return Err(Refused::Password);
        }
        if let Some(origin) = headers.get(ORIGIN) {
            let host = origin.to_str().ok().and_then(|text| text.split_once("://")).map(|(_, host)| host);
            if !host.is_some_and(|host| self.is_ours(host)) {
                return Err(Refused::Origin);
            }
        }
        // Who knows the password may come by any name; a page that lets its name point here doesn't.
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        if self.password.is_none() && !host.is_some_and(|host| self.is_ours(host)) {
            return Err(Refused::Host);
        }
        Ok(())
    }

    /// Whether the password is there as `Basic`, of whatever user: a browser has no other way to say one. What it sends
    /// by itself for a page of somebody else is turned away below, by its origin.
    fn knows_it_as_a_browser_says_it(&self, headers: &HeaderMap) -> bool {
        let said = headers.get(AUTHORIZATION).map(|value| value.as_bytes()).and_then(|line| {
            let (scheme, said) = line.split_at_checked(6)?;
            scheme.eq_ignore_ascii_case(b"basic ").then(|| plain(said.trim_ascii()))?
        });
        let password = said.as_ref().and_then(|said| said.splitn(2, |byte| *byte == b':').nth(1));
        self.password.as_ref().zip(password).is_some_and(|(right, said)| right.matches(said))
    }

    /// Whether a `host[:port]` names this listener.
    fn is_ours(&self, host: &str) -> bool {
        let (name, port) = split(host);
        if port.is_some_and(|port| port.parse() != Ok(self.address.port())) {
            return false;
        }
        if name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let Ok(ip) = name.parse::<IpAddr>() else { return false };
        // Listening everywhere, every address may be ours; only names can be made to lie.
        ip.to_canonical().is_loopback() || ip == self.address.ip() || self.address.ip().is_unspecified()
    }
}

/// What Base64 (RFC 4648, section 4) says; `None`: it is none.
fn plain(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for letter in text {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

/// Name and port of `name`, `name:1`, `[::1]` or `[::1]:1`.
fn split(host: &str) -> (&str, Option<&str>) {
    if let Some(rest) = host.strip_prefix('[')
        && let Some((name, after)) = rest.split_once(']')
    {
        return (name, after.strip_prefix(':'));
    }
    match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn check(listens: &str, host: &str, origin: Option<&str>) -> Result<(), Refused> {
        let guard = Guard::new(listens.parse().expect("an address"), None);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::try_from(host).expect("a header value"));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::try_from(origin).expect("a header value"));
        }
        guard.check(&headers)
    }

    #[test]
    fn only_our_own_names_are_answered() {
        for host in ["127.0.0.1:9090", "localhost:9090", "LOCALHOST", "[::1]:9090", "[::1]", "127.9.9.9"] {
            assert_eq!(check("127.0.0.1:9090", host, None), Ok(()), "{host}");
        }
        for host in
            ["evil.example", "evil.example:9090", "127.0.0.1.evil.example", "10.0.0.1", "127.0.0.1:80", "", "[::1"]
        {
            assert_eq!(check("127.0.0.1:9090", host, None), Err(Refused::Host), "{host}");
        }
        assert_eq!(check("10.0.0.1:9090", "10.0.0.1:9090", None), Ok(()));
        assert_eq!(check("0.0.0.0:9090", "10.0.0.7:9090", None), Ok(()), "listening everywhere");
        assert_eq!(check("0.0.0.0:9090", "evil.example:9090", None), Err(Refused::Host), "a name is no address");
    }

    #[test]
    fn a_browser_may_say_the_password_as_browsers_do_and_its_pages_of_others_may_not() {
        let guard = Guard::new("127.0.0.1:9090".parse().expect("an address"), Some(Secret::new("se:cret".to_owned())));
        let check = |said: &str, origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("bellwether.internal:9090"));
            headers.insert(AUTHORIZATION, HeaderValue::try_from(said).expect("a header value"));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            guard.check(&headers)
        };
        // admin:se:cret, :se:cret
        for said in ["Basic YWRtaW46c2U6Y3JldA==", "basic OnNlOmNyZXQ="] {
            assert_eq!(check(said, None), Ok(()), "{said}");
            assert_eq!(check(said, Some("http://evil.example")), Err(Refused::Origin), "{said}");
        }
        // admin:secret, no colon, no Base64
        for said in ["Basic YWRtaW46c2VjcmV0", "Basic c2U6Y3JldA", "Basic ", "Basic !!!!", "Basic", "Basic c2VjcmV0"] {
            assert_eq!(check(said, None), Err(Refused::Password), "{said}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_not_answered() {
        assert_eq!(check("127.0.0.1:9090", "localhost:9090", Some("http://localhost:9090")), Ok(()));
        for origin in ["http://evil.example", "null", "http://localhost:8080"] {
            assert_eq!(check("127.0.0.1:9090", "localhost:9090", Some(origin)), Err(Refused::Origin), "{origin}");
        }
    }
}

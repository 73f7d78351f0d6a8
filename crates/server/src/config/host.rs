//! What is a host and a port? A name, an IPv4 address, an IPv6 address in brackets.

/// `None`: it is none. Names are not resolved here.
pub(super) fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let port_of = |tail: &str| match tail.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|&port: &u16| port > 0 && tail.len() <= 6).map(Some),
        None => tail.is_empty().then_some(None),
    };
    if let Some(end) = authority.find(']') {
        let (host, tail) = authority.split_at(end + 1);
        let address = host.strip_prefix('[')?.strip_suffix(']')?;
        address.parse::<std::net::Ipv6Addr>().ok()?;
        return Some((host, port_of(tail)?));
    }
    let (host, tail) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
    let plain = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if plain { Some((host, port_of(tail)?)) } else { None }
}

//! Where to listen, and how much memory to take? `[listen]` and `[memory]`.

use super::problem::{Place, Wrong};
use super::raw::Fields;
use super::resolved::{Listen, Memory};
use super::section::{Context, Section};
use super::units;
use bellwether::{Eviction, Span};
use bellwether_core::guard::ramp::Mode;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Key and port of each listener, on 127.0.0.1 unless said otherwise.
const LISTENERS: [(&str, u16); 3] = [("redis", 6380), ("http", 8080), ("admin", 9090)];

/// More than both data faces take at all.
const MOST_CLIENTS: i64 = 1_000_000;

/// A longer ramp would be a mistake.
const LONGEST_RAMP: Span = Span::secs(24 * 3600);

pub(super) fn listen(cx: &mut Context<'_>, place: Place, fields: Fields) -> Listen {
    let mut section = Section::new(cx, "[listen]", place, fields);
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); 3];
    for (address, (key, port)) in addresses.iter_mut().zip(LISTENERS) {
        address.set_port(port);
        if let Some(given) = section.parsed(key, |text| socket_address(text, port)) {
            *address = given;
        }
    }
    let password = section.secret("password");
    if section.setting("password").is_none() && !section.cx.insecure {
        refuse_open_doors(&mut section, &addresses);
    }
    refuse_one_port_twice(&mut section, &addresses);
    let ramp = section.parsed("ramp", ramp).unwrap_or_default();
    let clients_per_address = section.integer("clients_per_address", 1..=MOST_CLIENTS);
    let clients_per_address = clients_per_address.and_then(|most| u32::try_from(most).ok());
    section.finish();
    let [redis, http, admin] = addresses;
    Listen { redis, http, admin, password, ramp, clients_per_address }
}

fn ramp(text: &str) -> Result<Mode, Wrong> {
    let wrong = || Wrong::expected(format!("\"auto\", or a time of at most \"{LONGEST_RAMP}\" such as \"5m\""));
    if text == "auto" {
        return Ok(Mode::Auto);
    }
    match units::duration(text) {
        Ok(span) if span > Span::ZERO && span <= LONGEST_RAMP => Ok(Mode::Within(span)),
        Ok(_) => Err(wrong()),
        Err(_) => Err(wrong().hint("with \"auto\" the weight follows the hit rate alone")),
    }
}

fn socket_address(text: &str, port: u16) -> Result<SocketAddr, Wrong> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let wrong = || Wrong::expected(format!("an address and a port such as \"127.0.0.1:{port}\""));
    let Some((host, given)) = text.rsplit_once(':').filter(|(host, _)| !host.ends_with(':')) else {
        return Err(match text.parse::<u16>() {
            Ok(port) => wrong().hint(format!("write \"127.0.0.1:{port}\"")),
            Err(_) => wrong().hint("the port is missing"),
        });
    };
    match (host, given.parse::<u16>()) {
        (_, Err(_)) => Err(wrong().hint(format!("`{given}` is no port: 0 to 65535, 0 takes any that is free"))),
        ("localhost", Ok(port)) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        ("" | "*", Ok(port)) => {
            Err(wrong()
                .hint(format!("\"127.0.0.1:{port}\" for this machine alone, \"0.0.0.0:{port}\" for every network")))
        }
        (_, Ok(_)) => Err(wrong().hint("an IP address: names are not resolved")),
    }
}

/// An address that others can reach needs a password.
fn refuse_open_doors(section: &mut Section<'_, '_>, addresses: &[SocketAddr; 3]) {
    for (address, (key, _)) in addresses.iter().zip(LISTENERS) {
        if let Some((place, shown)) = section.setting(key)
            && !address.ip().to_canonical().is_loopback()
        {
            let wrong = Wrong::expected("a password on any address that isn't loopback")
                .hint("add password = \"${BW_PASSWORD}\", or start with --insecure");
            section.missing(&["password"], place, format!("{shown} without a password"), wrong);
        }
    }
}

fn refuse_one_port_twice(section: &mut Section<'_, '_>, addresses: &[SocketAddr; 3]) {
    let collide = |a: &SocketAddr, b: &SocketAddr| {
        let overlap = |a: IpAddr, b: IpAddr| a == b || a.is_unspecified() || b.is_unspecified();
        a.port() != 0 && a.port() == b.port() && overlap(a.ip(), b.ip())
    };
    for (i, address) in addresses.iter().enumerate() {
        let Some(other) = addresses.iter().take(i).position(|earlier| collide(earlier, address)) else { continue };
        let ((key, _), (other, _)) = (LISTENERS[i], LISTENERS[other]);
        // Whichever was written; both may be, never neither: the defaults differ.
        let Some((place, shown)) = section.setting(key).or_else(|| section.setting(other)) else { continue };
        let wrong = Wrong::expected("a port for each listener").hint("port 0 takes any that is free");
        section.say(&place, format!("{shown}, but `{other}` and `{key}` would share port {}", address.port()), wrong);
    }
}

/// Bytes unless `limit` says otherwise.
const MEMORY_LIMIT: u64 = 256 << 20;
/// Below this a limit is a mistake: the cache refuses it.
const LEAST_MEMORY: u64 = 64 << 10;

pub(super) fn memory(cx: &mut Context<'_>, place: Place, fields: Fields) -> Memory {
    let mut section = Section::new(cx, "[memory]", place, fields);
    let limit = section.parsed("limit", |text| match units::size(text)? {
        bytes if bytes < LEAST_MEMORY => Err(Wrong::expected("at least \"64 KiB\"").hint("\"256 MiB\" is the default")),
        bytes => Ok(bytes),
    });
    let eviction =
        section.parsed("eviction", |text| units::choice(text, &Eviction::ALL.map(|policy| (policy.as_str(), policy))));
    section.finish();
    Memory { limit: limit.unwrap_or(MEMORY_LIMIT), eviction: eviction.unwrap_or_default() }
}

//! How is a running server asked? One request to its admin listener.

use std::io::{self, Read, Write};
use std::net::{Ipv6Addr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use bellwether_adapters::tiers::address::{ServerAddress, without_secrets};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::Failure;
use crate::output::printable;

/// From connecting to the last byte of the answer, each.
const LIMIT: Duration = Duration::from_secs(5);
/// The longest answer.
const MAX_ANSWER: u64 = 1 << 20;
/// And what stands in front of it.
const MAX_HEAD: u64 = 16 << 10;
/// Where the password comes from: a command line is seen by everyone on the machine.
const PASSWORD: &str = "BELLWETHER_ADMIN_PASSWORD";

/// The option that names the server, unless another does.
const ADMIN: &str = "--admin";

/// An admin listener's answer.
pub(crate) struct Answer {
    /// Who has answered.
    host: String,
    /// 200 and the like.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: String,
}

/// Asks the admin listener at `url` for `path`. The error says what to do.
pub(crate) fn get(url: &str, path: &str) -> Result<Answer, Failure> {
    ask(url, "GET", path)
}

/// The same for what changes something.
pub(crate) fn post(url: &str, path: &str) -> Result<Answer, Failure> {
    ask(url, "POST", path)
}

/// The same with a body, for what takes a while.
pub(crate) fn send(url: &str, path: &str, body: &str, limit: Duration) -> Result<Answer, Failure> {
    ask_within(url, &Request { option: ADMIN, method: "POST", path, body, limit, most: MAX_ANSWER })
}

/// The same for what takes something back.
pub(crate) fn delete(url: &str, path: &str) -> Result<Answer, Failure> {
    ask(url, "DELETE", path)
}

/// The same as [`get`], for what may be long. `option` has named the server.
pub(crate) fn fetch(
    option: &'static str,
    url: &str,
    path: &str,
    limit: Duration,
    most: u64,
) -> Result<Answer, Failure> {
    ask_within(url, &Request { option, method: "GET", path, body: "", limit, most })
}

/// What is asked, and how long its answer may take and be.
struct Request<'a> {
    option: &'static str,
    method: &'a str,
    path: &'a str,
    body: &'a str,
    limit: Duration,
    most: u64,
}

fn ask(url: &str, method: &str, path: &str) -> Result<Answer, Failure> {
    ask_within(url, &Request { option: ADMIN, method, path, body: "", limit: LIMIT, most: MAX_ANSWER })
}

fn ask_within(url: &str, request: &Request<'_>) -> Result<Answer, Failure> {
    let host = host_of(url);
    if !is_host(host) {
        let usual = "expected a URL such as http://127.0.0.1:9090, without user and password";
        let digits = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let port = host.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && digits(port));
        let hint = if port { ": its port is no number from 1 to 65535" } else { "" };
        return Err(Failure::input(format!("{} {}: {usual}{hint}", request.option, printable(&without_secrets(url)))));
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host = if has_port { host.to_owned() } else { format!("{host}:9090") };
    exchange(&host, request).map_err(|error| Failure::Run(advice(&host, request, &error)))
}

/// What a URL names: schemes are the same in any case.
fn host_of(url: &str) -> &str {
    let rest = match url.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        _ => url,
    };
    rest.trim_end_matches('/')
}

/// A name or address, perhaps with a port, and nothing that may be a password: later errors name it.
fn is_host(text: &str) -> bool {
    let bare_ipv6 = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    let with_port = text.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    ServerAddress::parse(text, 1).is_ok() || bare_ipv6(text) || with_port.is_some_and(|(host, _)| bare_ipv6(host))
}

/// What went wrong, and what to do about it.
fn advice(host: &str, Request { option, limit, .. }: &Request<'_>, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused if *option == ADMIN => {
            format!(
                "no server listens at {host}: start one with `bellwether serve`, or name its admin listener with --admin URL"
            )
        }
        io::ErrorKind::ConnectionRefused => {
            format!("{option}: no server listens at {host}: expected the admin listener of a server that runs")
        }
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("the server at {host} ({option}) did not answer in {} s", limit.as_secs())
        }
        io::ErrorKind::InvalidData => format!("what listens at {host} ({option}) is no admin listener of Bellwether"),
        _ => format!("{option}: {host}: {error}"),
    }
}

fn exchange(host: &str, request: &Request<'_>) -> io::Result<Answer> {
    let Request { option: _, method, path, body, limit, most } = request;
    let addresses = host.to_socket_addrs()?;
    let mut stream = Err(io::Error::other("the name has no address"));
    for address in addresses {
        stream = TcpStream::connect_timeout(&address, LIMIT);
        if stream.is_ok() {
            break;
        }
    }
    let mut stream = stream?;
    stream.set_read_timeout(Some(*limit))?;
    stream.set_write_timeout(Some(*limit))?;
    let password = std::env::var(PASSWORD).ok().filter(|text| !text.chars().any(char::is_control));
    let authorization = password.map(|text| format!("authorization: Bearer {text}\r\n")).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{authorization}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(most + MAX_HEAD).read_to_end(&mut bytes)?;
    parse(host, &bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse(host: &str, bytes: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some(Answer { host: host.to_owned(), status, body: body.to_owned() })
}

/// The words for a server that wants a password.
pub(crate) fn needs_password() -> String {
    match std::env::var_os(PASSWORD) {
        Some(_) => format!("the server knows another password than {PASSWORD} has"),
        None => format!("the server wants its password: set {PASSWORD}"),
    }
}

/// What the server says.
pub(crate) fn json<T: DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    match answer.status {
        200 => serde_json::from_str(&answer.body).map_err(|_| stranger(answer)),
        _ => Err(refusal(answer)),
    }
}

/// What an answer that is not 200 means: bad input where what was asked for is wrong, or nothing that it knows.
pub(crate) fn refusal(answer: &Answer) -> Failure {
    let json: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    match (answer.status, json["error"].as_str().map(printable)) {
        (401, _) => Failure::Run(needs_password()),
        (_, None) => stranger(answer),
        (400 | 404 | 413, Some(words)) => Failure::input(words),
        (_, Some(words)) => Failure::Run(words),
    }
}

/// Not in the words of an admin listener.
pub(crate) fn stranger(Answer { host, status, .. }: &Answer) -> Failure {
    Failure::Run(format!("what listens at {host} is no admin listener of Bellwether: it answered {status}"))
}

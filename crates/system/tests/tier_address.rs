//! Is a tier reached by whatever address it has, and over TLS by whom it knows? Real servers.

use std::net::TcpListener;
use std::time::Duration;

use bellwether_servers::{Memcached, Redis};
use bellwether_system::{Bellwether, Value, config, until};

const LIMIT: Duration = Duration::from_secs(20);

fn text(shared: &str) -> String {
    config("", &format!("[shared]\n{shared}\n[[space]]\nmatch = \"user:{{id}}\"\nttl = \"30m\"\n"))
}

/// Two processes with this tier: what one writes the other has.
#[track_caller]
fn shares(shared: &str) {
    let [one, two] = [(), ()].map(|()| Bellwether::start(Some(&text(shared))));
    assert_eq!(one.connect().call(&["SET", "user:1", "v"]), Value::ok());
    assert_eq!(two.connect().call(&["GET", "user:1"]), Value::bulk("v"), "{shared}");
}

/// A process that can't use its tier: `/readyz` says so.
#[track_caller]
fn is_alone(shared: &str) {
    let server = Bellwether::start(Some(&text(shared)));
    until(LIMIT, "it to say so", || (server.metrics().sum("bellwether_shared_degraded", &[]) == 1.0).then_some(()));
}

#[test]
fn an_ipv6_address_in_brackets_leads_to_redis_and_to_memcached() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("this machine has no IPv6: nothing to try");
        return;
    }
    let redis = Redis::start(&["--bind", "127.0.0.1", "::1"]).unwrap_or_else(|error| panic!("{error}"));
    shares(&format!("url = \"redis://[::1]:{}\"", redis.address().port()));
    let port = Memcached::start(&[]).map(|server| server.address().port()).unwrap_or_else(|error| panic!("{error}"));
    let memcached = Memcached::start(&["-l", &format!("[::1]:{port}")]).unwrap_or_else(|error| panic!("{error}"));
    shares(&format!("url = \"memcached://[::1]:{port}\""));
    drop(memcached);
}

#[test]
fn a_redis_that_asks_for_certificates_is_used_by_who_has_one_and_trusts_it() {
    let redis = Redis::start_with_tls(&["--tls-auth-clients", "yes"]).unwrap_or_else(|error| panic!("{error}"));
    let url = redis.tls_url().expect("TLS");
    let files = redis.certificates().expect("certificates");
    let [ca, cert, key] = [&files.authority, &files.certificate, &files.key].map(|path| path.display().to_string());
    let trusts = format!("url = \"{url}\"\ntls_ca = \"{ca}\"");
    let known = format!("{trusts}\ntls_cert = \"{cert}\"\ntls_key = \"{key}\"");
    shares(&known);
    // Controls: who shows nothing is turned away, and who does not trust it goes away.
    is_alone(&trusts);
    is_alone(&format!("url = \"{url}\"\ntls_cert = \"{cert}\"\ntls_key = \"{key}\""));
    // A file that is not there is told at the start.
    let gone = text(&known.replace("server.key", "gone.key"));
    let home = tempfile::tempdir().expect("a temporary directory");
    let file = Bellwether::write(home.path(), &gone).display().to_string();
    let output = Bellwether::command(&["serve", "--config", &file]).output().expect("it can be run");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("`tls_key` names") && error.contains("gone.key"), "{error}");
}

#[test]
fn a_redis_that_is_spoken_to_without_the_tls_that_it_wants_is_told_with_what_to_write() {
    let redis = Redis::start_with_tls(&["--tls-auth-clients", "no"]).unwrap_or_else(|error| panic!("{error}"));
    let (tls, plain) = (redis.tls_url().expect("TLS"), redis.url());
    let home = tempfile::tempdir().expect("a temporary directory");
    let check = |url: String| {
        let file = Bellwether::write(home.path(), &text(&format!("url = \"{url}\""))).display().to_string();
        let output = Bellwether::command(&["check", "--connect", &file]).output().expect("it can be run");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // The tier and its backplane.
    let (code, said) = check(tls.replace("rediss://", "redis://"));
    assert_eq!((code, said.matches("With TLS it is rediss://").count()), (Some(2), 2), "{said}");
    let (code, said) = check(plain.replace("redis://", "rediss://"));
    assert_eq!((code, said.matches("Without TLS it is redis://").count()), (Some(2), 2), "{said}");
    assert_eq!(check(plain).0, Some(0), "the control");
}

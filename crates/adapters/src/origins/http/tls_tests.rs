//! Is an https origin trusted by its certificate alone?

use std::sync::Arc;

use bellwether::{FailClass, LoadError, Loaded};
use hyper::http::uri::{Authority, Scheme};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{HttpGet, HttpOrigin, system_trust, tls_builder};
use crate::{Captures, Origin, Payload};

const CA: &[u8] = include_bytes!("../../../tests/fixtures/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../../../tests/fixtures/localhost.pem");
const KEY: &[u8] = include_bytes!("../../../tests/fixtures/localhost.key");

fn server_config() -> ServerConfig {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("a key");
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a pair")
}

/// Serves "hello" over TLS at `localhost` and returns the port.
async fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server_config()));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.ok()?;
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.ok()?);
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await.ok()
            });
        }
    });
    port
}

async fn load(host: &str, port: u16, tls: rustls::ClientConfig) -> Result<Loaded<Payload>, LoadError> {
    let authority = Authority::try_from(format!("{host}:{port}")).expect("an authority");
    let origin = HttpOrigin::trusting(Scheme::HTTPS, authority, 1, tls);
    let space = origin.get(HttpGet::new("/x", [] as [&str; 0])).expect("a path");
    assert_eq!(origin.check().await.is_ok(), space.load(Captures::new(), None).await.is_ok(), "a check tells the same");
    space.load(Captures::new(), None).await
}

fn trusting_the_test_authority() -> rustls::ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CA).expect("a certificate")).expect("an authority");
    tls_builder().expect("a builder").with_root_certificates(roots).with_no_client_auth()
}

#[tokio::test]
async fn a_trusted_certificate_is_served_from() {
    let loaded = load("localhost", server().await, trusting_the_test_authority()).await.expect("a value");
    assert_eq!(loaded.as_value().map(|payload| &payload.body[..]), Some(&b"hello"[..]));
}

#[tokio::test]
async fn a_certificate_for_another_name_refuses() {
    let error = load("127.0.0.1", server().await, trusting_the_test_authority()).await.expect_err("another name");
    assert_eq!((error.class(), error.to_string().as_str()), (FailClass::Refused, "refused: the TLS handshake failed"));
}

#[tokio::test]
async fn a_certificate_that_the_system_does_not_trust_refuses() {
    let tls = system_trust().expect("this system trusts somebody: the package ca-certificates is installed");
    let error = load("localhost", server().await, tls).await.expect_err("unknown authority");
    assert_eq!(error.class(), FailClass::Refused);
}

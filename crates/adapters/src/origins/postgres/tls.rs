//! Whom is a PostgreSQL's certificate checked against, if at all?

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::SetupError;
use super::url::{PostgresUrl, SslMode};

pub(super) fn connector(url: &PostgresUrl) -> Result<MakeRustlsConnect, SetupError> {
    // Named, since a process in which another crate brings a second one has no default.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| SetupError::new(format!("TLS can't be set up: {error}"), "set sslmode=disable"))?;
    let verifier: Arc<dyn ServerCertVerifier> = match (url.mode, &url.root) {
        (SslMode::VerifyFull, root) => {
            let roots = root.as_deref().map_or_else(of_the_system, of_file)?;
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
            verifier.map_err(|error| SetupError::new(format!("TLS can't be set up: {error}"), "check `sslrootcert`"))?
        }
        _ => Arc::new(Anybody(provider)),
    };
    let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn of_the_system() -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(SetupError::new(
            "no trusted certificates were found on this system",
            "install the package ca-certificates, or name a file with sslrootcert=",
        ));
    }
    Ok(roots)
}

fn of_file(path: &Path) -> Result<RootCertStore, SetupError> {
    let unusable = |words: String| {
        SetupError::new(
            format!("`sslrootcert` names {}, {words}", path.display()),
            "name a file with the certificates in PEM of whoever signed the server's",
        )
    };
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| unusable(format!("which can't be read: {error}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unusable(format!("which is no PEM: {error}")))?;
        roots.add(certificate).map_err(|error| unusable(format!("which holds no usable certificate: {error}")))?;
    }
    if roots.is_empty() { Err(unusable("which holds no certificate".to_owned())) } else { Ok(roots) }
}

/// Takes any certificate, as `sslmode=require` means in PostgreSQL: who only listens hears nothing. The handshake
/// itself is still checked against the certificate that was shown.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! How is another Redis reached: over TCP, TLS or a socket of this machine?

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::failure::Failure;

/// What bytes go over.
pub(super) trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// Connects to the first address that answers; over TLS where it is given.
pub(super) fn connect(
    addresses: impl Iterator<Item = SocketAddr>,
    tls: Option<ClientConnection>,
    limit: Duration,
) -> io::Result<Box<dyn Stream>> {
    let mut stream = Err(io::Error::other("the name has no address"));
    for address in addresses {
        stream = TcpStream::connect_timeout(&address, limit);
        if stream.is_ok() {
            break;
        }
    }
    let stream = stream?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    Ok(match tls {
        None => Box::new(stream),
        Some(tls) => Box::new(StreamOwned::new(tls, stream)),
    })
}

pub(super) fn connect_unix(path: &Path, limit: Duration) -> io::Result<Box<dyn Stream>> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    Ok(Box::new(stream))
}

/// A client that checks the certificate of `host` against the file `ca`, or what this system trusts.
pub(super) fn tls(host: &str, ca: Option<&Path>) -> Result<ClientConnection, Failure> {
    let wrong = |words: String| Failure::Run(format!("--from: TLS can't be set up: {words}"));
    let roots = match ca {
        Some(path) => of_file(path)?,
        None => of_the_system()?,
    };
    // Named, since a process in which another crate brings a second one has no default.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| wrong(error.to_string()))?;
    ClientConnection::new(Arc::new(config), name).map_err(|error| wrong(error.to_string()))
}

/// What may be the matter where there was no answer yet: both sides of TLS are silent, or go, if the other speaks otherwise.
pub(super) fn doubt(tls: bool, error: &io::Error) -> &'static str {
    let of_tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match (tls, of_tls) {
        (false, _) => "; does it want TLS? Then write rediss://",
        (true, None | Some(rustls::Error::InvalidMessage(_))) => "; does it speak TLS at all? If not, write redis://",
        // It does: this is about certificates and the like.
        (true, Some(_)) => "",
    }
}

fn of_the_system() -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let hint = "install the package ca-certificates, or name a file with --ca";
        return Err(Failure::Run(format!("--from: this system trusts no certificate: {hint}")));
    }
    Ok(roots)
}

fn of_file(path: &Path) -> Result<RootCertStore, Failure> {
    let wrong = |words: String| {
        let expected = "expected a file with certificates in PEM";
        Failure::input(format!("--ca {}: {words}: {expected}", path.display()))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("it holds none".to_owned())) } else { Ok(roots) }
}

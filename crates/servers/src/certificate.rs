//! Whom does a client trust that speaks TLS to a server of a test? An authority made for it, by openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::ServerError;
use crate::program::find;

/// Days; a test takes less.
const VALID: &str = "2";

/// Files of an authority and of a server at 127.0.0.1 and localhost that it vouches for.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority's certificate: what a client is told to trust.
    pub authority: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes them in `home`.
    pub fn make(home: &Path) -> Result<Certificates, ServerError> {
        let made = Certificates::of(home);
        let authority_key = home.join("authority.key");
        let [authority, certificate, key, authority_key] =
            [&made.authority, &made.certificate, &made.key, &authority_key].map(|path| path.display().to_string());
        let common = |key: &str, out: &str, name: &str| {
            let words = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", VALID];
            let mut words = words.map(str::to_owned).to_vec();
            words.extend(["-keyout", key, "-out", out, "-subj", name].map(str::to_owned));
            words
        };
        request(home, &common(&authority_key, &authority, "/CN=bellwether test authority"))?;
        let mut words = common(&key, &certificate, "/CN=localhost");
        words.extend(["-CA", &authority, "-CAkey", &authority_key].map(str::to_owned));
        for extension in ["subjectAltName=IP:127.0.0.1,DNS:localhost", "basicConstraints=critical,CA:FALSE"] {
            words.extend(["-addext", extension].map(str::to_owned));
        }
        request(home, &words)?;
        Ok(made)
    }

    /// Where [`make`](Self::make) puts them.
    pub(crate) fn of(home: &Path) -> Certificates {
        let [authority, certificate, key] = ["authority.crt", "server.crt", "server.key"].map(|name| home.join(name));
        Certificates { authority, certificate, key }
    }
}

fn request(home: &Path, words: &[String]) -> Result<(), ServerError> {
    let mut command = Command::new(find("openssl", "openssl")?);
    command.args(["req", "-x509"]).args(words).current_dir(home);
    let output = command.output().map_err(ServerError::system("openssl can't be run"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(ServerError::Failed { program: "openssl req".into(), said })
}

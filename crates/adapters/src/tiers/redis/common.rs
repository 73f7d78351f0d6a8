//! What do all parts of a tier share? Options, login, runtime, counters.

use std::sync::Arc;

use redis::{Client, ClientTlsConfig, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, TlsCertificates};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::counters::Counters;
use super::options::RedisOptions;
use crate::SetupError;
use crate::tiers::address::{RedisTarget, ServerAddress};

/// Shared by a tier, its route and its nodes.
pub(super) struct Common {
    pub(super) options: RedisOptions,
    pub(super) target: RedisTarget,
    pub(super) runtime: Handle,
    pub(super) counters: Counters,
    /// A node's breaker has opened: the route may have changed.
    pub(super) trouble: Notify,
}

impl Common {
    pub(super) fn new(target: RedisTarget, options: RedisOptions) -> Result<Arc<Common>, SetupError> {
        let runtime = match options.runtime.clone().map_or_else(Handle::try_current, Ok) {
            Ok(runtime) => runtime,
            Err(_) => {
                return Err(SetupError::new(
                    "a Redis tier was opened outside a tokio runtime",
                    "open it inside one, or name one in its options",
                ));
            }
        };
        if target.user.is_some() && target.password.is_none() {
            return Err(SetupError::new(
                "the Redis address names a user but no password",
                "write USER:PASSWORD@HOST, or :PASSWORD@HOST where there is a password alone",
            ));
        }
        if target.tls && rustls::crypto::CryptoProvider::get_default().is_none() {
            // Somebody else may have been quicker: then there is one, which is all that is wanted.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let common = Common { options, target, runtime, counters: Counters::default(), trouble: Notify::new() };
        Ok(Arc::new(common))
    }

    /// How to connect to `address`.
    pub(super) fn at(&self, address: &ServerAddress) -> ConnectionAddr {
        let (host, port) = (address.host.clone(), address.port);
        if self.target.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    }

    /// Who we are at the servers that hold entries.
    pub(super) fn login(&self) -> RedisConnectionInfo {
        let mut login =
            RedisConnectionInfo::default().set_db(self.target.db).set_lib_name("bellwether", env!("CARGO_PKG_VERSION"));
        if let Some(user) = &self.target.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.target.password {
            login = login.set_password(password);
        }
        login
    }

    /// A client of the library below, with our certificates.
    pub(super) fn client(&self, at: ConnectionAddr, login: RedisConnectionInfo) -> Result<Client, SetupError> {
        let info = at.into_connection_info().map_err(|error| unusable(&error))?.set_redis_settings(login);
        let tls = &self.options.tls;
        let client = if self.target.tls && (tls.authority.is_some() || tls.identity.is_some()) {
            let client_tls =
                tls.identity.clone().map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
            Client::build_with_tls(info, TlsCertificates { client_tls, root_cert: tls.authority.clone() })
        } else {
            Client::open(info)
        };
        client.map_err(|error| unusable(&error))
    }
}

pub(super) fn unusable(error: &redis::RedisError) -> SetupError {
    SetupError::new(format!("the Redis tier can't be set up: {error}"), "check its address and certificates")
}

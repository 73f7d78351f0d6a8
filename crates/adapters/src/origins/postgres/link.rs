//! Who talks to the database? At most `max_concurrency` connections, each read-only and with a time limit of its own.
//!
//! A load that nobody waits for any more is stopped at the server, and its connection counts until it is: the database
//! never works on more than the configured number of statements.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bellwether::{FailClass, LoadError};
use deadpool_postgres::{ClientWrapper, Connect, Manager, Object, Pool, PoolError};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::SetupError;
use super::fault;
use super::tls;
use super::url::PostgresUrl;

/// A peer that went away without a word is noticed after about a minute.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
/// A request to stop may come before the statement it is meant for: then it is sent again.
const STOP_AGAIN: Duration = Duration::from_millis(100);
/// Beyond the statement's own limit, a stopped connection is waited for so long.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// The connections of one origin.
pub(super) struct Link {
    pub(super) url: PostgresUrl,
    pub(super) timeout: Duration,
    pool: Pool,
    tls: MakeRustlsConnect,
    queries: AtomicU64,
}

/// Why a step of a load failed. Unlike `LoadError` this has no blanket conversion, which would
/// put PostgreSQL's own words, with SQL in them, into replies.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server has answered, or is gone.
    Postgres(Error),
    /// Nothing is under way.
    Load(LoadError),
    /// Rows were left unread: the statement has to be stopped.
    Unread(LoadError),
    /// What is known of the statement is not what the server says now.
    Outdated,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Postgres(error)
    }
}

impl Trouble {
    pub(super) fn failed(text: &'static str) -> Trouble {
        Trouble::Load(LoadError::new(FailClass::Failed, text))
    }

    pub(super) fn load_error(self) -> LoadError {
        match self {
            Trouble::Postgres(error) => fault::load_error(&error),
            Trouble::Load(error) | Trouble::Unread(error) => error,
            Trouble::Outdated => LoadError::new(FailClass::Failed, "the query's columns keep changing"),
        }
    }
}

impl Link {
    pub(super) fn new(url: PostgresUrl, max_concurrency: usize, timeout: Duration) -> Result<Link, SetupError> {
        if max_concurrency == 0 {
            return Err(SetupError::new(
                "`max_concurrency` is 0, so nothing could ever be loaded",
                "set it to 1 or more",
            ));
        }
        let tls = tls::connector(&url)?;
        let mut config = url.config();
        config.connect_timeout(timeout);
        config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE_INTERVAL);
        config.keepalives_retries(KEEPALIVE_RETRIES);
        let dial = Dial { tls: tls.clone(), first: first(timeout) };
        let manager = Manager::from_connect(config, dial, deadpool_postgres::ManagerConfig::default());
        let pool = Pool::builder(manager).max_size(max_concurrency).build();
        let pool = pool
            .map_err(|error| SetupError::new(format!("no pool of connections can be made: {error}"), "report this"))?;
        Ok(Link { url, timeout, pool, tls, queries: AtomicU64::new(0) })
    }

    /// A connection for one load; waits for one to be free.
    pub(super) async fn hold(self: &Arc<Link>) -> Result<Held, Trouble> {
        match self.pool.get().await {
            Ok(client) => Ok(Held { client: Some(client), link: Arc::clone(self), at_rest: false }),
            Err(PoolError::Backend(error)) => Err(Trouble::Postgres(error)),
            Err(_) => Err(Trouble::failed("the pool of connections is closed")),
        }
    }

    pub(super) fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self) {
        self.queries.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("url", &self.url).field("timeout", &self.timeout).finish()
    }
}

/// What each connection is told first. A value is the same whatever the server's defaults are.
fn first(timeout: Duration) -> String {
    // 0 would be no limit at all, and more than an i32 of milliseconds can't be said.
    let limit = timeout.as_millis().clamp(1, 2_147_483_647);
    format!(
        "SET default_transaction_read_only = on; SET statement_timeout = {limit}; SET timezone = 'UTC'; \
         SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET extra_float_digits = 1; \
         SET bytea_output = 'hex'; SET standard_conforming_strings = on"
    )
}

/// How a connection is made.
struct Dial {
    tls: MakeRustlsConnect,
    first: String,
}

impl Connect for Dial {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        let config = config.clone();
        async move {
            let (client, connection) = config.connect(self.tls.clone()).await?;
            let task = tokio::spawn(async move {
                // Whoever waits for an answer hears of the error; where nobody does, the pool finds it closed.
                let _ = connection.await;
            });
            client.batch_execute(&self.first).await?;
            Ok((client, task))
        }
        .boxed()
    }
}

/// A connection in use. Dropped before it is at rest, what it works on is stopped.
pub(super) struct Held {
    client: Option<Object>,
    link: Arc<Link>,
    at_rest: bool,
}

impl Held {
    /// Nothing is under way on it any more: it may be used again.
    pub(super) fn rest(&mut self) {
        self.at_rest = true;
    }

    /// The server has ended it, and with it most likely those at rest: that they ended may be known here before it is
    /// seen on them, and the next load would be given one of those.
    pub(super) fn discard(&mut self) {
        drop(self.client.take().map(Object::take));
        self.link.pool.retain(|_, _| false);
    }
}

impl Deref for Held {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        self.client.as_ref().expect("it is taken out when dropped")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        if self.at_rest {
            return;
        }
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(stop(client, Arc::clone(&self.link)))),
            // Without a runtime nobody can tell the server; it notices when it next writes.
            Err(_) => drop(Object::take(client)),
        }
    }
}

/// Stops what a connection works on. It counts until the server has stopped, and is never used again: a request to
/// stop may arrive late, and would hit whatever comes next.
async fn stop(client: Object, link: Arc<Link>) {
    let token = client.cancel_token();
    let stopping = async {
        loop {
            // Where the request can't be made, the statement's own limit ends it.
            let _ = token.cancel_query(link.tls.clone()).await;
            sleep(STOP_AGAIN).await;
        }
    };
    let stopped = async {
        tokio::select! {
            // Answered once all before it has ended, one way or another.
            _ = client.batch_execute("") => {}
            () = stopping => {}
        }
    };
    // Longer than the server itself would let it run nobody waits: the way to it is gone then.
    let _ = timeout(link.timeout + STOP_PATIENCE, stopped).await;
    drop(Object::take(client));
}

//! How does the server start, run and end? Listeners, threads, start lines, signals, the drain.
//!
//! One single-threaded runtime per core serves connections, which never migrate; loads and whatever
//! else takes long run on a runtime of their own, and the admin listener on a thread of its own, so
//! that neither can stall a hot loop and both answer when everything else is busy.

mod cores;
mod file;
mod files;
mod listen;
mod reload;
mod watch;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin;
use crate::config::{self, Config, Problem, SAMPLE_SQL};
use crate::connections::{Connections, Face};
use crate::face::redis::Clients;
use crate::face::{http, redis};
use crate::service::Service;
use crate::shutdown::Shutdown;
use cores::Cores;
use listen::{Accept, bind};

pub use file::ConfigFile;
pub use files::allow_open_files;

/// What is in progress has so long to finish once the server was told to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// Before that, as long as anybody is connected: everything is served, `/readyz` says no, and HTTP clients are told
/// to close. A client that sends its next request in the moment in which its connection is closed would lose it.
const LEAVE: Duration = Duration::from_secs(1);
/// What takes longer than this to finish is told of.
const SOON: Duration = Duration::from_millis(1500);
/// In the end the fleet is told what this process alone knows, for so long.
const TELL: Duration = Duration::from_secs(1);
/// HTTP connections at once; more are closed as they come.
const MAX_HTTP: usize = 10_000;
/// Threads for loads; SQLite's statements have threads of their own.
const LOAD_THREADS: usize = 2;

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be listened on.
    #[error("can't listen on {face} {address}: {source}; {}", listen::hint(source, face))]
    Listen {
        /// The listener's name in `[listen]`.
        face: &'static str,
        /// As configured.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The configuration names what can't be used; a problem a line.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Problems(Vec<Problem>),
    /// The sample shop could not be set up.
    #[error(
        "can't set up the sample shop: {0}; give a configuration with --config, or make the temporary directory writable (TMPDIR)"
    )]
    Sample(String),
    /// Threads, signals.
    #[error("can't start: {0}")]
    System(#[from] io::Error),
}

/// A server that serves.
pub struct Server {
    redis: SocketAddr,
    http: SocketAddr,
    admin: SocketAddr,
    service: Service,
    shutdown: Shutdown,
    cores: Cores,
    /// They take on what the kernel has accepted when the stop is asked for.
    accepting: [tokio::task::JoinHandle<()>; 2],
    admin_thread: Option<JoinHandle<()>>,
    loads: Runtime,
}

impl Server {
    /// Opens everything that `config` names; when this returns, every listener answers.
    ///
    /// # Errors
    /// An address that can't be listened on, or every origin, statement and space that can't be used.
    pub fn start(config: Config) -> Result<Server, StartError> {
        Server::start_on(load_threads()?, config)
    }

    fn start_on(loads: Runtime, config: Config) -> Result<Server, StartError> {
        let room = listen::room_for_clients();
        let on_loads = loads.enter();
        let bound = |face: Face, address| {
            bind(address).map_err(|source| StartError::Listen { face: face.as_str(), address, source })
        };
        let redis = bound(Face::Redis, config.listen.redis)?;
        let http = bound(Face::Http, config.listen.http)?;
        let admin = bound(Face::Admin, config.listen.admin)?;
        let addresses = (redis.local_addr()?, http.local_addr()?, admin.local_addr()?);
        let per_address = config.listen.clients_per_address;
        let service = loads.block_on(Service::start(config, loads.handle().clone())).map_err(StartError::Problems)?;

        let (shutdown, connections) = (Shutdown::new(), Connections::with_bounds(room, per_address));
        let mut cores = Cores::start()?;
        let clients = Arc::new(Clients::new(addresses.0.port(), connections.clone()));
        let serve = {
            let (service, shutdown) = (service.clone(), shutdown.clone());
            move |stream| redis::serve_connection(service.clone(), stream, clients.clone(), shutdown.clone())
        };
        let accepting_redis = loads.spawn(Accept::new(redis, cores.handles(), shutdown.clone()).run(serve));
        let serve = {
            let (service, shutdown, connections) = (service.clone(), shutdown.clone(), connections.clone());
            let bodies = http::Bodies::default();
            move |stream: tokio::net::TcpStream| {
                let bodies = bodies.clone();
                // A socket that is gone has no peer, and nobody to serve.
                let open = stream.peer_addr().ok().map(|peer| connections.admit(Face::Http, peer.ip(), MAX_HTTP));
                let (service, shutdown) = (service.clone(), shutdown.clone());
                async move {
                    match open {
                        Some(Ok(_open)) => http::serve_connection(service, stream, shutdown, bodies).await,
                        Some(Err(crowded)) => http::turn_away(stream, crowded).await,
                        None => {}
                    }
                }
            }
        };
        let accepting_http = loads.spawn(Accept::new(http, cores.handles(), shutdown.clone()).run(serve));
        let accepting = [accepting_redis, accepting_http];
        // Ends with its runtime.
        drop(loads.spawn(service.clone().tend()));
        drop(on_loads);

        let admin = admin.into_std()?;
        let (of_admin, stop) = (service.clone(), shutdown.clone());
        let admin_thread = cores.aside("bw-admin", async move {
            match tokio::net::TcpListener::from_std(admin) {
                Ok(listener) => admin::serve(of_admin, listener, stop, connections).await,
                Err(error) => tracing::error!(%error, "the admin listener can't be used"),
            }
        })?;
        let (redis, http, admin) = addresses;
        Ok(Server { redis, http, admin, service, shutdown, cores, accepting, admin_thread: Some(admin_thread), loads })
    }

    /// Where a listener is, with the port that was really taken.
    pub fn address(&self, face: Face) -> SocketAddr {
        match face {
            Face::Redis => self.redis,
            Face::Http => self.http,
            Face::Admin => self.admin,
        }
    }

    /// What the faces ask.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Tells `out` where the listeners are, and that all of them answer.
    fn announce(&self, out: &mut impl Write) -> io::Result<()> {
        for face in Face::ALL {
            writeln!(out, "listening {} {}", face.as_str(), self.address(face))?;
        }
        writeln!(out, "ready")?;
        out.flush()
    }

    /// Stops in order: while anybody is connected, a second in which clients are told to leave; then no
    /// new connections, and what is in progress is finished, at most `DRAIN` long. False if something
    /// was not finished by then.
    pub fn stop(self) -> bool {
        self.stop_unless(std::future::pending())
    }

    fn stop_unless(mut self, hurry: impl Future<Output = ()>) -> bool {
        self.shutdown.leave();
        let drained = self.loads.block_on(async {
            let in_order = async {
                self.shutdown.drained(LEAVE).await;
                self.shutdown.trigger();
                let finished = async {
                    for accepting in &mut self.accepting {
                        // It ends by itself; a panic there was logged, and its connections are counted.
                        let _ = accepting.await;
                    }
                    if self.shutdown.drained(SOON).await {
                        return true;
                    }
                    let connections = self.shutdown.in_flight();
                    tracing::info!(
                        connections,
                        "stopping: clients are still being answered, and waited for at most {DRAIN:?}"
                    );
                    self.shutdown.drained(DRAIN).await
                };
                tokio::time::timeout(DRAIN, finished).await.unwrap_or(false)
            };
            tokio::select! {
                drained = in_order => drained,
                () = hurry => false,
            }
        });
        self.shutdown.trigger();
        let told = self.loads.block_on(async { tokio::time::timeout(TELL, self.service.leave_fleet()).await });
        if told.is_err() {
            tracing::info!("stopping: the shared tier does not answer, and is not told what this process alone knows");
        }
        // While it is all there.
        self.service.keep_hot_list();
        self.cores.end();
        if let Some(thread) = self.admin_thread.take() {
            cores::join(vec![thread]);
        }
        self.loads.shutdown_background();
        drained
    }
}

/// Runs a server until SIGTERM or SIGINT, and writes its start lines to stdout. `file` is where
/// `config` came from: it is read again on SIGHUP and when it changed.
///
/// # Errors
/// As [`Server::start`].
pub fn run(config: Config, file: Option<ConfigFile>) -> Result<ExitCode, StartError> {
    run_and_say(Signals::hear()?, config, file, |_| ())
}

fn load_threads() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(LOAD_THREADS).thread_name("bw-loads").enable_all().build()
}

/// What the process is told, heard before anything is made: a stop that comes while the server starts is one
/// that tidies up.
struct Signals {
    loads: Runtime,
    term: Signal,
    int: Signal,
    hangup: Signal,
}

impl Signals {
    fn hear() -> io::Result<Signals> {
        let loads = load_threads()?;
        let (term, int, hangup) = {
            let _on_loads = loads.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?)
        };
        Ok(Signals { loads, term, int, hangup })
    }
}

/// As [`run`]; `say` is told once every listener answers.
fn run_and_say(
    signals: Signals,
    config: Config,
    file: Option<ConfigFile>,
    say: impl FnOnce(&Server),
) -> Result<ExitCode, StartError> {
    let Signals { loads, mut term, mut int, hangup } = signals;
    file::warn(&config);
    let mut server = Server::start_on(loads, config)?;
    // Never waited for: a file system that hangs must not keep the server from stopping.
    drop(server.cores.aside("bw-reload", reload::reload(server.service.clone(), file, hangup))?);
    if let Err(error) = server.announce(&mut io::stdout().lock()) {
        // Whoever started us may have closed it; that is no reason not to serve.
        tracing::warn!(%error, "stdout can't be written");
    }
    say(&server);
    server.loads.block_on(either(&mut term, &mut int));
    tracing::info!("stopping: finishing what is in progress");
    // A second signal ends the wait.
    if !server.stop_unless(async move { either(&mut term, &mut int).await }) {
        tracing::warn!("stopped before everything was finished");
    }
    Ok(ExitCode::SUCCESS)
}

async fn either(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Runs the sample shop: its database is made in a directory of its own, which goes away at the end.
///
/// # Errors
/// As [`Server::start`], or the database can't be made.
pub fn run_sample(env: impl IntoIterator<Item = (String, String)>, insecure: bool) -> Result<ExitCode, StartError> {
    let signals = Signals::hear()?;
    let failed = |error: &dyn std::fmt::Display| StartError::Sample(error.to_string());
    let home = tempfile::Builder::new().prefix("bellwether-").tempdir().map_err(|error| failed(&error))?;
    let database = home.path().join("sample-shop.db");
    bellwether_adapters::SqliteOrigin::create_sample(&database, SAMPLE_SQL).map_err(|error| failed(&error))?;
    let config = config::sample(&database, env, insecure).map_err(StartError::Problems)?;
    run_and_say(signals, config, None, |server| {
        tracing::info!("no --config: serving the embedded sample shop, 1,000 products in SQLite");
        tracing::info!("try: redis-cli -p {} GET product:42", server.redis.port());
        tracing::info!("try: curl -i http://{}/v1/product:42", server.http);
    })
}

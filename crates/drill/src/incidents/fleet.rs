//! Who are the servers, how does each reach the shared engine, and what is done to them?

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bellwether_faults::{Ending, Faults, Proxy};
use bellwether_servers::{Announced, ServerError};
use tokio::net::lookup_host;

use crate::blocking::blocking;
use crate::control::FleetFlaw;
use crate::error::{ClientError, DrillError};
use crate::incidents::engine::{Engine, Nodes};
use crate::incidents::space::config;
use crate::server::serve;
use crate::target::Target;

/// The file that tells a naive server where the engine is.
const SHARED: &str = "shared";

/// What each server of a fleet is.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    /// This program.
    pub(crate) program: PathBuf,
    /// A naive server in place of ours.
    pub(crate) flaw: Option<FleetFlaw>,
    pub(crate) origin: SocketAddr,
    /// Loads at once, of each server.
    pub(crate) permits: u64,
    /// For so long it waits for the engine.
    pub(crate) budget: Duration,
    /// Where entries go, so that no other run's are met.
    pub(crate) prefix: String,
    /// The run's random name: part of every key.
    pub(crate) run: String,
    /// Whether the origin names the keys of a space.
    pub(crate) filters: bool,
    /// Of Memcached.
    pub(crate) nodes: Nodes,
    /// What its configuration says besides: TOML.
    pub(crate) besides: &'static str,
}

/// One server, and its own way to the engine.
pub(crate) struct Member {
    /// Another one takes its place where it is told of other nodes.
    process: RwLock<Arc<Announced>>,
    wires: Option<Wires>,
}

/// Where the engine is one Redis: a proxy for entries, another for invalidations.
struct Wires {
    entries: Proxy,
    backplane: Proxy,
}

impl Wires {
    fn both(&self) -> [&Proxy; 2] {
        [&self.entries, &self.backplane]
    }
}

impl Member {
    /// Starts one. Where the engine is one Redis, proxies of its own stand before it.
    async fn start(cast: &Cast, engine: &Engine) -> Result<Member, DrillError> {
        let one = engine.one();
        let wires = match &one {
            Some(target) => Some(Wires { entries: wire(target).await?, backplane: wire(target).await? }),
            None => None,
        };
        let (url, backplane) = match (&wires, &one, cast.flaw) {
            (Some(wires), Some(target), _) => {
                let [entries, backplane] = wires.both().map(|wire| target.at(wire.address()).url());
                (entries, Some(backplane))
            }
            (_, _, Some(flaw)) => (engine.naive(flaw, cast.nodes), None),
            (_, _, None) => (engine.url(cast.nodes), None),
        };
        let cast = cast.clone();
        let process = Arc::new(blocking(move || launch(&cast, &url, backplane.as_deref())).await?);
        Ok(Member { process: RwLock::new(process), wires })
    }

    fn process(&self) -> Arc<Announced> {
        Arc::clone(&self.process.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another server takes its place, and is ready before this one is asked to end.
    pub(crate) async fn replace(&self, cast: &Cast, engine: &Engine) -> Result<(), DrillError> {
        let Member { process, .. } = Member::start(cast, engine).await?;
        let process = process.into_inner().unwrap_or_else(PoisonError::into_inner);
        let former = std::mem::replace(&mut *self.process.write().unwrap_or_else(PoisonError::into_inner), process);
        blocking(move || {
            former.end();
            Ok(())
        })
        .await
    }

    /// Where its clients connect, in this life.
    pub(crate) fn target(&self) -> Result<Target, DrillError> {
        let address = self.process().listening("redis");
        address.map(Target::started).ok_or_else(|| DrillError::Server("it has no port".into()))
    }

    /// Its way to the one engine that the fleet shares, for entries.
    pub(crate) fn wire(&self, engine: Target) -> Option<Target> {
        self.wires.as_ref().map(|wires| engine.at(wires.entries.address()))
    }

    /// `kill -9`.
    pub(crate) fn kill(&self) -> Result<(), DrillError> {
        self.process().kill().map_err(engine_failed)
    }

    pub(crate) fn freeze(&self) -> Result<(), DrillError> {
        self.process().freeze().map_err(engine_failed)
    }

    pub(crate) fn thaw(&self) -> Result<(), DrillError> {
        self.process().thaw().map_err(engine_failed)
    }

    /// Asks it to end (SIGTERM); returns when it has.
    pub(crate) async fn end(&self) -> Result<(), DrillError> {
        let process = self.process();
        blocking(move || {
            process.end();
            Ok(())
        })
        .await
    }

    /// A new life with nothing in memory.
    pub(crate) async fn restart(&self) -> Result<(), DrillError> {
        let process = self.process();
        blocking(move || process.restart()).await
    }

    /// It hears nothing of the others any more, and is not told so; entries it still finds.
    pub(crate) fn lose_backplane(&self) {
        if let Some(wires) = &self.wires {
            wires.backplane.set_both(Faults { dead: true, ..Faults::NONE });
        }
    }

    /// Nothing gets through between it and the engine, and nobody is told.
    pub(crate) fn cut_off(&self) {
        for wire in self.wires.iter().flat_map(Wires::both) {
            wire.set_both(Faults { dead: true, ..Faults::NONE });
        }
    }

    pub(crate) fn reconnect(&self) {
        self.wires.iter().flat_map(Wires::both).for_each(Proxy::calm);
    }

    /// The engine is gone for it: connections are reset and refused.
    pub(crate) async fn lose(&self) {
        for wire in self.wires.iter().flat_map(Wires::both) {
            wire.refuse().await;
            wire.cut(Ending::Reset);
        }
    }

    pub(crate) async fn find_again(&self) -> Result<(), DrillError> {
        for wire in self.wires.iter().flat_map(Wires::both) {
            wire.admit().await.map_err(|error| DrillError::Server(error.to_string()))?;
        }
        Ok(())
    }
}

/// Starts a whole fleet.
pub(crate) async fn start(cast: &Cast, engine: &Engine, servers: usize) -> Result<Vec<Member>, DrillError> {
    futures_util::future::try_join_all((0..servers).map(|_| Member::start(cast, engine))).await
}

async fn wire(target: &Target) -> Result<Proxy, DrillError> {
    let unreachable =
        |error| DrillError::Unreachable { target: target.to_string(), error: ClientError::Connect(error) };
    let mut found = lookup_host((target.host.as_str(), target.port)).await.map_err(unreachable)?;
    let address = found.next().ok_or_else(|| unreachable(std::io::ErrorKind::NotFound.into()))?;
    let proxy = Proxy::start(address, fastrand::u64(..)).await;
    proxy.map_err(|error| DrillError::Server(error.to_string()))
}

fn launch(cast: &Cast, url: &str, backplane: Option<&str>) -> Result<Announced, ServerError> {
    match cast.flaw {
        None => {
            let listed = cast.filters.then_some(&*cast.run);
            let text = config(cast.origin, cast.permits, cast.budget, url, backplane, &cast.prefix, listed);
            serve(&cast.program, &(text + cast.besides))
        }
        Some(flaw) => naive(&cast.program, flaw, cast.origin, url),
    }
}

/// This program again, by a verb that nobody is told of.
fn naive(program: &Path, flaw: FleetFlaw, origin: SocketAddr, url: &str) -> Result<Announced, ServerError> {
    let origin = origin.to_string();
    // A file: a command line is seen by everyone on the machine, and the URL may hold a password.
    let words = ["drill", "control", "--flaw", flaw.name(), "--origin", &origin, "--shared", SHARED];
    Announced::start(program, &words, &[(SHARED, url.to_owned())], None)
}

fn engine_failed(error: ServerError) -> DrillError {
    DrillError::Server(error.to_string())
}

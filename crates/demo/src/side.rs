//! Which two sides are compared, and how is each started, counted and stopped?

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::why::Why;
use bellwether_server::config::{self, OriginKind};
use bellwether_server::connections::Face;
use bellwether_server::run::Server;

use crate::database::{Database, PAGE, POOL};
use crate::failure::Failure;
use crate::measured::Counts;
use crate::plain::{CacheAside, PlainServer};
use crate::shop::Shop;

/// Who answers the herd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Get, query, set.
    Plain,
    /// Ours.
    Bellwether,
}

impl Side {
    /// In the order in which they are played.
    pub(crate) const BOTH: [Side; 2] = [Side::Plain, Side::Bellwether];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Side::Plain => "plain",
            Side::Bellwether => "bellwether",
        }
    }

    /// For people.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Side::Plain => "plain cache-aside",
            Side::Bellwether => "bellwether",
        }
    }
}

/// What both sides are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// How long a page is fresh.
    pub(crate) ttl: Duration,
    /// What a caller waits.
    pub(crate) deadline: Duration,
}

/// A side that answers.
pub(crate) struct Running {
    shop: Arc<Shop>,
    database: Arc<Database>,
    server: Kind,
}

enum Kind {
    Plain(PlainServer),
    Bellwether(Box<Server>),
}

impl Running {
    /// Starts a side with a shop and a database of its own in `home`.
    pub(crate) fn start(side: Side, home: &Path, star: u32, terms: Terms) -> Result<Running, Failure> {
        let shop = Arc::new(Shop::open(home, side.name())?);
        let database = Database::new(i64::from(star));
        let server = match side {
            Side::Plain => {
                let cache = CacheAside::new(&shop, &database, terms.ttl, terms.deadline)?;
                Kind::Plain(PlainServer::start(cache)?)
            }
            Side::Bellwether => Kind::Bellwether(Box::new(bellwether(&shop, &database, terms)?)),
        };
        Ok(Running { shop, database, server })
    }

    /// Where it speaks RESP.
    pub(crate) fn address(&self) -> SocketAddr {
        match &self.server {
            Kind::Plain(server) => server.address(),
            Kind::Bellwether(server) => server.address(Face::Redis),
        }
    }

    pub(crate) fn shop(&self) -> &Arc<Shop> {
        &self.shop
    }

    pub(crate) fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// What its cache counted.
    pub(crate) fn counts(&self) -> Counts {
        match &self.server {
            Kind::Plain(server) => server.cache().counts(),
            Kind::Bellwether(server) => counts(server),
        }
    }

    /// The plain side's cache, for a look at it without a socket.
    pub(crate) fn cache(&self) -> Option<&CacheAside> {
        match &self.server {
            Kind::Plain(server) => Some(server.cache()),
            Kind::Bellwether(_) => None,
        }
    }

    /// Bellwether's other listeners.
    pub(crate) fn face(&self, face: Face) -> Option<SocketAddr> {
        match &self.server {
            Kind::Plain(_) => None,
            Kind::Bellwether(server) => Some(server.address(face)),
        }
    }

    pub(crate) fn stop(self) {
        match self.server {
            Kind::Plain(server) => server.stop(),
            // Clients are gone by now: whatever would not be finished, nobody waits for.
            Kind::Bellwether(server) => drop(server.stop()),
        }
    }
}

/// Bellwether's side as a user would configure it; nothing in it is made for the demo but the database.
pub(crate) fn configuration(terms: Terms) -> String {
    let (ttl, deadline) = (terms.ttl.as_millis(), terms.deadline.as_millis());
    format!(
        "[listen]\nredis = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\n\
         [origin.shop]\nsql = \"sqlite://shop.db\"\nmax_concurrency = {POOL}\n\n\
         [[space]]\nmatch = \"product:{{id:int}}\"\norigin = \"shop\"\nquery = \"{PAGE}\"\n\
         ttl = \"{ttl}ms\"\ngrace = \"10m\"\ntimeout = \"{deadline}ms\"\n"
    )
}

/// The real server on its real sockets, in this process.
fn bellwether(shop: &Shop, database: &Arc<Database>, terms: Terms) -> Result<Server, Failure> {
    // Without the environment: what it says is meant for `serve`.
    let parsed = config::parse(&configuration(terms), "demo.toml", Path::new(""), [], false);
    let lines =
        |problems: Vec<config::Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let mut config = parsed.map_err(|problems| Failure::Start(lines(problems)))?;
    for origin in &mut config.origins {
        origin.kind = OriginKind::Sqlite { path: shop.path().to_path_buf() };
        origin.on_connect = database.on_connect();
    }
    Server::start(config).map_err(|error| Failure::Start(error.to_string()))
}

/// Requests that memory answered, stale or not, against all.
fn counts(server: &Server) -> Counts {
    let snapshot = server.service().snapshot();
    let sum = |whys: &[Why]| snapshot.spaces.iter().flat_map(|space| whys.iter().map(|why| space.of(*why))).sum();
    Counts { requests: sum(Why::ALL), hits: sum(&[Why::Hit, Why::StaleRefreshing, Why::StaleError, Why::StaleShed]) }
}

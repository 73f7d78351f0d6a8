//! What was asked for? The configuration once it is understood: every default filled in, every check passed.

mod origin;
mod shared;
mod space;

use super::problem::{Place, Problem};
use super::secret::Secret;
use bellwether::{Eviction, HotPolicy};
use bellwether_core::guard::ramp::Mode;
use bellwether_core::time::Span;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use origin::{HttpBase, OriginConfig, OriginKind};
pub use shared::{Backplane, BackplaneMode, OnStart, Placement, Shared, SharedAt, SharedTls};
pub use space::{FilterConfig, HttpSource, Query, Source, SpaceConfig, SqlSource, Strangers, Tiers};

/// A whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, as the user named it: for problems that are found later.
    pub file: String,
    /// `[listen]`.
    pub listen: Listen,
    /// `[memory]`.
    pub memory: Memory,
    /// `[disk]`, if there is one.
    pub disk: Option<Disk>,
    /// `[shared]`, if there is one.
    pub shared: Option<Shared>,
    /// `[hot]`.
    pub hot: Hot,
    /// `[origin.NAME]`, by name.
    pub origins: Vec<OriginConfig>,
    /// `[[space]]`, in the order in which they are tried.
    pub spaces: Vec<SpaceConfig>,
    /// What works, but less well than it looks: to be told to whoever starts or checks it.
    pub warnings: Vec<Problem>,
}

/// What is said of hot keys.
#[derive(Clone, Debug, Default)]
pub struct Hot {
    /// From when on a key is hot.
    pub policy: HotPolicy,
    /// `[[hot.announce]]`.
    pub announced: Vec<Announcement>,
}

/// A key that will be hot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// As clients name it.
    pub key: String,
    /// From here on, in milliseconds since 1970.
    pub from_ms: u64,
    /// For so long.
    pub length: Span,
}

impl Config {
    /// Where it is kept over a restart what was read most; `None`: nowhere.
    pub fn hot_list(&self) -> Option<PathBuf> {
        self.disk.as_ref().map(|disk| disk.path.join(HOT_LIST))
    }
}

/// The hot list, in the directory of the disk tier.
const HOT_LIST: &str = "hot.list";

/// Where to listen.
#[derive(Clone, Debug)]
pub struct Listen {
    /// RESP2 and RESP3.
    pub redis: SocketAddr,
    /// `/v1/{key}`.
    pub http: SocketAddr,
    /// `/metrics`, `/livez`, `/readyz`.
    pub admin: SocketAddr,
    /// Needed of every client, if set.
    pub password: Option<Secret>,
    /// How a process that has just begun takes on traffic.
    pub ramp: Mode,
    /// Connections that one address may have to the data faces, both together; `None`: as many as there is room for.
    pub clients_per_address: Option<u32>,
}

/// The memory tier.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Bytes over all spaces.
    pub limit: u64,
    /// Who goes first when they are used up.
    pub eviction: Eviction,
}

/// The tier on this machine's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// A directory; absolute, or relative to the working directory if the configuration's own path was.
    pub path: PathBuf,
    /// Bytes of its files.
    pub limit: u64,
    /// What becomes of what is found there at a start.
    pub on_restart: OnRestart,
    /// Its header in the file.
    pub place: Place,
}

/// What becomes of entries that an earlier life of the process left on disk. None of them is ever fresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnRestart {
    /// They are served as stale while one paced refresh runs.
    #[default]
    ServeStale,
    /// They are served only where a load failed.
    Revalidate,
    /// They are gone.
    Drop,
}

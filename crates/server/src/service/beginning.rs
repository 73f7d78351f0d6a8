//! Is the process good for traffic already, and what was read most before it began?

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use bellwether_core::guard::ramp::{Mode, Ramp};
use bellwether_core::time::Tick;
use parking_lot::Mutex;

use super::hotlist::{self, Hot};

/// How a process begins.
pub(super) struct Beginning {
    pub(super) ramp: Mutex<Ramp>,
    /// Where the hot list is kept; `None`: nowhere.
    pub(super) path: Option<PathBuf>,
    /// What was there when it began.
    pub(super) list: Mutex<Vec<Hot>>,
    /// What is known of how often keys were read, by their hash: of the last list.
    pub(super) known: Mutex<HashMap<u64, f32>>,
    /// Share of the hot list's reads whose keys are there, in millionths.
    pub(super) share: AtomicU64,
    /// Reads that were made to warm up: no client's.
    pub(super) of_warming: AtomicU64,
}

/// How far a process is.
#[derive(Clone, Copy, Debug)]
pub struct Readiness {
    /// It takes traffic.
    pub ready: bool,
    /// As much as others, 1 being all of its share.
    pub weight: f64,
    /// The share of the hot list's reads whose keys are there.
    pub warm: f64,
}

impl Beginning {
    pub(super) fn new(path: Option<PathBuf>, mode: Mode, now: Tick) -> Beginning {
        let list = path.as_deref().map(hotlist::read).unwrap_or_default();
        Beginning {
            ramp: Mutex::new(Ramp::new(mode, !list.is_empty(), now)),
            path,
            list: Mutex::new(list),
            known: Mutex::default(),
            share: AtomicU64::new(0),
            of_warming: AtomicU64::new(0),
        }
    }
}

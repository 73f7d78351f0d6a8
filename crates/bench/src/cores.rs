//! Which core serves, and which one asks? Apart, so that neither takes the other's time.

use std::io;

#[cfg(target_os = "linux")]
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where servers run and where the load comes from. As it was before once this is dropped.
pub struct Cores {
    #[cfg(target_os = "linux")]
    places: Option<Places>,
}

#[cfg(target_os = "linux")]
struct Places {
    before: CpuSet,
    server: CpuSet,
    load: CpuSet,
}

#[cfg(target_os = "linux")]
impl Cores {
    /// One core for every server, the last one for this thread, which asks. On a machine with one core
    /// nothing is pinned.
    ///
    /// # Errors
    /// The system doesn't say, or doesn't let us.
    pub fn split() -> io::Result<Cores> {
        let before = sched_getaffinity(None)?;
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| before.is_set(*cpu)).collect();
        let (Some(first), Some(last)) = (allowed.first(), allowed.last()) else { return Ok(Cores { places: None }) };
        if first == last {
            return Ok(Cores { places: None });
        }
        let only = |cpu: usize| {
            let mut set = CpuSet::new();
            set.set(cpu);
            set
        };
        let places = Places { before, server: only(*first), load: only(*last) };
        sched_setaffinity(None, &places.load)?;
        Ok(Cores { places: Some(places) })
    }

    /// Whether servers and load have a core each.
    pub fn apart(&self) -> bool {
        self.places.is_some()
    }

    /// Does `start` where servers run: a process stays where it was started.
    ///
    /// # Errors
    /// The system doesn't let us.
    pub fn serving<T>(&self, start: impl FnOnce() -> T) -> io::Result<T> {
        let Some(places) = &self.places else { return Ok(start()) };
        sched_setaffinity(None, &places.server)?;
        let started = start();
        sched_setaffinity(None, &places.load)?;
        Ok(started)
    }
}

#[cfg(target_os = "linux")]
impl Drop for Cores {
    fn drop(&mut self) {
        if let Some(places) = &self.places {
            // It was allowed before; if it isn't any more, this thread works where it may.
            let _ = sched_setaffinity(None, &places.before);
        }
    }
}

/// Elsewhere nothing is pinned.
#[cfg(not(target_os = "linux"))]
#[allow(missing_docs, clippy::missing_errors_doc)]
impl Cores {
    pub fn split() -> io::Result<Cores> {
        Ok(Cores {})
    }

    pub fn apart(&self) -> bool {
        false
    }

    pub fn serving<T>(&self, start: impl FnOnce() -> T) -> io::Result<T> {
        Ok(start())
    }
}

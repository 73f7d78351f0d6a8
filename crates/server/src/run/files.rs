//! How many files may this process have open? As many as it needs, as far as the system lets it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Asks for `wanted` open files at once, up to the hard limit. Returns how many there may be now, which may be more.
pub fn allow_open_files(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let asked = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let files = current.unwrap_or(wanted);
    if files >= asked {
        return files;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(asked), maximum }) {
        Ok(()) => asked,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files can't be raised");
            files
        }
    }
}

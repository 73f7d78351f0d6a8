//! May this process, and those it starts, have enough files open?

use bellwether_server::run::allow_open_files;

use crate::failure::Failure;

/// Open files to ask for: nginx, which `bench` measures, is fastest if it keeps 10,000 cached files open; more make no difference.
const WANTED: u64 = 16_384;

/// Raises the limit as far as the system lets us.
///
/// # Errors
/// It stays below what is needed: how to get there.
pub(crate) fn enough(needed: u64) -> Result<(), Failure> {
    let files = allow_open_files(WANTED);
    if files >= needed {
        return Ok(());
    }
    let way = format!("ulimit -n {needed}, by somebody who may raise the hard limit (ulimit -Hn)");
    Err(Failure::Run(format!("only {files} files may be open at once, {needed} are needed: {way}")))
}

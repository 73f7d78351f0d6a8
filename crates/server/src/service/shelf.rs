//! What of this process outlives it? The disk tier, and beside it what the shared tier could not be told yet.

use std::time::Duration;

use bellwether::Clock;
use bellwether::disk::OnRestart;
use bellwether_adapters::SetupError;
use bellwether_adapters::events::SqliteLedger;
use bellwether_adapters::tiers::disk::{DiskConfig, DiskTier};

use crate::config::{self, Disk};

/// A disk that failed is tried again after so long.
const RETRY: Duration = Duration::from_secs(5);
/// The file of invalidations that are owed, in the tier's directory.
const OWED: &str = "owed.sqlite";

/// What `[disk]` names, opened.
pub(super) struct Shelf {
    pub(super) tier: DiskTier,
    /// What the shared tier could not be told; `None` where there is nobody to be told.
    pub(super) ledger: Option<SqliteLedger>,
}

/// Opens what `[disk]` names; the directory is made if there is none.
///
/// # Errors
/// Another process uses the directory, or its files are of another program, of a later version, or can't be written.
pub(super) fn open(disk: &Disk, is_shared: bool, clock: Clock) -> Result<Shelf, SetupError> {
    let on_restart = match disk.on_restart {
        config::OnRestart::ServeStale => OnRestart::ServeStale,
        config::OnRestart::Revalidate => OnRestart::Revalidate,
        config::OnRestart::Drop => OnRestart::Drop,
    };
    let (directory, limit) = (disk.path.clone(), disk.limit);
    let tier = DiskTier::open(DiskConfig { directory, limit, on_restart, retry: RETRY, clock })?;
    // After the tier: it has the directory to itself then.
    let ledger = is_shared.then(|| SqliteLedger::open(&disk.path.join(OWED))).transpose()?;
    Ok(Shelf { tier, ledger })
}

/// Whether `[disk]` could be opened, for `check`: nothing is made, and nobody who uses it is disturbed.
///
/// # Errors
/// It can't be.
pub(super) fn look(disk: &Disk) -> Result<(), SetupError> {
    DiskTier::look(&disk.path)
}

//! What went wrong with the file, and is it the disk, its limit, its bytes, or somebody else's file?

use std::io;
use std::path::Path;

use bellwether::shared::{TierError, TierTrouble};
use rusqlite::ErrorCode;

use crate::SetupError;

/// Why something could not be done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The bytes are not what was written.
    Damaged(String),
    /// No room: by the tier's limit or on the disk.
    Full(String),
    /// The disk, the directory or its rights.
    Failed(String),
    /// Not our file, or not ours to open: nothing is touched.
    Refused(SetupError),
}

impl Trouble {
    pub(super) fn io(doing: &str, path: &Path, error: &io::Error) -> Trouble {
        let text = format!("{doing} {}: {error}", path.display());
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Trouble::Full(text),
            _ => Trouble::Failed(text),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Trouble::Damaged(text) | Trouble::Full(text) | Trouble::Failed(text) => text.clone(),
            Trouble::Refused(refusal) => refusal.to_string(),
        }
    }

    /// As a caller hears of it.
    pub(super) fn to_tier_error(&self) -> TierError {
        let kind = match self {
            Trouble::Full(_) => TierTrouble::Full,
            Trouble::Damaged(_) | Trouble::Failed(_) | Trouble::Refused(_) => TierTrouble::Failed,
        };
        TierError { kind, text: self.text() }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        let text = error.to_string();
        match error {
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Trouble::Damaged(text),
                ErrorCode::DiskFull => Trouble::Full(text),
                // A table or column that is not there: the schema's page is not what was written.
                ErrorCode::Unknown => Trouble::Damaged(text),
                _ => Trouble::Failed(text),
            },
            // A row that should be there is not, or a column holds another type.
            _ => Trouble::Damaged(text),
        }
    }
}

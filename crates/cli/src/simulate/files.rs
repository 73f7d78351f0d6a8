//! How does a report reach its file? Whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A report that may be asked for: its option, the file if it is, and how its text is made.
pub(super) type Wanted<'r> = (&'r str, Option<&'r PathBuf>, Box<dyn FnOnce() -> String + 'r>);

/// Writes every report that was asked for. The figures were shown before: a failure names what is missing.
pub(super) fn write(reports: Vec<Wanted<'_>>) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for (option, file, text) in reports {
        let Some(file) = file else { continue };
        if let Err(error) = whole(file, text().as_bytes()) {
            failed.push(format!("{option} {}: {error}; nothing was written there", file.display()));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Run(failed.join("\nbellwether: "))) }
}

/// Beside its place first, then renamed: a full disk leaves no half of a file, and an older one as it was.
fn whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::metadata(file).is_ok_and(|there| !there.is_file()) {
        // A pipe or a device is not to be replaced by a file; a directory is refused here.
        return OpenOptions::new().write(true).open(file)?.write_all(bytes);
    }
    let name = file.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "names no file"))?;
    let mut beside = name.to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let beside = file.with_file_name(beside);
    let written = fill(&beside, bytes).and_then(|()| fs::rename(&beside, file));
    if written.is_err() {
        // Perhaps it was never made.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn fill(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(file)?;
    file.write_all(bytes)?;
    // Some file systems tell only here that there is no room.
    file.sync_all()
}

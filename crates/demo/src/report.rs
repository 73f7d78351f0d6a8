//! How is the verdict written for programs? One JSON file, whole or not at all.

use std::io::{self, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::database::{POOL, QUERY};
use crate::failure::Failure;
use crate::script::Scale;
use crate::verdict::{Played, Verdict};

/// The verdict with all that it depends on.
pub(crate) fn json(verdict: &Verdict, scale: &Scale, seed: u64, quick: bool) -> Value {
    let millis = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let incident = |played: &Played| {
        json!({
            "number": played.incident.number(),
            "name": played.incident.name(),
            "title": played.incident.title(),
            "plain": played.plain,
            "bellwether": played.ours,
            "claims": played.claims,
        })
    };
    let broken = verdict.broken();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "seed": seed,
        "quick": quick,
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
        "database": { "pool": POOL, "query_ms": millis(QUERY) },
        "deadline_ms": millis(scale.deadline),
        "late_after_ms": millis(scale.deadline + scale.slack),
        "incidents": verdict.played.iter().map(incident).collect::<Vec<_>>(),
        "hop": verdict.hop,
        "claims": verdict.claims(),
        "failed": broken,
        "passed": broken.is_empty(),
    })
}

/// Whether there is a folder for it.
pub(crate) fn has_place(path: &Path) -> Result<(), Failure> {
    let failed = |source: io::Error| Failure::Report { path: path.to_path_buf(), source };
    if path.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    std::fs::metadata(folder(path)).map(drop).map_err(failed)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes beside the file first, then puts it in its place: a full disk leaves what was there before.
pub(crate) fn write(path: &Path, report: &Value) -> Result<(), Failure> {
    let failed = |source: io::Error| Failure::Report { path: path.to_path_buf(), source };
    // What is no regular file has no place to be put into: a pipe, /dev/full.
    if path.symlink_metadata().is_ok_and(|there| !there.is_file() && !there.is_dir() && !there.is_symlink()) {
        return into(path, report).map_err(failed);
    }
    let mut file = tempfile::Builder::new().prefix(".bellwether-demo-").tempfile_in(folder(path)).map_err(failed)?;
    filled(file.as_file_mut(), report).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    readable(file.path()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn into(path: &Path, report: &Value) -> io::Result<()> {
    filled(&mut std::fs::OpenOptions::new().write(true).open(path)?, report)
}

fn filled(file: &mut std::fs::File, report: &Value) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.flush()
}

/// A temporary file is its owner's alone; a report is for whoever may look into the folder.
fn readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests::{good, verdict};

    #[test]
    fn a_report_is_written_whole_or_not_at_all() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("verdict.json");
        let report = json(&verdict(good()), &Scale::FULL, 42, false);
        write(&path, &report).expect("written");
        let read: Value = serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
        assert_eq!((&read["passed"], &read["seed"], &read["claims"]), (&json!(true), &json!(42), &json!(7)));
        assert_eq!(read["incidents"][0]["plain"]["star_queries"], 320);
        assert_eq!(std::fs::read_dir(home.path()).expect("a directory").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_full_disk_is_told_with_the_files_name() {
        if !Path::new("/dev/full").exists() {
            return;
        }
        let error = write(Path::new("/dev/full"), &json!({})).expect_err("it is always full");
        let words = error.to_string();
        assert!(words.contains("/dev/full") && words.to_lowercase().contains("no space"), "{words}");
        let error = has_place(Path::new("/nowhere/at/all.json")).expect_err("no such folder");
        assert!(error.to_string().contains("/nowhere/at/all.json"), "{error}");
        assert!(has_place(&std::env::temp_dir()).is_err(), "a directory is no file");
    }

    #[test]
    fn a_failed_claim_is_in_the_report() {
        let mut bad = good();
        bad.failed = 3;
        let report = json(&verdict(bad), &Scale::FULL, 42, false);
        assert_eq!((&report["passed"], &report["failed"][0]["rule"]), (&json!(false), &json!("answered")));
        assert_eq!(report["failed"][0]["incident"], "cold");
    }
}

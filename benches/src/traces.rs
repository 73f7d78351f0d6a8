//! What was asked for somewhere, one day? Recorded traces, as the simulator reads them.

use std::path::{Path, PathBuf};

use bellwether_sim::replay::{Format, ReadError, read};

/// Requests under a name.
pub struct Trace {
    /// The file's name.
    pub name: String,
    /// The keys, in order: equal numbers are equal keys.
    pub keys: Vec<u32>,
}

/// The first `most` requests of each trace of a directory, in order of name: `*.trace.xz`, keys as big-endian 32-bit
/// integers, and `*.lis.zst`, lines `start count …` that stand for the keys from start on.
///
/// # Errors
/// A sentence if they can't be read.
pub fn recorded(directory: &Path, most: usize) -> Result<Vec<Trace>, String> {
    let listed = std::fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut paths: Vec<PathBuf> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let mut traces = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let format = if name.ends_with(".trace.xz") {
            Format::Be32
        } else if name.ends_with(".lis.zst") {
            Format::Lis
        } else {
            continue;
        };
        let keys = keys_of(&path, format, most).map_err(|words| format!("{name}: {words}"))?;
        traces.push(Trace { name, keys });
    }
    if traces.is_empty() { Err(format!("{}: no *.trace.xz and no *.lis.zst", directory.display())) } else { Ok(traces) }
}

/// A file of which no line is skipped: a figure of half a trace would pass for one of the whole.
fn keys_of(path: &Path, format: Format, most: usize) -> Result<Vec<u32>, String> {
    let trace = read(path, format, most).map_err(|error| match error {
        ReadError::Unreadable(what) | ReadError::CutOff { what, .. } | ReadError::Wrong(what) => what,
        ReadError::Empty => "no requests in it".to_owned(),
        ReadError::Senseless(_) => "no line of it makes sense".to_owned(),
    })?;
    match trace.malformed.first.first() {
        Some((line, what)) => Err(format!("line {line}: {what}")),
        None => Ok(trace.requests.iter().map(|request| request.key).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_read_and_nonsense_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let keys = |bytes: &[u8], format| {
            let path = home.path().join("t");
            std::fs::write(&path, bytes).expect("a file");
            keys_of(&path, format, 9)
        };
        assert_eq!(keys(&[0, 0, 0, 7, 0, 0, 1, 0, 0, 0, 0, 7], Format::Be32), Ok(vec![0, 1, 0]));
        assert!(keys(&[0, 0, 0, 7, 0], Format::Be32).is_err_and(|error| error.contains("1 bytes instead of 4")));
        assert_eq!(keys(b"5 3 0 0\n6 1 0 1\n", Format::Lis), Ok(vec![0, 1, 2, 1]));
        assert!(keys(b"5 3 0 0\nfive\n", Format::Lis).is_err_and(|error| error.contains("line 2")));
    }
}

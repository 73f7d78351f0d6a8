//! What was asked for somewhere, one day? Recorded traces, in the formats that are common for them.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Requests under a name.
pub struct Trace {
    /// The file's name.
    pub name: String,
    /// The keys, in order.
    pub keys: Vec<u32>,
}

/// The first `most` requests of each trace of a directory, in order of name: `*.trace.xz`, keys as big-endian 32-bit
/// integers, and `*.lis.zst`, lines `start count …` that stand for the keys from start on. They are unpacked by the
/// programs `xz` and `zstd`.
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
        let keys = if name.ends_with(".trace.xz") {
            unpacked("xz", "xz-utils", &path, most, big_endian)?
        } else if name.ends_with(".lis.zst") {
            unpacked("zstd", "zstd", &path, most, ranges)?
        } else {
            continue;
        };
        if keys.is_empty() {
            return Err(format!("{name}: no requests in it"));
        }
        traces.push(Trace { name, keys });
    }
    if traces.is_empty() { Err(format!("{}: no *.trace.xz and no *.lis.zst", directory.display())) } else { Ok(traces) }
}

/// What `read` makes of a file that `program` unpacks.
fn unpacked(
    program: &str,
    package: &str,
    path: &Path,
    most: usize,
    read: fn(&mut dyn BufRead, usize) -> Result<Vec<u32>, String>,
) -> Result<Vec<u32>, String> {
    let started = Command::new(program).args(["-dc", "--"]).arg(path).stdout(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| format!("{program}: {error}; install it: apt-get install {package}"))?;
    let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
    let keys = read(&mut output, most).map_err(|error| format!("{}: {error}", path.display()))?;
    let rest = output.fill_buf().map_or(0, <[u8]>::len);
    drop(output);
    let status = child.wait().map_err(|error| error.to_string())?;
    // It is cut off where more requests follow than count.
    if rest == 0 && !status.success() {
        return Err(format!("{}: {program} ended with {status}", path.display()));
    }
    Ok(keys)
}

fn big_endian(input: &mut dyn BufRead, most: usize) -> Result<Vec<u32>, String> {
    let mut bytes = Vec::new();
    input.take(most as u64 * 4).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let (keys, rest) = bytes.as_chunks::<4>();
    if rest.is_empty() {
        Ok(keys.iter().map(|key| u32::from_be_bytes(*key)).collect())
    } else {
        Err(format!("{} bytes are no whole number of keys", bytes.len()))
    }
}

fn ranges(input: &mut dyn BufRead, most: usize) -> Result<Vec<u32>, String> {
    let mut keys = Vec::new();
    for (at, line) in input.lines().enumerate() {
        let line = line.map_err(|error| error.to_string())?;
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        let (Some(Ok(start)), Some(Ok(count))) = (numbers.next(), numbers.next()) else {
            return Err(format!("line {}: expected `start count …`, found `{line}`", at + 1));
        };
        keys.extend((0..count).map(|n| start.wrapping_add(n)).take(most - keys.len()));
        if keys.len() >= most {
            break;
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_read_and_nonsense_is_refused() {
        assert_eq!(big_endian(&mut &[0, 0, 0, 7, 0, 0, 1, 0][..], 9), Ok(vec![7, 256]));
        assert!(big_endian(&mut &[0, 0, 0][..], 9).is_err_and(|error| error.contains("3 bytes")));
        assert_eq!(ranges(&mut &b"5 3 0 0\n9 1 0 1\n"[..], 9), Ok(vec![5, 6, 7, 9]));
        assert!(ranges(&mut &b"5 3 0 0\nfive\n"[..], 9).is_err_and(|error| error.contains("line 2")));
    }
}

//! How is it remembered over a restart what is asked for most? A text file: keys by descending rate, and a checksum.

use std::fmt;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use bellwether_core::key::MAX_KEY_BYTES;
use xxhash_rust::xxh3::xxh3_64;

/// Keys of a list, at most.
pub(crate) const MOST_KEYS: usize = 100_000;
/// Bytes of a list, at most.
pub const MOST_BYTES: usize = 16 << 20;
/// What a list begins with; its format follows.
pub const HEAD: &str = "bellwether hot list ";
/// The format that this version writes and reads.
pub const FORMAT: &str = "1";

/// A key, and how often it was read a second.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hot {
    pub(crate) rate: f64,
    pub(crate) key: Vec<u8>,
}

/// Why a list is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It is of another version.
    Version(String),
    /// It is no list, or not a whole one.
    Damaged(&'static str),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Version(found) => write!(f, "format {found}, this version reads format {FORMAT}"),
            Unusable::Damaged(what) => f.write_str(what),
        }
    }
}

/// A key in a text: what could be taken for something else is percent-encoded.
pub(crate) fn encoded(key: &[u8], out: &mut String) {
    for byte in key {
        match byte {
            b'!'..=b'~' if *byte != b'%' => out.push(char::from(*byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// The key that a text stands for, percent-decoded; `None` if it stands for none: it is empty, longer than 4 KiB, or has a
/// `%` without two hex digits.
pub fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut key = Vec::with_capacity(text.len().min(MAX_KEY_BYTES));
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || char::from(rest.next()?).to_digit(16);
        key.push(if byte == b'%' { (digit()? * 16 + digit()?) as u8 } else { byte });
        if key.len() > MAX_KEY_BYTES {
            return None;
        }
    }
    (!key.is_empty()).then_some(key)
}

/// The list as a text: as many of `hot` as there is room for, which come in descending order.
pub(crate) fn text(hot: &[Hot]) -> String {
    let mut text = format!("{HEAD}{FORMAT}\n");
    let mut keys = 0;
    for Hot { rate, key } in hot.iter().take(MOST_KEYS) {
        // At worst each byte takes three, and the last line some more.
        if text.len() + 3 * key.len() + 128 > MOST_BYTES {
            break;
        }
        text.push_str(&format!("{rate:.3} "));
        encoded(key, &mut text);
        text.push('\n');
        keys += 1;
    }
    let sum = xxh3_64(text.as_bytes());
    text.push_str(&format!("end {keys} {sum:016x}\n"));
    text
}

/// Reads a list again.
pub(crate) fn parse(text: &[u8]) -> Result<Vec<Hot>, Unusable> {
    let text = std::str::from_utf8(text).map_err(|_| Unusable::Damaged("no text"))?;
    let (head, _) = text.split_once('\n').ok_or(Unusable::Damaged("no hot list"))?;
    match head.strip_prefix(HEAD) {
        Some(FORMAT) => {}
        Some(other) => return Err(Unusable::Version(other.chars().take(16).collect())),
        None => return Err(Unusable::Damaged("no hot list")),
    }
    let body = text.strip_suffix('\n').ok_or(Unusable::Damaged("cut off"))?;
    let (body, end) = body.rsplit_once('\n').ok_or(Unusable::Damaged("cut off"))?;
    let (count, sum) =
        end.strip_prefix("end ").and_then(|end| end.split_once(' ')).ok_or(Unusable::Damaged("cut off"))?;
    if u64::from_str_radix(sum, 16) != Ok(xxh3_64(&text.as_bytes()[..=body.len()])) {
        return Err(Unusable::Damaged("its checksum is another"));
    }
    let line = |line: &str| {
        let (rate, key) = line.split_once(' ')?;
        let rate = rate.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.0)?;
        Some(Hot { rate, key: decoded(key)? })
    };
    let hot: Option<Vec<Hot>> = body.lines().skip(1).map(line).collect();
    let hot = hot.ok_or(Unusable::Damaged("a line can't be read"))?;
    if count.parse() != Ok(hot.len()) || hot.len() > MOST_KEYS {
        return Err(Unusable::Damaged("its count is another"));
    }
    Ok(hot)
}

/// What lies at `path`; nothing if there is nothing, or nothing of use, which is told.
pub(super) fn read(path: &Path) -> Vec<Hot> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the hot list can't be read: starting without it");
            return Vec::new();
        }
        Ok(_) => {}
    }
    let parsed = if bytes.len() > MOST_BYTES { Err(Unusable::Damaged("longer than 16 MiB")) } else { parse(&bytes) };
    parsed.unwrap_or_else(|unusable| {
        tracing::warn!(path = %path.display(), "the hot list is not used ({unusable}): starting without it");
        Vec::new()
    })
}

/// Puts `text` at `path`, whole or not at all.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let aside: PathBuf = path.with_extension("list.new");
    // Which keys are read most is nobody else's business; and one that is left from before may have another mode.
    let made = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside);
    let written = made.and_then(|mut file| {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    let done = written.and_then(|()| fs::rename(&aside, path));
    if done.is_err() {
        // The error itself is the one to tell.
        let _ = fs::remove_file(&aside);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hot(rate: f64, key: &[u8]) -> Hot {
        Hot { rate, key: key.to_vec() }
    }

    #[test]
    fn a_list_is_read_again_as_it_was_written() {
        let list = vec![hot(100.5, b"product:42"), hot(3.25, b"a b%\n\xff:{x}"), hot(0.0, b"z")];
        let text = text(&list);
        assert_eq!(parse(text.as_bytes()), Ok(list));
        assert!(text.starts_with("bellwether hot list 1\n100.500 product:42\n3.250 a%20b%25%0A%FF:{x}\n"), "{text}");
        assert_eq!(parse(super::text(&[]).as_bytes()), Ok(Vec::new()));
    }

    #[test]
    fn another_version_and_a_damaged_list_are_told_apart_and_not_used() {
        let good = text(&[hot(1.0, b"a"), hot(0.5, b"b")]);
        let newer = good.replace("list 1", "list 2");
        assert_eq!(parse(newer.as_bytes()), Err(Unusable::Version("2".to_owned())));
        assert_eq!(parse(b""), Err(Unusable::Damaged("no hot list")));
        assert_eq!(parse(b"PK\x03\x04\nx"), Err(Unusable::Damaged("no hot list")));
        assert_eq!(
            parse(good.replace("1.000 a", "9.000 a").as_bytes()),
            Err(Unusable::Damaged("its checksum is another"))
        );
        for cut in 0..good.len() {
            assert!(parse(&good.as_bytes()[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_list_is_bounded_and_written_whole_or_not_at_all() {
        let long = vec![b' '; MAX_KEY_BYTES];
        let many: Vec<Hot> = (0..MOST_KEYS + 5).map(|n| hot(1.0, format!("{n}").as_bytes())).collect();
        assert_eq!(parse(text(&many).as_bytes()).map(|list| list.len()), Ok(MOST_KEYS));
        let large: Vec<Hot> = (0..5_000).map(|_| hot(1.0, &long)).collect();
        assert!(text(&large).len() <= MOST_BYTES);
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("hot.list");
        assert_eq!(read(&path), []);
        fs::write(home.path().join("hot.list.new"), "left by a build of before").expect("written");
        write(&path, &text(&many[..3])).expect("written");
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "for its owner alone");
        assert_eq!(read(&path), many[..3]);
        fs::write(&path, "bellwether hot list 1\n1.0 a\n").expect("written");
        assert_eq!(read(&path), [], "damaged: nothing");
        assert!(write(&home.path().join("no/such/place"), "x").is_err());
        assert_eq!(fs::read_dir(home.path()).expect("it is there").count(), 1, "nothing is left aside");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..20)) {
            drop(parse(&bytes));
            let list: Vec<Hot> = keys.into_iter().map(|key| Hot { rate: 1.5, key }).collect();
            prop_assert_eq!(parse(text(&list).as_bytes()), Ok(list));
        }
    }
}

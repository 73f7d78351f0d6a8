//! How is a key named to a running server? As a segment of a path, whatever its bytes are.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use crate::failure::Failure;

/// A key of the command line, inside a path.
pub(crate) fn segment(key: &OsStr) -> Result<String, Failure> {
    if key.is_empty() {
        return Err(Failure::input("an empty key is no key: expected one as in GET"));
    }
    Ok(encoded(key.as_bytes()))
}

/// Everything but the unreserved letters of RFC 3986 is encoded.
pub(crate) fn encoded(key: &[u8]) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(*byte)),
            other => {
                // Writing into a String can't fail.
                let _ = write!(text, "%{other:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_fits_into_a_path_but_none() {
        assert_eq!(encoded(b"product:4_2/\xff %"), "product%3A4_2%2F%FF%20%25");
        assert!(segment(OsStr::new("a b")).is_ok_and(|text| text == "a%20b"));
        assert!(matches!(segment(OsStr::new("")), Err(Failure::Input(_))));
    }
}

//! Under which name does a key lie in Memcached? Its own behind the prefix, or a hash where that can't be a name.

use bytes::Bytes;

/// Memcached's limit.
const LONGEST: usize = 250;

/// What stands before hashes, and before what belongs to the tier itself. No prefix begins so.
pub(super) const OWN: u8 = b'~';

/// A key, under which its entry's checksum is computed, and its name.
pub(super) struct Name {
    /// Prefix and key as they are.
    pub(super) full: Vec<u8>,
    /// What Memcached calls it.
    pub(super) stored: Bytes,
    /// Whether `stored` is a hash of `full`.
    pub(super) is_hashed: bool,
}

impl Name {
    pub(super) fn new(prefix: &[u8], key: &[u8]) -> Name {
        let full = [prefix, key].concat();
        if is_a_name(&full) {
            return Name { stored: Bytes::copy_from_slice(&full), full, is_hashed: false };
        }
        let digest = blake3::hash(&full);
        let mut stored = vec![OWN];
        stored.extend(digest.as_bytes()[..16].iter().flat_map(|byte| format!("{byte:02x}").into_bytes()));
        Name { full, stored: Bytes::from(stored), is_hashed: true }
    }
}

/// Where a fleet writes down which nodes it has.
pub(super) fn of_roster(prefix: &[u8]) -> Bytes {
    Bytes::from([&[OWN], prefix, b"fleet"].concat())
}

/// Whether Memcached takes these bytes as a name: it splits lines at spaces, and ends them at control characters.
pub(super) fn is_a_name(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.len() <= LONGEST && !bytes.iter().any(|byte| *byte <= b' ' || *byte == 0x7F)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_a_name_is_one_and_all_else_is_hashed() {
        let name = |key: &[u8]| Name::new(b"bw:", key);
        assert_eq!(name(b"product:42").stored, "bw:product:42");
        assert_eq!(name("grüß".as_bytes()).stored, "bw:grüß".as_bytes());
        for key in [&b"two words"[..], b"line\n", b"\0", b"\x7F", &[b'k'; 248]] {
            let hashed = name(key);
            assert!(hashed.is_hashed && hashed.stored.len() == 33 && is_a_name(&hashed.stored));
            assert_eq!(hashed.full, [b"bw:", key].concat());
        }
        assert!(!name(&[b'k'; 247]).is_hashed);
        // The first half of what `b3sum` says of "bw:two words".
        assert_eq!(name(b"two words").stored, "~6d2020d2a507aefbfb9c7de9ab99bd2e");
    }
}

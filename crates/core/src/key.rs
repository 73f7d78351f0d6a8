//! How does a key become bytes? An injective encoding, so that no two keys share an entry.

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 4096;

/// Appends one part of a compound key, length first, so that ("ab","c") and ("a","bc") differ.
pub fn push_part(out: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).expect("a key part is far below 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for part in parts {
            push_part(&mut out, part);
        }
        out
    }

    proptest! {
        #[test]
        fn g5_different_keys_have_different_bytes(
            a in prop::collection::vec(prop::collection::vec(0u8..3, 0..4), 0..4),
            b in prop::collection::vec(prop::collection::vec(0u8..3, 0..4), 0..4),
        ) {
            prop_assert_eq!(encode(&a) == encode(&b), a == b);
        }
    }
}

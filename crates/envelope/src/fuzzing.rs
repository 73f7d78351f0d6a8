//! What must hold for whatever bytes are stored under a key? Called by the fuzzer, and by a test for each input that
//! it found.

use bytes::Bytes;

use crate::{Draft, Header, Limits, Packing, Unreadable, read, stamp, write};

/// Small enough that a bomb among short inputs meets it.
const LIMITS: Limits = Limits { now_ms: 1_000_000, max_raw: 4096 };
const KEY: &[u8] = b"bw:key";

/// Bytes as somebody might find them; with an odd first byte the checksum is put right, so that what lies behind it is
/// reached: no panic, nothing past the limits, and what was read says the same after it is written anew.
///
/// # Panics
/// If that does not hold.
pub fn envelope(data: &[u8]) {
    let Some((mode, found)) = data.split_first() else { return };
    let mut found = found.to_vec();
    if mode & 1 == 1 {
        mend_crc(&mut found);
    }
    let found = Bytes::from(found);
    let envelope = match read(KEY, &found, LIMITS) {
        Ok(envelope) => envelope,
        Err(reason) => return assert!(reason != Unreadable::NotOurs || found.get(..4) != Some(b"\xB5BW1")),
    };
    assert!(envelope.payload.len() <= LIMITS.max_raw as usize);
    let header = envelope.header;
    assert_eq!(Header::read(&header.to_bytes()), Ok(header), "a header is its fields");
    if !header.kind.has_body() {
        return;
    }
    let draft = Draft {
        kind: header.kind,
        format: header.format,
        is_copy: header.is_copy,
        cost_ms: header.cost_ms,
        extensions: envelope.extensions.clone(),
        payload: &envelope.payload,
    };
    let Ok(mut written) = write(KEY, &draft, Packing { from: 0, ..Packing::DEFAULT }) else { return };
    stamp(&mut written, &header.stamp);
    let again = read(KEY, &Bytes::from(written), LIMITS).expect("what was written");
    assert_eq!(
        (again.extensions, again.payload, again.header.stamp),
        (envelope.extensions, envelope.payload, header.stamp)
    );
}

fn mend_crc(found: &mut [u8]) {
    let Ok(header) = Header::read(found) else { return };
    let length = usize::from(header.length);
    if !header.has_crc || length > found.len() {
        return;
    }
    let Some(head) = found.first_chunk() else { return };
    let crc = Header::checksum(KEY, head, &found[length..]);
    found[72..76].copy_from_slice(&crc.to_le_bytes());
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_the_fuzzer_found_holds() {
        bellwether_corpus::replay("envelopes", super::envelope);
    }
}

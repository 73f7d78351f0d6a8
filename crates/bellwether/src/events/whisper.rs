//! What are the bytes of what a process says of the keys it sees? Apart from invalidations: it may be lost. Version 1,
//! little endian; see `docs/guide/backplane.md`.

use bellwether_core::heat::fleet::{MOST_TOLD, Told};
use bellwether_core::heat::sketch::Id;
use bellwether_core::heat::window::Counts;

const VERSION: u8 = 1;
/// Of a key: its id, reads, writes, and KiB read.
const ROW: usize = 8 + 3 * 4;

/// What one process tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whisper {
    /// A process knows its own by it.
    pub(crate) sender: u64,
    pub(crate) told: Vec<Told>,
}

impl Whisper {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(9 + self.told.len() * ROW);
        bytes.push(VERSION);
        bytes.extend(self.sender.to_le_bytes());
        for Told { id, counts } in &self.told {
            bytes.extend(id.0.to_le_bytes());
            for count in [counts.reads, counts.writes, counts.bytes.div_ceil(1024)] {
                bytes.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
            }
        }
        bytes
    }

    /// `None`: it is of another version, or broken. Then there is nothing to be known of it, which is no harm.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Whisper> {
        let (version, rest) = bytes.split_first()?;
        let (sender, rest) = rest.split_first_chunk()?;
        if *version != VERSION || !rest.len().is_multiple_of(ROW) || rest.len() / ROW > MOST_TOLD {
            return None;
        }
        let told = rest.chunks_exact(ROW).filter_map(row).collect();
        Some(Whisper { sender: u64::from_le_bytes(*sender), told })
    }
}

fn row(bytes: &[u8]) -> Option<Told> {
    let (id, rest) = bytes.split_first_chunk()?;
    let count = |at: usize| Some(u64::from(u32::from_le_bytes(*rest.get(at * 4..)?.first_chunk()?)));
    let counts = Counts { reads: count(0)?, writes: count(1)?, bytes: count(2)? * 1024 };
    Some(Told { id: Id(u64::from_le_bytes(*id)), counts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_told_reads_back(sender: u64, rows in prop::collection::vec((0u64.., 0u32.., 0u32.., 0u32..), 0..32)) {
            let told = rows.into_iter().map(|(id, reads, writes, kib)| {
                let counts = Counts { reads: reads.into(), writes: writes.into(), bytes: u64::from(kib) * 1024 };
                Told { id: Id(id), counts }
            });
            let whisper = Whisper { sender, told: told.collect() };
            prop_assert_eq!(Whisper::from_bytes(&whisper.to_bytes()), Some(whisper));
        }

        #[test]
        fn any_bytes_are_read_or_not_and_never_more_than_a_message_may_hold(
            bytes in prop::collection::vec(0u8.., 0..2_000),
        ) {
            prop_assert!(Whisper::from_bytes(&bytes).is_none_or(|whisper| whisper.told.len() <= MOST_TOLD));
        }
    }

    #[test]
    fn another_version_is_passed_over() {
        let mut bytes = Whisper { sender: 7, told: Vec::new() }.to_bytes();
        assert!(Whisper::from_bytes(&bytes).is_some());
        bytes[0] += 1;
        assert_eq!(Whisper::from_bytes(&bytes), None);
    }
}

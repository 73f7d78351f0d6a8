//! What holds for every entry, and for every way in which its bytes may be damaged?
#![allow(clippy::unwrap_used, reason = "helpers outside #[test] may panic too: it is the report")]

use bellwether_envelope::{
    Compression, Copied, Draft, Extensions, Format, HEADER, Header, Kind, LONGEST_MS, Limits, MAX_RAW, Packing, Stamp,
    Unfit, Unreadable, read, stamp, write,
};
use bytes::Bytes;
use proptest::prelude::*;

const NOW: u64 = 1_700_000_000_000;
/// The server block: no checksum covers it.
const SERVER: [std::ops::Range<usize>; 2] = [8..64, 76..80];

#[derive(Clone, Debug)]
struct Sample {
    key: Vec<u8>,
    kind: Kind,
    format: Format,
    is_copy: bool,
    cost_ms: u32,
    extensions: Extensions,
    payload: Vec<u8>,
    packing: Packing,
    stamp: Stamp,
}

impl Sample {
    fn bytes(&self) -> Vec<u8> {
        let draft = Draft {
            kind: self.kind,
            format: self.format,
            is_copy: self.is_copy,
            cost_ms: self.cost_ms,
            extensions: self.extensions.clone(),
            payload: &self.payload,
        };
        let mut bytes = write(&self.key, &draft, self.packing).unwrap();
        stamp(&mut bytes, &self.stamp);
        bytes
    }

    fn is_found_in(&self, bytes: Vec<u8>) -> Result<bool, Unreadable> {
        let found = read(&self.key, &Bytes::from(bytes), Limits::at(NOW))?;
        let header = found.header;
        Ok(found.extensions == self.extensions
            && found.payload == self.payload
            && (header.kind, header.format, header.is_copy) == (self.kind, self.format, self.is_copy)
            && (header.cost_ms, header.raw_length as usize) == (self.cost_ms, self.payload.len()))
    }
}

fn bytes_up_to(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..most),
        // What compresses well.
        (any::<u8>(), 0..most).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

fn extensions(key: Vec<u8>) -> impl Strategy<Value = Extensions> {
    let own = prop::collection::vec((64u8..=255, bytes_up_to(40).prop_map(Bytes::from)), 0..4);
    let numbers = (prop::option::of(any::<(u64, u64)>()), prop::option::of(any::<u64>()));
    let lists = (prop::collection::vec(any::<u64>(), 0..5), prop::collection::vec(any::<u32>(), 0..5));
    let copied = prop::option::of(any::<(u64, u64, u32, u32, u32)>());
    (numbers, lists, any::<bool>(), copied, own).prop_map(
        move |((seen, version), (tags, salts), hashed, copied, own)| {
            let full_key = hashed.then(|| Bytes::from(key.clone()));
            let copied = copied.map(|(fence, fresh_ms, swr_ms, hard_ms, life_ms)| Copied {
                fence,
                fresh_ms,
                swr_ms,
                hard_ms,
                life_ms,
            });
            Extensions { seen, tags, version, full_key, salts, copied, own }
        },
    )
}

fn stamps() -> impl Strategy<Value = Stamp> {
    let windows = (0..NOW, 0..LONGEST_MS / 4, 0..LONGEST_MS / 4, 0..LONGEST_MS / 4);
    (any::<(u64, u64, u64, u32)>(), windows).prop_map(|((fence, token, lease_until, lease_ms), windows)| {
        let (created_at, fresh, swr, hard) = windows;
        let fresh_until = created_at + fresh;
        let (swr_until, hard_until) = (fresh_until + swr, fresh_until + swr + hard);
        Stamp { fence, token, lease_until, created_at, fresh_until, swr_until, hard_until, lease_ms }
    })
}

fn samples() -> impl Strategy<Value = Sample> {
    let packing = prop::sample::select(vec![Packing::DEFAULT, Packing::LZ4, Packing::NONE]);
    let formats = vec![Format::Bytes, Format::Utf8, Format::Json, Format::MsgPack, Format::Protobuf];
    let key = prop::collection::vec(any::<u8>(), 0..60);
    let rest = (prop::sample::select(formats), any::<bool>(), any::<u32>(), bytes_up_to(3000), packing, stamps());
    (key.clone().prop_flat_map(|key| (Just(key.clone()), extensions(key))), rest, any::<bool>()).prop_map(
        |((key, extensions), (format, is_copy, cost_ms, payload, packing, stamp), negative)| {
            let kind = if negative { Kind::Negative } else { Kind::Value };
            Sample { key, kind, format, is_copy, cost_ms, extensions, payload, packing, stamp }
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(sample in samples()) {
        let bytes = sample.bytes();
        prop_assert_eq!(sample.is_found_in(bytes.clone()), Ok(true));
        prop_assert_eq!(Header::read(&bytes).unwrap().stamp, sample.stamp);
        prop_assert!(bytes.len() <= HEADER + 600 + sample.payload.len(), "compression never makes it longer");
    }

    /// G8: a corrupt entry is a miss.
    #[test]
    fn a_changed_byte_is_noticed_or_harmless(
        sample in samples(), at in any::<prop::sample::Index>(), change in 1u8..=255,
    ) {
        let mut bytes = sample.bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        let found = sample.is_found_in(bytes);
        let in_server_block = SERVER.iter().any(|range| range.contains(&at));
        prop_assert!(in_server_block || found.is_err(), "byte {} changed by {}: {:?}", at, change, found);
        prop_assert!(found != Ok(false), "another value");
        prop_assert!(found != Err(Unreadable::NotOurs), "handed out as if somebody else had written it");
    }

    #[test]
    fn what_is_cut_off_anywhere_is_noticed(sample in samples(), at in any::<prop::sample::Index>()) {
        let mut bytes = sample.bytes();
        bytes.truncate(at.index(bytes.len()));
        prop_assert!(sample.is_found_in(bytes).is_err());
    }

    /// G5: no entry crosses to another key.
    #[test]
    fn an_entry_of_another_key_is_noticed(sample in samples(), other in prop::collection::vec(any::<u8>(), 61..70)) {
        let mut crossed = sample.clone();
        crossed.key = other;
        prop_assert!(crossed.is_found_in(sample.bytes()).is_err());
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), ours in any::<bool>()) {
        let mut bytes = bytes;
        if ours && bytes.len() > 8 {
            bytes[..8].copy_from_slice(b"\xB5BW1\x01\x02\x04\x50");
        }
        prop_assert!(read(b"key", &Bytes::from(bytes), Limits::at(NOW)).is_err());
    }
}

fn value(payload: &[u8], packing: Packing) -> Vec<u8> {
    write(b"key", &Draft::value(payload), packing).unwrap()
}

fn reading(bytes: Vec<u8>) -> Result<Bytes, Unreadable> {
    read(b"key", &Bytes::from(bytes), Limits::at(NOW)).map(|found| found.payload)
}

#[test]
fn every_bit_of_a_small_entry_counts() {
    let extensions =
        Extensions { seen: Some((3, 4)), own: vec![(64, Bytes::from_static(b"x"))], ..Extensions::default() };
    let bytes = write(b"key", &Draft { extensions, ..Draft::value(b"a value") }, Packing::DEFAULT).unwrap();
    for at in (0..bytes.len()).filter(|at| !SERVER.iter().any(|range| range.contains(at))) {
        for change in 1..=255 {
            let mut bytes = bytes.clone();
            bytes[at] ^= change;
            let found = reading(bytes);
            assert!(found.is_err() && found != Err(Unreadable::NotOurs), "byte {at} changed by {change}: {found:?}");
        }
    }
}

#[test]
fn a_payload_is_part_of_what_was_read() {
    let stored = Bytes::from(value(b"not copied", Packing::NONE));
    let found = read(b"key", &stored, Limits::at(NOW)).unwrap();
    assert!(std::ptr::eq(found.payload.as_ptr(), &raw const stored[HEADER]));
}

#[test]
fn compression_is_kept_only_where_it_saves_a_tenth() {
    let of = |payload: &[u8], packing| Header::read(&value(payload, packing)).unwrap().compression;
    let mut bits = 0x9E37_79B9_7F4A_7C15_u64;
    let random: Vec<u8> = (0..4000)
        .map(|_| {
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            bits as u8
        })
        .collect();
    for (packing, way) in [(Packing::DEFAULT, Compression::Zstd), (Packing::LZ4, Compression::Lz4)] {
        assert_eq!(of(&[7; 1024], packing), way);
        assert_eq!(of(&[7; 1023], packing), Compression::None, "too short to be tried");
        assert_eq!(of(&random, packing), Compression::None, "nothing saved");
    }
    assert_eq!(of(&[7; 4096], Packing::NONE), Compression::None);
}

#[test]
fn a_bomb_is_refused_before_it_is_inflated() {
    for packing in [Packing::DEFAULT, Packing::LZ4] {
        let most = MAX_RAW as usize;
        assert_eq!(reading(value(&vec![0; most], packing)).map(|body| body.len()), Ok(most));
        let bomb = value(&vec![0; most + 1], packing);
        assert!(bomb.len() < 100_000, "{} bytes", bomb.len());
        assert_eq!(reading(bomb), Err(Unreadable::TooLarge));
        // One that lies about what is in it, with a checksum that is right.
        for told in [0, 1, 4096, MAX_RAW] {
            let mut lie = value(&vec![0; most + 1], packing);
            lie[68..72].copy_from_slice(&told.to_le_bytes());
            mend(&mut lie);
            assert_eq!(reading(lie), Err(Unreadable::BadBody), "{told}");
        }
    }
}

fn mend(bytes: &mut [u8]) {
    let parts = [b"key", &bytes[..8], &bytes[64..72], &bytes[usize::from(bytes[7])..]].concat();
    // The checksum by another road than the one under test: bit by bit.
    let crc = parts.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg()))
    });
    bytes[72..76].copy_from_slice(&(!crc).to_le_bytes());
}

#[test]
fn an_entry_may_be_large_when_the_reader_says_so() {
    let stored = Bytes::from(value(&[1; 5000], Packing::NONE));
    let within = |max_raw| read(b"key", &stored, Limits { now_ms: NOW, max_raw }).map(|found| found.payload.len());
    assert_eq!((within(5000), within(4999)), (Ok(5000), Err(Unreadable::TooLarge)));
}

#[test]
fn windows_end_in_their_order_and_within_400_days() {
    let with = |fresh_until, swr_until, hard_until| {
        let mut bytes = value(b"v", Packing::NONE);
        stamp(&mut bytes, &Stamp { fresh_until, swr_until, hard_until, ..Stamp::default() });
        reading(bytes).map(|_| ())
    };
    assert_eq!(with(5, 5, 5), Ok(()));
    assert_eq!(with(NOW, NOW, NOW + LONGEST_MS), Ok(()));
    for wrong in [(6, 5, 7), (5, 7, 6), (NOW, NOW, NOW + LONGEST_MS + 1), (u64::MAX, u64::MAX, u64::MAX)] {
        assert_eq!(with(wrong.0, wrong.1, wrong.2), Err(Unreadable::BadTimes), "{wrong:?}");
    }
}

#[test]
fn a_reader_skips_to_the_stated_length_and_over_extensions_it_does_not_know() {
    let mut bytes = value(b"payload", Packing::NONE);
    bytes.splice(HEADER..HEADER, [0xEE; 8]);
    bytes[7] = HEADER as u8 + 8;
    mend(&mut bytes);
    assert_eq!(reading(bytes).unwrap(), "payload");

    let mut bytes = value(b"payload", Packing::NONE);
    bytes.splice(HEADER..HEADER, [7, 2, 0, 1, 1, 63, 0, 0, 3, 8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes[6] |= 4;
    mend(&mut bytes);
    let found = read(b"key", &Bytes::from(bytes), Limits::at(NOW)).unwrap();
    assert_eq!((found.extensions.version, &found.payload[..]), (Some(9), &b"payload"[..]));
}

#[test]
fn extensions_that_contradict_themselves_are_refused() {
    let cases: [&[u8]; 9] = [
        &[1, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[2, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[2, 0, 0, 0],
        &[3, 4, 0, 1, 1, 1, 1, 0],
        &[5, 3, 0, 1, 1, 1, 0],
        &[4, 3, 0, b'k', b'e', b'y', 4, 3, 0, b'k', b'e', b'y', 0],
        &[64, 255, 255, 1],
        &[64, 1],
        &[64, 0, 0],
    ];
    for case in cases {
        let mut bytes = value(b"", Packing::NONE);
        bytes.extend_from_slice(case);
        bytes[6] |= 4;
        mend(&mut bytes);
        assert_eq!(reading(bytes), Err(Unreadable::BadExtension), "{case:?}");
    }
    let endless = [64u8, 0, 0].repeat(300);
    let mut bytes = value(b"", Packing::NONE);
    bytes.extend_from_slice(&endless);
    bytes[6] |= 4;
    mend(&mut bytes);
    assert_eq!(reading(bytes), Err(Unreadable::BadExtension), "more than there may be");
}

#[test]
fn a_hashed_key_is_compared_as_a_whole() {
    let extensions = Extensions { full_key: Some(Bytes::from_static(b"another")), ..Extensions::default() };
    let bytes = write(b"key", &Draft { extensions, ..Draft::value(b"v") }, Packing::NONE).unwrap();
    assert_eq!(reading(bytes), Err(Unreadable::OtherKey));
}

#[test]
fn of_a_cell_without_a_body_the_header_is_read_alone() {
    for kind in [Kind::Placeholder, Kind::Tombstone, Kind::HitForMiss, Kind::Failed] {
        let mut head = Header::read(&value(b"", Packing::NONE)).unwrap();
        (head.kind, head.has_crc, head.crc) = (kind, false, 0);
        head.stamp = Stamp { fence: 5, token: 6, lease_until: NOW + 100, lease_ms: 500, ..Stamp::default() };
        let mut bytes = head.to_bytes().to_vec();
        bytes.extend_from_slice(b"what a script left behind");
        let found = read(b"key", &Bytes::from(bytes), Limits::at(NOW)).unwrap();
        assert_eq!((found.header, found.payload.len()), (head, 0));
    }
}

#[test]
fn what_is_not_ours_is_told_from_what_is_damaged_or_newer() {
    let foreign: [&[u8]; 6] = [b"", b"x", b"\xB5", b"plain text", b"ABW1 is how this text begins", &[b'B'; 200]];
    for bytes in foreign {
        assert_eq!(reading(bytes.to_vec()), Err(Unreadable::NotOurs), "{bytes:?}");
    }
    let mut bytes = value(b"v", Packing::NONE);
    bytes[3] = b'2';
    assert_eq!(reading(bytes), Err(Unreadable::FutureVersion));
    assert_eq!(reading(b"\xB5BW1".to_vec()), Err(Unreadable::BadHeader));
    for (at, byte, reason) in [
        (4, 6, Unreadable::BadHeader),
        (5, 3, Unreadable::UnknownCodec),
        (5, 0x50, Unreadable::UnknownCodec),
        (6, 0x81, Unreadable::BadHeader),
        (6, 0, Unreadable::BadHeader),
        (7, 79, Unreadable::BadHeader),
        (7, 255, Unreadable::BadHeader),
    ] {
        let mut bytes = value(b"v", Packing::NONE);
        bytes[at] = byte;
        assert_eq!(reading(bytes), Err(reason), "byte {at} = {byte}");
    }
}

#[test]
fn a_stamp_leaves_other_bytes_alone() {
    let mut foreign = vec![b'x'; 200];
    stamp(&mut foreign, &Stamp { fence: 1, ..Stamp::default() });
    assert_eq!(foreign, vec![b'x'; 200]);
    stamp(&mut [0xB5, b'B', b'W', b'1'], &Stamp::default());
}

#[test]
fn what_has_no_place_in_the_form_is_refused_in_words() {
    let own = |own| Draft { extensions: Extensions { own, ..Extensions::default() }, ..Draft::value(b"") };
    for draft in [
        own(vec![(63, Bytes::new())]),
        own(vec![(64, Bytes::from(vec![0; 65_536]))]),
        own(vec![(64, Bytes::new()); 251]),
    ] {
        assert_eq!(write(b"key", &draft, Packing::NONE), Err(Unfit::Extensions));
    }
    let most = own(vec![(255, Bytes::new()); 250]);
    let bytes = Bytes::from(write(b"key", &most, Packing::NONE).unwrap());
    assert_eq!(read(b"key", &bytes, Limits::at(NOW)).unwrap().extensions, most.extensions);
}

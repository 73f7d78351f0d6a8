//! Do published bytes still mean what they were published for, here and in the reader in Python?
#![allow(clippy::unwrap_used, reason = "helpers outside #[test] may panic too: it is the report")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bellwether_envelope::{
    Compression, Draft, Envelope, Extensions, Format, HEADER, Header, Kind, Limits, Packing, Stamp, Unreadable, read,
    stamp, write,
};
use bytes::Bytes;
use serde_json::{Value as Json, json};

/// Any moment will do: the vectors' times are counted from it.
const NOW: u64 = 1_700_000_000_000;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/v1.json")
}

fn vectors() -> Vec<Json> {
    let text = std::fs::read_to_string(path()).unwrap();
    serde_json::from_str::<Vec<Json>>(&text).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &Json) -> Vec<u8> {
    let text = text.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// What both readers say of an envelope, as JSON.
fn told(found: &Envelope) -> Json {
    let (header, stamp, more) = (&found.header, &found.header.stamp, &found.extensions);
    json!({
        "kind": match header.kind {
            Kind::Placeholder => "placeholder",
            Kind::Value => "value",
            Kind::Negative => "negative",
            Kind::Tombstone => "tombstone",
            Kind::HitForMiss => "hit-for-miss",
            Kind::Failed => "failed",
        },
        "compression": match header.compression {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        },
        "format": match header.format {
            Format::Bytes => "bytes",
            Format::Utf8 => "utf8",
            Format::Json => "json",
            Format::MsgPack => "msgpack",
            Format::Protobuf => "protobuf",
        },
        "is_copy": header.is_copy,
        "fence": stamp.fence,
        "token": stamp.token,
        "lease_until": stamp.lease_until,
        "created_at": stamp.created_at,
        "fresh_until": stamp.fresh_until,
        "swr_until": stamp.swr_until,
        "hard_until": stamp.hard_until,
        "lease_ms": stamp.lease_ms,
        "cost_ms": header.cost_ms,
        "raw_length": header.raw_length,
        "seen": more.seen.map(|(epoch, number)| vec![epoch, number]),
        "tags": more.tags,
        "version": more.version,
        "full_key": more.full_key.as_ref().map(|key| hex(key)),
        "salts": more.salts,
        "own": more.own.iter().map(|(kind, bytes)| json!([kind, hex(bytes)])).collect::<Vec<_>>(),
        "payload": hex(&found.payload),
    })
}

#[test]
fn published_bytes_mean_what_they_meant() {
    let vectors = vectors();
    assert!(vectors.len() >= 25, "{}", vectors.len());
    for vector in &vectors {
        let found = read(&unhex(&vector["key"]), &Bytes::from(unhex(&vector["stored"])), Limits::at(NOW));
        match found {
            Ok(found) => assert_eq!(told(&found), vector["read"], "{}", vector["name"]),
            Err(reason) => assert_eq!(json!(reason.as_str()), vector["unreadable"], "{}", vector["name"]),
        }
    }
    for reason in Unreadable::ALL {
        assert!(vectors.iter().any(|vector| vector["unreadable"] == reason.as_str()), "a vector for {reason}");
    }
}

#[test]
fn what_is_written_today_is_what_was_published() {
    let mut count = 0;
    for (name, key, stored) in samples() {
        let published = vectors().into_iter().find(|vector| vector["name"] == name).unwrap();
        // What a compressor makes of a payload is its own affair.
        if Header::read(&stored).is_ok_and(|header| header.compression != Compression::None) {
            continue;
        }
        assert_eq!((unhex(&published["key"]), unhex(&published["stored"])), (key, stored), "{name}");
        count += 1;
    }
    assert!(count >= 20, "{count}");
}

/// The reader that others may take: it knows nothing of this crate.
#[test]
fn the_reader_in_python_says_the_same() {
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/envelope/read_envelope.py");
    let has_zstd = python(&["-c", "import zstandard"]).0 || python(&["-c", "import compression.zstd"]).0;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stored");
    let (mut compared, mut without_zstd) = (0, 0);
    for vector in vectors() {
        std::fs::write(&file, unhex(&vector["stored"])).unwrap();
        let now = NOW.to_string();
        let key = vector["key"].as_str().unwrap();
        let arguments = [reader.to_str().unwrap(), "--key-hex", key, "--now", &now, file.to_str().unwrap()];
        let (fine, out, err) = python(&arguments);
        if err.contains("pip install zstandard") {
            assert!(!has_zstd && vector["read"]["compression"] == "zstd", "{}: {err}", vector["name"]);
            without_zstd += 1;
            continue;
        }
        assert_eq!(fine, vector["unreadable"].is_null(), "{}: {out}{err}", vector["name"]);
        let said: Json = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{}: {out}{err}", vector["name"]));
        let expected = if fine { &vector["read"] } else { &vector["unreadable"] };
        assert_eq!(&(if fine { said } else { said["unreadable"].clone() }), expected, "{}", vector["name"]);
        compared += 1;
    }
    assert!(compared >= 25 && without_zstd <= 2, "{compared} compared, {without_zstd} without zstd");
}

fn python(arguments: &[&str]) -> (bool, String, String) {
    let out = Command::new("python3").args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.success(), text(out.stdout), text(out.stderr))
}

/// Name, key and stored bytes of each vector, as this crate makes them.
fn samples() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let mut all = readable();
    all.extend(unreadable());
    all
}

fn sealed(key: &[u8], draft: &Draft<'_>, packing: Packing, times: Stamp) -> Vec<u8> {
    let mut stored = write(key, draft, packing).unwrap();
    stamp(&mut stored, &times);
    stored
}

fn times() -> Stamp {
    Stamp {
        fence: 1_700_000_000_000_123,
        token: 0,
        lease_until: 0,
        created_at: NOW - 5_000,
        fresh_until: NOW + 55_000,
        swr_until: NOW + 115_000,
        hard_until: NOW + 655_000,
        lease_ms: 0,
    }
}

fn readable() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let key = b"bw:product:42".to_vec();
    let json_text = br#"{"id":42,"name":"Blue Hammock"}"#;
    let long = json_text.repeat(60);
    let leased = Stamp { token: 77, lease_until: NOW + 1_500, lease_ms: 2_000, ..times() };
    let of = |draft: Draft<'_>, packing, times| sealed(&key, &draft, packing, times);
    let json_draft = |payload| Draft { format: Format::Json, cost_ms: 180, ..Draft::value(payload) };
    let with = |extensions| Draft { extensions, ..json_draft(json_text) };
    let none = Extensions::default;
    let all = Extensions {
        seen: Some((3, 1 << 40)),
        tags: vec![0xD24E_C4F1_A98C_6E5B, u64::MAX],
        version: Some(9),
        full_key: Some(Bytes::from(key.clone())),
        salts: vec![1, 0xFFFF_FFFF],
        copied: None,
        own: vec![(64, Bytes::from_static(b"\"etag\"")), (255, Bytes::new()), (64, Bytes::from_static(&[0, 1]))],
    };
    let header_only = |kind, stamp| {
        let mut head = Header::read(&write(b"", &Draft::value(b""), Packing::NONE).unwrap()).unwrap();
        (head.kind, head.has_crc, head.crc, head.stamp) = (kind, false, 0, stamp);
        head.to_bytes().to_vec()
    };
    let until =
        |moment| Stamp { fence: 5, fresh_until: moment, swr_until: moment, hard_until: moment, ..Stamp::default() };
    let negative = Draft { kind: Kind::Negative, ..Draft::value(b"") };
    let named: Vec<(&str, Vec<u8>)> = vec![
        (
            "as a client writes it, with a server block of zeros",
            of(json_draft(json_text), Packing::NONE, Stamp::default()),
        ),
        ("a JSON value", of(json_draft(json_text), Packing::NONE, times())),
        ("a value with a lease on it", of(json_draft(json_text), Packing::NONE, leased)),
        ("an empty value", of(Draft::value(b""), Packing::NONE, times())),
        ("text", of(Draft { format: Format::Utf8, ..Draft::value("grüß".as_bytes()) }, Packing::NONE, times())),
        (
            "MessagePack",
            of(Draft { format: Format::MsgPack, ..Draft::value(&[0x81, 0xA1, b'a', 1]) }, Packing::NONE, times()),
        ),
        ("protobuf", of(Draft { format: Format::Protobuf, ..Draft::value(&[8, 42]) }, Packing::NONE, times())),
        ("a copy of a split key", of(Draft { is_copy: true, ..json_draft(json_text) }, Packing::NONE, times())),
        ("a negative", of(negative, Packing::NONE, until(NOW + 5_000))),
        (
            "expired by an invalidation",
            of(
                json_draft(json_text),
                Packing::NONE,
                Stamp { fresh_until: NOW - 5_000, swr_until: NOW - 5_000, ..times() },
            ),
        ),
        (
            "with the backplane's position",
            of(with(Extensions { seen: Some((1, 2)), ..none() }), Packing::NONE, times()),
        ),
        ("with tags", of(with(Extensions { tags: vec![1, 2, 3], ..none() }), Packing::NONE, times())),
        ("with everything", of(with(all), Packing::NONE, times())),
        ("lz4", of(json_draft(&long), Packing::LZ4, times())),
        ("zstd", of(json_draft(&long), Packing::DEFAULT, times())),
        (
            "a placeholder",
            header_only(
                Kind::Placeholder,
                Stamp { fence: 4, token: 5, lease_until: NOW + 2_000, lease_ms: 2_000, ..Stamp::default() },
            ),
        ),
        ("a tombstone", header_only(Kind::Tombstone, until(NOW + 10_000))),
        ("hit-for-miss", header_only(Kind::HitForMiss, until(NOW + 10_000))),
        ("failed", header_only(Kind::Failed, until(NOW + 1_000))),
    ];
    named.into_iter().map(|(name, stored)| (name.to_owned(), key.clone(), stored)).collect()
}

fn unreadable() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let key = b"bw:product:42";
    let whole = sealed(key, &Draft::value(b"a value"), Packing::NONE, times());
    let changed = |at: usize, byte: u8| {
        let mut stored = whole.clone();
        stored[at] = byte;
        stored
    };
    let until = |fresh_until, hard_until| Stamp { fresh_until, swr_until: fresh_until, hard_until, ..times() };
    let other = Extensions { full_key: Some(Bytes::from_static(b"bw:product:43")), ..Extensions::default() };
    // Without a checksum, so that what lies behind it is reached.
    let unchecked = |draft: &Draft<'_>, edit: &dyn Fn(&mut Vec<u8>)| {
        let mut stored = sealed(key, draft, Packing::NONE, times());
        stored[6] &= !1;
        stored[72..76].fill(0);
        edit(&mut stored);
        stored
    };
    let plain = Draft::value(b"a value");
    let named: Vec<(&str, Vec<u8>)> = vec![
        ("somebody else's text", b"just text".to_vec()),
        ("nothing at all", Vec::new()),
        ("a wrong byte in the magic", changed(1, b'b')),
        ("of a later version", changed(3, b'2')),
        ("cut in its header", whole[..79].to_vec()),
        ("cut in its payload", whole[..84].to_vec()),
        ("of an unknown kind", changed(4, 6)),
        ("with an unknown flag", changed(6, 9)),
        ("without the flag of its checksum", changed(6, 0)),
        ("with a header that ends before it does", changed(7, 79)),
        ("with a header longer than all there is", changed(7, 200)),
        ("of an unknown compression", changed(5, 3)),
        ("of an unknown format", changed(5, 0x50)),
        ("a changed byte", changed(82, b'X')),
        ("windows out of order", sealed(key, &plain, Packing::NONE, until(NOW + 2, NOW + 1))),
        ("a window longer than 400 days", sealed(key, &plain, Packing::NONE, until(NOW, NOW + 34_560_000_001))),
        (
            "longer than the limit",
            unchecked(&plain, &|stored| stored[68..72].copy_from_slice(&(16_777_217u32).to_le_bytes())),
        ),
        ("longer than its header says", unchecked(&plain, &|stored| stored.push(b'!'))),
        ("a stream that is no lz4", unchecked(&plain, &|stored| stored[5] = 1)),
        ("an extension cut short", unchecked(&plain, &|stored| stored[6] |= 4)),
        (
            "of another key with the same hash",
            sealed(key, &Draft { extensions: other, ..plain.clone() }, Packing::NONE, times()),
        ),
    ];
    named.into_iter().map(|(name, stored)| (name.to_owned(), key.to_vec(), stored)).collect()
}

/// Writes the file anew: `cargo test -p bellwether-envelope --test vectors -- --ignored`. Published vectors only grow.
#[test]
#[ignore = "publishes the vectors"]
fn publish() {
    let all: Vec<Json> = samples()
        .into_iter()
        .map(|(name, key, stored)| {
            let mut vector = json!({ "name": name, "key": hex(&key), "stored": hex(&stored) });
            match read(&key, &Bytes::from(stored), Limits::at(NOW)) {
                Ok(found) => vector["read"] = told(&found),
                Err(reason) => vector["unreadable"] = json!(reason.as_str()),
            }
            vector
        })
        .collect();
    let lines: Vec<String> = all.iter().map(|vector| format!("  {vector}")).collect();
    std::fs::write(path(), format!("[\n{}\n]\n", lines.join(",\n"))).unwrap();
    assert!(Path::new(&path()).metadata().unwrap().len() > HEADER as u64);
}

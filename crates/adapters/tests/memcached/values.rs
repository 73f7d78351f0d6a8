//! What can be stored, and what is found where others write too?

use std::process::Command;

use bellwether::shared::{Acquired, Envelope, Format, Found, Tier, TierTrouble};
use bellwether::{Fence, Invalidation, Kind, Mode, Position, Span};
use bellwether_adapters::tiers::memcached::{MemcachedOptions, MemcachedTier};
use bytes::Bytes;

use super::{Plain, ask, body, entry, open, run, servers, store, token};

#[test]
fn an_entry_comes_back_whole() {
    run(servers(3), |servers| async move {
        let tier = open(&servers);
        let long = "0123456789".repeat(1_000);
        for (key, body) in [("small", "{}"), ("compressed", long.as_str()), ("empty", "")] {
            let given = Envelope {
                version: Some(9),
                seen: Position { epoch: 3, number: 4 },
                tags: vec![1, u64::MAX],
                format: Format::Json,
                about: vec![(64, Bytes::from_static(b"etag"))],
                age_ms: 20,
                ..entry(body.to_owned())
            };
            let fence = store(&tier, key.as_bytes(), given.clone()).await;
            let Found::Entry { envelope, lease: None } = tier.get(key.as_bytes()).await.unwrap() else {
                panic!("{key}")
            };
            assert!(envelope.fresh_ms > 40_000 && envelope.age_ms >= 20, "{envelope:?}");
            let expected = Envelope { fence, fresh_ms: envelope.fresh_ms, age_ms: envelope.age_ms, ..given };
            assert_eq!(envelope, expected);
        }
        store(&tier, b"negative", Envelope { kind: Kind::Negative, ..entry("") }).await;
        let Found::Entry { envelope, .. } = tier.get(b"negative").await.unwrap() else { panic!() };
        assert_eq!(envelope.kind, Kind::Negative);
    });
}

#[test]
fn any_key_can_be_stored() {
    run(servers(3), |servers| async move {
        let tier = open(&servers);
        let mut keys: Vec<Vec<u8>> =
            vec![b"two words".to_vec(), b"line\r\nflush_all\r\n".to_vec(), vec![0], Vec::new()];
        keys.extend([250, 251, 4096].map(|length| vec![b'k'; length]));
        keys.push((0..=255).collect());
        keys.push("grüß".as_bytes().to_vec());
        for key in &keys {
            store(&tier, key, entry(key.clone())).await;
        }
        let many = tier.get_many(&keys).await.unwrap();
        for (key, found) in keys.iter().zip(many) {
            let Found::Entry { envelope, .. } = found else { panic!("{key:?}: {found:?}") };
            assert_eq!(envelope.body, key, "each says whose it is");
            tier.invalidate(key, Invalidation::Remove, Fence::ZERO, Span::ZERO).await.unwrap();
            assert_eq!(body(&tier, key).await, None);
        }
    });
}

#[test]
fn values_of_others_are_handed_out_unchanged_and_never_rewritten() {
    run(servers(1), |servers| async move {
        let tier = open(&servers);
        let mut plain = Plain::of(&servers[0]);
        for (seconds, data) in [(0, &b"plain"[..]), (100, b"\xB5 begins like one of ours"), (100, b"")] {
            plain.set("bw:theirs", seconds, data);
            let Found::Foreign { body, left } = tier.get(b"theirs").await.unwrap() else { panic!() };
            assert_eq!((&body[..], left.is_some()), (data, seconds != 0));
            assert!(left.is_none_or(|left| left <= Span::secs(100) && left > Span::secs(90)));
            let Acquired::Foreign { body, .. } = tier.acquire(b"theirs", ask(Mode::Miss)).await.unwrap() else {
                panic!()
            };
            assert_eq!(body, data);
            assert_eq!(plain.get("bw:theirs").as_deref(), Some(data));
        }
        tier.invalidate(b"theirs", Invalidation::Remove, Fence::ZERO, Span::ZERO).await.unwrap();
        assert_eq!(tier.get(b"theirs").await.unwrap(), Found::Nothing { lease: None });
    });
}

#[test]
fn a_thousand_keys_are_read_at_once() {
    run(servers(3), |servers| async move {
        let tier = open(&servers);
        let keys: Vec<Vec<u8>> = (0..1_000).map(|n| format!("many:{n}").into_bytes()).collect();
        for key in keys.iter().step_by(10) {
            store(&tier, key, entry(key.clone())).await;
        }
        for (n, found) in tier.get_many(&keys).await.unwrap().into_iter().enumerate() {
            match found {
                Found::Entry { envelope, .. } => assert!(n % 10 == 0 && envelope.body == keys[n]),
                other => assert!(n % 10 != 0 && other == Found::Nothing { lease: None }, "{n}: {other:?}"),
            }
        }
    });
}

/// G8: a corrupt entry is a miss, and is loaded anew.
#[test]
fn g8_a_corrupt_entry_is_a_miss_and_counted() {
    run(servers(1), |servers| async move {
        let tier = open(&servers);
        let mut plain = Plain::of(&servers[0]);
        type Edit = fn(&mut Vec<u8>);
        let edits: [(&str, Edit); 7] = [
            ("bad_crc", |bytes| *bytes.last_mut().unwrap() ^= 1),
            ("bad_crc", |bytes| bytes.extend_from_slice(b"more")),
            ("bad_header", |bytes| bytes.truncate(70)),
            ("bad_header", |bytes| bytes[0] = b'X'),
            ("future_version", |bytes| bytes[3] = b'2'),
            ("unknown_codec", |bytes| bytes[5] = 9),
            ("bad_times", |bytes| bytes[56..64].fill(0)),
        ];
        for (round, (reason, edit)) in edits.into_iter().enumerate() {
            let key = format!("k{round}");
            store(&tier, key.as_bytes(), entry("value")).await;
            let mut bytes = plain.get(&format!("bw:{key}")).unwrap();
            edit(&mut bytes);
            plain.set(&format!("bw:{key}"), 100, &bytes);
            let count = || tier.counts().misread.iter().find(|(word, _)| *word == reason).unwrap().1;
            let before = count();
            assert_eq!(tier.get(key.as_bytes()).await.unwrap(), Found::Nothing { lease: None }, "{reason}");
            assert_eq!(count(), before + 1, "{reason}");
            store(&tier, key.as_bytes(), entry("anew")).await;
            assert_eq!(body(&tier, key.as_bytes()).await.unwrap(), "anew");
        }
        // Under another name it is another's (G5).
        store(&tier, b"mine", entry("mine")).await;
        let bytes = plain.get("bw:mine").unwrap();
        plain.set("bw:yours", 100, &bytes);
        assert_eq!(body(&tier, b"yours").await, None);
    });
}

#[test]
fn what_is_too_long_is_told_and_what_lies_there_too_long_is_not_taken_in() {
    run(servers(1), |servers| async move {
        let tier =
            MemcachedTier::open(&super::url(&servers), MemcachedOptions { max_value: 1_000, ..super::patient() });
        let (tier, whole) = (tier.unwrap(), open(&servers));
        let mut noise = 1u32;
        let noise: Vec<u8> = (0..2_000_000)
            .map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (noise >> 24) as u8
            })
            .collect();
        let mine = token(&whole, b"k", ask(Mode::Miss)).await;
        let refused = whole.publish(b"k", mine, entry(noise.clone())).await.unwrap_err();
        assert!(refused.kind == TierTrouble::Unfit && refused.text.contains("-I"), "{refused:?}");
        Plain::of(&servers[0]).set("bw:theirs", 0, &noise[..900_000]);
        let refused = tier.get(b"theirs").await.unwrap_err();
        assert!(refused.kind == TierTrouble::Unfit && refused.text.contains("900000"), "{refused:?}");
        // G2: it is removed all the same.
        let raised = tier.invalidate(b"theirs", Invalidation::Remove, Fence::ZERO, Span::ZERO).await.unwrap();
        assert!(raised.was_resident);
        assert_eq!(body(&tier, b"theirs").await, None);
        store(&tier, b"small", entry("still works")).await;
        assert_eq!(body(&tier, b"small").await.unwrap(), "still works");
    });
}

/// The published reader, on what a real server holds.
#[test]
fn the_reader_in_python_reads_what_lies_there() {
    run(servers(1), |servers| async move {
        let tier = open(&servers);
        let fence = store(&tier, b"product:42", Envelope { format: Format::Json, ..entry("{\"id\":42}") }).await;
        let bytes = Plain::of(&servers[0]).get("bw:product:42").unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("entry"), bytes).unwrap();
        let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/envelope/read_envelope.py");
        let out =
            Command::new("python3").args([reader, "bw:product:42", "entry"]).current_dir(dir.path()).output().unwrap();
        let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!((&said["kind"], &said["format"]), (&"value".into(), &"json".into()));
        assert_eq!(said["fence"], fence.0);
    });
}

#[test]
fn what_is_no_memcached_or_not_there_is_told_with_the_reason() {
    run(servers(1), |servers| async move {
        use tokio::io::AsyncWriteExt;
        let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = other.local_addr().unwrap();
        let answering = tokio::spawn(async move {
            // As Redis answers, and goes on listening.
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = other.accept().await {
                let _gone = stream.write_all(b"-ERR unknown command 'version', with args beginning with: \r\n").await;
                open.push(stream);
            }
        });
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("memcached://{},{address},{closed}", servers[0].address());
        let tier = MemcachedTier::open(&url, MemcachedOptions::default()).unwrap();
        let trouble = tier.check().await;
        let of = |address: std::net::SocketAddr| {
            trouble.iter().find(|(server, _)| *server == address.to_string()).map(|(_, why)| why.as_str())
        };
        assert!(of(address).unwrap().contains("no memcached"), "{trouble:?}");
        assert!(of(closed).unwrap().contains("refused"), "{trouble:?}");
        assert_eq!(of(servers[0].address()), None);
        answering.abort();
    });
}

#[test]
fn what_can_not_be_right_is_told_before_anything_is_asked() {
    run(Vec::new(), |_| async {
        let with = |prefix: &str| {
            let options = MemcachedOptions { prefix: prefix.as_bytes().to_vec(), ..MemcachedOptions::default() };
            MemcachedTier::open("memcached://127.0.0.1:1", options).err().map(|error| error.to_string())
        };
        assert!(with("two words:").unwrap().contains("space"));
        assert!(with("~x").unwrap().contains('~'));
        assert!(with(&"p".repeat(101)).unwrap().contains("100 bytes"));
        assert_eq!(with(""), None);
    });
    let error = MemcachedTier::open("memcached://127.0.0.1:1", MemcachedOptions::default()).err().unwrap();
    assert!(error.to_string().contains("outside a tokio runtime"));
}

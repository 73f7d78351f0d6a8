//! The rules of the disk tier, one test each.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bellwether::disk::{Disk, DiskState, OnRestart, Scope};
use bellwether::shared::{Envelope, Format, Position};
use bellwether::{Clock, Fence, Kind, Span};
use bytes::Bytes;
use rusqlite::Connection;
use tempfile::TempDir;

use super::clock::Machine;
use super::limits::SMALLEST_LIMIT;
use super::place::Place;
use super::{DiskConfig, DiskTier};
use crate::SetupError;

const SPACE: u64 = 77;

/// A machine whose clocks the test drives, and a directory.
struct Bench {
    directory: TempDir,
    clock: Clock,
    machine: Machine,
    limit: u64,
    on_restart: OnRestart,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            directory: TempDir::new().unwrap(),
            clock: Clock::manual(),
            machine: Machine { boot: "first".to_owned(), wall_ms: 1_700_000_000_000 },
            limit: 64 << 20,
            on_restart: OnRestart::ServeStale,
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn try_open(&self) -> Result<DiskTier, SetupError> {
        let config = DiskConfig {
            limit: self.limit,
            on_restart: self.on_restart,
            retry: std::time::Duration::from_millis(50),
            clock: self.clock.clone(),
            ..DiskConfig::at(self.path())
        };
        DiskTier::open_on(config, &self.machine)
    }

    fn open(&self) -> DiskTier {
        self.try_open().unwrap()
    }

    /// As `kill -9` leaves it: a copy of the files while they are in use.
    fn killed(&self) -> Bench {
        let copy = Bench {
            directory: TempDir::new().unwrap(),
            clock: self.clock.clone(),
            machine: self.machine.clone(),
            ..*self
        };
        for entry in fs::read_dir(self.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        copy
    }
}

fn envelope(body: &[u8]) -> Envelope {
    Envelope {
        fence: Fence(5),
        age_ms: 100,
        fresh_ms: 60_000,
        swr_ms: 10_000,
        hard_ms: 30_000,
        cost_ms: 12,
        version: Some(3),
        seen: Position { epoch: 4, number: 9 },
        tags: vec![1, 2],
        format: Format::Json,
        about: vec![(64, Bytes::from_static(b"text/plain"))],
        ..Envelope::of(Kind::Value, Bytes::copy_from_slice(body))
    }
}

/// The space of a key in these tests: "d" is in one of its own.
fn space(key: &[u8]) -> u64 {
    if key == b"d" { SPACE + 1 } else { SPACE }
}

async fn body(disk: &DiskTier, key: &[u8]) -> Option<Bytes> {
    disk.get(key, space(key)).await.map(|held| held.envelope.body)
}

async fn put(disk: &DiskTier, key: &[u8], fence: u64, body: &[u8]) {
    assert!(disk.put(key, SPACE, Fence(fence), envelope(body)));
    disk.flush().await;
}

#[tokio::test]
async fn an_entry_comes_back_as_it_went_and_an_earlier_lifes_is_told_as_such() {
    let bench = Bench::new();
    let disk = bench.open();
    put(&disk, b"k", 10, b"{}").await;
    let held = disk.get(b"k", SPACE).await.unwrap();
    assert_eq!((held.envelope, held.earlier), (envelope(b"{}"), false));
    assert_eq!(disk.get(b"other", SPACE).await, None);
    assert_eq!(disk.get(b"k", SPACE + 1).await, None, "made in another way");
    put(&disk, b"k", 10, b"{}").await;

    bench.clock.advance(Span::secs(65));
    let stale = disk.get(b"k", SPACE).await.unwrap().envelope;
    assert_eq!((stale.age_ms, stale.fresh_ms, stale.swr_ms, stale.hard_ms), (65_100, 0, 5_000, 25_000));
    let killed = bench.killed();
    drop(disk);
    for bench in [bench, killed] {
        let disk = bench.open();
        let held = disk.get(b"k", SPACE).await.unwrap();
        assert_eq!((held.envelope, held.earlier), (stale.clone(), true));
        assert_eq!(disk.counts().hits_earlier, 1);
    }
}

#[tokio::test]
async fn a_removal_tells_of_what_could_still_have_been_served() {
    let bench = Bench::new();
    let disk = bench.open();
    let tagged = Envelope { tags: vec![7], ..envelope(b"x") };
    let missing = Envelope { kind: Kind::Negative, body: Bytes::new(), ..envelope(b"") };
    for (key, envelope) in
        [(&b"value"[..], envelope(b"x")), (b"missing", missing), (b"kept", tagged.clone()), (b"tag", tagged)]
    {
        assert!(disk.put(key, SPACE, Fence(10), envelope));
    }
    disk.flush().await;
    assert!(disk.remove(b"value", Fence(20)).await.unwrap());
    assert!(disk.remove(b"kept", Fence(20)).await.unwrap(), "control: before its tag is");
    disk.raise(Scope::Tag(7), Fence(20)).await.unwrap();
    assert!(!disk.remove(b"tag", Fence(30)).await.unwrap(), "its tag took it away");
    assert!(!disk.remove(b"missing", Fence(30)).await.unwrap(), "no value");
    assert!(!disk.remove(b"nothing", Fence(30)).await.unwrap());
    assert_eq!(disk.counts().removed, 4, "rows that are gone");
}

#[tokio::test]
async fn a_removal_covers_what_was_made_before_it_and_nothing_else() {
    let bench = Bench::new();
    let disk = bench.open();
    put(&disk, b"k", 10, b"old").await;
    put(&disk, b"other", 10, b"kept").await;
    assert!(disk.remove(b"k", Fence(20)).await.unwrap());
    assert_eq!(body(&disk, b"k").await, None);
    put(&disk, b"k", 19, b"late").await;
    assert_eq!(body(&disk, b"k").await, None, "its load began before the removal");
    put(&disk, b"k", 21, b"new").await;
    assert!(!disk.remove(b"k", Fence(20)).await.unwrap(), "told twice: the new one is not meant");
    assert_eq!(body(&disk, b"k").await.unwrap(), "new");
    put(&disk, b"k", 20, b"late").await;
    assert_eq!(body(&disk, b"k").await.unwrap(), "new", "a newer one is there");
    let counts = disk.counts();
    assert_eq!((counts.stored, counts.outdated, counts.removed), (3, 2, 1));

    let killed = bench.killed();
    let again = killed.open();
    assert_eq!(body(&again, b"k").await.unwrap(), "new");
    assert_eq!(body(&again, b"other").await.unwrap(), "kept");
    assert!(again.remove(b"k", Fence(1)).await.unwrap(), "fences of another life are not compared");
}

#[tokio::test]
async fn tags_and_spaces_are_removed_in_one_write_that_survives() {
    let bench = Bench::new();
    let disk = bench.open();
    for key in [b"a", b"b"] {
        put(&disk, key, 10, b"old").await;
    }
    let untagged = Envelope { tags: vec![3], ..envelope(b"kept") };
    disk.put(b"c", SPACE, Fence(10), untagged.clone());
    disk.put(b"d", SPACE + 1, Fence(10), untagged);
    disk.raise(Scope::Tag(2), Fence(20)).await.unwrap();
    put(&disk, b"b", 21, b"new").await;
    put(&disk, b"a", 20, b"late").await;
    let expected = [(b"a", None), (b"b", Some("new")), (b"c", Some("kept")), (b"d", Some("kept"))];
    for (key, expected) in expected {
        assert_eq!(body(&disk, key).await.as_deref(), expected.map(str::as_bytes), "{key:?}");
    }
    let killed = bench.killed();
    let again = killed.open();
    for (key, expected) in expected {
        assert_eq!(body(&again, key).await.as_deref(), expected.map(str::as_bytes), "{key:?} in another life");
    }
    again.raise(Scope::Space(SPACE), Fence(1)).await.unwrap();
    for (key, expected) in [(b"b", None), (b"c", None), (b"d", Some("kept"))] {
        assert_eq!(body(&again, key).await.as_deref(), expected.map(str::as_bytes), "{key:?}");
    }
}

#[tokio::test]
async fn expired_entries_are_never_found_and_leave_by_and_by() {
    let bench = Bench::new();
    let disk = bench.open();
    for n in 0..3_000_u32 {
        while !disk.put(&n.to_be_bytes(), SPACE, Fence(10), envelope(b"x")) {
            disk.flush().await;
        }
    }
    disk.put(b"lasts", SPACE, Fence(10), Envelope { fresh_ms: 1_000_000, ..envelope(b"y") });
    disk.flush().await;
    assert_eq!(disk.counts().stored, 3_001);
    bench.clock.advance(Span::secs(90));
    assert_eq!(body(&disk, &1_u32.to_be_bytes()).await, None);
    until(|| disk.counts().expired == 3_000).await;
    assert_eq!(body(&disk, b"lasts").await.unwrap(), "y");
}

#[tokio::test]
async fn files_stay_within_the_limit_and_the_soonest_expiring_go() {
    let bench = Bench { limit: SMALLEST_LIMIT, ..Bench::new() };
    let disk = bench.open();
    let (mut largest, mut dice) = (0, 7_u64);
    for n in 0..3_000_u32 {
        // Bytes that can't be compressed, of lengths from 0 to 40 KB: four times the limit.
        let body: Vec<u8> = (0..(n % 11) * 4_000).map(|_| (random(&mut dice) >> 24) as u8).collect();
        let entry = Envelope { fresh_ms: u64::from(n) * 1_000 + 100_000, ..envelope(&body) };
        while !disk.put(&n.to_be_bytes(), SPACE, Fence(10), entry.clone()) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        largest = largest.max(size(bench.path()));
    }
    disk.flush().await;
    largest = largest.max(size(bench.path()));
    assert!(largest <= SMALLEST_LIMIT, "{largest}");
    assert!(largest > SMALLEST_LIMIT / 2, "the limit is used: {largest}");
    let counts = disk.counts();
    assert!(counts.evicted > 500 && counts.failures == 0, "{counts:?}");
    assert!(disk.get(&2_990_u32.to_be_bytes(), SPACE).await.is_some());
    assert_eq!(disk.get(&10_u32.to_be_bytes(), SPACE).await, None);
}

#[tokio::test]
async fn what_is_too_large_is_not_stored() {
    let bench = Bench { limit: SMALLEST_LIMIT, ..Bench::new() };
    let disk = bench.open();
    let mut dice = 7;
    let large: Vec<u8> = (0..2 << 20).map(|_| (random(&mut dice) >> 24) as u8).collect();
    put(&disk, b"k", 10, &large).await;
    assert_eq!(disk.get(b"k", SPACE).await, None);
    assert_eq!(disk.counts().too_large, 1);
}

#[tokio::test]
async fn a_full_queue_drops_entries_and_never_a_removal() {
    let bench = Bench::new();
    let disk = bench.open();
    put(&disk, b"gone", 10, b"x").await;
    let mut dropped = 0;
    for n in 0..30_000_u32 {
        dropped += u64::from(!disk.put(&n.to_be_bytes(), SPACE, Fence(10), envelope(b"x")));
    }
    assert!(disk.remove(b"gone", Fence(20)).await.unwrap());
    disk.flush().await;
    let counts = disk.counts();
    assert!(dropped > 0, "faster than this machine's disk");
    assert_eq!((counts.dropped, counts.stored), (dropped, 30_001 - dropped));
}

#[tokio::test]
async fn after_a_power_cut_nothing_is_believed_but_after_an_end_in_order() {
    let mut bench = Bench::new();
    let disk = bench.open();
    put(&disk, b"k", 10, b"x").await;
    let mut cut = bench.killed();
    drop(disk);
    for bench in [&mut cut, &mut bench] {
        bench.machine = Machine { boot: "second".to_owned(), wall_ms: bench.machine.wall_ms + 5_000 };
    }
    assert_eq!(cut.open().get(b"k", SPACE).await, None);
    let held = bench.open().get(b"k", SPACE).await.unwrap();
    assert_eq!((held.envelope.age_ms, held.earlier), (5_100, true), "the wall clock tells how long it was off");
}

#[tokio::test]
async fn a_clock_that_went_back_makes_nothing_younger() {
    let mut bench = Bench::new();
    drop({
        let disk = bench.open();
        put(&disk, b"k", 10, b"x").await;
        disk
    });
    // The same start of the machine: only the wall clock was set.
    bench.machine.wall_ms -= 3_600_000;
    drop({
        let disk = bench.open();
        assert_eq!(disk.get(b"k", SPACE).await.unwrap().envelope.age_ms, 100);
        disk
    });
    bench.machine.boot = "second".to_owned();
    assert_eq!(bench.open().get(b"k", SPACE).await, None, "nobody knows how old it is");
}

#[tokio::test]
async fn what_is_to_be_dropped_at_a_restart_is_gone() {
    let mut bench = Bench::new();
    drop({
        let disk = bench.open();
        put(&disk, b"k", 10, b"x").await;
        disk
    });
    bench.on_restart = OnRestart::Drop;
    let disk = bench.open();
    assert_eq!(disk.get(b"k", SPACE).await, None);
    put(&disk, b"k", 10, b"y").await;
    assert_eq!(body(&disk, b"k").await.unwrap(), "y");
}

#[tokio::test]
async fn a_limit_below_the_files_size_begins_another_file() {
    let mut bench = Bench::new();
    let mut dice = 7;
    drop({
        let disk = bench.open();
        for n in 0..30_u32 {
            let body: Vec<u8> = (0..1 << 20).map(|_| (random(&mut dice) >> 24) as u8).collect();
            put(&disk, &n.to_be_bytes(), 10, &body).await;
        }
        disk
    });
    assert!(size(bench.path()) > SMALLEST_LIMIT);
    bench.limit = SMALLEST_LIMIT;
    let disk = bench.open();
    assert!(size(bench.path()) <= SMALLEST_LIMIT);
    put(&disk, b"k", 10, b"y").await;
    assert_eq!(body(&disk, b"k").await.unwrap(), "y");
}

#[tokio::test]
async fn files_are_for_their_owner_alone() {
    let bench = Bench::new();
    let parent = bench.path().join("not").join("there");
    let config = DiskConfig { clock: bench.clock.clone(), ..DiskConfig::at(&parent) };
    let disk = DiskTier::open(config).unwrap();
    put(&disk, b"k", 10, b"x").await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&parent), 0o700);
    let files: Vec<_> = fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn a_directory_serves_one_process_at_a_time() {
    let bench = Bench::new();
    let disk = bench.open();
    let refused = bench.try_open().unwrap_err();
    assert!(refused.problem().contains(&format!("in use by process {}", std::process::id())), "{refused}");
    assert!(refused.hint().contains("directory of its own"), "{refused}");
    drop(disk);
    bench.open();
}

#[test]
fn what_is_somebody_elses_is_refused_and_left_as_it_is() {
    let bench = Bench::new();
    let file = Place::new(bench.path().to_owned()).file();
    let foreign = Connection::open(&file).unwrap();
    foreign.execute_batch("CREATE TABLE customers (name TEXT); INSERT INTO customers VALUES ('Ada')").unwrap();
    drop(foreign);
    let before = fs::read(&file).unwrap();
    let refused = bench.try_open().unwrap_err();
    assert!(refused.problem().contains("database of another program"), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), before);

    fs::remove_file(&file).unwrap();
    drop(bench.open());
    let ours = Connection::open(&file).unwrap();
    ours.pragma_update(None, "user_version", 2).unwrap();
    ours.execute("UPDATE about SET version = 2", []).unwrap();
    ours.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(())).unwrap();
    drop(ours);
    let before = fs::read(&file).unwrap();
    let refused = bench.try_open().unwrap_err();
    assert!(refused.problem().contains("format 2, this one knows 1"), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), before);

    let config = DiskConfig { limit: 1 << 20, ..DiskConfig::at(bench.path()) };
    assert!(DiskTier::open(config).unwrap_err().to_string().contains("at least 16 MiB"));
    let refused = DiskTier::open(DiskConfig::at(&file)).unwrap_err();
    assert!(refused.to_string().contains("is not a directory"), "{refused}");
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_told() {
    let bench = Bench::new();
    drop({
        let disk = bench.open();
        put(&disk, b"k", 10, b"x").await;
        disk
    });
    let file = Place::new(bench.path().to_owned()).file();
    fs::write(&file, vec![0xEE; 20_000]).unwrap();
    for round in 1..=2 {
        let disk = bench.open();
        let counts = disk.counts();
        assert_eq!((counts.state, counts.set_aside), (DiskState::On, 2 - round), "round {round}");
        assert!(counts.alert.is_some_and(|alert| alert.contains("set aside as")), "until somebody has looked");
        assert_eq!(disk.get(b"k", SPACE).await, None);
        put(&disk, b"k2", 10, b"y").await;
        assert_eq!(body(&disk, b"k2").await.unwrap(), "y");
    }
}

#[tokio::test]
async fn flipped_bytes_yield_neither_wrong_nor_removed_values() {
    let bench = Bench::new();
    let disk = bench.open();
    let text = |n: u32| format!("value {n} ").repeat(1 + n as usize % 50);
    for n in 0..600_u32 {
        disk.put(
            &n.to_be_bytes(),
            SPACE,
            Fence(10),
            Envelope { tags: vec![u64::from(n % 5)], ..envelope(text(n).as_bytes()) },
        );
    }
    disk.raise(Scope::Tag(1), Fence(20)).await.unwrap();
    for n in (0..600_u32).filter(|n| n % 5 == 2) {
        disk.remove(&n.to_be_bytes(), Fence(20)).await.unwrap();
    }
    drop(disk);
    let (mut dice, mut damaged, mut refused, mut found) = (42_u64, 0, 0, 0);
    for _ in 0..60 {
        let copy = bench.killed();
        let file = Place::new(copy.path().to_owned()).file();
        let mut bytes = fs::read(&file).unwrap();
        for _ in 0..1 + random(&mut dice) % 40 {
            let at = (random(&mut dice) % bytes.len() as u64) as usize;
            bytes[at] ^= 1 << (random(&mut dice) % 8);
        }
        fs::write(&file, bytes).unwrap();
        let Ok(disk) = copy.try_open() else {
            refused += 1;
            continue;
        };
        for n in 0..600_u32 {
            if let Some(body) = body(&disk, &n.to_be_bytes()).await {
                found += 1;
                assert_eq!(body, text(n), "wrong");
                assert!(n % 5 != 1 && n % 5 != 2, "{n} was removed");
            }
        }
        let counts = disk.counts();
        damaged += usize::from(counts.unreadable + counts.set_aside > 0);
    }
    assert!(damaged > 20, "the test damages what is read: {damaged}, {refused} refused");
    assert!(found > 1_000, "and not everything: {found}");
}

fn size(directory: &Path) -> u64 {
    let sizes = fs::read_dir(directory).unwrap().flatten().filter_map(|entry| entry.metadata().ok());
    sizes.map(|file| file.len()).sum()
}

/// splitmix64: a seed gives the same run each time.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

async fn until(mut reached: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !reached() {
        assert!(std::time::Instant::now() < deadline, "not reached in 20 s");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

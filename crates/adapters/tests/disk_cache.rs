//! Does a cache with a tier on disk keep its promises: nothing removed comes back, nothing is fresh after a restart, and
//! a disk that fails takes nothing away?
#![cfg(feature = "disk")]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bellwether::disk::{DiskCounts, OnRestart, Unserved};
use bellwether::shared::Sharing;
use bellwether::testing::{Mode, SharedMemory};
use bellwether::{Cache, CacheBuilder, Clock, Loaded, OptionalExt, Policy, Space, Span, Why};
use bellwether_adapters::tiers::disk::{DiskConfig, DiskTier};
use tempfile::TempDir;

type Products = Space<u64, String>;

/// A machine with one directory, on which processes come and go.
struct Host {
    home: TempDir,
    clock: Clock,
    on_restart: OnRestart,
    loads: Arc<AtomicU64>,
}

impl Host {
    fn new() -> Host {
        let loads = Arc::new(AtomicU64::new(0));
        Host {
            home: TempDir::new().expect("a directory"),
            clock: Clock::system(),
            on_restart: OnRestart::ServeStale,
            loads,
        }
    }

    fn disk_at(&self, path: &Path) -> DiskTier {
        let config = DiskConfig {
            on_restart: self.on_restart,
            clock: self.clock.clone(),
            limit: 64 << 20,
            ..DiskConfig::at(path)
        };
        DiskTier::open(config).expect("opens")
    }

    fn builder(&self) -> CacheBuilder {
        Cache::builder().clock(self.clock.clone()).disk(self.disk_at(self.home.path()))
    }

    fn process(&self) -> Process {
        self.process_of(self.builder(), Sharing::json())
    }

    fn process_of(&self, builder: CacheBuilder, sharing: Sharing<String>) -> Process {
        let cache = builder.build().expect("builds");
        let policy = Policy::ttl("60s").grace("10m").jitter(0.0);
        let products = cache.shared_space_on(&cache.default_origin(), "product", policy, sharing).expect("declared");
        Process { cache, products, loads: self.loads.clone() }
    }

    /// Another host whose disk is as `kill -9` would leave this one's now.
    fn killed(&self) -> Host {
        let copy = Host { clock: self.clock.clone(), on_restart: self.on_restart, ..Host::new() };
        for entry in std::fs::read_dir(self.home.path()).expect("a directory") {
            let entry = entry.expect("an entry");
            std::fs::copy(entry.path(), copy.home.path().join(entry.file_name())).expect("copied");
        }
        copy
    }

    fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }
}

struct Process {
    cache: Cache,
    products: Products,
    loads: Arc<AtomicU64>,
}

impl Process {
    /// Reads a product whose row says `text` by now, under the tag of its last digit.
    async fn get(&self, id: u64, text: &str) -> (String, Why) {
        let (loads, text) = (self.loads.clone(), text.to_owned());
        let cached = self.products.get(&id).or_load(move |_| async move {
            loads.fetch_add(1, Ordering::SeqCst);
            Ok::<_, io::Error>(Loaded::value(text).tag(format!("digit:{}", id % 10)))
        });
        let cached = cached.await.expect("a value");
        (String::clone(&cached), cached.why())
    }

    async fn fails(&self, id: u64) -> Result<(String, Why), bellwether::Error> {
        let cached = self.products.get(&id).or_load(|_| async { Err(io::Error::other("down")) }).await?;
        Ok((String::clone(&cached), cached.why()))
    }

    async fn stored(&self, entries: u64) {
        until(|| self.counts().stored >= entries).await;
    }

    fn counts(&self) -> DiskCounts {
        self.cache.snapshot().disk.expect("a disk")
    }

    /// Ends in order: what was queued is on disk then. The engine's tasks let go of it soon.
    async fn end(self, host: &Host) {
        drop((self.products, self.cache));
        let deadline = Instant::now() + Duration::from_secs(20);
        while DiskTier::open(DiskConfig::at(host.home.path())).is_err() {
            assert!(Instant::now() < deadline, "the directory is not given back in 20 s");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn until(mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reached() {
        assert!(Instant::now() < deadline, "not reached in 20 s");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_memory_has_no_room_for_is_found_on_disk_as_fresh_as_it_was() {
    let host = Host::new();
    let process = host.process_of(host.builder().memory("64 KiB"), Sharing::json());
    for id in 0..500 {
        assert_eq!(process.get(id, &"x".repeat(1_000)).await.1, Why::Loaded);
    }
    process.stored(500).await;
    assert!(process.cache.entries() < 100);
    let (loads, mut hits) = (host.loads(), 0);
    for id in 0..500 {
        let (text, why) = process.get(id, "a load").await;
        assert_eq!((text.len(), why), (1_000, Why::Hit), "{id}");
        hits += 1;
    }
    assert_eq!(host.loads(), loads);
    assert!(process.counts().hits > hits / 2);
    let keys: Vec<u64> = (0..100).collect();
    let many = process
        .products
        .get_many(&keys)
        .or_load(|_, _| async { Err::<Vec<(u64, Loaded<String>)>, _>(io::Error::other("not asked")) });
    let many = many.await;
    assert!(many.iter().all(Result::is_ok), "a batch looks on disk too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_on_disk_is_told_without_being_taken_up_and_so_is_what_covers_it() {
    let host = Host::new();
    let process = host.process();
    for id in [1, 2] {
        process.get(id, "old").await;
    }
    process.stored(2).await;
    // How large its file is becomes known in its own time.
    let counts = || DiskCounts { used: 0, ..process.counts() };
    let before = counts();
    let lying = process.cache.on_disk(&process.products, &1).await.expect("it was stored");
    assert_eq!((lying.kind, lying.unserved, lying.earlier), (Some(bellwether::Kind::Value), None, false));
    assert!(lying.bytes >= 3 && lying.fresh > Span::secs(50) && lying.kept > Span::secs(600), "{lying:?}");
    assert_eq!(process.cache.on_disk(&process.products, &3).await, None, "nobody has asked for it");
    assert_eq!(counts(), before, "a look is no read");

    // A removal of its tag is known before the row is gone, and of its key the row goes with it.
    assert!(process.cache.remove_tag("digit:1").await);
    let lying = process.cache.on_disk(&process.products, &1).await;
    assert!(lying.is_none_or(|lying| lying.unserved == Some(Unserved::Invalidated)), "{lying:?}");
    process.end(&host).await;

    let process = host.process();
    let lying = process.cache.on_disk(&process.products, &2).await.expect("it survives");
    assert!(lying.earlier && lying.unserved.is_none(), "{lying:?}");
    assert_eq!((process.cache.entries(), host.loads()), (0, 2), "nothing was taken up or loaded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_what_was_kept_is_served_stale_while_one_refresh_runs() {
    let host = Host::new();
    let process = host.process();
    for id in 0..50 {
        process.get(id, "old").await;
    }
    process.end(&host).await;
    let before = host.loads();
    let process = host.process();
    for id in 0..50 {
        assert_eq!(process.get(id, "new").await, ("old".to_owned(), Why::StaleRefreshing), "{id}");
    }
    until(|| host.loads() == before + 50).await;
    for id in 0..50 {
        until(|| process.products.peek(&id).is_some_and(|cached| *cached == "new")).await;
        assert_eq!(process.get(id, "newer").await, ("new".to_owned(), Why::Hit));
    }
    assert_eq!(host.loads(), before + 50, "one refresh each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_to_be_revalidated_is_served_only_where_its_load_failed() {
    let host = Host { on_restart: OnRestart::Revalidate, ..Host::new() };
    let process = host.process();
    process.get(1, "old").await;
    process.get(2, "old").await;
    process.end(&host).await;
    let process = host.process();
    assert_eq!(process.get(1, "new").await, ("new".to_owned(), Why::Loaded));
    assert_eq!(process.fails(2).await.expect("rescued"), ("old".to_owned(), Why::StaleError));

    let host = Host { on_restart: OnRestart::Drop, ..Host::new() };
    let process = host.process();
    process.get(2, "old").await;
    process.end(&host).await;
    assert!(host.process().fails(2).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_as_removed_is_in_no_later_life() {
    let host = Host::new();
    let process = host.process();
    for id in 0..40 {
        process.get(id, "old").await;
    }
    process.stored(40).await;
    assert!(process.products.remove(&1).await);
    assert!(process.products.expire(&2).await);
    assert!(process.cache.remove_tag("digit:3").await);
    assert!(process.cache.expire_tag("digit:4").await);
    assert!(process.products.write(&5, "written".to_owned()).await);
    process.get(6, "x").await;
    let killed = host.killed().also(|host| host.loads.store(0, Ordering::SeqCst));
    let again = killed.process();
    for id in [1, 2, 3, 13, 23, 4, 14] {
        assert_eq!(again.get(id, "new").await, ("new".to_owned(), Why::Loaded), "{id}");
    }
    // Its write may have been queued only; what it replaced is gone.
    assert_ne!(again.get(5, "new").await.0, "old");
    assert_eq!(again.get(7, "new").await.0, "old");
    // Its refresh begins when it likes: after the removal of everything it would be right to keep what it brings.
    until(|| again.products.peek(&7).is_some_and(|value| *value == "new")).await;

    assert!(again.products.clear().await);
    let last = killed.killed();
    assert_eq!(last.process().get(7, "new").await, ("new".to_owned(), Why::Loaded));
}

trait Also: Sized {
    fn also(self, act: impl FnOnce(&Self)) -> Self {
        act(&self);
        self
    }
}
impl Also for Host {}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_another_recipe_are_not_used() {
    let host = Host::new();
    let process = host.process_of(host.builder(), Sharing::json().recipe(1));
    process.get(1, "old").await;
    process.end(&host).await;
    let process = host.process_of(host.builder(), Sharing::json().recipe(2));
    assert_eq!(process.get(1, "new").await, ("new".to_owned(), Why::Loaded));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_missing_is_remembered_in_this_life_alone() {
    let host = Host::new();
    let process = host.process_of(host.builder().memory("64 KiB"), Sharing::json());
    let missing = |process: &Process| {
        let (products, loads) = (process.products.clone(), host.loads.clone());
        async move {
            products
                .get(&1)
                .or_load(move |_| async move {
                    loads.fetch_add(1, Ordering::SeqCst);
                    Ok::<_, io::Error>(Loaded::missing())
                })
                .await
                .optional()
                .expect("no error")
        }
    };
    assert!(missing(&process).await.is_none());
    for id in 100..600 {
        process.get(id, &"x".repeat(1_000)).await;
    }
    let loads = host.loads();
    assert!(missing(&process).await.is_none());
    assert_eq!(host.loads(), loads, "from disk");
    process.end(&host).await;
    let process = host.process();
    assert!(missing(&process).await.is_none());
    assert_eq!(host.loads(), loads + 1, "after a restart it is asked again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_others_invalidate_too_the_shared_tier_is_asked_before_an_earlier_lifes_entry_is_served() {
    let host = Host::new();
    let tier = SharedMemory::new(host.clock.clone());
    let process = host.process_of(host.builder().shared(tier.clone()), Sharing::json());
    for id in 1..=3 {
        process.get(id, "old").await;
    }
    process.stored(3).await;
    process.end(&host).await;
    let elsewhere = Cache::builder().clock(host.clock.clone()).shared(tier.clone()).build().expect("builds");
    let elsewhere: Products = elsewhere.shared_space("product", Policy::ttl("60s").grace("10m")).expect("declared");
    assert!(elsewhere.remove(&1).await);

    let process = host.process_of(host.builder().shared(tier.clone()), Sharing::json());
    assert_eq!(process.get(1, "new").await, ("new".to_owned(), Why::Loaded), "removed while this process was away");
    assert_eq!(process.get(2, "new").await, ("old".to_owned(), Why::Hit), "the tier has it, fresh");
    tier.set(Mode::Failing);
    assert_eq!(process.get(3, "new").await, ("old".to_owned(), Why::StaleRefreshing), "better than nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_invalidated_is_gone_from_disk_as_well() {
    let host = Host::new();
    let process = host.process();
    for id in 1..=3 {
        process.get(id, "old").await;
    }
    process.stored(3).await;
    let verb = bellwether::Invalidation::Remove;
    process.cache.hear_key(&[b"product:".as_slice(), &name_of(1)].concat(), verb, None);
    process.cache.hear_tag(bellwether::shared::tag_hash("digit:2"), verb);
    // Whatever was ordered before is in the file by then.
    assert!(process.products.remove(&99).await);
    let again = host.killed().process_with_home();
    assert_eq!(again.1.get(1, "new").await.0, "new");
    assert_eq!(again.1.get(2, "new").await.0, "new");
    assert_eq!(again.1.get(3, "new").await.0, "old");
}

impl Host {
    fn process_with_home(self) -> (Host, Process) {
        let process = self.process();
        (self, process)
    }
}

/// A key's bytes as the library writes them.
fn name_of(id: u64) -> Vec<u8> {
    use bellwether::CacheKey;
    id.with_bytes(<[u8]>::to_vec)
}

/// G2 with entries going to disk and coming back all the time: a read that begins after a removal was acknowledged never
/// gets an older value, in this life or the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_read_after_a_removal_never_gets_what_was_removed_from_any_tier() {
    const KEYS: usize = 200;
    let host = Host::new();
    let process = Arc::new(host.process_of(host.builder().memory("64 KiB"), Sharing::json()));
    let rows: Arc<Vec<AtomicU64>> = Arc::new((0..KEYS).map(|_| AtomicU64::new(1)).collect());
    // The newest version of each row whose removal was acknowledged: nobody may see an older one from then on.
    let floors: Arc<Vec<AtomicU64>> = Arc::new((0..KEYS).map(|_| AtomicU64::new(0)).collect());
    let until = Instant::now() + Duration::from_secs(3);
    let mut tasks = Vec::new();
    for task in 0..8_u64 {
        let (process, rows, floors) = (process.clone(), rows.clone(), floors.clone());
        tasks.push(tokio::spawn(async move {
            let mut dice = fastrand::Rng::with_seed(task);
            let mut wrong = 0_u64;
            while Instant::now() < until {
                let id = dice.usize(0..KEYS);
                if dice.u32(0..10) == 0 {
                    let version = rows[id].fetch_add(1, Ordering::SeqCst) + 1;
                    let acknowledged = match dice.u32(0..8) {
                        0 => process.cache.remove_tag(&format!("digit:{}", id % 10)).await,
                        _ => process.products.remove(&(id as u64)).await,
                    };
                    assert!(acknowledged);
                    floors[id].fetch_max(version, Ordering::SeqCst);
                } else {
                    let floor = floors[id].load(Ordering::SeqCst);
                    let (rows, key) = (rows.clone(), id as u64);
                    let cached = process.products.get(&key).or_load(move |_| async move {
                        let version = rows[id].load(Ordering::SeqCst);
                        let text = format!("{version};{}", "x".repeat(500));
                        Ok::<_, io::Error>(Loaded::value(text).tag(format!("digit:{}", id % 10)))
                    });
                    let cached = cached.await.expect("a value");
                    let version: u64 = cached.split(';').next().and_then(|v| v.parse().ok()).expect("a version");
                    wrong += u64::from(version < floor);
                }
            }
            wrong
        }));
    }
    let mut wrong = 0;
    for task in tasks {
        wrong += task.await.expect("no panic");
    }
    assert_eq!(wrong, 0);
    let counts = process.counts();
    assert!(counts.hits > 100 && counts.removed > 20, "the disk took part: {counts:?}");
    let again = host.killed().process_with_home();
    for id in 0..KEYS {
        let floor = floors[id].load(Ordering::SeqCst);
        if let Ok((text, _)) = again.1.fails(id as u64).await {
            let version: u64 = text.split(';').next().and_then(|v| v.parse().ok()).expect("a version");
            assert!(version >= floor, "{id}: {version} was removed at {floor}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_takes_nothing_away_from_memory() {
    // No directory can be made below a file that is no directory: the disk fails from the start.
    let host = Host::new();
    let file = host.home.path().join("file");
    std::fs::write(&file, b"x").expect("written");
    let builder = Cache::builder().clock(host.clock.clone()).disk(host.disk_at(&file.join("tier")));
    let process = host.process_of(builder, Sharing::json());
    assert_eq!(process.counts().state, bellwether::disk::DiskState::Off);
    assert!(process.counts().alert.is_some());
    assert_eq!(process.get(1, "x").await.1, Why::Loaded);
    assert_eq!(process.get(1, "y").await, ("x".to_owned(), Why::Hit));
    assert!(process.products.remove(&1).await, "there is nothing on disk that could come back");
    assert_eq!(process.get(1, "y").await, ("y".to_owned(), Why::Loaded));
}

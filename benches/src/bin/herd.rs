//! What does a herd cost: 20,000 requests for one cold key, and for one expired key with grace?
//!
//! `cargo run --release -p bellwether-benches --bin herd [rounds]`

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bellwether::{Cache, Early, Loaded, Policy, Space, Why};
use bellwether_benches::report::{Bar, bars};
use bellwether_benches::stats::{Spread, latency};
use bellwether_benches::{alloc, cpu, load, machine};
use bytes::Bytes;
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

const HERD: usize = 20_000;
const LOAD: Duration = Duration::from_millis(100);
const ROUNDS: usize = 11;
/// Longer than a hit could take on a busy machine, shorter than a load.
const BLOCKED: Duration = Duration::from_millis(50);
const TTL: Duration = Duration::from_millis(300);
const MEGABYTE: f64 = 1e6;

/// A fresh cache with one space, and how often its origin was asked.
struct Shop {
    space: Space<str, Bytes>,
    loads: Arc<AtomicU64>,
}

/// One answer: why, and how long it took since it was asked for.
type Answer = (Why, Duration);

impl Shop {
    fn new(policy: Policy) -> Shop {
        let cache = Cache::builder().memory("64 MiB").build().expect("the defaults make sense");
        Shop { space: cache.space("herd", policy.timeout("10s")), loads: Arc::default() }
    }

    async fn ask(&self) -> Option<Answer> {
        let (asked, loads) = (Instant::now(), self.loads.clone());
        let load = move |_| async move {
            loads.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(LOAD).await;
            Ok::<_, Infallible>(Loaded::value(load::value(1)))
        };
        let answer = self.space.get("one key").or_load(load).await.ok()?;
        Some((answer.why(), asked.elapsed()))
    }

    fn loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }
}

/// All tasks at once; their answers in the order of arrival.
async fn herd<F: Future<Output = Option<Answer>> + Send + 'static>(task: impl Fn() -> F) -> Vec<Answer> {
    let mut tasks = JoinSet::new();
    (0..HERD).for_each(|_| drop(tasks.spawn(task())));
    tasks.join_all().await.into_iter().flatten().collect()
}

fn ask(shop: &Arc<Shop>) -> impl Future<Output = Option<Answer>> + Send + use<> {
    let shop = shop.clone();
    async move { shop.ask().await }
}

/// Tasks that wait for nothing: what 20,000 tasks cost without a cache.
async fn idle() -> Option<Answer> {
    tokio::task::yield_now().await;
    Some((Why::Hit, Duration::ZERO))
}

/// Tasks that wait for one notification with a deadline each: the least that a follower can do.
fn notified(done: &Arc<tokio::sync::Notify>) -> impl Future<Output = Option<Answer>> + Send + use<> {
    let done = done.clone();
    async move {
        let waited = tokio::time::timeout(Duration::from_secs(10), done.notified()).await;
        waited.ok().map(|()| (Why::Coalesced, Duration::ZERO))
    }
}

async fn bare_herd() -> Vec<Answer> {
    let done = Arc::new(tokio::sync::Notify::new());
    let waker = tokio::spawn({
        let done = done.clone();
        async move {
            tokio::time::sleep(LOAD).await;
            done.notify_waiters();
        }
    });
    let answers = herd(|| notified(&done)).await;
    waker.abort();
    answers
}

/// Process CPU microseconds per member of the herd.
async fn cost(run: impl Future<Output = Vec<Answer>>) -> (f64, Vec<Answer>) {
    let before = cpu::process();
    let answers = run.await;
    ((cpu::process() - before).as_secs_f64() * 1e6 / HERD as f64, answers)
}

/// Everything the rounds found of a cold key.
#[derive(Default)]
struct Cold {
    loads: Vec<f64>,
    served: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    follower: Vec<f64>,
    empty: Vec<f64>,
    bare: Vec<f64>,
}

impl Cold {
    async fn round(&mut self) {
        let empty = cost(herd(idle)).await.0;
        let bare = cost(bare_herd()).await.0;
        let shop = Arc::new(Shop::new(Policy::ttl("1h")));
        let (spent, answers) = cost(herd(|| ask(&shop))).await;
        let times: Vec<Duration> = answers.iter().map(|(_, took)| *took).collect();
        let [p50, p99, _] = latency(&times);
        self.loads.push(shop.loads() as f64);
        self.served.push(answers.len() as f64);
        self.p50.push(p50);
        self.p99.push(p99);
        self.follower.push(spent - empty);
        self.empty.push(empty);
        self.bare.push(bare - empty);
    }
}

/// The most bytes held at once during a herd, that of tasks that wait for nothing, and the sizes
/// of the blocks that the herd is made of while it waits.
async fn peak() -> (f64, f64, Vec<(usize, i64)>) {
    let shop = Arc::new(Shop::new(Policy::ttl("1h")));
    alloc::start();
    let sizes = tokio::spawn(async {
        tokio::time::sleep(LOAD / 2).await;
        alloc::blocks(HERD as i64 / 2)
    });
    let answers = herd(|| ask(&shop)).await;
    let held = alloc::stop().peak;
    let sizes = sizes.await.unwrap_or_default();
    assert_eq!(answers.len(), HERD);
    alloc::start();
    herd(idle).await;
    (held as f64 / MEGABYTE, alloc::stop().peak as f64 / MEGABYTE, sizes)
}

/// A herd upon a value that has just expired, with grace: its answers and the loads it caused.
async fn expired() -> (Vec<Answer>, u64) {
    let shop = Arc::new(Shop::new(Policy::ttl(TTL).grace("1h").jitter(0.0).early(Early::Off)));
    assert!(shop.ask().await.is_some(), "warmed up");
    tokio::time::sleep(TTL + Duration::from_millis(20)).await;
    let answers = herd(|| ask(&shop)).await;
    // The refresh that they started may still run.
    tokio::time::sleep(LOAD + Duration::from_millis(50)).await;
    (answers, shop.loads() - 1)
}

/// The control: the same value without grace.
async fn expired_without_grace() -> usize {
    let shop = Arc::new(Shop::new(Policy::ttl(TTL).jitter(0.0).early(Early::Off)));
    assert!(shop.ask().await.is_some(), "warmed up");
    tokio::time::sleep(TTL + Duration::from_millis(20)).await;
    blocked(&herd(|| ask(&shop)).await)
}

fn blocked(answers: &[Answer]) -> usize {
    answers.iter().filter(|(why, took)| *took > BLOCKED || matches!(why, Why::Loaded | Why::Coalesced)).count()
}

fn main() {
    let rounds = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime of two threads");
    println!("{}; {rounds} rounds of {HERD} tasks on two worker threads, a load takes {LOAD:?}\n", machine::line());
    // The main future must be one of the tasks, not a third thread.
    let run = async move {
        let mut cold = Cold::default();
        cold.round().await;
        cold = Cold::default();
        for _ in 0..rounds {
            cold.round().await;
        }
        let mut sizes = Vec::new();
        let (mut held, mut idle, mut late, mut loads, mut late_p99) = (vec![], vec![], vec![], vec![], vec![]);
        for _ in 0..rounds {
            let (herd, tasks, blocks) = peak().await;
            sizes = blocks;
            held.push(herd);
            idle.push(tasks);
            let (answers, again) = expired().await;
            assert_eq!(answers.len(), HERD);
            late.push(blocked(&answers) as f64);
            loads.push(again as f64);
            late_p99.push(latency(&answers.iter().map(|(_, took)| *took).collect::<Vec<_>>())[1]);
        }
        let control = expired_without_grace().await;
        (cold, held, idle, late, loads, late_p99, control, sizes)
    };
    let (cold, held, idle, late, loads, late_p99, control, sizes) =
        runtime.block_on(async { tokio::spawn(run).await.expect("no panic") });
    let spread = |values: &[f64]| Spread::of(values).to_string();
    println!("cold key: served {}, p50 {} ms, p99 {} ms", spread(&cold.served), spread(&cold.p50), spread(&cold.p99));
    println!(
        "CPU us: follower {}; a task that waits for nothing {}; a bare notification with a deadline {}",
        spread(&cold.follower),
        spread(&cold.empty),
        spread(&cold.bare)
    );
    println!("MB at the peak: herd {}; of which tasks that wait for nothing {}", spread(&held), spread(&idle));
    println!("blocks while they wait (bytes, how many): {sizes:?}");
    println!(
        "expired key with grace: p99 {} ms; control without grace: {control} of {HERD} blocked\n",
        spread(&late_p99)
    );
    let (most, median) =
        (|values: &[f64]| values.iter().copied().fold(0.0, f64::max), |values: &[f64]| Spread::of(values).median);
    println!(
        "{}",
        bars(&[
            Bar::exactly("cold key: loads (most of all rounds)", most(&cold.loads), 1.0),
            Bar::exactly("cold key: served (fewest)", Spread::of(&cold.served).min, HERD as f64),
            Bar::at_most("cold key: p99 in ms (median round)", median(&cold.p99), LOAD.as_millis() as f64 + 60.0),
            Bar::at_most("CPU us per follower (median round)", median(&cold.follower), 2.0),
            Bar::at_most("MB at the peak (most)", most(&held), 20.0),
            Bar::exactly("expired with grace: blocked (most)", most(&late), 0.0),
            Bar::exactly("expired with grace: loads (most)", most(&loads), 1.0),
        ])
    );
    println!("load average at the end {}", machine::load());
}

//! Does a process learn from others that their origin is in trouble? Behind a lease it asks too seldom itself.

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::time::Duration;

use bellwether::testing::SharedMemory;
use bellwether::{BreakerPosition, Cache, Clock, Error, FailClass, LoadError, Loaded, Space, Span, Why};
use common::{Source, minute, soon, until, wide};

const PROCESSES: u64 = 4;
/// That each process loads itself: fewer than open a breaker, together more.
const KEYS: u64 = 8;

struct Fleet {
    tier: SharedMemory,
    clock: Clock,
    caches: Vec<(Cache, Space<u64, u64>)>,
}

fn fleet() -> Fleet {
    let clock = Clock::manual();
    let tier = SharedMemory::new(clock.clone());
    let member = |_| {
        let builder = Cache::builder().clock(clock.clone()).shared(tier.clone()).budget(wide());
        let cache = builder.build().expect("a cache");
        let space = cache.shared_space("row", minute()).expect("a new space");
        (cache, space)
    };
    let caches = (0..PROCESSES).map(member).collect();
    Fleet { tier, clock, caches }
}

impl Fleet {
    fn position(&self, process: u64) -> BreakerPosition {
        self.caches[process as usize].0.snapshot().origins[0].guard.breaker
    }

    /// A process asks for a key while the origin is down.
    async fn fails(&self, process: u64, key: u64, source: &Source) -> Error {
        let source = source.clone();
        let answer = self.caches[process as usize].1.get(&key).or_load(|_| async move {
            source.read(Duration::ZERO).await;
            Err::<Loaded<u64>, _>(LoadError::new(FailClass::Refused, "down"))
        });
        let error = soon("an error", answer).await.expect_err("it is down");
        // The callers are told before the tier is.
        until("the tier knows", || !self.tier.is_leased(format!("row:{key}").as_bytes())).await;
        error
    }

    /// A process asks for a key; its load takes 5 ms.
    async fn loads(&self, process: u64, key: u64) -> Result<Why, Error> {
        let clock = self.clock.clone();
        let answer = self.caches[process as usize].1.get(&key).or_load(move |_| async move {
            clock.advance(Span::ms(5));
            Ok::<_, LoadError>(Loaded::value(key))
        });
        let why = soon("an answer", answer).await.map(|value| value.why());
        until("the tier knows", || !self.tier.is_leased(format!("row:{key}").as_bytes())).await;
        why
    }

    /// Each of the others loads its keys in vain, and the first one asks for them as well.
    async fn goes_down(&self, source: &Source) {
        for process in 1..PROCESSES {
            for key in process * 100..process * 100 + KEYS {
                assert_eq!(self.fails(process, key, source).await.why(), Why::OriginRefused);
                self.fails(0, key, source).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s10_what_others_could_not_load_opens_the_breaker_of_who_asks_for_it() {
    let (fleet, source) = (fleet(), Source::default());
    fleet.goes_down(&source).await;
    let all = (PROCESSES - 1) * KEYS;
    assert_eq!(source.runs(), all, "the first process has loaded nothing itself");
    assert_eq!(fleet.position(0), BreakerPosition::Open);
    assert_eq!(fleet.fails(0, 900, &source).await.why(), Why::BreakerOpen);
    assert_eq!(source.runs(), all);
    let others: Vec<_> = (1..PROCESSES).map(|process| fleet.position(process)).collect();
    assert_eq!(others, [BreakerPosition::Closed; 3], "control: each of them saw {KEYS} calls, and asked for no more");

    // The origin is back, as another process finds out: that is one probe; then two, then four.
    fleet.clock.advance(Span::ms(100));
    assert_eq!(fleet.loads(1, 10).await.expect("it is back"), Why::Loaded);
    assert_eq!(fleet.position(0), BreakerPosition::Open);
    assert_eq!(fleet.loads(0, 10).await.expect("the tier has it"), Why::Hit);
    assert_eq!(fleet.position(0), BreakerPosition::HalfOpen);
    for key in 20..26 {
        assert_eq!(fleet.loads(0, key).await.expect("it is back"), Why::Loaded);
    }
    assert_eq!(fleet.position(0), BreakerPosition::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_whoever_reaches_the_origin_is_not_shut_out_by_what_others_say() {
    let (fleet, source) = (fleet(), Source::default());
    for key in 20..23 {
        assert_eq!(fleet.loads(0, key).await.expect("it is there"), Why::Loaded);
    }
    fleet.goes_down(&source).await;
    assert_eq!(fleet.position(0), BreakerPosition::Closed);
}

//! What does a removal do that is heard of late? It overtakes what began before it, and nothing that began after.

#[allow(dead_code, reason = "every test program uses its part of the helpers")]
mod common;

use std::sync::Arc;

use bellwether::shared::Tier;
use bellwether::testing::SharedMemory;
use bellwether::{Cache, Clock, Fence, Invalidation, Policy, Space, Span};
use common::{Source, minute, soon, until, wide};
use tokio::sync::Semaphore;

/// When the removal reaches the tier that a process hears of while it loads.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Removed {
    BeforeTheLease,
    AfterTheLease,
}

struct Case {
    tier: SharedMemory,
    cache: Cache,
    space: Space<u64, u64>,
    other: Space<u64, u64>,
    _other: Cache,
    source: Source,
    gate: Arc<Semaphore>,
}

fn case(policy: &Policy) -> Case {
    let tier = SharedMemory::new(Clock::system());
    let process = || {
        let cache = Cache::builder().shared(tier.clone()).budget(wide()).build().expect("it makes sense");
        let space = cache.shared_space::<u64, u64>("row", policy.clone()).expect("a new space");
        (cache, space)
    };
    let ((cache, space), (_other, other)) = (process(), process());
    Case { tier, cache, space, other, _other, source: Source::default(), gate: Arc::new(Semaphore::new(0)) }
}

impl Case {
    async fn remove(&self) -> Fence {
        self.source.write();
        self.tier.invalidate(b"row:1", Invalidation::Remove, Fence::ZERO, Span::ZERO).await.expect("it works").fence
    }

    fn read(&self, space: &Space<u64, u64>) -> tokio::task::JoinHandle<u64> {
        let (space, load) = (space.clone(), self.source.held(&self.gate));
        tokio::spawn(async move { *space.get(&1).or_load(load).await.expect("loaded") })
    }

    /// A load under way hears of `heard`. Returns what its caller and those who came after the removal read.
    async fn hears(&self, verb: Invalidation, heard: impl Fn(Fence) -> Option<Fence>, removed: Removed) -> [u64; 3] {
        let before = if removed == Removed::BeforeTheLease { Some(self.remove().await) } else { None };
        let began = self.source.runs();
        let first = self.read(&self.space);
        until("it loads", || self.source.runs() == began + 1).await;
        let fence = match before {
            Some(fence) => fence,
            None => self.remove().await,
        };
        self.cache.hear_key(b"row:1", verb, heard(fence));
        let (here, there) = (self.read(&self.space), self.read(&self.other));
        tokio::time::sleep(std::time::Duration::from_millis(120)).await;
        self.gate.add_permits(100);
        let read = soon("all", async { [first.await, here.await, there.await] }).await;
        read.map(|read| read.expect("no panic"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_a_load_by_a_lease_that_was_granted_after_a_removal_is_not_made_twice_when_that_is_heard_of() {
    for verb in [Invalidation::Remove, Invalidation::Expire] {
        let case = case(&minute());
        assert_eq!(case.hears(verb, Some, Removed::BeforeTheLease).await, [1, 1, 1]);
        assert_eq!(case.source.runs(), 1, "{verb:?}: one load for the fleet");
        assert_eq!(case.space.hit(&1).map(|value| *value), Some(1), "and it is kept");
    }
    // Without a fence nobody here knows what came first: the tier does, which is offered what was loaded.
    let unknown = case(&minute());
    assert_eq!(unknown.hears(Invalidation::Remove, |_| None, Removed::BeforeTheLease).await, [1, 1, 1]);
    assert_eq!(unknown.source.runs(), 1);
    assert_eq!(unknown.space.find(&1).await.ok().map(|value| *value), Some(1), "it took it");
    // Control: a removal here is newer than what is being read, whatever the lease.
    let here = case(&minute());
    let first = here.read(&here.space);
    until("it loads", || here.source.runs() == 1).await;
    here.source.write();
    assert!(here.space.remove(&1).await, "told");
    let next = here.read(&here.space);
    here.gate.add_permits(100);
    soon("the load", first).await.expect("no panic");
    assert_eq!((soon("the next", next).await.expect("no panic"), here.source.runs()), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_a_load_by_a_lease_that_was_granted_before_a_removal_is_overtaken_by_it() {
    for verb in [Invalidation::Remove, Invalidation::Expire] {
        let case = case(&minute());
        let [_, here, there] = case.hears(verb, Some, Removed::AfterTheLease).await;
        assert_eq!((here, there), (1, 1), "{verb:?}: whoever comes after the removal reads what came after");
        assert!(case.source.runs() >= 2);
        assert_eq!(case.space.find(&1).await.ok().map(|value| *value), Some(1), "and the older value is kept nowhere");
    }
}

/// The same where the removal is heard of before it has its place in the tier's order, and again when it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_what_is_heard_of_twice_costs_one_load_if_the_lease_came_after_it_and_keeps_nothing_older_if_before() {
    for removed in [Removed::BeforeTheLease, Removed::AfterTheLease] {
        let case = case(&minute());
        let mut fence = Fence::ZERO;
        if removed == Removed::BeforeTheLease {
            fence = case.remove().await;
        }
        let first = case.read(&case.space);
        until("it loads", || case.source.runs() == 1).await;
        case.cache.hear_key(b"row:1", Invalidation::Remove, None);
        // It waits for its turn when the removal is heard of again.
        let second = case.read(&case.space);
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        if removed == Removed::AfterTheLease {
            fence = case.remove().await;
        }
        case.cache.hear_key(b"row:1", Invalidation::Remove, Some(fence));
        case.gate.add_permits(100);
        soon("the load", first).await.expect("no panic");
        assert_eq!(soon("the next", second).await.expect("no panic"), 1, "{removed:?}");
        let loads = if removed == Removed::BeforeTheLease { 1 } else { 2 };
        assert_eq!(case.source.runs(), loads, "{removed:?}");
        assert_eq!(case.space.find(&1).await.ok().map(|value| *value), Some(1), "{removed:?}");
    }
}

/// Two removals, of which the second comes after the lease, are heard of in any order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_of_two_removals_the_one_after_the_lease_overtakes_the_load() {
    for turned in [false, true] {
        let case = case(&minute());
        let before = case.remove().await;
        let first = case.read(&case.space);
        until("it loads", || case.source.runs() == 1).await;
        let after = case.remove().await;
        for fence in if turned { [after, before] } else { [before, after] } {
            case.cache.hear_key(b"row:1", Invalidation::Remove, Some(fence));
        }
        let second = case.read(&case.space);
        case.gate.add_permits(100);
        soon("the load", first).await.expect("no panic");
        assert_eq!(soon("the next", second).await.expect("no panic"), 2, "turned: {turned}");
        assert_eq!(case.space.find(&1).await.ok().map(|value| *value), Some(2));
    }
}

/// What the origin calls "not modified" is not revived past a removal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_a_load_that_may_show_an_older_values_validator_is_overtaken_whatever_its_lease() {
    let policy = minute();
    let case = case(&policy);
    case.gate.add_permits(1);
    assert_eq!(soon("the first", case.read(&case.space)).await.expect("no panic"), 0);
    until("published", || case.tier.calls().publishes == 1).await;
    let fence = case.remove().await;
    let (space, load) = (case.space.clone(), case.source.held(&case.gate));
    let refresh =
        tokio::spawn(
            async move { space.get(&1).demand(bellwether::Demand::Fresh).or_load(load).await.map(|value| *value) },
        );
    until("it loads", || case.source.runs() == 2).await;
    case.cache.hear_key(b"row:1", Invalidation::Remove, Some(fence));
    let next = case.read(&case.space);
    case.gate.add_permits(100);
    assert_eq!(soon("both", async { (refresh.await.is_ok(), next.await.is_ok()) }).await, (true, true));
    assert_eq!(case.source.runs(), 3);
}

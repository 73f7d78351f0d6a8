//! Is it seen that a server answers everything and takes no writes? Full, a replica, rights taken away: and back again.

use std::sync::Arc;

use bellwether::shared::{TierTrouble, Write, Wrote};
use bellwether::{Cache, Clock, Policy, Span};

use super::*;

fn trouble(tier: &RedisTier) -> Option<TierTrouble> {
    tier.counts().nodes.first().expect("a node").trouble
}

/// Probes until `wanted` is what is known.
async fn becomes(tier: &RedisTier, wanted: Option<TierTrouble>) {
    until(&format!("{wanted:?}"), async || {
        tier.probe().await;
        (trouble(tier) == wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_writes_is_known_by_its_cause_and_known_to_be_well_again() {
    let (server, primary) = (redis(&[]).await, redis(&[]).await);
    let tier = calm(&server.url());
    becomes(&tier, None).await;
    let keys = call(&server, &["DBSIZE"]).await;
    assert_eq!(keys, bellwether_servers::Value::Int(0), "a probe leaves nothing behind");
    for words in [&["CONFIG", "SET", "maxmemory-policy", "noeviction"][..], &["CONFIG", "SET", "maxmemory", "1mb"]] {
        call(&server, words).await;
    }
    becomes(&tier, Some(TierTrouble::Full)).await;
    assert!(tier.invalidate(b"k", bellwether::Invalidation::Remove, Fence::ZERO, Span::ZERO).await.is_ok());
    assert_eq!(trouble(&tier), Some(TierTrouble::Full), "a removal that goes through stores nothing");
    call(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    becomes(&tier, None).await;

    let port = primary.address().port().to_string();
    call(&server, &["REPLICAOF", "127.0.0.1", &port]).await;
    becomes(&tier, Some(TierTrouble::ReadOnly)).await;
    let since = Instant::now();
    for _ in 0..20 {
        assert_eq!(tier.acquire(b"k", ask(Mode::Miss)).await.unwrap_err().kind, TierTrouble::ReadOnly);
    }
    assert!(since.elapsed() < AT_ONCE * 10, "nobody waits for what is known: {:?} for 20 calls", since.elapsed());
    call(&server, &["REPLICAOF", "NO", "ONE"]).await;
    becomes(&tier, None).await;
}

const RIGHTS: [&str; 7] = ["ACL", "SETUSER", "app", "on", ">secret", "~bw:*", "+@all"];

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_taken_away_are_a_cause_and_what_is_owed_meanwhile_becomes_a_dead_letter() {
    let server = redis(&[]).await;
    call(&server, &RIGHTS).await;
    let url = server.url().replace("redis://", "redis://app:secret@");
    let tier = Arc::new(calm(&url));
    becomes(&tier, None).await;
    let clock = Clock::manual();
    let cache = Cache::builder().clock(clock.clone()).shared(Shared(tier.clone())).build().unwrap();
    let space = cache.shared_space::<u64, u64>("row", Policy::ttl("60s")).unwrap();
    for less in ["-set", "-evalsha"] {
        call(&server, &["ACL", "SETUSER", "app", less]).await;
        becomes(&tier, Some(TierTrouble::Denied)).await;
        call(&server, &RIGHTS).await;
        becomes(&tier, None).await;
    }
    call(&server, &["ACL", "SETUSER", "app", "-set"]).await;
    assert!(!space.remove(&1).await, "nothing was there");
    // Ten refusals, by a clock that is turned on by hand.
    let turned = until("a dead letter", async || {
        clock.advance(Span::secs(5));
        tokio::time::sleep(Duration::from_millis(20)).await;
        cache.owing().first().filter(|owing| owing.dead).cloned()
    })
    .await;
    assert!(turned.tries >= 10 && turned.trouble == Some(TierTrouble::Denied), "{turned:?}");
    let retried = cache.retry_owed_within(None, Span::secs(1)).await;
    assert_eq!((retried.told, retried.owed.get(&TierTrouble::Denied)), (0, Some(&1)), "{retried:?}");
    // What was given back is noticed without anybody's help.
    call(&server, &RIGHTS).await;
    until("it is told", async || {
        clock.advance(Span::secs(5));
        tokio::time::sleep(Duration::from_millis(20)).await;
        cache.owing().is_empty().then_some(())
    })
    .await;
    assert_eq!(cache.snapshot().shared.expect("a tier").told, 1);
}

/// A tier that the test keeps a handle of.
struct Shared(Arc<RedisTier>);

type Answer<'a, T> = futures_util::future::BoxFuture<'a, Result<T, TierError>>;

impl Tier for Shared {
    fn get<'a>(&'a self, key: &'a [u8]) -> Answer<'a, Found> {
        self.0.get(key)
    }
    fn acquire<'a>(&'a self, key: &'a [u8], ask: Ask) -> Answer<'a, Acquired> {
        self.0.acquire(key, ask)
    }
    fn publish<'a>(&'a self, key: &'a [u8], token: Fence, envelope: Envelope) -> Answer<'a, Stored> {
        self.0.publish(key, token, envelope)
    }
    fn renew<'a>(&'a self, key: &'a [u8], token: Fence, lease: Span) -> Answer<'a, bool> {
        self.0.renew(key, token, lease)
    }
    fn release<'a>(
        &'a self,
        key: &'a [u8],
        token: Fence,
        failed: Option<(Span, bellwether::FailClass)>,
    ) -> Answer<'a, bool> {
        self.0.release(key, token, failed)
    }
    fn invalidate<'a>(
        &'a self,
        key: &'a [u8],
        verb: bellwether::Invalidation,
        at_least: Fence,
        late: Span,
    ) -> Answer<'a, bellwether::shared::Raised> {
        self.0.invalidate(key, verb, at_least, late)
    }
    fn write<'a>(&'a self, key: &'a [u8], how: Write, envelope: Envelope) -> Answer<'a, Wrote> {
        self.0.write(key, how, envelope)
    }
    fn change<'a>(
        &'a self,
        key: &'a [u8],
        change: bellwether::shared::Change,
        at_least: Fence,
        within: Span,
    ) -> Answer<'a, Wrote> {
        self.0.change(key, change, at_least, within)
    }

    fn verify<'a>(&'a self, key: &'a [u8]) -> Answer<'a, bellwether::shared::Verified> {
        self.0.verify(key)
    }
}

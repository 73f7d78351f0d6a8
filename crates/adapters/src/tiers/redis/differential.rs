//! Do the scripts decide as the model of one cell does? Random steps on both, at the time that the server tells.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether::shared::{Ask, Change, Draw, Ending, Envelope, Mode, Only, When, Write};
use bellwether::{FailClass, Fence, Invalidation, Kind, Span};
use bellwether_core::cell::{self, Cell, Now, What};
use bellwether_envelope::{Header, Kind as StoredKind};
use bellwether_servers::Redis;
use bytes::Bytes;

use super::script::{self, Acquire, Body, Call, Words};
use super::{RedisOptions, RedisTarget, RedisTier};
use crate::tiers::wire::{class_of, seal};

/// Steps with one key, and keys at once.
const STEPS: usize = 250;
const KEYS: u64 = 16;
const LEASE: Span = Span(60);

fn tier(redis: &Redis) -> RedisTier {
    RedisTier::open(RedisTarget::parse(&redis.url()).unwrap(), RedisOptions::default()).unwrap()
}

fn entry(kind: Kind) -> Envelope {
    Envelope {
        age_ms: 3,
        fresh_ms: 20,
        swr_ms: if kind == Kind::Value { 30 } else { 0 },
        hard_ms: if kind == Kind::Value { 90 } else { 0 },
        cost_ms: 3,
        ..Envelope::of(kind, if kind == Kind::Value { Bytes::from_static(b"body") } else { Bytes::new() })
    }
}

/// What an entry is in the model once it is stored at `now`.
fn modelled(envelope: &Envelope, now: Now) -> Cell {
    let now = now.tick();
    let fresh_until = now + Span(envelope.fresh_ms);
    Cell {
        what: match envelope.kind {
            Kind::Value => What::Value,
            Kind::Negative => What::Negative,
            Kind::HitForMiss => What::HitForMiss,
        },
        token: None,
        created: now - Span(envelope.age_ms),
        fresh_until,
        swr_until: fresh_until + Span(envelope.swr_ms.into()),
        hard_until: fresh_until + Span(envelope.hard_ms.into()),
        ..Cell::foreign()
    }
}

/// What the key holds, as the model sees it.
fn held(raw: &[u8]) -> Option<Cell> {
    if raw.is_empty() {
        return None;
    }
    let Ok(header) = Header::read(raw) else { return Some(Cell::foreign()) };
    let stamp = header.stamp;
    let what = match header.kind {
        StoredKind::Placeholder => What::Placeholder,
        StoredKind::Value => What::Value,
        StoredKind::Negative => What::Negative,
        StoredKind::Tombstone => What::Tombstone,
        StoredKind::HitForMiss => What::HitForMiss,
        StoredKind::Failed => What::Failed(class_of(header.cost_ms)),
    };
    let tick = bellwether::Tick;
    Some(Cell {
        what,
        fence: Fence(stamp.fence),
        token: (stamp.token != 0).then_some(Fence(stamp.token)),
        lease_until: tick(stamp.lease_until),
        // Without a token a class stands there.
        lease: if stamp.token == 0 { Span::ZERO } else { Span(stamp.lease_ms.into()) },
        created: tick(stamp.created_at),
        fresh_until: tick(stamp.fresh_until),
        swr_until: tick(stamp.swr_until),
        hard_until: tick(stamp.hard_until),
    })
}

struct Both {
    tier: Arc<RedisTier>,
    redis: Arc<Redis>,
    key: Vec<u8>,
    /// What was answered, so that a run that met nothing is noticed.
    met: BTreeSet<&'static str>,
    cell: Option<Cell>,
    tokens: Vec<Fence>,
}

impl Both {
    async fn run(&self, call: &Call) -> Words {
        self.tier.run(&self.key, call, false).await.expect("a healthy server").0
    }

    /// The key itself, read past everything.
    async fn raw(&self) -> Bytes {
        self.tier.read(&self.key).await.expect("a healthy server").0
    }

    fn any(of: &[Fence], random: &mut fastrand::Rng) -> Fence {
        let back = random.usize(..3);
        // A token that nobody ever gave out, now and then.
        of.iter().rev().nth(back).copied().unwrap_or(Fence(7))
    }

    async fn step(&mut self, random: &mut fastrand::Rng) -> String {
        match random.u32(..22) {
            0..7 => self.acquire(random).await,
            7..10 => self.publish(random).await,
            10 => {
                let token = Both::any(&self.tokens, random);
                let words = self.run(&script::renew(token, LEASE)).await;
                let next = Cell::renew(self.cell, token, LEASE, Now(words.now_us).tick());
                assert_eq!(words.status == 1, next.is_some(), "renew");
                self.met.insert(if words.status == 1 { "renew" } else { "renew refused" });
                self.cell = next.or(self.cell);
                format!("renew {token:?}")
            }
            11..13 => {
                let token = Both::any(&self.tokens, random);
                let failed = random.bool().then_some((Span(40), FailClass::Refused));
                let words = self.run(&script::release(token, failed)).await;
                let next = Cell::release(self.cell, token, failed, Now(words.now_us).tick());
                assert_eq!(words.status == 1, next.is_ok(), "release");
                self.met.insert(if words.status == 1 { "release" } else { "release refused" });
                self.cell = next.unwrap_or(self.cell);
                format!("release {token:?} {failed:?}")
            }
            13..15 => {
                let verb = if random.bool() { Invalidation::Remove } else { Invalidation::Expire };
                let at_least = if random.u32(..4) == 0 { Fence(random.u64(..) >> 1) } else { Fence::ZERO };
                let ago = Span([0, 0, 10, 40][random.usize(..4)]);
                let mut words = self.run(&script::invalidate(verb, cell::TOMBSTONE.0, at_least, 0, ago)).await;
                let (raised, next) = Cell::invalidate_late(self.cell, verb, at_least, ago, Now(words.now_us));
                let told = (words.fence().unwrap(), words.natural().unwrap() == 1);
                assert_eq!(told, (raised.fence, raised.was_resident), "invalidate, {ago} late");
                self.met.insert(if next.is_some() { "invalidate" } else { "invalidate too late" });
                self.cell = next.or(self.cell);
                format!("invalidate {verb:?}, {ago} late")
            }
            15 | 17 => {
                let when = [When::Always, When::Absent, When::Present][random.usize(..3)];
                let late = Span([0, 10, 40][random.usize(..3)]);
                let (bytes, envelope) = self.sealed(random);
                let windows = super::entry::windows(&envelope);
                let how = Write { when, late, ..Write::default() };
                let mut words = self.run(&script::write(how, 1 << 20, 0, windows, bytes)).await;
                let now = Now(words.now_us);
                let fence = Cell::may_write(self.cell, when, late, Fence::ZERO, now);
                if when == When::Always && fence.is_none() {
                    self.met.insert("write too late");
                }
                assert_eq!((words.status == 1, words.fence().unwrap()), (fence.is_some(), fence.unwrap_or_default()));
                let there = cell::alive(self.cell, now.tick()).is_some_and(|cell| match cell.what {
                    What::Value => now.tick() < cell.hard_until,
                    what => what == What::Foreign,
                });
                let left = words.left().unwrap();
                assert_eq!(words.body().unwrap() != Body::None, there, "{left:?}");
                self.met.insert(if fence.is_some() { "write" } else { "write refused" });
                self.cell = fence.map(|fence| Cell { fence, ..modelled(&envelope, now) }).or(self.cell);
                format!("write {when:?}, {late} late")
            }
            20..22 => self.change(random).await,
            16 => {
                let key = String::from_utf8(self.key.clone()).unwrap();
                let gone = random.bool();
                let words: &[&str] = if gone { &["DEL", &key] } else { &["SET", &key, "somebody else's"] };
                self.redis.call(words).expect("a healthy server");
                self.cell = (!gone).then(Cell::foreign);
                format!("foreign, gone: {gone}")
            }
            _ => {
                let ms = random.u64(..50);
                tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
                format!("pass {ms}")
            }
        }
    }

    async fn change(&mut self, random: &mut fastrand::Rng) -> String {
        let only = [Only::Always, Only::Later, Only::Sooner][random.usize(..3)];
        let fresh = Span([0, 15, 40][random.usize(..3)]);
        let ending = Ending { fresh, swr: Span(20), hard: Span(random.u64(..60)), only };
        let change = if random.u32(..4) == 0 { Change::Take } else { Change::End(ending) };
        let mut words =
            self.run(&script::change(change, Fence::ZERO, 1 << 20, cell::TOMBSTONE.0, u64::MAX >> 11)).await;
        let now = Now(words.now_us);
        let next = Cell::change(self.cell, change, Fence::ZERO, now);
        let told = (words.status == 1).then(|| words.fence().unwrap());
        assert_eq!(told, next.map(|(fence, _)| fence), "{change:?}");
        self.met.insert(if next.is_some() { "change" } else { "change refused" });
        self.cell = next.map(|(_, next)| next).or(self.cell);
        format!("{change:?}")
    }

    fn sealed(&self, random: &mut fastrand::Rng) -> (Vec<u8>, Envelope) {
        let kinds = [Kind::Value, Kind::Value, Kind::Value, Kind::Negative, Kind::HitForMiss];
        let envelope = entry(kinds[random.usize(..kinds.len())]);
        (seal(&self.key, &envelope, false, bellwether_envelope::Packing::DEFAULT).unwrap(), envelope)
    }

    async fn publish(&mut self, random: &mut fastrand::Rng) -> String {
        let token = Both::any(&self.tokens, random);
        let (bytes, envelope) = self.sealed(random);
        let words = self.run(&script::publish(token, 0, super::entry::windows(&envelope), bytes)).await;
        let now = Now(words.now_us);
        let next = Cell::publish(self.cell, token, modelled(&envelope, now), now.tick());
        assert_eq!(words.status == 1, next.is_some(), "publish");
        self.met.insert(if words.status == 1 { "publish" } else { "publish refused" });
        self.cell = next.or(self.cell);
        format!("publish {token:?} {:?}", envelope.kind)
    }

    async fn acquire(&mut self, random: &mut fastrand::Rng) -> String {
        let mode = [Mode::Miss, Mode::Early, Mode::Backup][random.usize(..3)];
        let held = self.cell.map_or(Fence::ZERO, |cell| cell.fence);
        let holds = if random.bool() { held } else { Fence::ZERO };
        // Huge ones need all 64 bits; what is above the clock for good is rare, or nothing else would be seen.
        let at_least = match random.u32(..40) {
            0 => Fence(random.u64(..) >> 1),
            1 => Fence((1 << 53) + random.u64(..5)),
            _ => Fence::ZERO,
        };
        let draw = Draw(random.u64(..));
        let ask = Ask { lease: LEASE, mode, holds, at_least, draw };
        let words = self.run(&script::acquire(&ask, super::commands::SHORT)).await;
        let now = Now(words.now_us);
        let (reply, next) = Cell::acquire(self.cell, cell::Ask { lease: LEASE, mode, holds, at_least, draw }, now);
        let has = |body: &Body| *body != Body::None;
        self.met.insert(match reply {
            cell::Reply::Granted { stale: true, .. } => "granted over a body",
            cell::Reply::Granted { .. }
                if mode == Mode::Backup && self.cell.is_some_and(|c| c.held(now.tick()).is_some()) =>
            {
                "granted to a backup"
            }
            cell::Reply::Granted { .. } => "granted",
            cell::Reply::Denied { .. } => "denied",
            cell::Reply::Fresh => "fresh",
            cell::Reply::Failed { .. } => "failed",
            cell::Reply::HitForMiss { .. } => "hit for miss",
            cell::Reply::Foreign => "foreign",
        });
        match (words.acquire().expect("an answer"), reply) {
            (Acquire::Granted { token, stale }, cell::Reply::Granted { token: expected, stale: expects }) => {
                assert_eq!((token, has(&stale)), (expected, expects), "granted");
                self.tokens.push(token);
            }
            (Acquire::Denied { left, stale }, cell::Reply::Denied { left: expected, stale: expects }) => {
                assert_eq!((left, has(&stale)), (expected, expects), "denied");
            }
            (Acquire::Fresh(body), cell::Reply::Fresh) => assert!(has(&body)),
            (Acquire::Failed { left, class }, cell::Reply::Failed { left: expected, class: expects, .. }) => {
                // The model forgets the class where there is a body.
                assert!(left == expected && (class == expects || class == FailClass::Refused), "failed");
            }
            (Acquire::HitForMiss { left }, cell::Reply::HitForMiss { left: expected }) => assert_eq!(left, expected),
            (Acquire::Foreign { .. }, cell::Reply::Foreign) => {}
            (script, model) => panic!("script: {script:?}, model: {model:?}"),
        }
        self.cell = next;
        format!("acquire {mode:?} holds {holds:?} at least {at_least:?}")
    }
}

/// All of them must be met, or the comparison says little.
const MEETS: [&str; 21] = [
    "write too late",
    "invalidate",
    "invalidate too late",
    "change",
    "change refused",
    "write",
    "write refused",
    "granted",
    "granted over a body",
    "granted to a backup",
    "denied",
    "fresh",
    "failed",
    "hit for miss",
    "foreign",
    "publish",
    "publish refused",
    "renew",
    "renew refused",
    "release",
    "release refused",
];

async fn compare(mut both: Both, seed: u64) -> BTreeSet<&'static str> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut story = Vec::new();
    for _ in 0..STEPS {
        story.push(both.step(&mut random).await);
        // A moment more has passed by now: only what both still hold is compared.
        if let (Some(found), Some(expected)) = (held(&both.raw().await), both.cell)
            && found.what != What::Foreign
        {
            let lease = if expected.token.is_some() { expected.lease } else { Span::ZERO };
            assert_eq!(found, Cell { lease, ..expected }, "seed {seed}, after {story:#?}");
        }
    }
    both.met
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_decide_as_the_model_does_whatever_comes_in_whatever_order() {
    let redis = Arc::new(tokio::task::spawn_blocking(|| Redis::start(&[]).expect("redis-server")).await.unwrap());
    let tier = Arc::new(tier(&redis));
    let first = fastrand::u64(..);
    let tasks: Vec<_> = (first..first.saturating_add(KEYS))
        .map(|seed| {
            let (tier, redis) = (tier.clone(), redis.clone());
            let key = format!("bw:differential:{seed}").into_bytes();
            let both = Both { tier, redis, key, met: BTreeSet::new(), cell: None, tokens: Vec::new() };
            tokio::spawn(compare(both, seed))
        })
        .collect();
    let mut met = BTreeSet::new();
    for task in tasks {
        met.extend(task.await.expect("no difference"));
    }
    let missed: Vec<_> = MEETS.iter().filter(|one| !met.contains(*one)).collect();
    assert!(missed.is_empty(), "never met: {missed:?}");
    assert!(tier.counts().misread.iter().all(|(_, count)| *count == 0));
}

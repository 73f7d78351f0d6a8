//! Who loads, and whose load counts?

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bellwether::shared::{Acquired, Ask, Envelope, Found, Stored, Tier, Verified, Write};
use bellwether::{FailClass, Fence, Invalidation, Kind, Mode, Span};
use bellwether_adapters::tiers::memcached::MemcachedTier;

use super::{Plain, ask, body, entry, open, run, servers, store, token};

/// What a process does on a miss: takes the lease and loads, or waits for whoever has it.
async fn read_through(tier: &MemcachedTier, key: &[u8], loads: &AtomicU32) {
    for _ in 0..2_000 {
        if let Found::Entry { .. } = tier.get(key).await.unwrap() {
            return;
        }
        if let Acquired::Granted { token, .. } = tier.acquire(key, ask(Mode::Miss)).await.unwrap() {
            loads.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(tier.publish(key, token, entry(key.to_vec())).await.unwrap(), Stored::Yes(token));
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no value came");
}

#[test]
fn g1_two_hundred_tasks_of_forty_processes_load_a_key_once() {
    run(servers(3), |servers| async move {
        let tiers: Vec<_> = (0..40).map(|_| Arc::new(open(&servers))).collect();
        for round in 0..20 {
            let (key, loads) = (format!("herd:{round}").into_bytes(), Arc::new(AtomicU32::new(0)));
            let tasks = (0..200).map(|task| {
                let (tier, key, loads) = (tiers[task % tiers.len()].clone(), key.clone(), loads.clone());
                tokio::spawn(async move { read_through(&tier, &key, &loads).await })
            });
            futures_util::future::try_join_all(tasks).await.unwrap();
            assert_eq!(loads.load(Ordering::Relaxed), 1, "round {round}");
        }
    });
}

#[test]
fn control_without_a_lease_the_same_herd_loads_often() {
    run(servers(1), |servers| async move {
        let (tier, loads) = (Arc::new(open(&servers)), Arc::new(AtomicU32::new(0)));
        let tasks = (0..40).map(|_| {
            let (tier, loads) = (tier.clone(), loads.clone());
            tokio::spawn(async move {
                if let Found::Nothing { .. } = tier.get(b"herd").await.unwrap() {
                    loads.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        });
        futures_util::future::try_join_all(tasks).await.unwrap();
        assert!(loads.load(Ordering::Relaxed) > 1);
    });
}

/// G3: whatever touches the key in between voids the lease, whoever does it.
#[test]
fn g3_a_late_writer_is_refused_whatever_came_in_between() {
    run(servers(1), |servers| async move {
        let (tier, other) = (open(&servers), open(&servers));
        let mut plain = Plain::of(&servers[0]);
        for (round, case) in ["remove", "expire", "delete", "set", "flush", "backup", "nothing"].into_iter().enumerate()
        {
            let key = format!("late:{round}");
            let key = key.as_bytes();
            let name = format!("bw:late:{round}");
            let late = token(&tier, key, Ask { lease: Span(300), ..ask(Mode::Miss) }).await;
            match case {
                "remove" => drop(other.invalidate(key, Invalidation::Remove, Fence::ZERO, Span::ZERO).await.unwrap()),
                "expire" => drop(other.invalidate(key, Invalidation::Expire, Fence::ZERO, Span::ZERO).await.unwrap()),
                "delete" => assert_eq!(plain.say(format!("delete {name}\r\n").as_bytes()), "DELETED"),
                "set" => plain.set(&name, 100, b"by somebody else"),
                "flush" => assert_eq!(plain.say(b"flush_all\r\n"), "OK"),
                "backup" => {
                    tokio::time::sleep(Duration::from_millis(250)).await;
                    let backup = token(&other, key, ask(Mode::Backup)).await;
                    assert!(backup > late);
                }
                _ => {}
            }
            let stored = tier.publish(key, late, entry("old")).await.unwrap();
            let expected = if case == "nothing" { Stored::Yes(late) } else { Stored::Refused };
            assert_eq!(stored, expected, "{case}");
            assert_eq!(body(&tier, key).await.is_some(), case == "nothing", "{case}");
            assert!(!tier.renew(key, late, Span::secs(1)).await.unwrap(), "{case}: the token is void by now");
            assert!(!tier.release(key, late, None).await.unwrap(), "{case}");
        }
    });
}

#[test]
fn a_holder_that_crashes_costs_two_thirds_of_its_lease_and_one_load() {
    run(servers(1), |servers| async move {
        let (dead, alive) = (open(&servers), open(&servers));
        let lease = Ask { lease: Span(900), ..ask(Mode::Miss) };
        let late = token(&dead, b"k", lease).await;
        let since = tokio::time::Instant::now();
        let second = loop {
            match alive.acquire(b"k", Ask { mode: Mode::Backup, ..lease }).await.unwrap() {
                Acquired::Granted { token, .. } => break token,
                Acquired::Denied { left, .. } => assert!(left <= Span(900)),
                other => panic!("{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(since.elapsed() >= Duration::from_millis(550), "two heartbeats must be missed: {:?}", since.elapsed());
        assert_eq!(alive.publish(b"k", second, entry("new")).await.unwrap(), Stored::Yes(second));
        assert_eq!(dead.publish(b"k", late, entry("old")).await.unwrap(), Stored::Refused);
        assert_eq!(body(&alive, b"k").await.unwrap(), "new");
    });
}

#[test]
fn a_heartbeat_keeps_the_backup_out() {
    run(servers(1), |servers| async move {
        let tier = open(&servers);
        let lease = Ask { lease: Span(600), ..ask(Mode::Miss) };
        let mine = token(&tier, b"k", lease).await;
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            assert!(tier.renew(b"k", mine, Span(600)).await.unwrap());
            let backup = tier.acquire(b"k", Ask { mode: Mode::Backup, ..lease }).await.unwrap();
            assert!(matches!(backup, Acquired::Denied { .. }), "{backup:?}");
        }
        assert_eq!(tier.publish(b"k", mine, entry("v")).await.unwrap(), Stored::Yes(mine));
    });
}

/// G2: a reader that begins after a removal was acknowledged never gets what was loaded before.
#[test]
fn g2_a_removal_during_loads_wins_every_time() {
    run(servers(3), |servers| async move {
        let tiers: Vec<_> = (0..4).map(|_| Arc::new(open(&servers))).collect();
        // The origin's row: a number that only grows, by those who remove.
        let row = Arc::new(AtomicU32::new(0));
        for round in 0..60 {
            let key = format!("row:{}", round % 6);
            let loaders = tiers.iter().take(3).cloned().map(|tier| {
                let (key, row) = (key.clone().into_bytes(), row.clone());
                tokio::spawn(async move {
                    for _ in 0..8 {
                        if let Acquired::Granted { token, .. } = tier.acquire(&key, ask(Mode::Miss)).await.unwrap() {
                            let seen = row.load(Ordering::SeqCst);
                            tokio::task::yield_now().await;
                            let _stored_or_refused = tier.publish(&key, token, entry(seen.to_string())).await.unwrap();
                        }
                    }
                })
            });
            let loaders: Vec<_> = loaders.collect();
            let written = row.fetch_add(1, Ordering::SeqCst) + 1;
            tiers[3].invalidate(key.as_bytes(), Invalidation::Remove, Fence::ZERO, Span::ZERO).await.unwrap();
            for tier in &tiers {
                if let Some(body) = body(tier, key.as_bytes()).await {
                    let seen: u32 = std::str::from_utf8(&body).unwrap().parse().unwrap();
                    assert!(seen >= written, "round {round}: {seen} after {written} was acknowledged");
                }
            }
            futures_util::future::try_join_all(loaders).await.unwrap();
        }
    });
}

#[test]
fn an_expiry_leaves_a_rescue_and_a_removal_nothing() {
    run(servers(1), |servers| async move {
        let tier = open(&servers);
        let fence = store(&tier, b"k", entry("old")).await;
        assert_eq!(tier.verify(b"k").await.unwrap(), Verified::Holds(fence));
        let raised = tier.invalidate(b"k", Invalidation::Expire, Fence::ZERO, Span::ZERO).await.unwrap();
        assert!(raised.was_resident && raised.fence > fence);
        assert_eq!(tier.verify(b"k").await.unwrap(), Verified::Gone);
        let Found::Entry { envelope, lease: None } = tier.get(b"k").await.unwrap() else { panic!("a rescue") };
        assert_eq!((envelope.invalidated, envelope.fresh_ms, envelope.swr_ms), (true, 0, 0));
        assert!(envelope.hard_ms > 0 && envelope.body == "old");

        let raised = tier.invalidate(b"k", Invalidation::Remove, Fence(u64::MAX / 2), Span::ZERO).await.unwrap();
        assert!(raised.fence >= Fence(u64::MAX / 2), "not below what the caller knows of");
        assert_eq!(tier.get(b"k").await.unwrap(), Found::Nothing { lease: None });
        let next = token(&tier, b"k", ask(Mode::Miss)).await;
        assert!(next > raised.fence, "a tombstone remembers, whatever the clocks say");
    });
}

#[test]
fn a_failed_load_is_seen_by_all_until_it_has_cooled_down() {
    run(servers(1), |servers| async move {
        let (tier, other) = (open(&servers), open(&servers));
        let mine = token(&tier, b"k", ask(Mode::Miss)).await;
        assert!(tier.release(b"k", mine, Some((Span(500), FailClass::Refused))).await.unwrap());
        let Found::Failed { left, class: FailClass::Refused } = other.get(b"k").await.unwrap() else { panic!() };
        assert!(left <= Span(500));
        assert!(matches!(other.acquire(b"k", ask(Mode::Miss)).await.unwrap(), Acquired::Failed { .. }));
        tokio::time::sleep(Duration::from_millis(550)).await;
        let next = token(&other, b"k", ask(Mode::Miss)).await;
        assert!(next > mine);
        assert!(other.release(b"k", next, None).await.unwrap());
        assert_eq!(tier.get(b"k").await.unwrap(), Found::Nothing { lease: None });
    });
}

#[test]
fn a_stale_value_is_served_while_one_process_refreshes_it() {
    run(servers(1), |servers| async move {
        let (tier, other) = (open(&servers), open(&servers));
        let stored = store(&tier, b"k", Envelope { fresh_ms: 0, ..entry("old") }).await;
        let holds = Ask { holds: stored, ..ask(Mode::Early) };
        let Acquired::Granted { token, stale: Some(stale) } = tier.acquire(b"k", holds).await.unwrap() else {
            panic!()
        };
        assert_eq!(stale.body, "old");
        assert!(matches!(other.acquire(b"k", holds).await.unwrap(), Acquired::Denied { stale: Some(_), .. }));
        let Found::Entry { envelope, lease: Some(left) } = other.get(b"k").await.unwrap() else { panic!() };
        assert!(envelope.body == "old" && left <= Span::secs(5));
        tier.publish(b"k", token, entry("new")).await.unwrap();
        let Acquired::Fresh(fresh) = other.acquire(b"k", holds).await.unwrap() else { panic!() };
        assert_eq!((fresh.body, fresh.fence), ("new".into(), token));
    });
}

#[test]
fn answers_that_may_not_be_kept_are_marked_for_everybody() {
    run(servers(1), |servers| async move {
        let tier = open(&servers);
        let marker = Envelope { kind: Kind::HitForMiss, fresh_ms: 10_000, swr_ms: 0, hard_ms: 0, ..entry("") };
        store(&tier, b"k", marker).await;
        let Found::HitForMiss { left } = tier.get(b"k").await.unwrap() else { panic!() };
        assert!(left > Span::secs(8) && left <= Span::secs(10));
        assert!(matches!(tier.acquire(b"k", ask(Mode::Miss)).await.unwrap(), Acquired::HitForMiss { .. }));
    });
}

#[test]
fn a_write_is_above_all_that_its_key_has_had_and_voids_every_token() {
    run(servers(1), |servers| async move {
        let tier = open(&servers);
        let set = async |value| tier.write(b"k", Write::default(), entry(value)).await.unwrap().stored;
        let first = tier.invalidate(b"k", Invalidation::Remove, Fence::ZERO, Span::ZERO).await.unwrap();
        let written = set("written").await.unwrap();
        assert!(written > first.fence);
        assert_eq!(body(&tier, b"k").await.unwrap(), "written");
        let second = tier.invalidate(b"k", Invalidation::Remove, Fence::ZERO, Span::ZERO).await.unwrap();
        let token = token(&tier, b"k", ask(Mode::Miss)).await;
        assert!(second.fence > written && set("newer").await.unwrap() > token);
        assert_eq!(tier.publish(b"k", token, entry("late")).await.unwrap(), Stored::Refused);
        assert_eq!(body(&tier, b"k").await.unwrap(), "newer");
    });
}

#[test]
fn what_comes_late_leaves_alone_what_came_two_seconds_after_it() {
    run(servers(1), |servers| async move {
        let (tier, other) = (open(&servers), open(&servers));
        let set = async |key: &'static [u8], value: &'static str| {
            other.write(key, Write::default(), entry(value)).await.unwrap();
        };
        set(b"old", "old").await;
        let answered = Instant::now();
        tokio::time::sleep(Duration::from_millis(500)).await;
        // By clocks that may differ by two seconds it is of then, or of before.
        set(b"soon", "soon").await;
        tokio::time::sleep(Duration::from_millis(1_700)).await;
        set(b"new", "new").await;
        let ago = || Span(u64::try_from(answered.elapsed().as_millis()).unwrap());
        for (key, left) in [(&b"new"[..], Some("new".into())), (b"soon", None), (b"old", None)] {
            tier.invalidate(key, Invalidation::Remove, Fence::ZERO, ago()).await.unwrap();
            assert_eq!(body(&tier, key).await, left, "{key:?}");
        }
        let late = Envelope { age_ms: ago().0, ..entry("late") };
        let wrote = tier.write(b"new", Write { late: ago(), ..Write::default() }, late).await.unwrap();
        assert_eq!((wrote.stored, body(&tier, b"new").await), (None, Some("new".into())));
        // Nor is anything brought back that somebody has removed, or written over, within these two seconds.
        for (key, removes) in [(&b"removed"[..], true), (b"over", false)] {
            set(key, "first").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            let (answered, late) = (Instant::now(), entry("queued"));
            tokio::time::sleep(Duration::from_millis(100)).await;
            if removes {
                other.invalidate(key, Invalidation::Remove, Fence::ZERO, Span::ZERO).await.unwrap();
            } else {
                set(key, "since").await;
            }
            let ago = || Span(u64::try_from(answered.elapsed().as_millis()).unwrap());
            let wrote = tier.write(key, Write { late: ago(), ..Write::default() }, late).await.unwrap();
            assert_eq!(wrote.stored, None, "{key:?}");
            tier.invalidate(key, Invalidation::Remove, Fence::ZERO, ago()).await.unwrap();
            assert_eq!(body(&tier, key).await, None, "{key:?}: who can't tell leaves neither");
        }
        // The control: what surely came before gives way.
        let wrote =
            tier.write(b"nobody's", Write { late: Span::secs(1), ..Write::default() }, entry("queued")).await.unwrap();
        assert!(wrote.stored.is_some());
        set(b"before", "before").await;
        tokio::time::sleep(Duration::from_millis(2_300)).await;
        let wrote =
            tier.write(b"before", Write { late: Span::ms(1), ..Write::default() }, entry("queued")).await.unwrap();
        assert!(wrote.stored.is_some() && body(&tier, b"before").await == Some("queued".into()));
    });
}

//! The origin fails, is slow or down: what does it cost, and what are callers told?

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::contender::Contender;
use crate::origin::{Mode, Origin};
use crate::row::Row;
use crate::stage::{Answered, CALLERS, KEY, count, herd, herd_of, until, yes};

pub(super) fn rows<C: Contender>() -> Vec<Row> {
    vec![
        Row {
            name: "error",
            race: "the origin refuses: calls, then calls of a second wave at once",
            wanted: "1, then 0",
            run: || Box::pin(error::<C>()),
        },
        Row {
            name: "panics",
            race: "the loader panics: runs, callers told so, time",
            wanted: "1, 100, < 20 ms",
            run: || Box::pin(panics::<C>()),
        },
        Row {
            name: "deadline",
            race: "a load longer than the callers' deadline: loads, told before its end, a later caller served by it",
            wanted: "1, 100, yes",
            run: || Box::pin(deadline::<C>()),
        },
        Row {
            name: "grace",
            race: "100 callers of an expired key with grace: made to wait, loads, fresh afterwards",
            wanted: "0, 1, yes",
            run: || Box::pin(grace::<C>()),
        },
        Row {
            name: "down",
            race: "the same while the origin fails: failed, calls",
            wanted: "0, 1",
            run: || Box::pin(down::<C>()),
        },
    ]
}

const LOAD: Duration = Duration::from_millis(5);
const DEADLINE: Duration = Duration::from_millis(250);
const TTL: Duration = Duration::from_millis(300);
/// From the end of a refresh until callers get its value, at most.
const LANDING: Duration = Duration::from_secs(1);

async fn error<C: Contender>() -> String {
    let (cache, origin) = (C::new(), Origin::new(1, LOAD));
    origin.mode(Mode::Refuse);
    let told = count(&herd(CALLERS, &cache, &origin).await, Answered::refused);
    let first = origin.loads();
    let told = told + count(&herd(CALLERS, &cache, &origin).await, Answered::refused);
    let wrong = 2 * CALLERS - told;
    let note = if wrong == 0 { String::new() } else { format!(", {wrong} not told") };
    format!("{first}, then {}{note}", origin.loads() - first)
}

async fn panics<C: Contender>() -> String {
    let (cache, origin) = (C::new(), Origin::new(1, LOAD));
    origin.mode(Mode::Panic);
    let begun = Instant::now();
    let told = count(&herd(CALLERS, &cache, &origin).await, Answered::refused);
    format!("{}, {told}, {} ms", origin.loads(), begun.elapsed().as_millis())
}

async fn deadline<C: Contender>() -> String {
    let (cache, origin, begun) = (C::new(), Origin::new(1, DEADLINE * 5), Instant::now());
    let answers = herd_of(CALLERS, &origin, |_| {
        let (cache, origin) = (cache.clone(), origin.clone());
        Box::pin(async move { cache.get_within(KEY, &origin, DEADLINE).await })
    })
    .await;
    let told = count(&answers, |answered| answered.refused() && answered.seen.ended == 0);
    until(&origin, |seen| seen.running == 0).await;
    // One that was dropped has ended early: the later caller is as late as with any other.
    sleep((DEADLINE * 5).saturating_sub(begun.elapsed())).await;
    let loads = origin.loads();
    let later = count(&herd(1, &cache, &origin).await, Answered::served) == 1 && origin.loads() == loads;
    format!("{loads}, {told}, {}", yes(later))
}

/// A cache whose only value is version 1, expired a moment ago.
async fn gone_stale<C: Contender>(origin: &Origin) -> Option<C> {
    let cache = C::graced(TTL, origin)?;
    herd(1, &cache, origin).await;
    sleep(TTL + TTL / 3).await;
    Some(cache)
}

async fn grace<C: Contender>() -> String {
    let origin = Origin::new(1, Duration::ZERO);
    let Some(cache) = gone_stale::<C>(&origin).await else {
        return "no ttl".to_owned();
    };
    origin.write(Some(2));
    origin.delay(TTL * 2);
    let before = origin.seen();
    let answers = herd(CALLERS, &cache, &origin).await;
    let at_once = |answered: &Answered| answered.answer == Ok(Some(1)) && answered.seen.ended == before.ended;
    let waited = CALLERS - count(&answers, at_once);
    until(&origin, |seen| seen.loads > before.loads && seen.running == 0).await;
    let loads = origin.loads() - before.loads;
    format!("{waited}, {loads}, {}", yes(lands(&cache, &origin).await))
}

/// Does what was loaded reach a caller within a moment, without another load?
async fn lands<C: Contender>(cache: &C, origin: &Origin) -> bool {
    let (begun, loads) = (Instant::now(), origin.loads());
    while begun.elapsed() < LANDING && origin.loads() == loads {
        let answers = herd(1, cache, origin).await;
        if count(&answers, |answered| answered.answer == Ok(Some(2))) == 1 {
            return origin.loads() == loads;
        }
        sleep(LOAD).await;
    }
    false
}

async fn down<C: Contender>() -> String {
    let origin = Origin::new(1, Duration::ZERO);
    let Some(cache) = gone_stale::<C>(&origin).await else {
        return "no ttl".to_owned();
    };
    origin.mode(Mode::Refuse);
    origin.delay(LOAD * 20);
    let before = origin.loads();
    let answers = herd(CALLERS, &cache, &origin).await;
    until(&origin, |seen| seen.loads > before && seen.running == 0).await;
    format!("{}, {}", CALLERS - count(&answers, Answered::served), origin.loads() - before)
}

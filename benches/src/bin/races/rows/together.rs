//! Many ask at once: how often is the origin asked?

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::contender::Contender;
use crate::origin::{Failed, Origin};
use crate::row::Row;
use crate::stage::{Answered, CALLERS, KEY, PATIENCE, call, count, herd, herd_of, tries};

pub(super) fn rows<C: Contender>() -> Vec<Row> {
    vec![
        Row { name: "cold", race: "100 callers, cold: loads, served", wanted: "1, 100", run: || Box::pin(cold::<C>()) },
        Row {
            name: "mget",
            race: "get and get_many at once: loads of each of two keys, served",
            wanted: "1, 1, 100",
            run: || Box::pin(mget::<C>()),
        },
        Row {
            name: "pipeline",
            race: "100 cold misses awaited together by one task: loads' time, wrong",
            wanted: "<= 1.5, 0",
            run: || Box::pin(pipeline::<C>()),
        },
        Row {
            name: "absent",
            race: "a row that does not exist: loads, then of a second wave",
            wanted: "1, then 0",
            run: || Box::pin(absent::<C>()),
        },
        Row {
            name: "spaces",
            race: "two caches or spaces, one key, at once: crossed answers",
            wanted: "0/20",
            run: || Box::pin(tries(spaces::<C>)),
        },
    ]
}

const LOAD: Duration = Duration::from_millis(100);
/// How often a hundred misses are awaited: a busy machine spoils one round, a cache that loads in turns all of them.
const ROUNDS: usize = 3;

async fn cold<C: Contender>() -> String {
    let (cache, origin) = (C::new(), Origin::new(1, LOAD));
    let answers = herd(CALLERS, &cache, &origin).await;
    format!("{}, {}", origin.loads(), count(&answers, Answered::served))
}

async fn mget<C: Contender>() -> String {
    let (cache, one, two) = (C::new(), Origin::new(1, LOAD), Origin::new(2, LOAD));
    let rows = [(KEY.to_owned(), one.clone()), ("another".to_owned(), two.clone())];
    if cache.get_many(&[&rows[0], &rows[1]]).is_none() {
        return "no batches".to_owned();
    }
    let answers = herd_of(CALLERS, &one, |n| {
        if n % 2 == 0 {
            return call(&cache, &one);
        }
        let (cache, rows) = (cache.clone(), rows.clone());
        Box::pin(async move {
            let answers = cache.get_many(&[&rows[0], &rows[1]]).ok_or(Failed)?.await;
            match answers.as_slice() {
                [Ok(Some(1)), Ok(Some(2))] => Ok(Some(1)),
                _ => Err(Failed),
            }
        })
    })
    .await;
    format!("{}, {}, {}", one.loads(), two.loads(), count(&answers, Answered::served))
}

/// The best time of the rounds, and the most wrong answers.
async fn pipeline<C: Contender>() -> String {
    let (mut took, mut wrong) = (f64::INFINITY, 0);
    for _ in 0..ROUNDS {
        let cache = C::new();
        let rows: Vec<(String, Origin)> =
            (0..CALLERS as u64).map(|n| (format!("key-{n}"), Origin::new(n, LOAD))).collect();
        let begun = Instant::now();
        let gets = rows.iter().map(|(key, origin)| timeout(PATIENCE, cache.get(key, origin)));
        let answers = join_all(gets).await;
        took = took.min(begun.elapsed().as_secs_f64() / LOAD.as_secs_f64());
        let right = |(n, answer): &(u64, _)| matches!(answer, Ok(Ok(Some(value))) if value == n);
        wrong = wrong.max(CALLERS - (0..).zip(answers).filter(right).count());
    }
    format!("{took:.1}, {wrong}")
}

async fn absent<C: Contender>() -> String {
    let (cache, origin) = (C::new(), Origin::new(1, LOAD));
    origin.write(None);
    let nil = |answered: &Answered| matches!(answered.answer, Ok(None));
    let told = count(&herd(CALLERS, &cache, &origin).await, nil);
    let first = origin.loads();
    let told = told + count(&herd(CALLERS, &cache, &origin).await, nil);
    let wrong = 2 * CALLERS - told;
    let note = if wrong == 0 { String::new() } else { format!(", {wrong} told otherwise") };
    format!("{first}, then {}{note}", origin.loads() - first)
}

/// Each has an origin of its own.
async fn spaces<C: Contender>() -> Result<bool, Failed> {
    let (one, two) = C::pair();
    let (first, second) = (Origin::new(1, LOAD / 20), Origin::new(2, LOAD / 20));
    let (one, two) = tokio::join!(one.get(KEY, &first), two.get(KEY, &second));
    Ok((one?, two?) != (Some(1), Some(2)))
}

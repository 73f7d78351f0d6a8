//! Many ask at once: how often is the origin asked?

use std::time::{Duration, Instant};

use futures_util::future::join;

use crate::answer::Answer;
use crate::error::ClientError;
use crate::key::Key;
use crate::races::row::{Outcome, Row};
use crate::races::scale::CALLERS;
use crate::races::space::Space;
use crate::races::stage::{Answered, Stage};

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "cold",
        race: "100 callers, cold: loads, served",
        wanted: "1, 100",
        run: |stage| Box::pin(cold(stage)),
    },
    Row {
        name: "mget",
        race: "GET and MGET at once: loads of each of two keys, served",
        wanted: "1, 1, 100",
        run: |stage| Box::pin(mget(stage)),
    },
    Row {
        name: "pipeline",
        race: "100 cold misses in one pipeline: loads' time, out of order",
        wanted: "<= 1.5, 0",
        run: |stage| Box::pin(pipeline(stage)),
    },
    Row {
        name: "absent",
        race: "a row that does not exist: loads, then of a second wave",
        wanted: "1, then 0",
        run: |stage| Box::pin(absent(stage)),
    },
    Row {
        name: "spaces",
        race: "two spaces, one id, at once: crossed answers",
        wanted: "0",
        run: |stage| Box::pin(spaces(stage)),
    },
];

const LOAD: Duration = Duration::from_millis(100);
/// How often a pipeline is sent: a busy machine spoils one round and the next, a server that loads in turns all of them.
const ROUNDS: usize = 3;
/// Long enough that what a hundred of anything costs is small beside it.
const LONG_LOAD: Duration = Duration::from_millis(500);

pub(super) fn served(answers: &[Answered]) -> usize {
    answers.iter().filter(|answered| answered.answer.served()).count()
}

async fn cold(stage: &Stage) -> Result<Outcome, ClientError> {
    stage.origin.delay(LOAD);
    let key = stage.key(Space::Row);
    let (_, answers) = stage.herd(stage.connect_many(CALLERS).await?, &key).await;
    let (loads, served) = (stage.loads(&key), served(&answers));
    Ok(Outcome::new(format!("{loads}, {served}"), (loads, served) == (1, CALLERS)))
}

async fn mget(stage: &Stage) -> Result<Outcome, ClientError> {
    stage.origin.delay(LOAD);
    let (one, two) = (stage.key(Space::Row), stage.key(Space::Row));
    let (singles, many) = (stage.connect_many(CALLERS / 2).await?, stage.connect_many(CALLERS / 2).await?);
    let batches = futures_util::future::join_all(many.into_iter().map(|mut client| {
        let (one, two) = (&one, &two);
        async move {
            let reply = client.call(&["MGET", &one.name, &two.name]).await.ok();
            let values = reply.as_ref().and_then(|reply| reply.as_slice()).unwrap_or_default();
            values.len() == 2 && values.iter().zip([one, two]).all(|(value, key)| Answer::read(value, key).served())
        }
    }));
    let ((_, answers), batches) = join(stage.herd(singles, &one), batches).await;
    let served = served(&answers) + batches.iter().filter(|&&served| served).count();
    let loads = (stage.loads(&one), stage.loads(&two));
    Ok(Outcome::new(format!("{}, {}, {served}", loads.0, loads.1), loads == (1, 1) && served == CALLERS))
}

/// The best of the rounds: the first opens the endpoint's connections to the origin as well.
async fn pipeline(stage: &Stage) -> Result<Outcome, ClientError> {
    stage.origin.delay(LONG_LOAD);
    let mut client = stage.connect().await?;
    let (mut took, mut wrong) = (f64::INFINITY, 0);
    for _ in 0..ROUNDS {
        let keys: Vec<Key> = (0..CALLERS).map(|_| stage.key(Space::Row)).collect();
        let commands: Vec<[&str; 2]> = keys.iter().map(|key| ["GET", key.name.as_str()]).collect();
        let commands: Vec<&[&str]> = commands.iter().map(|words| words.as_slice()).collect();
        let begun = Instant::now();
        let loads_time = || begun.elapsed().as_secs_f64() / LONG_LOAD.as_secs_f64();
        client.send(&commands).await?;
        for key in &keys {
            let answer = Answer::of(client.read().await, key);
            wrong += u64::from(!answer.served());
            // An endpoint that loads one after the other is known by then.
            if answer == Answer::Lost || loads_time() > 4.0 {
                return Ok(Outcome::new(format!("> {:.1}, {wrong}", loads_time()), false));
            }
        }
        took = took.min(loads_time());
    }
    Ok(Outcome::new(format!("{took:.1}, {wrong}"), took <= 1.5 && wrong == 0))
}

async fn absent(stage: &Stage) -> Result<Outcome, ClientError> {
    stage.origin.delay(LOAD);
    let key = stage.key(Space::Row);
    stage.origin.remove(&key.path);
    let nils = |answers: &[Answered]| answers.iter().filter(|answered| answered.answer == Answer::Nil).count();
    let (clients, answers) = stage.herd(stage.connect_many(CALLERS).await?, &key).await;
    let (first, told) = (stage.loads(&key), nils(&answers));
    let (_, answers) = stage.herd(clients, &key).await;
    let (second, told) = (stage.loads(&key) - first, told + nils(&answers));
    let wrong = 2 * CALLERS - told;
    let note = if wrong == 0 { String::new() } else { format!(", {wrong} told otherwise") };
    Ok(Outcome::new(format!("{first}, then {second}{note}"), (first, second, wrong) == (1, 0, 0)))
}

async fn spaces(stage: &Stage) -> Result<Outcome, ClientError> {
    stage.origin.delay(LOAD / 10);
    let (mut here, mut there) = (stage.connect().await?, stage.connect().await?);
    let mut crossed = 0;
    for _ in 0..stage.scale.tries {
        let key = stage.key(Space::Row);
        let twin = stage.twin(&key, Space::Other);
        let (one, two) = join(stage.get(&mut here, &key), stage.get(&mut there, &twin)).await;
        crossed += u64::from(!one.served() || !two.served());
    }
    Ok(Outcome::none_of(crossed, stage.scale.tries))
}

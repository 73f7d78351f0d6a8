//! Clients ask for what does not exist, or for ever something else, beside those who ask for what is popular.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::answer::Answer;
use crate::control::FleetFlaw;
use crate::error::DrillError;
use crate::incidents::check::Check;
use crate::incidents::herd::{failed, first_failure, meanwhile_these, p99};
use crate::incidents::incident::Incident;
use crate::incidents::kind::Kind;
use crate::incidents::space::{BUDGET, Space};
use crate::incidents::stage::{Stage, get};
use crate::key::Key;

/// `penetration`
pub(super) const PENETRATION: Incident = Incident {
    name: "penetration",
    what: "clients ask again and again for rows that do not exist",
    kinds: &[Kind::Redis],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Coalescing],
    elsewhere: true,
    budget: BUDGET,
    filters: true,
    play: |stage| {
        Box::pin(async {
            let mut checks = play(stage, Strangers::Absent).await?;
            checks.extend(always_another(stage).await?);
            Ok(checks)
        })
    },
};

/// `cache-busting`
pub(super) const CACHE_BUSTING: Incident = Incident {
    name: "cache-busting",
    what: "clients ask for a row that nobody has asked for, each time another one",
    kinds: &[Kind::Redis],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Coalescing],
    elsewhere: true,
    budget: BUDGET,
    filters: false,
    play: |stage| Box::pin(play(stage, Strangers::New)),
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strangers {
    Absent,
    New,
}

const SERVERS: usize = 3;
/// Loads at once, of each server.
const PERMITS: u64 = 16;
const LOAD: Duration = Duration::from_millis(100);
/// Popular keys.
const KEYS: u64 = 20;
/// Keys without a row.
const ABSENT: u64 = 100;
/// Clients that ask for them, at each server.
const CLIENTS: usize = 60;
/// How long it is remembered that there is no row: the default.
const NEGATIVE: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_millis(150);

async fn play(stage: &Stage, strangers: Strangers) -> Result<Vec<Check>, DrillError> {
    let (everyone, keys) = ((0..SERVERS).collect::<Vec<_>>(), stage.keys(Space::Long, KEYS));
    for &server in &everyone {
        stage.read(server, &keys).await?;
    }
    stage.origin.delay(LOAD);
    let absent = stage.absent(Space::Long, ABSENT);
    let (warm, begun) = (stage.loads(&keys), Instant::now());
    let script = async {
        sleep(stage.scale.before).await;
        let from = begun.elapsed();
        let clients = stage.connect_many(&everyone, CLIENTS).await?;
        let asking = clients.into_iter().map(async |mut client| {
            let (since, mut asked, mut wrong) = (Instant::now(), 0, 0);
            while since.elapsed() < stage.scale.trouble {
                let (answer, fits): (Answer, fn(&Answer) -> bool) = match strangers {
                    Strangers::Absent => {
                        let key = &absent[fastrand::usize(..absent.len())];
                        (get(&mut client, key).await, |answer| *answer == Answer::Nil)
                    }
                    // Turned away in so many words is an answer too.
                    Strangers::New => {
                        let key = stage.key(Space::Long);
                        (get(&mut client, &key).await, |answer| answer.served() || answer.refused())
                    }
                };
                asked += 1;
                wrong += u64::from(!fits(&answer));
                sleep(Duration::from_millis(5)).await;
            }
            (asked, wrong)
        });
        let told: Vec<(u64, u64)> = join_all(asking).await;
        let sum = |of: fn(&(u64, u64)) -> u64| told.iter().map(of).sum::<u64>();
        Ok((from, begun.elapsed(), sum(|one| one.0), sum(|one| one.1)))
    };
    let ((from, to, asked, wrong), calls) = meanwhile_these(stage, &everyone, &keys, script).await?;
    let during = p99(&calls, from, to).unwrap_or_default();
    let note = first_failure(&calls).unwrap_or_else(|| "all served".into());
    let mut checks = vec![
        Check::none("errors", "calls for popular keys without the row", failed(&calls), calls.len() as u64).note(note),
        Check {
            name: "p99",
            what: "meanwhile: p99 of calls for popular keys, ms".into(),
            measured: during.as_millis().to_string(),
            wanted: format!("<= {}", SLACK.as_millis()).into(),
            ok: during <= SLACK,
        },
        Check::none("popular", "loads of popular keys, which all servers had", stage.loads(&keys) - warm, KEYS),
        Check::none(
            "strangers",
            "strangers' calls that were answered neither right nor in so many words",
            wrong,
            asked,
        ),
    ];
    checks.push(match strangers {
        Strangers::Absent => {
            let periods = stage.scale.trouble.div_duration_f64(NEGATIVE).ceil() as u64 + 1;
            let what = format!("{asked} calls for {ABSENT} rows that do not exist: loads");
            Check::most("loads", what, stage.loads(&absent), ABSENT * periods)
        }
        Strangers::New => {
            Check::most("limits", "loads at once, all told", stage.origin.peak(), PERMITS * SERVERS as u64)
        }
    });
    Ok(checks)
}

/// Clients that ask for ever other rows that do not exist, at each server.
const SCANNERS: usize = 10;
/// Of so many of them a filter may let one pass: it lets one in 65,536, and is no older than what was written through it.
const PASSES: u64 = 1_000;
/// So long the filters may take to be made.
const MADE_WITHIN: Duration = Duration::from_secs(10);
/// Of the rows that exist so many are asked for at once.
const FEW: usize = 4;
/// A filter is made anew at most so often: a period less a quarter.
const LISTED_EVERY: Duration = Duration::from_millis(7_500);

/// Rows that do not exist, each asked for once: nothing that is remembered of one helps with another.
async fn always_another(stage: &Stage) -> Result<Vec<Check>, DrillError> {
    let everyone = (0..SERVERS).collect::<Vec<_>>();
    let known = stage.known();
    until_filters(stage, &everyone).await?;
    let from = Instant::now();
    let clients = stage.connect_many(&everyone, SCANNERS).await?;
    let asking = clients.into_iter().map(async |mut client| {
        let (mut asked, mut wrong) = (Vec::new(), 0);
        while from.elapsed() < stage.scale.trouble / 2 {
            let key = stage.absent_known();
            wrong += u64::from(get(&mut client, &key).await != Answer::Nil);
            asked.push(key);
            sleep(Duration::from_millis(5)).await;
        }
        (asked, wrong)
    });
    let told: Vec<(Vec<Key>, u64)> = join_all(asking).await;
    let wrong = told.iter().map(|one| one.1).sum();
    let absent: Vec<Key> = told.into_iter().flat_map(|one| one.0).collect();
    let asked = absent.len() as u64;
    let mut hidden = 0;
    for &server in &everyone {
        // Fewer at once than a careful server loads: none of them is turned away.
        for some in known.chunks(FEW) {
            hidden += stage.not_at(server, some, 1).await?;
        }
    }
    let lists = stage.lists();
    let periods = stage.age().div_duration_f64(LISTED_EVERY).ceil() as u64 + 1;
    let what = format!("{asked} calls for as many rows that do not exist: loads");
    Ok(vec![
        Check::most("filter", what, stage.loads(&absent), asked / PASSES + 1),
        Check::none("absent", "of these answered with anything but nil", wrong, asked),
        Check::none("known", "rows that exist and are not given", hidden, known.len() as u64 * SERVERS as u64),
        Check::most("lists", "the origin was asked for all its keys", lists, periods * SERVERS as u64),
    ])
}

/// Waits until no server asks the origin for a row that does not exist; naive ones always will.
async fn until_filters(stage: &Stage, servers: &[usize]) -> Result<(), DrillError> {
    let from = Instant::now();
    for &server in servers {
        loop {
            let key = [stage.absent_known()];
            stage.read(server, &key).await?;
            if stage.loads(&key) == 0 || stage.is_naive() || from.elapsed() > MADE_WITHIN {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

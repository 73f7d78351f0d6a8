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
use crate::incidents::space::Space;
use crate::incidents::stage::{Stage, get};

/// `penetration`
pub(super) const PENETRATION: Incident = Incident {
    name: "penetration",
    what: "clients ask again and again for rows that do not exist",
    kinds: &[Kind::Redis],
    servers: SERVERS,
    permits: PERMITS,
    controls: &[FleetFlaw::Coalescing],
    elsewhere: true,
    play: |stage| Box::pin(play(stage, Strangers::Absent)),
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

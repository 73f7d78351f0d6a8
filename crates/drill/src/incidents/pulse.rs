//! Did the engine answer the servers in time? Asked from outside, by each server's own way to it: a fleet that is kept
//! waiting for longer than it waits loads for itself, and that is no fault of its own.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use tokio::time::sleep;

use crate::client::Client;
use crate::error::DrillError;
use crate::incidents::stage::Stage;
use crate::target::Target;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(20);

/// How soon it answered.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pulse {
    asked: u64,
    /// Answers that a server would not have waited for.
    late: u64,
    longest: Duration,
}

impl fmt::Display for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pulse { asked, late, longest } = self;
        write!(f, "the engine was late for {late} of {asked} questions, at the most {} ms", longest.as_millis())
    }
}

/// Feels it while `script` runs. Of an engine that servers reach without a wire of their own nothing is known.
pub(crate) async fn felt<T>(
    stage: &Stage,
    budget: Duration,
    script: impl Future<Output = Result<T, DrillError>>,
) -> Result<(T, Pulse), DrillError> {
    let over = AtomicBool::new(false);
    let wires: Vec<Target> = stage.fleet.iter().filter_map(|member| member.wire(stage.engine.one()?)).collect();
    let telling = async {
        let told = script.await;
        over.store(true, Ordering::SeqCst);
        told
    };
    let (told, felt) = join(telling, join_all(wires.iter().map(|wire| feel(wire, budget, &over)))).await;
    let pulse = felt.into_iter().fold(Pulse::default(), |all, one| Pulse {
        asked: all.asked + one.asked,
        late: all.late + one.late,
        longest: all.longest.max(one.longest),
    });
    Ok((told?, pulse))
}

async fn feel(wire: &Target, budget: Duration, over: &AtomicBool) -> Pulse {
    let mut pulse = Pulse::default();
    let mut client = None;
    while !over.load(Ordering::SeqCst) {
        let began = Instant::now();
        if client.is_none() {
            client = Client::open(wire).await.ok();
        }
        let answered = match &mut client {
            Some(client) => client.call(&["PING"]).await.is_ok(),
            None => false,
        };
        let took = began.elapsed();
        pulse.asked += 1;
        pulse.late += u64::from(!answered || took > budget);
        pulse.longest = pulse.longest.max(took);
        if !answered {
            client = None;
        }
        sleep(PAUSE).await;
    }
    pulse
}

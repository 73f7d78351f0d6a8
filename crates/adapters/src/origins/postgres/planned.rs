//! Is what is known of a space's statements still so? Schemas change while servers run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::super::SetupError;
use super::plan::Plan;

/// After so long the server is asked again, by one load. A change that no statement stumbles over, such as a key's
/// column that became a bigint, is noticed so late.
const FRESH: Duration = Duration::from_secs(60);

/// A space's plan, once there is one.
#[derive(Debug, Default)]
pub(super) struct Planned(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    plan: Option<(Arc<Plan>, Instant)>,
    /// What was last told to be wrong: told once.
    told: Option<SetupError>,
}

impl Planned {
    /// The plan, as long as nobody needs to ask again.
    pub(super) fn fresh(&self) -> Option<Arc<Plan>> {
        let state = self.0.lock();
        state.plan.as_ref().filter(|(_, at)| at.elapsed() < FRESH).map(|(plan, _)| Arc::clone(plan))
    }

    /// The plan for a load. `None`: this load asks again, others go on with what is known meanwhile.
    pub(super) fn usable(&self) -> Option<Arc<Plan>> {
        let mut state = self.0.lock();
        let (plan, at) = state.plan.as_mut()?;
        if at.elapsed() < FRESH {
            return Some(Arc::clone(plan));
        }
        *at = Instant::now();
        None
    }

    /// The server was asked.
    pub(super) fn know(&self, plan: Plan) -> Arc<Plan> {
        let mut state = self.0.lock();
        let plan = match state.plan.take() {
            Some((known, _)) if *known == plan => known,
            _ => Arc::new(plan),
        };
        state.plan = Some((Arc::clone(&plan), Instant::now()));
        state.told = None;
        plan
    }

    /// The statements can't be prepared any more, or never could.
    pub(super) fn wrong(&self, error: &SetupError) {
        let mut state = self.0.lock();
        state.plan = None;
        if state.told.as_ref() != Some(error) {
            tracing::error!(problem = error.problem(), hint = error.hint(), "a space's SQL can't be prepared");
            state.told = Some(error.clone());
        }
    }
}

//! How do spaces fare with keys that do not exist? All of it, for metrics and pages; and who must know is told.

use bellwether_core::filter::surge::{Turn, WINDOW};

use super::Service;
use super::budgets::BudgetView;
use super::filter::FilterView;
use super::surges::SurgeView;

/// One space with an origin.
#[derive(Clone, Debug)]
pub struct PenetrationView {
    /// Its name.
    pub space: String,
    /// What its keys begin with.
    pub prefix: String,
    /// How it is asked for what it lacks.
    pub surges: Vec<SurgeView>,
    /// The filter of its keys, if it has one.
    pub filter: Option<FilterView>,
    /// The budgets of its clients, if they have any.
    pub clients: Option<BudgetView>,
}

impl Service {
    /// All spaces with an origin, in the order in which they are tried.
    pub fn penetration(&self) -> Vec<PenetrationView> {
        let (serving, now) = (self.serving_on(), self.now());
        let loaded = serving.spaces.iter().filter(|served| served.origin.is_some());
        let view = loaded.map(|served| PenetrationView {
            space: served.name.clone(),
            prefix: served.template.literal_prefix().to_owned(),
            surges: self.0.surges.of(&served.name),
            filter: served.filtered.as_ref().map(|filtered| filtered.view(now)),
            clients: served.budgets.as_ref().map(|budgets| budgets.view(now)),
        });
        view.collect()
    }

    /// Looks at each window, for as long as the runtime lives that runs it.
    pub(super) async fn follow_surges(&self) {
        loop {
            tokio::time::sleep(WINDOW.into()).await;
            let (snapshot, serving) = (self.snapshot(), self.serving_on());
            self.0.surges.retain(|name| serving.spaces.iter().any(|served| served.name == name));
            for served in serving.spaces.iter().filter(|served| served.origin.is_some()) {
                let space = snapshot.spaces.iter().find(|space| space.name == served.name);
                let turns = space.map(|space| self.0.surges.observe(space)).unwrap_or_default();
                let prefix = served.template.literal_prefix();
                turns.into_iter().for_each(|(turn, view)| tell(&served.name, prefix, turn, &view));
            }
        }
    }
}

fn tell(space: &str, prefix: &str, turn: Turn, view: &SurgeView) {
    let (what, rate, usual) = (view.kind.as_str(), view.rate as u64, view.usual_rate as u64);
    match turn {
        Turn::Began => tracing::warn!(space, prefix, what, rate, usual, "far more requests than usual find nothing"),
        Turn::Ended => tracing::info!(space, prefix, what, rate, usual, "as many requests as usual find nothing"),
    }
}

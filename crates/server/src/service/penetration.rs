//! How do spaces fare with keys that do not exist? All of it, for metrics and pages.

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
            surges: self.surges_of(&served.name),
            filter: served.filtered.as_ref().map(|filtered| filtered.view(now)),
            clients: served.budgets.as_ref().map(|budgets| budgets.view(now)),
        });
        view.collect()
    }
}

//! What goes on of a space when another configuration is put to work? Its counts, its filter, what its clients have left.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bellwether::Tick;

use super::super::budgets::Budgets;
use super::super::filter::{Filter, Filtered};
use super::super::serving::Serving;
use super::super::tally::Tally;
use crate::config::{Changes, SpaceConfig};

/// What is at work, and what is to become of it.
pub(super) type Before<'b> = Option<(&'b Serving, &'b Changes)>;

/// The counts of a space that goes on, or that begins anew under its name.
pub(super) fn tally(name: &str, before: Before<'_>) -> Arc<Tally> {
    let known = before.and_then(|(serving, _)| serving.spaces.iter().find(|served| served.name == name));
    known.map(|served| served.tally.clone()).unwrap_or_default()
}

/// The filter of a space: the same while it is a filter of the same keys.
pub(super) fn filtered(config: &SpaceConfig, before: Before<'_>, anew: bool, now: Tick) -> Option<Filtered> {
    let wanted = config.strangers.filter?;
    let same = before.filter(|_| !anew).and_then(|(serving, _)| {
        let (was, config_then) =
            serving.spaces.iter().zip(&serving.config.spaces).find(|(was, _)| was.name == config.name)?;
        was.filtered.as_ref().filter(|_| config_then.keys() == config.keys()).map(|filtered| filtered.filter.clone())
    });
    let new = || Arc::new(Filter::new(RandomState::new().hash_one(&config.name), now));
    Some(Filtered { filter: same.unwrap_or_else(new), config: wanted })
}

/// What clients have left of a space: the same while the budgets are.
pub(super) fn budgets(config: &SpaceConfig, before: Before<'_>) -> Option<Arc<Budgets>> {
    let new = Budgets::of(&config.strangers)?;
    let was = before.and_then(|(serving, _)| serving.spaces.iter().find(|was| was.name == config.name));
    let same = was.and_then(|was| was.budgets.as_ref()).filter(|was| was.rates == new.rates);
    Some(same.cloned().unwrap_or_else(|| Arc::new(new)))
}

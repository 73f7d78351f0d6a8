//! How do spaces fare with keys that do not exist? Their filters, the budgets of their clients, and alarms.

use std::fmt;

use super::{Out, Scrape};
use crate::service::{BudgetView, FilterState, FilterView, SurgeView};

impl Scrape {
    pub(super) fn penetration(&self, out: &mut Out<'_>) -> fmt::Result {
        self.filters(out)?;
        self.budgets(out)?;
        self.surges(out)
    }

    fn filters(&self, out: &mut Out<'_>) -> fmt::Result {
        let spaces = &self.penetration;
        let filters = || spaces.iter().filter_map(|of| Some((of.space.as_str(), of.filter.as_ref()?)));
        if filters().next().is_none() {
            return Ok(());
        }
        out.gauge("filter_state", "1 for the state in which the filter of existing keys is", |family| {
            for (space, filter) in filters() {
                for state in FilterState::ALL {
                    let here = u64::from(filter.state == state);
                    family.sample(&[("space", space), ("state", state.as_str())], here)?;
                }
            }
            Ok(())
        })?;
        let mut gauge = |name, help, of: fn(&FilterView) -> u64| {
            out.gauge(name, help, |family| {
                filters().try_for_each(|(space, filter)| family.sample(&[("space", space)], of(filter)))
            })
        };
        gauge("filter_keys", "Keys of the list that the filter is made from", |filter| filter.keys)?;
        gauge("filter_overlay_keys", "Keys that came after that list", |filter| filter.overlay)?;
        gauge("filter_bytes", "What the filter takes of memory, beside the memory limit", |filter| filter.bytes)?;
        out.gauge("filter_bits_per_key", "The same in bits for each of its keys", |family| {
            filters().try_for_each(|(space, filter)| family.fraction(&[("space", space)], filter.bits_per_key()))
        })?;
        let help = "Since the list at work began to be read; without a sample: there is none";
        out.gauge("filter_age_seconds", help, |family| {
            filters()
                .filter_map(|(space, filter)| Some((space, filter.age?)))
                .try_for_each(|(space, age)| family.fraction(&[("space", space)], age.0 as f64 / 1000.0))
        })?;
        let mut counter = |name, help, of: fn(&FilterView) -> u64| {
            out.counter(name, help, |family| {
                filters().try_for_each(|(space, filter)| family.sample(&[("space", space)], of(filter)))
            })
        };
        counter("filter_builds", "Times that the filter was made", |filter| filter.builds)?;
        counter("filter_failures", "Times that it could not be made", |filter| filter.failures)?;
        counter("filter_lowered", "Loads that it put behind all others", |filter| filter.lowered)?;
        let help = "Of those, rows that were there all the same: inserted past us";
        counter("filter_new_rows", help, |filter| filter.new_rows)
    }

    fn budgets(&self, out: &mut Out<'_>) -> fmt::Result {
        let budgets = || self.penetration.iter().filter_map(|of| Some((of.space.as_str(), of.clients.as_ref()?)));
        if budgets().next().is_none() {
            return Ok(());
        }
        let mut counter = |name, help, of: fn(&BudgetView) -> u64| {
            out.counter(name, help, |family| {
                budgets().try_for_each(|(space, budget)| family.sample(&[("space", space)], of(budget)))
            })
        };
        counter("client_lowered", "Loads put behind all others: their client was over its budget", |of| of.lowered)?;
        counter("client_refused", "Requests turned away: their client was far over its budget", |of| of.refused)?;
        out.gauge("clients_over", "Budgets of clients with nothing left", |family| {
            budgets().try_for_each(|(space, budget)| family.sample(&[("space", space)], budget.over as u64))
        })
    }

    fn surges(&self, out: &mut Out<'_>) -> fmt::Result {
        let all = || self.penetration.iter().flat_map(|of| of.surges.iter().map(|surge| (of.space.as_str(), surge)));
        let mut gauge = |name, help, of: fn(&SurgeView) -> f64| {
            out.gauge(name, help, |family| {
                all().try_for_each(|(space, surge)| {
                    family.fraction(&[("space", space), ("kind", surge.kind.as_str())], of(surge))
                })
            })
        };
        let help = "Requests a second, over some seconds, that no tier could answer (misses), and for rows that do not \
                    exist (absent)";
        gauge("found_nothing_rate", help, |surge| surge.rate)?;
        gauge("found_nothing_usual_rate", "The same as it usually is", |surge| surge.usual_rate)?;
        gauge("found_nothing_share", "What part of all requests they are", |surge| surge.share)?;
        let help = "1: far more than usual, in number and as a part of all requests";
        out.gauge("found_nothing_alert", help, |family| {
            all().try_for_each(|(space, surge)| {
                family.sample(&[("space", space), ("kind", surge.kind.as_str())], u64::from(surge.alert))
            })
        })
    }
}

//! What do metrics say of the origins' guards? Limits, breakers, and who was turned away.

use std::fmt;

use bellwether::{BreakerPosition, OriginCounts, Priority, Sheds};

use super::family::Out;

/// Microseconds in a second.
const US: f64 = 1e6;

/// The samples of all guards.
pub(super) fn guards(origins: &[OriginCounts], out: &mut Out<'_>) -> fmt::Result {
    let help = "What loads usually take, as the limit sees it; absent until it knows";
    out.gauge("origin_usual_load_seconds", help, |family| {
        let mut known = origins.iter().filter_map(|o| Some((o, o.guard.usual_us?)));
        known.try_for_each(|(o, us)| family.fraction(&[("origin", o.name.as_str())], us as f64 / US))
    })?;
    out.gauge("origin_recent_load_seconds", "What the last loads took, as the limit sees it", |family| {
        let mut known = origins.iter().filter_map(|o| Some((o, o.guard.recent_us?)));
        known.try_for_each(|(o, us)| family.fraction(&[("origin", o.name.as_str())], us as f64 / US))
    })?;
    let help = "Of the loads that can't start at once, the share that may queue: below 1 lower classes are turned away";
    out.gauge("origin_queue_share", help, |family| {
        origins.iter().try_for_each(|o| family.fraction(&[("origin", o.name.as_str())], o.guard.share))
    })?;
    out.gauge("origin_breaker", "1 for the state in which the origin's breaker is", |family| {
        for o in origins {
            for state in BreakerPosition::ALL {
                let here = u64::from(o.guard.breaker == state);
                family.sample(&[("origin", o.name.as_str()), ("state", state.as_str())], here)?;
            }
        }
        Ok(())
    })?;
    out.counter("origin_breaker_opened", "Times that the origin's breaker opened", |family| {
        origins.iter().try_for_each(|o| family.sample(&[("origin", o.name.as_str())], o.guard.opened))
    })?;
    let help =
        "Loads that the guard turned away, by class and reason; callers may have got something better than an error";
    out.counter("origin_shed", help, |family| {
        for o in origins {
            for class in Priority::ALL {
                for why in Sheds::WHYS {
                    let labels = [("origin", o.name.as_str()), ("class", class.as_str()), ("why", why.as_str())];
                    family.sample(&labels, o.guard.sheds.of(class, why))?;
                }
            }
        }
        Ok(())
    })?;
    out.counter("origin_retries_denied", "Retries for which the origin's budget had nothing left", |family| {
        origins.iter().try_for_each(|o| family.sample(&[("origin", o.name.as_str())], o.guard.retries_denied))
    })
}

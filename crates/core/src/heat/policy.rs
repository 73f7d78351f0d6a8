//! From when on is a key hot, and for how long at least? Thresholds as data.

use crate::time::Span;

/// What is counted is judged so often.
pub const WINDOW: Span = Span::ms(100);
/// Fewer accesses in a window are no sign of anything, whatever the thresholds.
pub const LEAST: u64 = 32;
/// What a reader costs its node beyond the request itself: one operation per so many bytes.
pub const UNIT_BYTES: u64 = 1024;
/// The longest time for which a key that flaps is held.
pub const LONGEST_HOLD: Span = Span::secs(15 * 60);

/// When a key is hot, in shares of what one node bears.
#[derive(Clone, Debug, PartialEq)]
pub struct HotPolicy {
    /// Operations a second that one node bears. `None`: measured once in a process, which is an estimate.
    pub capacity: Option<f64>,
    /// From this share on a key is hot. 0.5
    pub enter: f64,
    /// From this share on it is watched. 0.25
    pub watch: f64,
    /// Below this share, for half a minute, it is not hot any more. 0.2
    pub leave: f64,
    /// It stays hot for so long at least; doubled each time that it is hot again soon. 60 s
    pub hold: Span,
    /// From so many operations a second of the whole fleet on a key is hot whatever a node bears; `watch` and `leave`
    /// keep their ratio to `enter`.
    pub absolute: Option<f64>,
    /// The freshness of a hot key may be extended, within its space's staleness budget. `false`
    pub extend_ttl: bool,
}

impl Default for HotPolicy {
    fn default() -> HotPolicy {
        HotPolicy {
            capacity: None,
            enter: 0.5,
            watch: 0.25,
            leave: 0.2,
            hold: Span::secs(60),
            absolute: None,
            extend_ttl: false,
        }
    }
}

impl HotPolicy {
    /// What is wrong with these knobs: knob and sentence, all at once.
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut say = |knob, text: String| found.push((knob, text));
        for (knob, rate) in [("capacity", self.capacity), ("absolute", self.absolute)] {
            if rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
                say(knob, "must be more than zero operations a second".into());
            }
        }
        for (knob, share) in [("enter", self.enter), ("watch", self.watch), ("leave", self.leave)] {
            if !(share > 0.0 && share <= 1.0) {
                let found = percent(share);
                say(knob, format!("must be a share of a node's capacity above 0 % and up to 100 %, found {found}"));
            }
        }
        if self.watch > self.enter {
            let enter = percent(self.enter);
            say("watch", format!("must not be above `enter` ({enter}): a key is watched before it is hot"));
        }
        if self.leave >= self.watch {
            let watch = percent(self.watch);
            say("leave", format!("must be below `watch` ({watch}), or keys would come and go"));
        }
        if self.hold == Span::ZERO || self.hold > LONGEST_HOLD {
            say("hold", format!("must be longer than zero and at most {LONGEST_HOLD}"));
        }
        found
    }

    /// The thresholds as rates; `measured`: what a node bears where nobody has said so.
    pub fn bars(&self, measured: f64) -> Bars {
        let capacity = self.capacity.unwrap_or(measured).max(1.0);
        let by_share = capacity * self.enter;
        let enter = self.absolute.map_or(by_share, |absolute| absolute.min(by_share));
        let at = |share: f64| enter * share / self.enter;
        Bars { capacity, enter, watch: at(self.watch), leave: at(self.leave) }
    }
}

/// A share, as it is configured.
fn percent(share: f64) -> String {
    format!("{}%", (share * 1e4).round() / 1e2)
}

/// The thresholds as rates: operations a second of the whole fleet, see [`crate::heat::window::cost`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bars {
    /// What one node bears.
    pub capacity: f64,
    /// Hot from here on.
    pub enter: f64,
    /// Watched from here on.
    pub watch: f64,
    /// Below it, for a while, neither.
    pub leave: f64,
}

impl Bars {
    /// So many accesses of a key within one window, seen by one of `instances` that share the load evenly, mean that it
    /// is hot.
    pub fn local(&self, instances: u32) -> u64 {
        let share = self.enter / f64::from(instances.max(1));
        ((share * WINDOW.0 as f64 / 1000.0).ceil() as u64).max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_that_contradict_each_other_are_told_all_at_once() {
        assert!(HotPolicy::default().mistakes().is_empty());
        let knobs = |policy: HotPolicy| policy.mistakes().into_iter().map(|(knob, _)| knob).collect::<Vec<_>>();
        assert_eq!(knobs(HotPolicy { capacity: Some(0.0), ..HotPolicy::default() }), ["capacity"]);
        assert_eq!(knobs(HotPolicy { absolute: Some(f64::NAN), ..HotPolicy::default() }), ["absolute"]);
        assert_eq!(knobs(HotPolicy { watch: 0.6, ..HotPolicy::default() }), ["watch"]);
        assert_eq!(knobs(HotPolicy { leave: 0.25, ..HotPolicy::default() }), ["leave"]);
        assert_eq!(
            knobs(HotPolicy { enter: 1.5, leave: 0.9, hold: Span::ZERO, ..HotPolicy::default() }),
            ["enter", "leave", "hold"]
        );
        assert_eq!(knobs(HotPolicy { hold: Span::secs(901), ..HotPolicy::default() }), ["hold"]);
    }

    #[test]
    fn an_absolute_threshold_counts_where_it_is_the_lower_one() {
        let policy = HotPolicy { absolute: Some(10_000.0), ..HotPolicy::default() };
        let bars = policy.bars(100_000.0);
        assert_eq!((bars.enter, bars.watch, bars.leave), (10_000.0, 5_000.0, 4_000.0));
        assert_eq!(policy.bars(1_000.0).enter, 500.0);
        assert_eq!(HotPolicy { capacity: Some(2_000.0), ..HotPolicy::default() }.bars(1e6).enter, 1_000.0);
    }

    #[test]
    fn the_local_threshold_is_an_instances_share_of_a_window_but_not_noise() {
        let bars = HotPolicy::default().bars(100_000.0);
        assert_eq!((bars.local(1), bars.local(50), bars.local(1_000)), (5_000, 100, LEAST));
        assert_eq!(bars.local(0), 5_000, "there is always this one");
    }
}

//! From when on is a key hot? The thresholds of `[hot]`.

use super::problem::Wrong;
use super::section::Section;
use super::units;
use bellwether::HotPolicy;

/// Of `enter`, unless they are set: a key is watched from half of it on, and cool below two fifths.
const WATCH: f64 = 0.5;
const LEAVE: f64 = 0.8;

pub(super) fn thresholds(section: &mut Section<'_, '_>) -> HotPolicy {
    let usual = HotPolicy::default();
    let capacity = section.parsed("capacity", units::rate);
    let absolute = section.parsed("absolute", units::rate);
    let enter = section.parsed("enter", units::percentage).unwrap_or(usual.enter);
    let watch = section.parsed("watch", units::percentage).unwrap_or(enter * WATCH);
    let leave = section.parsed("leave", units::percentage).unwrap_or(watch * LEAVE);
    let hold = section.parsed("hold", units::duration).unwrap_or(usual.hold);
    let extend_ttl = section.boolean("extend_ttl").unwrap_or(usual.extend_ttl);
    let policy = HotPolicy { capacity, enter, watch, leave, hold, absolute, extend_ttl };
    for (knob, expected) in policy.mistakes() {
        // Of two that contradict each other the one that is set is at fault.
        let at_fault = [knob, "enter", "watch", "leave"].into_iter().find_map(|knob| section.setting(knob));
        if let Some((place, shown)) = at_fault {
            section.say(&place, shown, Wrong::expected(format!("`{knob}` {expected}")));
        }
    }
    policy
}

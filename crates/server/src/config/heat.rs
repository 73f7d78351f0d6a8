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
    let mistakes = policy.mistakes();
    let wrong =
        |(knob, text): &(&str, String)| Wrong::expected("thresholds that make sense").hint(format!("`{knob}` {text}"));
    let set: Vec<_> = mistakes.iter().filter_map(|of| Some((section.setting(of.0)?, wrong(of)))).collect();
    // What follows from another knob is at fault only where nothing else is.
    let followed = mistakes.first().filter(|_| set.is_empty()).and_then(|of| {
        let at_fault = ["enter", "watch", "leave"].into_iter().find_map(|knob| section.setting(knob));
        Some((at_fault?, wrong(of)))
    });
    for ((place, shown), wrong) in set.into_iter().chain(followed) {
        section.say(&place, shown, wrong);
    }
    policy
}

//! A filter says that a key does not exist: is a reader told so, or is the key only loaded after all others?
//!
//! Nobody tells a filter of rows that are inserted past us, so that "absent" grows older with the list of keys that it
//! was made from. It answers only where somebody has said how long such a row may be hidden, and only for so long.

use crate::read::decide::Demand;
use crate::time::Span;

/// What is known of the filter that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knowledge {
    /// Since its list of keys began to be read: what was inserted before is in it.
    pub age: Span,
    /// It is built anew so often.
    pub rebuild: Span,
    /// For so long a row may be hidden that was inserted past us. `None`: not at all.
    pub hides: Option<Span>,
    /// Something was invalidated since that may be this key, or invalidations may have been missed.
    pub doubted: bool,
}

/// What "absent" is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The reader is told that there is no such row. Nothing is loaded.
    Answers,
    /// The key is loaded, in the lowest class: most probably in vain.
    Lowers,
    /// Nothing: it could not be built anew for so long that whatever is new would have to wait behind all others.
    Nothing,
}

/// A filter that was not built anew for so many of its periods says nothing any more.
const PERIODS: u64 = 3;

/// What may be done about a key that the filter does not have.
pub fn absent(known: Knowledge, demand: Demand) -> Absent {
    let within = |bound: Span| known.age < bound;
    let young_enough = match demand {
        Demand::Any => true,
        Demand::MaxAge(most) => known.age <= most,
        // Whoever insists on the origin's own word gets it; who wants no load gets none anyway.
        Demand::Fresh | Demand::CachedOnly => false,
    };
    match known.hides {
        Some(hides) if within(hides) && young_enough && !known.doubted => Absent::Answers,
        Some(hides) if within(hides) => Absent::Lowers,
        _ if within(Span(known.rebuild.0.saturating_mul(PERIODS))) => Absent::Lowers,
        _ => Absent::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Span = Span::secs(30);

    fn aged(age: Span) -> Knowledge {
        Knowledge { age, rebuild: BOUND, hides: Some(BOUND), doubted: false }
    }

    #[test]
    fn absent_answers_up_to_the_stated_bound_and_never_without_one() {
        assert_eq!(absent(aged(Span::ZERO), Demand::Any), Absent::Answers);
        assert_eq!(absent(aged(Span(BOUND.0 - 1)), Demand::Any), Absent::Answers);
        assert_eq!(absent(aged(BOUND), Demand::Any), Absent::Lowers);
        for age in [Span::ZERO, BOUND, Span(3 * BOUND.0 - 1)] {
            let unstated = Knowledge { hides: None, ..aged(age) };
            assert_eq!(absent(unstated, Demand::Any), Absent::Lowers, "{age}");
        }
    }

    #[test]
    fn a_filter_that_can_not_be_built_anew_holds_nobody_up_for_ever() {
        assert_eq!(absent(aged(Span(3 * BOUND.0 - 1)), Demand::Any), Absent::Lowers);
        assert_eq!(absent(aged(Span(3 * BOUND.0)), Demand::Any), Absent::Nothing);
        let long = Knowledge { hides: Some(Span(9 * BOUND.0)), ..aged(Span(8 * BOUND.0)) };
        assert_eq!(absent(long, Demand::Any), Absent::Answers, "the stated bound holds, however long it is");
        assert_eq!(absent(Knowledge { doubted: true, ..long }, Demand::Any), Absent::Lowers);
    }

    #[test]
    fn what_was_invalidated_since_is_asked_for() {
        assert_eq!(absent(Knowledge { doubted: true, ..aged(Span::ZERO) }, Demand::Any), Absent::Lowers);
    }

    #[test]
    fn a_reader_who_insists_is_not_told_something_older() {
        let age = Span::secs(10);
        assert_eq!(absent(aged(age), Demand::MaxAge(age)), Absent::Answers);
        assert_eq!(absent(aged(age), Demand::MaxAge(Span(age.0 - 1))), Absent::Lowers);
        assert_eq!(absent(aged(age), Demand::Fresh), Absent::Lowers);
        assert_eq!(absent(aged(age), Demand::CachedOnly), Absent::Lowers);
    }
}

//! What is said of hot keys? `[hot]`.

use super::Place;
use super::heat;
use super::raw::Fields;
use super::resolved::Hot;
use super::section::{Context, Section};

pub(super) fn hot(cx: &mut Context<'_>, place: Place, fields: Fields) -> Hot {
    let mut section = Section::new(cx, "[hot]", place, fields);
    let policy = heat::thresholds(&mut section);
    section.finish();
    Hot { policy }
}

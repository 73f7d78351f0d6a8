//! What could not be opened, and where is it written?

use bellwether_adapters::SetupError;

use crate::config::{Place, Problem, SqlSource};

/// What is wrong with a space's SQL, at the knob that is wrong.
pub(crate) fn sql_problem(sql: &SqlSource, subject: &str, error: &SetupError) -> Box<Problem> {
    let knob = match error.knob() {
        Some("many") => sql.many.as_ref(),
        Some("column") => sql.column.as_ref(),
        _ => None,
    };
    setup_problem(&knob.unwrap_or(&sql.query).place, subject, error)
}

pub(crate) fn setup_problem(place: &Place, subject: &str, error: &SetupError) -> Box<Problem> {
    let expected = match subject {
        "[disk]" => "a directory that can be used",
        _ if subject.starts_with("[origin") => "an origin that can be opened",
        _ => "what its origin can answer",
    };
    let found = problem(place, subject, error.problem().to_owned(), Some(error.hint().to_owned()));
    Box::new(Problem { expected: expected.to_owned(), ..*found })
}

pub(super) fn problem(place: &Place, subject: &str, found: String, hint: Option<String>) -> Box<Problem> {
    Box::new(Problem {
        file: String::new(),
        place: place.clone(),
        subject: subject.to_owned(),
        found,
        expected: "what this server can do".to_owned(),
        hint,
    })
}

//! Which reports were asked for? Each gets its place before the run and its text after it.

use super::Arguments;
use crate::failure::Failure;
use crate::report::Place;

/// The places of the reports that were asked for.
pub(super) struct Files {
    json: Option<Place>,
    csv: Option<Place>,
    html: Option<Place>,
}

impl Files {
    pub(super) fn reserve(arguments: &Arguments) -> Result<Files, Failure> {
        let files = Files {
            json: Place::reserve("--json", arguments.json.as_ref())?,
            csv: Place::reserve("--csv", arguments.csv.as_ref())?,
            html: Place::reserve("--html", arguments.html.as_ref())?,
        };
        match files.same_file() {
            Some(words) => Err(Failure::input(format!("{words}: expected a file for each"))),
            None => Ok(files),
        }
    }

    /// Two of them that would be one file, in words.
    fn same_file(&self) -> Option<String> {
        let places: Vec<&Place> = [&self.json, &self.csv, &self.html].into_iter().flatten().collect();
        let later = |at: usize| places[at + 1..].iter().map(move |other| (at, other));
        (0..places.len()).flat_map(later).find_map(|(at, other)| places[at].same_file(other))
    }

    /// Writes them all; one that fails keeps no other from being written.
    pub(super) fn write(
        self,
        json: impl FnOnce() -> String,
        csv: impl FnOnce() -> String,
        html: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let written = [
            self.json.map(|place| place.write(&json())),
            self.csv.map(|place| place.write(&csv())),
            self.html.map(|place| place.write(&html())),
        ];
        let failed: Vec<String> = written.into_iter().flatten().filter_map(|written| Some(written.err()?.0)).collect();
        if failed.is_empty() { Ok(()) } else { Err(Failure::Run(failed.join("\nbellwether: "))) }
    }
}

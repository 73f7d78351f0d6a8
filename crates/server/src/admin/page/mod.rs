//! What is there to see? A page for people, without a script.

mod figures;
mod html;

use crate::service::{Service, SpaceView};
use figures::figures;
use html::Head::Words;
use html::{escaped, table};

const STYLE: &str = include_str!("page.css");

/// A place, what is behind it, and the command that shows it.
struct Place {
    path: &'static str,
    /// Whether a browser can go there: it needs no key, and changes nothing.
    link: bool,
    what: &'static str,
    command: &'static str,
}

const fn link(path: &'static str, what: &'static str, command: &'static str) -> Place {
    Place { path, link: true, what, command }
}

const fn named(path: &'static str, what: &'static str, command: &'static str) -> Place {
    Place { path, link: false, what, command }
}

/// Everything that this listener answers: what can be looked at, then what changes something.
const PLACES: [&[Place]; 2] = [
    &[
        link("/metrics", "all counters, in OpenMetrics text", "bellwether top"),
        link("/livez", "the process runs", ""),
        link("/readyz", "it takes requests (503 while it warms up or drains), with its weight as a header", ""),
        link("/api/origins", "limits, breakers and who was turned away", ""),
        named("/api/explain/KEY", "how a read of KEY would be answered now, and why", "bellwether explain KEY"),
        link("/api/hotkeys", "which keys draw more than their share, and what is done", "bellwether hotkeys"),
        link("/api/bigkeys", "the largest values in memory", "bellwether bigkeys"),
        link("/api/hot/announce", "keys of which somebody said that they will be hot", "bellwether hot list"),
        link("/api/forecast", "which values stop being fresh when, and how many together", "bellwether forecast"),
        link("/api/hotlist", "what is read most, as kept for the next start", "bellwether warm --from URL"),
        named("/api/keys/SPACE", "the keys that a space's origin names", "bellwether warm --space SPACE"),
        link("/api/penetration", "keys that do not exist, filters, budgets of clients", ""),
        link("/api/dlq", "invalidations that the shared tier does not know yet", "bellwether dlq list"),
    ],
    &[
        named("POST /api/warm", "loads keys, one a line of the body", "bellwether warm"),
        named(
            "POST /api/hot/announce/KEY?at=TIME&for=DURATION",
            "says that KEY will be hot; DELETE takes it back",
            "bellwether hot announce, bellwether hot withdraw",
        ),
        named("POST /api/dlq/retry, /api/dlq/retry/KEY", "tells the shared tier again", "bellwether dlq retry"),
        named("POST /api/dlq/drop, /api/dlq/drop/KEY", "gives up telling it", "bellwether dlq drop"),
    ],
];

/// The page, and the word by which its policy knows its one style sheet.
pub(super) fn index(service: &Service, leaving: bool) -> (String, String) {
    let word = format!("{:032x}", fastrand::u128(..));
    let rows: String = service.space_views().iter().map(space).collect();
    let spaces = table(&["keys", "space", "origin", "ttl"].map(Words), &rows);
    let [looks, changes] = PLACES.map(|places| places.iter().map(row).collect::<String>());
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Bellwether</title>\n\
         <style nonce=\"{word}\">\n{STYLE}</style>\n\
         <h1>Bellwether <small>{}</small></h1>\n{}\
         <h2>Spaces</h2>\n{spaces}\
         <h2>More</h2>\n<ul>\n{looks}</ul>\n<h2>What changes something</h2>\n<ul>\n{changes}</ul>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        figures(service, leaving),
    );
    (page, word)
}

fn space(space: &SpaceView) -> String {
    let origin = space.origin.as_deref().unwrap_or("none: a plain space");
    let (keys, name, origin) = (escaped(&space.template), escaped(&space.name), escaped(origin));
    format!("<tr><td><code>{keys}</code></td><td>{name}</td><td>{origin}</td><td>{}</td></tr>\n", space.ttl)
}

fn row(place: &Place) -> String {
    let path = escaped(place.path);
    let path = if place.link { format!("<a href=\"{path}\">{path}</a>") } else { format!("<code>{path}</code>") };
    let command = match place.command {
        "" => String::new(),
        command => format!("; <code>{}</code>", escaped(command)),
    };
    format!("<li>{path}: {}{command}</li>\n", escaped(place.what))
}

#[cfg(test)]
mod tests {
    use super::super::pages::Page;
    use super::PLACES;

    #[test]
    fn each_page_stands_on_the_page_for_people_and_what_stands_there_is_one() {
        let paths = || PLACES.into_iter().flatten().flat_map(|place| place.path.split(", "));
        let paths = || paths().map(|path| path.trim_start_matches("POST ").split('?').next().unwrap_or_default());
        for page in Page::ALL.into_iter().filter(|page| *page != Page::Index) {
            assert!(paths().any(|path| Page::of(path).is_some_and(|(found, _)| found == page)), "{page:?}");
        }
        for path in paths() {
            assert!(Page::of(path).is_some(), "{path}");
        }
    }
}

//! What is the page? One file that needs nothing beside it: style and pictures inside, no script.

use super::table::Table;
use super::words::escaped;

const STYLE: &str = include_str!("page.css");

/// A page around sections. `command` is what makes it again.
pub(super) fn page(title: &str, lead: &str, command: &str, sections: &str) -> String {
    let (title, lead, command) = (escaped(title), escaped(lead), escaped(command));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<header>\n<p class=\"brand\">Bellwether <span>simulate</span></p>\n<h1>{title}</h1>\n<p>{lead}</p>\n\
         <pre><code>{command}</code></pre>\n</header>\n<main>\n{sections}</main>\n\
         <footer>Made by the command above; the same command makes the same bytes.</footer>\n</body>\n</html>\n"
    )
}

/// A table of figures.
pub(super) fn table(table: &Table) -> String {
    let cells = |tag: &str, cells: &[String]| {
        cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect::<String>()
    };
    let head = cells("th", table.headings());
    let rows: String = table.rows().iter().map(|row| format!("<tr>{}</tr>\n", cells("td", row))).collect();
    format!("<div class=\"scroll\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n")
}

//! What is the page? One file that needs nothing beside it: style and pictures inside, no script.

use super::table::Table;
use super::words::escaped;

const STYLE: &str = include_str!("page.css");

/// A page around sections. `command` is what makes it again.
pub(super) fn page(title: &str, lead: &str, command: &str, sections: &str) -> String {
    let (title, lead) = (escaped(title), escaped(lead));
    // Words stay whole: a narrow screen would break an option after its dashes.
    let words: Vec<String> = command.split(' ').map(|word| format!("<span>{}</span>", escaped(word))).collect();
    let command = words.join(" ");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<header>\n<p class=\"brand\">Bellwether <span>simulate</span></p>\n<h1>{title}</h1>\n<p>{lead}</p>\n\
         <pre><code>{command}</code></pre>\n</header>\n<main>\n{sections}</main>\n\
         <footer>Made by the command above; the same command makes the same bytes.</footer>\n</body>\n</html>\n"
    )
}

/// A cell of a table, its text already safe, and its class.
pub(super) struct Cell {
    pub(super) html: String,
    pub(super) class: &'static str,
}

impl Cell {
    /// Text.
    pub(super) fn of(text: &str) -> Cell {
        Cell { html: escaped(text), class: "" }
    }
}

/// A table of figures.
pub(super) fn table(table: &Table) -> String {
    let verdict = table.headings().iter().position(|heading| heading == "verdict");
    let cell = |(at, text): (usize, &String)| Cell {
        class: match (Some(at) == verdict, text == "holds") {
            (false, _) => "",
            (true, true) => "verdict good",
            (true, false) => "verdict",
        },
        ..Cell::of(text)
    };
    let rows: Vec<Vec<Cell>> = table.rows().iter().map(|row| row.iter().enumerate().map(cell).collect()).collect();
    cells(table.headings(), &rows)
}

/// A table; where the page is narrow each row becomes a card, and each cell says what it is.
pub(super) fn cells(headings: &[String], rows: &[Vec<Cell>]) -> String {
    let class = |class: &str| if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let first = rows.first();
    let head = |(at, heading): (usize, &String)| {
        // A heading stands over its cells.
        let of_cells = first.and_then(|row| row.get(at)).map_or("", |cell| cell.class);
        let side = of_cells.split(' ').next().unwrap_or_default();
        format!("<th scope=\"col\"{}>{}</th>", class(side), escaped(heading))
    };
    let head: String = headings.iter().enumerate().map(head).collect();
    let row = |row: &Vec<Cell>| {
        let cell = |(heading, cell): (&String, &Cell)| {
            format!("<td data-of=\"{}\"{}>{}</td>", escaped(heading), class(cell.class), cell.html)
        };
        format!("<tr>{}</tr>\n", headings.iter().zip(row).map(cell).collect::<String>())
    };
    let rows: String = rows.iter().map(row).collect();
    format!("<div class=\"scroll\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n")
}

//! What is there to see? A page for people, without a script.

use crate::service::Service;

/// The list of pages, and the spaces one may ask about.
pub(super) fn index(service: &Service) -> String {
    let spaces: String = service.space_names().iter().map(|name| format!("<li>{}</li>", escaped(name))).collect();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Bellwether</title>\n\
         <h1>Bellwether {}</h1>\n\
         <ul>\n\
         <li><a href=\"/metrics\">/metrics</a>: all counters, in OpenMetrics text</li>\n\
         <li><a href=\"/livez\">/livez</a>: the process runs</li>\n\
         <li><a href=\"/readyz\">/readyz</a>: it takes requests (503 while it drains)</li>\n\
         <li><a href=\"/api/origins\">/api/origins</a>: limits, breakers and who was turned away, as JSON</li>\n\
         <li>/api/explain/KEY: how a read of KEY would be answered now, as JSON; \
         <code>bellwether explain KEY</code> shows it as a table</li>\n\
         <li><a href=\"/api/hotkeys\">/api/hotkeys</a>: which keys draw more than their share, and what is done; \
         <code>bellwether hotkeys</code> shows it live</li>\n\
         <li><a href=\"/api/bigkeys\">/api/bigkeys</a>: the largest values in memory</li>\n\
         <li><a href=\"/api/penetration\">/api/penetration</a>: keys that do not exist, filters, budgets of clients</li>\n\
         <li><a href=\"/api/forecast\">/api/forecast</a>: which values stop being fresh when, and how many together</li>\n\
         </ul>\n<h2>Spaces</h2>\n<ul>{spaces}</ul>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// Text inside HTML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '&' => safe += "&amp;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_file_names_can_write_no_html() {
        assert_eq!(super::escaped("<b a='\"'>&"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;");
    }
}

//! How is a page written so that no name and no key can write HTML of its own?

/// A table that scrolls by itself where the window is narrow. Heads and rows are HTML; all heads but the first are of numbers
/// where the row's cells are.
pub(super) fn table(heads: &[&str], rows: &str) -> String {
    let heads: String = heads.iter().map(|head| format!("<th scope=col>{head}</th>")).collect();
    format!("<div class=wide><table><thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n")
}

/// A cell with a number, or what stands in place of one. What is not well stands out.
pub(super) fn cell(words: &str, bad: bool) -> String {
    format!("<td class=\"n{}\">{}</td>", if bad { " bad" } else { "" }, escaped(words))
}

/// Text inside HTML.
pub(super) fn escaped(text: &str) -> String {
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

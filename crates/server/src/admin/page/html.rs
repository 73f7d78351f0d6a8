//! How is a page written so that no name and no key can write HTML of its own?

/// What stands above a column of words, or of numbers.
pub(super) enum Head {
    Words(&'static str),
    Numbers(&'static str),
}

/// A table that scrolls by itself where the window is narrow. Its rows are HTML.
pub(super) fn table(heads: &[Head], rows: &str) -> String {
    let head = |head: &Head| match head {
        Head::Words(words) => format!("<th scope=col>{words}</th>"),
        Head::Numbers(words) => format!("<th scope=col class=n>{words}</th>"),
    };
    let heads: String = heads.iter().map(head).collect();
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

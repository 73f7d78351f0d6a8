//! Which paths does a Rust source file name, which children does it declare, what does it define?
//!
//! A scanner, not a parser: comments, literals and `#[cfg(test)]` items are blanked, the rest is cut into words.

use std::collections::{BTreeMap, BTreeSet};

/// What an import check needs to know of one file.
pub(super) struct Source {
    pub(super) children: Vec<String>,
    pub(super) paths: Vec<NamedPath>,
    defined: BTreeSet<String>,
    /// How often each word stands outside `use` items.
    used: BTreeMap<String, usize>,
}

/// `use crate::a::B as C` or `crate::a::B` in the code.
pub(super) struct NamedPath {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
    /// Written with `pub use`.
    pub(super) reexport: bool,
    alias: Option<String>,
}

impl NamedPath {
    pub(super) fn name(&self) -> &str {
        self.segments.last().map_or("", String::as_str)
    }

    pub(super) fn alias(&self) -> &str {
        self.alias.as_deref().unwrap_or_else(|| self.name())
    }
}

const DEFINERS: [&str; 9] = ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro_rules"];

impl Source {
    pub(super) fn scan(text: &str) -> Self {
        let words = without_tests(words(&blank(text)));
        let mut source =
            Self { children: Vec::new(), paths: Vec::new(), defined: BTreeSet::new(), used: BTreeMap::new() };
        let mut at = 0;
        while at < words.len() {
            at = source.item(&words, at);
        }
        source
    }

    pub(super) fn defines(&self, name: &str) -> bool {
        self.defined.contains(name)
    }

    /// Whether the file's own code says `name` outside `use` items.
    pub(super) fn uses(&self, name: &str) -> bool {
        self.used.contains_key(name)
    }

    /// Takes in what stands at `at`; returns where to go on.
    fn item(&mut self, words: &[Word], at: usize) -> usize {
        let text = |i: usize| words.get(i).map_or("", |word| word.text.as_str());
        match text(at) {
            "mod" if text(at + 2) == ";" => {
                self.children.push(text(at + 1).to_owned());
                at + 3
            }
            "use" => {
                let reexport = at > 0 && (text(at - 1) == "pub" || text(at - 1) == ")");
                let mut tree = UseTree { words, at: at + 1, reexport, found: Vec::new() };
                tree.read(&[]);
                self.paths.append(&mut tree.found);
                tree.at
            }
            word if DEFINERS.contains(&word) => {
                let name = if text(at + 1) == "!" { at + 2 } else { at + 1 };
                self.defined.insert(text(name).to_owned());
                at + 1
            }
            word if is_name(word) => {
                *self.used.entry(word.to_owned()).or_default() += 1;
                if text(at + 1) == "::" && (at == 0 || text(at - 1) != "::") { self.inline(words, at) } else { at + 1 }
            }
            _ => at + 1,
        }
    }

    /// A path in the code: `crate::a::b(`.
    fn inline(&mut self, words: &[Word], start: usize) -> usize {
        let mut segments = vec![words[start].text.clone()];
        let mut at = start + 1;
        while at + 1 < words.len() && words[at].text == "::" && is_name(&words[at + 1].text) {
            segments.push(words[at + 1].text.clone());
            at += 2;
        }
        self.paths.push(NamedPath { segments, line: words[start].line, reexport: false, alias: None });
        at
    }
}

struct UseTree<'a> {
    words: &'a [Word],
    at: usize,
    reexport: bool,
    found: Vec<NamedPath>,
}

impl UseTree<'_> {
    fn text(&self) -> &str {
        self.words.get(self.at).map_or(";", |word| word.text.as_str())
    }

    /// One branch: names and `::`, then `{…}`, `*`, `as`, or the end.
    fn read(&mut self, prefix: &[String]) {
        let line = self.words.get(self.at).map_or(0, |word| word.line);
        let mut path = prefix.to_vec();
        let mut alias = None;
        loop {
            match self.text() {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while self.text() != "}" && self.text() != ";" {
                        self.read(&path);
                        if self.text() == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "as" => {
                    alias = self.words.get(self.at + 1).map(|word| word.text.clone());
                    self.at += 2;
                }
                word if is_name(word) || word == "*" => {
                    // `a::{self, B}`: `self` names `a` itself.
                    if word != "self" || path.is_empty() {
                        path.push(word.to_owned());
                    }
                    self.at += 1;
                }
                _ => break,
            }
        }
        // Anything unexpected is stepped over by the caller, so that the scan always moves on.
        if !matches!(self.text(), "," | "}" | ";") {
            self.at += 1;
        }
        self.found.push(NamedPath { segments: path, line, reexport: self.reexport, alias });
    }
}

struct Word {
    text: String,
    line: usize,
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                c if c.is_alphanumeric() || c == '_' => {
                    rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
                }
                ':' if rest.starts_with("::") => 2,
                c => c.len_utf8(),
            };
            words.push(Word { text: rest[..length].to_owned(), line: index + 1 });
            rest = rest[length..].trim_start();
        }
    }
    words
}

/// Drops every item under `#[cfg(test)]` and the like.
fn without_tests(words: Vec<Word>) -> Vec<Word> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let here = |i: usize, text: &str| words.get(at + i).is_some_and(|word| word.text == text);
        if here(0, "#") && here(1, "[") && here(2, "cfg") {
            let end = closing(&words, at + 1);
            let is_test = words[at..end].iter().any(|word| word.text == "test")
                && !words[at..end].iter().any(|word| word.text == "not" || word.text == "any");
            if is_test {
                at = item_end(&words, end);
                continue;
            }
        }
        kept.push(Word { text: words[at].text.clone(), line: words[at].line });
        at += 1;
    }
    kept
}

/// One past the bracket that closes the one at `open`.
fn closing(words: &[Word], open: usize) -> usize {
    let mut depth = 0_usize;
    for (i, word) in words.iter().enumerate().skip(open) {
        match word.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    words.len()
}

/// One past the item that begins at `start`: its `;`, or the end of its braces.
fn item_end(words: &[Word], start: usize) -> usize {
    let mut at = start;
    while at < words.len() {
        match words[at].text.as_str() {
            ";" => return at + 1,
            "{" => {
                let end = closing(words, at);
                // `use a::{b, c};` goes on after its braces.
                return if words.get(end).is_some_and(|word| word.text == ";") { end + 1 } else { end };
            }
            "(" | "[" => at = closing(words, at),
            _ => at += 1,
        }
    }
    words.len()
}

/// The text with comments and literals replaced by blanks; line ends stay.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at).unwrap_or(at);
        if end > at {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; none if nothing begins there.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    let starts = |i: usize, text: &str| text.chars().enumerate().all(|(k, c)| chars.get(i + k) == Some(&c));
    if starts(at, "//") {
        return Some((at..chars.len()).find(|&i| chars[i] == '\n').unwrap_or(chars.len()));
    }
    if starts(at, "/*") {
        return Some(comment_end(chars, at));
    }
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    if chars[at] == 'r' && (!in_word || chars[at - 1] == 'b') {
        let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
        if chars.get(at + 1 + hashes) == Some(&'"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let body = at + 2 + hashes;
            return Some((body..chars.len()).find(|&i| starts(i, &close)).map_or(chars.len(), |i| i + 1 + hashes));
        }
    }
    match chars[at] {
        '"' => Some(quoted_end(chars, at, '"')),
        // A lifetime has no closing quote two characters on, unless escaped.
        '\'' if chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'') => {
            Some(quoted_end(chars, at, '\''))
        }
        _ => None,
    }
}

fn comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

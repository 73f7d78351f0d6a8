//! Which path does a key ask for? Captures percent-encoded into a template, and never a way out
//! of it.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::{SetupError, listed};
use crate::{Capture, Captures};

/// All but the characters that mean themselves everywhere (RFC 3986, 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A path such as `/pages/{path}?lang={lang}`.
#[derive(Clone, Debug)]
pub(super) struct PathTemplate {
    path: Vec<Piece>,
    /// What follows the question mark, if there is one.
    query: Option<Vec<Piece>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Capture(Arc<str>),
}

/// What became of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// The path and query to ask for.
    Ask(String),
    /// A path that is never asked for: it could mean another one.
    Never,
    /// The key has no value for a placeholder.
    Incomplete,
}

impl PathTemplate {
    pub(super) fn parse(template: &str, captures: &[Arc<str>]) -> Result<PathTemplate, SetupError> {
        let wrong =
            |problem: String, hint: &str| Err(SetupError::new(format!("`get` is \"{template}\": {problem}"), hint));
        if !template.starts_with('/') {
            return wrong(
                "it doesn't begin with a slash".to_owned(),
                "write the path on the origin, e.g. \"/pages/{path}\"",
            );
        }
        let fits = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`|#".contains(&b);
        if let Some(odd) = template.chars().find(|c| !c.is_ascii() || !fits(*c as u8)) {
            return wrong(format!("{odd:?} can't stand in a URL"), "percent-encode it; leave fragments (#…) out");
        }
        let (path, query) = match template.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (template, None),
        };
        if segments(path).any(is_dots) || path.contains("//") {
            return wrong("it has an empty, \".\" or \"..\" segment".to_owned(), "write the path without it");
        }
        let pieces = |text| {
            pieces(text).and_then(|pieces| match pieces.iter().find(|piece| !known(piece, captures)) {
                Some(Piece::Capture(name)) => {
                    Err(format!("it uses {{{name}}}, which the key's template does not capture"))
                }
                _ => Ok(pieces),
            })
        };
        match (pieces(path), query.map(pieces).transpose()) {
            (Ok(path), Ok(query)) => Ok(PathTemplate { path, query }),
            (Err(problem), _) | (_, Err(problem)) => {
                wrong(problem, &format!("the template captures {}; write {{name}}", listed("", captures)))
            }
        }
    }

    /// Fills in a key's captures. Slashes of a capture stay slashes: only `{x*}` can hold any.
    pub(super) fn fill(&self, captures: &Captures) -> Filled {
        let mut raw = String::new();
        let mut encoded = String::new();
        for piece in &self.path {
            let Some((text, literal)) = text_of(piece, captures) else { return Filled::Incomplete };
            raw.push_str(&text);
            if literal {
                encoded.push_str(&text);
                continue;
            }
            for (at, segment) in text.split('/').enumerate() {
                if at > 0 {
                    encoded.push('/');
                }
                encoded.extend(utf8_percent_encode(segment, ENCODED));
            }
        }
        // Looked at as a whole: "/a/.{x}" becomes ".." with the capture ".".
        if segments(&raw).any(is_dots) || raw.contains("//") {
            return Filled::Never;
        }
        for (at, piece) in self.query.iter().flatten().enumerate() {
            let Some((text, literal)) = text_of(piece, captures) else { return Filled::Incomplete };
            if at == 0 {
                encoded.push('?');
            }
            if literal {
                encoded.push_str(&text);
            } else {
                encoded.extend(utf8_percent_encode(&text, ENCODED));
            }
        }
        Filled::Ask(encoded)
    }
}

fn known(piece: &Piece, captures: &[Arc<str>]) -> bool {
    match piece {
        Piece::Literal(_) => true,
        Piece::Capture(name) => captures.contains(name),
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (literal, from) = rest.split_at(at);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        let inside = from.strip_prefix('{').ok_or("it has a \"}\" without a \"{\"")?;
        let (name, after) = inside.split_once('}').ok_or("it has a \"{\" without a \"}\"")?;
        pieces.push(Piece::Capture(name.into()));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    Ok(pieces)
}

/// A piece's text, and whether it is a literal.
fn text_of<'a>(piece: &'a Piece, captures: &'a Captures) -> Option<(std::borrow::Cow<'a, str>, bool)> {
    match piece {
        Piece::Literal(text) => Some((text.into(), true)),
        Piece::Capture(name) => match captures.get(name)? {
            Capture::Int(number) => Some((number.to_string().into(), false)),
            Capture::Text(text) => Some((text.into(), false)),
        },
    }
}

/// Some servers take a backslash for a slash.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split(['/', '\\'])
}

/// `.` and `..`, also with the dots as `%2e`: a server may decode once more than it should.
fn is_dots(segment: &str) -> bool {
    // Six bytes is the longest form; everything longer is no such segment.
    segment.len() <= 6 && matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, value: &str) -> Filled {
        let template = PathTemplate::parse(template, &["x".into()]).expect(template);
        template.fill(&Captures::new().with("x", value))
    }

    fn asks(path: &str) -> Filled {
        Filled::Ask(path.to_owned())
    }

    #[test]
    fn captures_are_encoded_and_slashes_stay() {
        assert_eq!(fill("/p/{x}", "a/b c"), asks("/p/a/b%20c"));
        assert_eq!(
            fill("/p/{x}/end", "ä?#%&=+;\\@:\r\n\0"),
            asks("/p/%C3%A4%3F%23%25%26%3D%2B%3B%5C%40%3A%0D%0A%00/end")
        );
        assert_eq!(fill("/p/{x}", "dir/"), asks("/p/dir/"));
        assert_eq!(fill("/p?q={x}&r=1", "a/b&r=2"), asks("/p?q=a%2Fb%26r%3D2&r=1"));
        assert_eq!(fill("/p?q={x}", ".."), asks("/p?q=.."), "dots mean nothing in a query");
        assert_eq!(fill("/p/%20/{x}", "a"), asks("/p/%20/a"), "literals are the operator's own");
    }

    #[test]
    fn integers_are_decimal() {
        let template = PathTemplate::parse("/p/{x}", &["x".into()]).expect("a template");
        assert_eq!(template.fill(&Captures::new().with("x", -5)), asks("/p/-5"));
        assert_eq!(template.fill(&Captures::new()), Filled::Incomplete);
    }

    #[test]
    fn dot_segments_are_never_asked_for() {
        for value in [".", "..", "a/../b", "a/..", "../etc", "%2e", "%2E%2e", ".%2e", "a/%2e./b", "a\\..\\b", "..\\"] {
            assert_eq!(fill("/p/{x}", value), Filled::Never, "{value}");
        }
        assert_eq!(fill("/p/.{x}", "."), Filled::Never, "a literal and a capture together");
        for value in ["...", ".a", "a..", "a.b", "%2e%2e%2e"] {
            assert!(matches!(fill("/p/{x}", value), Filled::Ask(_)), "{value}");
        }
    }

    #[test]
    fn empty_segments_are_never_asked_for() {
        for (template, value) in [("/{x}", "/evil.example/x"), ("/p/{x}", "/a"), ("/p/{x}", "a//b"), ("/p/{x}/y", "a/")]
        {
            assert_eq!(fill(template, value), Filled::Never, "{template} {value}");
        }
    }

    #[test]
    fn a_wrong_template_is_refused_with_a_hint() {
        for (template, words) in [
            ("pages/{x}", "begin with a slash"),
            ("/p/{y}", "{y}"),
            ("/p/{x", "without a \"}\""),
            ("/p/x}", "without a \"{\""),
            ("/p?q={y}", "{y}"),
            ("/p/../q", "segment"),
            ("/p/%2E%2E/q", "segment"),
            ("//p", "segment"),
            ("/p q", "can't stand in a URL"),
            ("/p#x", "can't stand in a URL"),
            ("/ä", "can't stand in a URL"),
        ] {
            let error = PathTemplate::parse(template, &["x".into()]).expect_err(template);
            assert!(error.problem().contains(words) && !error.hint().is_empty(), "{template}: {error}");
        }
    }
}

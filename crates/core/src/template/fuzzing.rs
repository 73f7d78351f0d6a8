//! What must hold for every template and key? Called by the fuzzer, and by a test for each input that it found.

use super::{Captures, Expansion, Match, Route, Template, Value, place, route};

/// Longer inputs find nothing that shorter ones don't, and cost more.
const MOST: usize = 2048;

/// Lines: a template, another one, a text with captures; what follows are keys. A key is its captures
/// put back; a template reads back as it was written; hiding is never claimed wrongly; the first
/// template that matches is the one that is found.
///
/// # Panics
/// If that does not hold.
pub fn templates(data: &[u8]) {
    let mut lines = data.get(..MOST).unwrap_or(data).split(|byte| *byte == b'\n');
    let mut text = || std::str::from_utf8(lines.next().unwrap_or_default()).ok();
    let (Some(first), Some(second), Some(tag)) = (text(), text(), text()) else { return };
    let (first, second) = (Template::parse(first), Template::parse(second));
    for template in [&first, &second].into_iter().flatten() {
        assert_eq!(Template::parse(template.as_str()).as_ref(), Ok(template), "as it was written");
        assert!(template.hides(template), "{template} hides itself");
        let _ = Expansion::parse(tag, template);
    }
    let Ok(first) = first else { return };
    for key in lines {
        a_key_is_its_captures_put_back(&first, tag, key);
        if let Ok(second) = &second {
            a_key_is_its_captures_put_back(second, tag, key);
            two_templates(&first, second, key);
        }
    }
}

fn a_key_is_its_captures_put_back(template: &Template, tag: &str, key: &[u8]) {
    let Match::Yes(captures) = template.match_key(key) else { return };
    assert_eq!(put_back(template, &captures), key, "{template} matches {:?}", key.escape_ascii().to_string());
    let again = Expansion::parse(&untyped(template), template).expect("the template's own text without types");
    assert_eq!(again.expand(&captures), key);
    for ((name, value), part) in captures.iter().zip(captures.parts()) {
        assert_eq!(captures.get(name), Some(value));
        match value {
            Value::Int(number) => assert_eq!(number.to_string().as_bytes(), *part),
            Value::Text(bytes) => assert_eq!(bytes, *part),
        }
    }
    if let Ok(tag) = Expansion::parse(tag, template) {
        let _ = tag.expand(&captures);
    }
}

fn two_templates(first: &Template, second: &Template, key: &[u8]) {
    let yes = |template: &Template| matches!(template.match_key(key), Match::Yes(_));
    assert!(!(first.hides(second) && yes(second) && !yes(first)), "{first} is said to hide {second}");
    let found = match route([first, second], key) {
        Route::Space { index, .. } => Some(index),
        Route::WrongType { .. } | Route::Nowhere => None,
    };
    assert_eq!(found, [first, second].into_iter().position(yes));
    assert_eq!(found, place([first, second], key), "{first}, {second}: the same without captures");
}

/// The key again: the template's literals, and its captures in their places.
fn put_back(template: &Template, captures: &Captures<'_>) -> Vec<u8> {
    let mut parts = captures.parts().iter();
    let mut key = Vec::new();
    for (at, piece) in template.as_str().split('{').enumerate() {
        // Braces are never literal: each opens a capture.
        let literal = if at == 0 { piece } else { piece.split_once('}').map_or("", |(_, literal)| literal) };
        if at > 0 {
            key.extend_from_slice(parts.next().copied().unwrap_or_default());
        }
        key.extend_from_slice(literal.as_bytes());
    }
    key
}

/// The template's text with nothing but names in its braces.
fn untyped(template: &Template) -> String {
    let mut text = String::new();
    for (at, piece) in template.as_str().split('{').enumerate() {
        match piece.split_once('}') {
            Some((inside, literal)) if at > 0 => {
                let name = inside.split([':', '*']).next().unwrap_or_default();
                text += &format!("{{{name}}}{literal}");
            }
            _ => text += piece,
        }
    }
    text
}

#[cfg(test)]
mod replay {
    #[test]
    fn every_stored_template_and_key_keeps_its_promises() {
        bellwether_corpus::replay("templates", super::templates);
    }
}

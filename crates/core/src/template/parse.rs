//! Is this text a template? Pieces first, then the rules that hold between them.

use super::error::TemplateError;
use super::{Kind, Literal, MAX_CAPTURES, Slot, Template};
use crate::key::MAX_KEY_BYTES;
use std::str::FromStr;

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// The first mistake, with its place and what to write instead.
    ///
    /// ```
    /// use bellwether_core::template::{Match, Template, Value};
    /// let template = Template::parse("product:{id:int}")?;
    /// let Match::Yes(captures) = template.match_key(b"product:42") else { panic!() };
    /// assert_eq!(captures.get("id"), Some(Value::Int(42)));
    /// assert_eq!(template.match_key(b"product:042"), Match::WrongType);
    /// assert_eq!(template.match_key(b"user:42"), Match::No);
    /// # Ok::<(), bellwether_core::template::TemplateError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Template, TemplateError> {
        template(text)
    }
}

impl FromStr for Template {
    type Err = TemplateError;
    fn from_str(text: &str) -> Result<Template, TemplateError> {
        Template::parse(text)
    }
}

/// A run of literal text or the inside of a pair of braces.
pub(super) enum Piece<'t> {
    Literal(&'t str),
    Braces { at: usize, inside: &'t str },
}

/// Cuts `text` at its braces.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, TemplateError> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let at = text.len() - rest.len();
        match rest.split_once('{') {
            Some((literal, tail)) => {
                push_literal(&mut found, at, literal)?;
                let open = at + literal.len();
                let (inside, tail) = braces(open, tail)?;
                found.push(Piece::Braces { at: open, inside });
                rest = tail;
            }
            None => {
                push_literal(&mut found, at, rest)?;
                rest = "";
            }
        }
    }
    Ok(found)
}

fn push_literal<'t>(found: &mut Vec<Piece<'t>>, at: usize, literal: &'t str) -> Result<(), TemplateError> {
    if let Some(i) = literal.find('}') {
        return Err(TemplateError::new(at + i, "`}` without `{`", "a capture such as `{id}`")
            .hint("braces can't be part of a literal"));
    }
    if !literal.is_empty() {
        found.push(Piece::Literal(literal));
    }
    Ok(())
}

/// Inside and what follows of the braces whose `{` is at `open`, just in front of `tail`.
fn braces(open: usize, tail: &str) -> Result<(&str, &str), TemplateError> {
    match tail.split_once('}') {
        Some((inside, tail)) if !inside.contains('{') => Ok((inside, tail)),
        _ => {
            let shown = tail.split('{').next().unwrap_or_default();
            Err(TemplateError::new(open, format!("`{{{shown}` without `}}`"), "a capture such as `{id}`")
                .hint("close it with `}`; braces can't be part of a literal"))
        }
    }
}

/// Whether `name` may name a capture: it must also do as an SQL parameter.
pub(super) fn check_name(at: usize, name: &str) -> Result<(), TemplateError> {
    let mut bytes = name.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if starts && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(());
    }
    let found = if name.is_empty() { "a capture without a name".to_owned() } else { format!("the name `{name}`") };
    Err(TemplateError::new(at, found, "letters, digits and `_`, beginning with a letter, such as `{user_id}`"))
}

fn capture(at: usize, inside: &str) -> Result<(String, Kind), TemplateError> {
    let (name, kind) = match (inside.split_once(':'), inside.strip_suffix('*')) {
        (Some((name, "int")), _) => (name, Kind::Int),
        (Some((name, "uuid")), _) => (name, Kind::Uuid),
        (Some((name, word)), _) => {
            let name = name.trim_end_matches('*');
            return Err(TemplateError::new(at, format!("the type `{word}`"), "`int` or `uuid`")
                .hint(format!("`{{{name}}}` takes any text except `:` and `/`")));
        }
        (None, Some(name)) => (name, Kind::Rest),
        (None, None) => (inside, Kind::Text),
    };
    check_name(at, name)?;
    Ok((name.to_owned(), kind))
}

/// [`Template::parse`].
fn template(text: &str) -> Result<Template, TemplateError> {
    if text.is_empty() {
        return Err(TemplateError::new(0, "nothing", "a template such as `product:{id}`"));
    }
    if text.len() > MAX_KEY_BYTES {
        let expected = format!("at most {MAX_KEY_BYTES} bytes, the longest key");
        return Err(TemplateError::new(MAX_KEY_BYTES, format!("{} bytes", text.len()), expected));
    }
    let mut template = Template { text: text.to_owned(), prefix: Box::default(), slots: Vec::new() };
    let mut at = 0;
    for piece in pieces(text)? {
        match piece {
            Piece::Literal(literal) => {
                no_glob(at, literal)?;
                at += literal.len();
                match template.slots.last_mut() {
                    None => template.prefix = literal.as_bytes().into(),
                    Some(slot) => slot.after = Literal::new(literal.as_bytes()),
                }
            }
            Piece::Braces { at: open, inside } => {
                push_capture(&mut template.slots, open, inside)?;
                at = open + inside.len() + 2;
            }
        }
    }
    rest_is_last(&template)?;
    Ok(template)
}

/// A `*` outside of braces is taken for a glob by most who write it, and would match that letter alone.
fn no_glob(at: usize, literal: &str) -> Result<(), TemplateError> {
    let Some(star) = literal.find('*') else { return Ok(()) };
    Err(TemplateError::new(at + star, "`*` outside of a capture", "captures for what differs from key to key")
        .hint("write `{x*}` for any text up to the end, `{x}` for text without `:` and `/`"))
}

fn push_capture(slots: &mut Vec<Slot>, at: usize, inside: &str) -> Result<(), TemplateError> {
    let (name, kind) = capture(at, inside)?;
    if slots.iter().any(|slot| slot.name == name) {
        return Err(TemplateError::new(at, format!("a second capture `{name}`"), "each name once")
            .hint(format!("rename it, for example `{{{name}2}}`")));
    }
    if let Some(before) = slots.last()
        && before.kind != Kind::Rest
        && before.after.bytes.is_empty()
    {
        let found = format!("`{{{name}}}` directly behind `{{{}}}`", before.name);
        return Err(TemplateError::new(at, found, "a literal between two captures")
            .hint(format!("without one nobody knows where `{}` ends: put `:` between them", before.name)));
    }
    if slots.len() == MAX_CAPTURES {
        return Err(TemplateError::new(
            at,
            format!("more than {MAX_CAPTURES} captures"),
            format!("at most {MAX_CAPTURES}"),
        ));
    }
    slots.push(Slot { name, kind, after: Literal::new(&[]) });
    Ok(())
}

fn rest_is_last(template: &Template) -> Result<(), TemplateError> {
    let last = template.slots.len().saturating_sub(1);
    for (i, slot) in template.slots.iter().enumerate().filter(|(_, slot)| slot.kind == Kind::Rest) {
        if i < last || !slot.after.bytes.is_empty() {
            let written = format!("{{{}*}}", slot.name);
            let at = template.text.find(&written).unwrap_or(0);
            return Err(TemplateError::new(at, format!("`{written}` before the end"), "`{x*}` as the last piece only")
                .hint(format!("write `{{{}}}`, which stops at `:` and `/`", slot.name)));
        }
    }
    Ok(())
}

//! What does a key's text become elsewhere? Captures put into a tag (`product:{id}`) or a path (`/pages/{path}`).

use super::error::TemplateError;
use super::parse::{Piece, check_name, pieces};
use super::{Captures, Template};
use std::fmt;

/// A text with the captures of one template in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Expansion {
    text: String,
    parts: Vec<Part>,
}

/// A piece of an [`Expansion`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text as written.
    Literal(String),
    /// The capture of this name; its position among the template's captures.
    Capture {
        /// As in the template.
        name: String,
        /// Index into [`Captures::parts`].
        index: usize,
    },
}

impl Expansion {
    /// Reads `text`, whose names must be captures of `template`.
    ///
    /// # Errors
    /// The first mistake, with its place and what to write instead.
    ///
    /// ```
    /// use bellwether_core::template::{Expansion, Match, Template};
    /// let template = Template::parse("order:{shop}:{id:int}")?;
    /// let tag = Expansion::parse("orders-of-{shop}", &template)?;
    /// let Match::Yes(captures) = template.match_key(b"order:west:7") else { panic!() };
    /// assert_eq!(tag.expand(&captures), b"orders-of-west");
    /// # Ok::<(), bellwether_core::template::TemplateError>(())
    /// ```
    pub fn parse(text: &str, template: &Template) -> Result<Expansion, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::new(0, "nothing", "some text"));
        }
        let mut parts = Vec::new();
        for piece in pieces(text)? {
            parts.push(match piece {
                Piece::Literal(literal) => Part::Literal(literal.to_owned()),
                Piece::Braces { at, inside } => capture(at, inside, template)?,
            });
        }
        Ok(Expansion { text: text.to_owned(), parts })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its pieces, for callers that encode captures in their own way.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The text with the captures' bytes in place, unchanged.
    ///
    /// # Panics
    /// When `captures` belong to another template with fewer captures.
    pub fn expand(&self, captures: &Captures<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.text.len() + 16);
        for part in &self.parts {
            out.extend_from_slice(match part {
                Part::Literal(literal) => literal.as_bytes(),
                Part::Capture { index, .. } => {
                    captures.parts().get(*index).expect("expanded with captures of the template it was checked against")
                }
            });
        }
        out
    }
}

fn capture(at: usize, inside: &str, template: &Template) -> Result<Part, TemplateError> {
    let name = inside.split([':', '*']).next().unwrap_or_default();
    check_name(at, name)?;
    let Some(index) = template.captures().position(|(known, _)| known == name) else {
        let known: Vec<String> = template.captures().map(|(known, _)| format!("`{{{known}}}`")).collect();
        let expected = match known.as_slice() {
            [] => format!("no captures: `{template}` has none"),
            known => format!("a capture of `{template}`: {}", known.join(", ")),
        };
        return Err(TemplateError::new(at, format!("`{{{name}}}`"), expected));
    };
    if name != inside {
        return Err(TemplateError::new(at, format!("`{{{inside}}}`"), format!("the name alone, `{{{name}}}`"))
            .hint("types and `*` belong to `match`"));
    }
    Ok(Part::Capture { name: name.to_owned(), index })
}

impl fmt::Display for Expansion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Expansion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expansion({:?})", self.text)
    }
}

//! Which space does a key belong to, and what does the key say? Templates such as `product:{id:int}`.
//!
//! | written | matches |
//! |---|---|
//! | a literal | exactly its bytes |
//! | `{x}` | one or more bytes except `:` and `/` |
//! | `{x*}` (last piece only) | one or more bytes |
//! | `{x:int}` | a canonical decimal i64: `042`, `+7` and `-0` are none |
//! | `{x:uuid}` | a lower-case UUID with its hyphens |
//!
//! Two keys never have the same captures: a key is its template's literals with the captures put
//! back, byte for byte. That is why `{x:int}` insists on the canonical form; otherwise
//! `DEL product:42` would leave `product:042` behind.
//!
//! **Where a capture ends.** At the *first* place where the literal behind it fits (the last
//! literal: at the end of the key). So `{a}-{b}` splits `x-y-z` into `x` and `y-z`. Nothing is tried
//! twice: a match costs at most one pass over the key per capture. For templates without types the
//! rule loses no key (the first fit leaves the most room for the rest); types are looked at after
//! the split, so with `{a}-{b:int}` the key `x-y-7` has the wrong type (`b` would be `y-7`).
//! Separate typed captures by `:` or `/` and the question never arises.
#![warn(clippy::indexing_slicing)]

mod error;
mod expansion;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod parse;
#[cfg(test)]
mod tests;

pub use error::TemplateError;
pub use expansion::{Expansion, Part};

use std::fmt;

/// The most captures in one template: what a match carries without allocating.
pub const MAX_CAPTURES: usize = 8;

/// A parsed template.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    /// What every key begins with.
    prefix: Box<[u8]>,
    /// The captures in order, each with the literal behind it.
    slots: Vec<Slot>,
}

/// What a capture takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{x}`: one or more bytes except `:` and `/`.
    Text,
    /// `{x*}`: one or more bytes.
    Rest,
    /// `{x:int}`: a canonical decimal i64.
    Int,
    /// `{x:uuid}`: a lower-case UUID.
    Uuid,
}

#[derive(Clone, PartialEq, Eq)]
struct Slot {
    name: String,
    kind: Kind,
    /// Empty only behind the last capture: two captures never touch.
    after: Literal,
}

/// A literal between two captures, ready to be searched for in linear time.
#[derive(Clone, PartialEq, Eq)]
struct Literal {
    bytes: Box<[u8]>,
    /// Where its first `:` or `/` is. A capture can't contain one, so this alone fixes where the literal lies.
    separator: Option<usize>,
    /// Knuth, Morris, Pratt: how much of the literal still fits when the byte after `i + 1` fitting bytes does not.
    fallback: Box<[u16]>,
}

/// What a key is to a template.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Match<'a> {
    /// The literals don't fit.
    No,
    /// The key belongs here.
    Yes(Captures<'a>),
    /// The literals fit, but a capture isn't the `int` or `uuid` that it must be.
    WrongType,
}

/// What a key is to a list of templates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Route<'a> {
    /// The template at `index` matches.
    Space {
        /// Position in the list.
        index: usize,
        /// What the key says.
        captures: Captures<'a>,
    },
    /// No template matches; the one at `index` is the first that would but for a type. Answered
    /// nil (why `negative_type`) without a load: no such row can exist.
    WrongType {
        /// Position in the list.
        index: usize,
    },
    /// No template fits at all.
    Nowhere,
}

/// The space for `key` among `templates`: the first that matches.
///
/// A template whose literals fit but whose capture has the wrong type does not end the search: it
/// doesn't match. People write `product:{id:int}` and, below it, `product:{slug}`, and expect
/// `product:red-shoes` in the second, as with the typed routes of web frameworks. Only when nothing
/// below matches either is the key known to be of the wrong type.
pub fn route<'a>(templates: impl IntoIterator<Item = &'a Template>, key: &'a [u8]) -> Route<'a> {
    let mut otherwise = Route::Nowhere;
    for (index, template) in templates.into_iter().enumerate() {
        match template.match_key(key) {
            Match::Yes(captures) => return Route::Space { index, captures },
            Match::WrongType if otherwise == Route::Nowhere => otherwise = Route::WrongType { index },
            Match::WrongType | Match::No => {}
        }
    }
    otherwise
}

/// Where the space for `key` stands among `templates`, as [`route`] finds it: for those who need not know what the key
/// says. [`route`] carries room for every capture, which takes longer than the lookup of a key that is there.
#[inline]
pub fn place<'a>(templates: impl IntoIterator<Item = &'a Template>, key: &[u8]) -> Option<usize> {
    templates.into_iter().position(|template| template.takes(key))
}

/// One capture's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of an `{x:int}`.
    Int(i64),
    /// Of any other capture: bytes, not necessarily UTF-8.
    Text(&'a [u8]),
}

/// What a key says: a value per capture, borrowed from the key.
#[derive(Clone, Copy)]
pub struct Captures<'a> {
    template: &'a Template,
    parts: [&'a [u8]; MAX_CAPTURES],
}

impl Template {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The literal in front of the first capture without a `:` or `/` at its end: a space's default name.
    pub fn literal_prefix(&self) -> &str {
        let end = self.text.find('{').unwrap_or(self.text.len());
        self.text.get(..end).unwrap_or_default().trim_end_matches([':', '/'])
    }

    /// The captures' names and kinds, in order.
    pub fn captures(&self) -> impl ExactSizeIterator<Item = (&str, Kind)> {
        self.slots.iter().map(|slot| (slot.name.as_str(), slot.kind))
    }

    /// The key with these captures, in the order of the template: whatever they are, so it may be no key of the
    /// template. `None` if there are more or fewer of them.
    pub fn fill(&self, captures: &[impl AsRef<[u8]>]) -> Option<Vec<u8>> {
        if captures.len() != self.slots.len() {
            return None;
        }
        let mut key = self.prefix.to_vec();
        for (slot, capture) in self.slots.iter().zip(captures) {
            key.extend_from_slice(capture.as_ref());
            key.extend_from_slice(&slot.after.bytes);
        }
        Some(key)
    }

    /// Whether `key` belongs here. Allocates nothing, never goes back.
    pub fn match_key<'a>(&'a self, key: &'a [u8]) -> Match<'a> {
        let Some(parts) = self.split(key) else { return Match::No };
        let typed = self.slots.iter().zip(parts).all(|(slot, part)| slot.kind.accepts(part));
        if typed { Match::Yes(Captures { template: self, parts }) } else { Match::WrongType }
    }

    /// Whether [`Template::match_key`] says yes.
    #[inline]
    pub fn takes(&self, key: &[u8]) -> bool {
        match self.slots.as_slice() {
            // One capture up to the end of the key, as most have: nothing to be split, no literal to be looked for.
            [Slot { kind, after, .. }] if after.bytes.is_empty() => {
                behind(key, &self.prefix).is_some_and(|part| kind.takes(part) && kind.accepts(part))
            }
            _ => matches!(self.match_key(key), Match::Yes(_)),
        }
    }

    /// The part of `key` for each capture, types aside.
    fn split<'a>(&self, key: &'a [u8]) -> Option<[&'a [u8]; MAX_CAPTURES]> {
        let mut parts: [&[u8]; MAX_CAPTURES] = [&[]; MAX_CAPTURES];
        let mut rest = key.strip_prefix(&*self.prefix)?;
        let Some((last, inner)) = self.slots.split_last() else { return rest.is_empty().then_some(parts) };
        let mut filled = parts.iter_mut();
        for slot in inner {
            let end = slot.after.first_in(rest)?;
            let (part, tail) = rest.split_at_checked(end)?;
            rest = tail.strip_prefix(&*slot.after.bytes)?;
            *filled.next()? = part;
        }
        let part = rest.strip_suffix(&*last.after.bytes)?;
        if !last.kind.takes(part) {
            return None;
        }
        *filled.next()? = part;
        Some(parts)
    }

    /// Whether no key can ever reach `later` because this template, tried earlier, matches it first.
    ///
    /// Never claimed wrongly. Exact where this template has no types; a typed capture here is only
    /// taken to cover the same type there, or a literal of it (that every UUID would fit into
    /// `{a}-{b}` goes unclaimed).
    pub fn hides(&self, later: &Template) -> bool {
        if later.slots.is_empty() {
            return matches!(self.match_key(&later.prefix), Match::Yes(_));
        }
        let ends_open = |t: &Template| t.slots.last().is_some_and(|slot| slot.kind == Kind::Rest);
        if ends_open(later) && !ends_open(self) {
            return false;
        }
        if self.split_depends_on_values() {
            return self.same_but_names(later);
        }
        // A byte that no literal contains stands for whatever `later` captures: only a capture of
        // this template can take it, and what takes it takes any other value in its place.
        let sample = later.filled_with(STAND_IN);
        let Some(parts) = self.split(&sample) else { return false };
        let mut stood_for = later.slots.iter().map(|slot| slot.kind);
        self.slots.iter().zip(parts).all(|(slot, part)| {
            let count = part.iter().filter(|&&byte| byte == STAND_IN).count();
            let inside: Vec<Kind> = stood_for.by_ref().take(count).collect();
            match slot.kind {
                Kind::Text | Kind::Rest => true,
                typed if inside.is_empty() => typed.accepts(part),
                typed => part == [STAND_IN] && inside == [typed],
            }
        })
    }

    /// Typed, with a literal that may also occur inside the capture in front of it: one key's split
    /// then says nothing about another's.
    fn split_depends_on_values(&self) -> bool {
        let typed = self.slots.iter().any(|slot| matches!(slot.kind, Kind::Int | Kind::Uuid));
        let inner = self.slots.split_last().map_or(&[][..], |(_, inner)| inner);
        typed && inner.iter().any(|slot| slot.after.separator.is_none())
    }

    fn same_but_names(&self, other: &Template) -> bool {
        let shape = |t: &Template| t.slots.iter().map(|s| (s.kind, s.after.bytes.clone())).collect::<Vec<_>>();
        self.prefix == other.prefix && shape(self) == shape(other)
    }

    /// The key with `byte` for every capture.
    fn filled_with(&self, byte: u8) -> Vec<u8> {
        let mut key = self.prefix.to_vec();
        for slot in &self.slots {
            key.push(byte);
            key.extend_from_slice(&slot.after.bytes);
        }
        key
    }
}

/// Literals are UTF-8, and UTF-8 has no such byte.
const STAND_IN: u8 = 0xFF;

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({:?})", self.text)
    }
}

impl Kind {
    /// Whether a capture may take `part`, types aside.
    #[inline]
    fn takes(self, part: &[u8]) -> bool {
        !part.is_empty() && (self == Kind::Rest || !part.iter().any(is_separator))
    }

    /// Whether `part`, cut out of a key, is of this kind.
    #[inline]
    fn accepts(self, part: &[u8]) -> bool {
        match self {
            Kind::Text | Kind::Rest => true,
            Kind::Int => canonical_int(part).is_some(),
            Kind::Uuid => is_uuid(part),
        }
    }
}

impl Literal {
    fn new(bytes: &[u8]) -> Literal {
        let mut fallback = vec![0u16; bytes.len()];
        let mut fits = 0usize;
        for (i, byte) in bytes.iter().enumerate().skip(1) {
            fits = advance(bytes, &fallback, fits, byte);
            if let Some(entry) = fallback.get_mut(i) {
                *entry = u16::try_from(fits).unwrap_or(u16::MAX);
            }
        }
        Literal { bytes: bytes.into(), separator: bytes.iter().position(is_separator), fallback: fallback.into() }
    }

    /// Where this literal begins in `text`, behind a capture of at least one byte.
    fn first_in(&self, text: &[u8]) -> Option<usize> {
        let stop = text.iter().position(is_separator).unwrap_or(text.len());
        if let Some(offset) = self.separator {
            let start = stop.checked_sub(offset).filter(|&start| start > 0)?;
            return text.get(start..)?.starts_with(&self.bytes).then_some(start);
        }
        let mut fits = 0;
        for (i, byte) in text.get(..stop)?.iter().enumerate().skip(1) {
            fits = advance(&self.bytes, &self.fallback, fits, byte);
            if fits == self.bytes.len() {
                return Some(i + 1 - fits);
            }
        }
        None
    }
}

/// What stands behind `prefix` in `key`. Byte by byte: a literal is short, and a call that compares takes longer.
#[inline]
fn behind<'a>(key: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, part) = key.split_at_checked(prefix.len())?;
    head.iter().zip(prefix).all(|(one, other)| one == other).then_some(part)
}

/// With `fits` bytes of `literal` fitting so far: how many fit after one more `byte`.
fn advance(literal: &[u8], fallback: &[u16], mut fits: usize, byte: &u8) -> usize {
    while fits > 0 && literal.get(fits) != Some(byte) {
        fits = fallback.get(fits - 1).map_or(0, |&f| usize::from(f));
    }
    if literal.get(fits) == Some(byte) { fits + 1 } else { fits }
}

impl<'a> Captures<'a> {
    /// The value of the capture `name`.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> + use<'a> {
        let template = self.template;
        template.slots.iter().zip(self.parts).map(|(slot, part)| {
            let value = match slot.kind {
                Kind::Int => canonical_int(part).map_or(Value::Text(part), Value::Int),
                Kind::Text | Kind::Rest | Kind::Uuid => Value::Text(part),
            };
            (slot.name.as_str(), value)
        })
    }

    /// The bytes of each capture as they stand in the key, in order.
    pub fn parts(&self) -> &[&'a [u8]] {
        self.parts.get(..self.template.slots.len()).unwrap_or_default()
    }

    /// Whether every capture is UTF-8: what goes to SQL or HTTP must be, else the answer is nil without a load.
    pub fn are_utf8(&self) -> bool {
        self.parts().iter().all(|part| std::str::from_utf8(part).is_ok())
    }
}

impl<'a> Value<'a> {
    /// Text that is UTF-8; `None` for an int and for other bytes.
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            Value::Int(_) => None,
            Value::Text(bytes) => std::str::from_utf8(bytes).ok(),
        }
    }
}

impl PartialEq for Captures<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Captures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

fn is_separator(byte: &u8) -> bool {
    matches!(byte, b':' | b'/')
}

/// The number that `part` writes in the one canonical way.
fn canonical_int(part: &[u8]) -> Option<i64> {
    let digits = part.strip_prefix(b"-").unwrap_or(part);
    let canonical = match digits {
        [b'0'] => part.len() == 1,
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    if !canonical {
        return None;
    }
    std::str::from_utf8(part).ok()?.parse().ok()
}

fn is_uuid(part: &[u8]) -> bool {
    part.len() == 36
        && part.iter().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

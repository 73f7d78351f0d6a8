//! How do rows become a body, and which key of a batch does a row belong to?

use std::borrow::Cow;
use std::collections::HashMap;

use bellwether::{LoadError, Loaded};
use bytes::Bytes;

use super::check::Shape;
use crate::Payload;
use crate::payload::JSON;

/// A body under construction.
#[derive(Default)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) rows: usize,
    /// The raw column was NULL.
    pub(crate) null: bool,
}

impl Body {
    /// Another row begins: what is written next is its value.
    pub(crate) fn row(&mut self, shape: Shape, max_rows: usize) -> Result<(), LoadError> {
        self.rows += 1;
        if self.rows > 1 && shape != Shape::Array {
            return Err(LoadError::rejected("two rows where one was expected (rows = \"one\")"));
        }
        if self.rows > max_rows {
            return Err(LoadError::rejected(format!("more than {max_rows} rows")));
        }
        if shape == Shape::Array {
            self.bytes.push(if self.rows == 1 { b'[' } else { b',' });
        }
        Ok(())
    }

    /// Called as it grows.
    pub(crate) fn within(&self, max_bytes: usize) -> Result<(), LoadError> {
        if self.bytes.len() > max_bytes { Err(too_large(max_bytes)) } else { Ok(()) }
    }

    pub(crate) fn loaded(mut self, shape: Shape) -> Loaded<Payload> {
        let content_type = match shape {
            Shape::Array => {
                self.bytes.extend_from_slice(if self.rows == 0 { b"[]" } else { b"]" });
                Some(Cow::Borrowed(JSON))
            }
            _ if self.rows == 0 || self.null => return Loaded::missing(),
            Shape::Object => Some(Cow::Borrowed(JSON)),
            Shape::Raw(_) => None,
        };
        // Boxed first: a vector's spare room would be kept, and not weighed.
        let body = Bytes::from(self.bytes.into_boxed_slice());
        Loaded::value(Payload { body, validator: None, content_type })
    }
}

pub(crate) fn too_large(max_bytes: usize) -> LoadError {
    LoadError::rejected(format!("a value of more than {max_bytes} bytes"))
}

pub(crate) fn not_finite() -> LoadError {
    LoadError::rejected("a number that is not finite, which JSON can't say")
}

/// Where each text stands: a key that is asked for twice is asked for once.
pub(crate) fn places(texts: &[String]) -> HashMap<&str, Vec<usize>> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        places.entry(text).or_default().push(index);
    }
    places
}

/// The same answer for every index; a missing one is left out.
pub(crate) fn for_each(answer: Loaded<Payload>, indices: &[usize]) -> Vec<(usize, Loaded<Payload>)> {
    match answer.as_value() {
        Some(payload) => indices.iter().map(|index| (*index, Loaded::value(payload.clone()))).collect(),
        None => Vec::new(),
    }
}

/// Two texts that a database's usual collations or a numeric comparison could hold equal have the
/// same loose form. More may have; that costs a statement, never a wrong answer.
pub(crate) fn loose(text: &str) -> String {
    let trimmed = text.trim();
    match trimmed.parse::<f64>() {
        Ok(number) if number.is_finite() => number.to_string(),
        _ => trimmed.to_ascii_lowercase(),
    }
}

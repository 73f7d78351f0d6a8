//! What are the arguments of the command just parsed?

use std::fmt;
use std::ops::Index;

/// An argument: its place in the read buffer (or, for an inline command, in the parser's scratch).
/// Eight bytes, so that a command of a million tiny arguments costs about what its bytes do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// The arguments of one command, name first, as slices of the read buffer. A cheap copy.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    base: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    pub(crate) fn new(base: &'a [u8], spans: &'a [Span]) -> Self {
        Args { base, spans }
    }

    /// How many, the name included.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Only after [`Parsed::Nothing`](crate::Parsed::Nothing): a command has at least its name.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `i`, where 0 is the name. Unlike `args[i]` it lives as long as the buffer.
    #[inline]
    pub fn get(&self, i: usize) -> Option<&'a [u8]> {
        self.spans.get(i).map(|span| self.slice(*span))
    }

    /// The arguments from `first` on; none if there are fewer.
    #[inline]
    pub fn from(&self, first: usize) -> Args<'a> {
        Args { base: self.base, spans: self.spans.get(first..).unwrap_or_default() }
    }

    /// All of them in order, name first.
    #[inline]
    pub fn iter(&self) -> ArgsIter<'a> {
        ArgsIter { base: self.base, spans: self.spans.iter() }
    }

    #[inline]
    fn slice(&self, span: Span) -> &'a [u8] {
        &self.base[span.start as usize..span.end as usize]
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    /// Panics beyond the last argument, as a slice does.
    #[inline]
    fn index(&self, i: usize) -> &[u8] {
        self.slice(self.spans[i])
    }
}

impl<'a> IntoIterator for Args<'a> {
    type Item = &'a [u8];
    type IntoIter = ArgsIter<'a>;

    fn into_iter(self) -> ArgsIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|arg| arg.escape_ascii().to_string())).finish()
    }
}

/// Iterator over [`Args`].
#[derive(Clone, Debug)]
pub struct ArgsIter<'a> {
    base: &'a [u8],
    spans: std::slice::Iter<'a, Span>,
}

impl<'a> Iterator for ArgsIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.spans.next().map(|span| &self.base[span.start as usize..span.end as usize])
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl ExactSizeIterator for ArgsIter<'_> {}

//! What do many programs keep? Values of a few types, which an entry hands out without being asked for its type's number.
//!
//! That number comes back by memory, and is waited for: a seventh of a hit. A value of one of these types comes back in
//! two registers.

use std::any::{Any, TypeId};
use std::sync::Arc;

use bytes::Bytes;

/// A value of a common type, or of another.
#[derive(Clone, Copy)]
pub(crate) enum Common<'a> {
    Bytes(&'a Bytes),
    Text(&'a String),
    SharedText(&'a Arc<str>),
    Octets(&'a Vec<u8>),
    Other,
}

impl<'a> Common<'a> {
    /// Whether this type is among them. Known when a program is compiled, as is what follows.
    #[inline(always)]
    pub(crate) fn has<V: 'static>() -> bool {
        let of = TypeId::of::<V>();
        of == TypeId::of::<Bytes>()
            || of == TypeId::of::<String>()
            || of == TypeId::of::<Arc<str>>()
            || of == TypeId::of::<Vec<u8>>()
    }

    #[inline(always)]
    pub(crate) fn of<V: 'static>(value: &'a V) -> Common<'a> {
        let value: &dyn Any = value;
        if let Some(bytes) = value.downcast_ref() {
            Common::Bytes(bytes)
        } else if let Some(text) = value.downcast_ref() {
            Common::Text(text)
        } else if let Some(text) = value.downcast_ref() {
            Common::SharedText(text)
        } else if let Some(octets) = value.downcast_ref() {
            Common::Octets(octets)
        } else {
            Common::Other
        }
    }

    /// The value, if it is of this type.
    #[inline(always)]
    pub(crate) fn value<V: 'static>(self) -> Option<&'a V> {
        // One by one: each of them is decided when a program is compiled.
        match self {
            Common::Bytes(bytes) => (bytes as &dyn Any).downcast_ref(),
            Common::Text(text) => (text as &dyn Any).downcast_ref(),
            Common::SharedText(text) => (text as &dyn Any).downcast_ref(),
            Common::Octets(octets) => (octets as &dyn Any).downcast_ref(),
            Common::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_comes_back_as_itself_and_as_no_other() {
        fn comes_back<V: Clone + PartialEq + 'static>(value: V) -> bool {
            assert_eq!(Common::of(&value).value::<u64>(), None);
            assert_eq!(Common::of(&value).value::<Box<str>>(), None);
            Common::of(&value).value() == Some(&value)
        }
        assert!(comes_back(Bytes::from_static(b"b")) && Common::has::<Bytes>());
        assert!(comes_back("s".to_owned()) && Common::has::<String>());
        assert!(comes_back::<Arc<str>>("a".into()) && Common::has::<Arc<str>>());
        assert!(comes_back(vec![7_u8]) && Common::has::<Vec<u8>>());
        assert!(!comes_back(7_u64) && !Common::has::<u64>() && !comes_back(vec![7_u16]));
        assert_eq!(Common::of(&vec![7_u8]).value::<Bytes>(), None);
    }
}

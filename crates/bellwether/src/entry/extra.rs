//! What do few entries have? A version of the origin's, and tags.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::shared::tag_hash;

/// What few entries have.
#[derive(Debug)]
pub(crate) struct Extra {
    pub(crate) version: Option<u64>,
    pub(crate) tags: Box<[Tag]>,
    /// The tag generation at which the tags were last found uncovered.
    pub(crate) checked: AtomicU64,
}

impl Extra {
    /// `None` where there is nothing extra: most entries.
    pub(crate) fn of(version: Option<u64>, tags: Box<[Tag]>) -> Option<Box<Extra>> {
        let extra = Extra { version, tags, checked: AtomicU64::new(0) };
        (extra.version.is_some() || !extra.tags.is_empty()).then(|| Box::new(extra))
    }

    /// The newer version and the tags of both.
    pub(super) fn joined(held: Option<&Extra>, more: Option<Box<Extra>>) -> Option<Box<Extra>> {
        let Some(held) = held else { return more };
        let version = more.as_ref().and_then(|more| more.version).or(held.version);
        let new = more.as_deref().map_or(&[][..], |more| &more.tags);
        let new = new.iter().filter(|tag| held.tags.iter().all(|other| other.hash != tag.hash));
        Extra::of(version, held.tags.iter().chain(new).cloned().collect())
    }

    /// Bytes, its own included. An `Arc<str>` has two counts before its text.
    pub(super) fn weight(&self) -> usize {
        let text = |tag: &Tag| tag.text.as_ref().map_or(0, |text| 16 + text.len());
        let tags = self.tags.iter().map(|tag| size_of::<Tag>() + text(tag));
        size_of::<Extra>() + tags.sum::<usize>()
    }
}

/// Bytes of what few entries have.
pub(super) fn weight_of(extra: Option<&Extra>) -> usize {
    extra.map_or(0, Extra::weight)
}

/// A tag as floors know it: by its hash on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Tag {
    pub(crate) hash: u64,
    /// Unknown where another process loaded the entry.
    pub(crate) text: Option<Arc<str>>,
}

impl Tag {
    pub(crate) fn named(text: &Arc<str>) -> Tag {
        Tag { hash: tag_hash(text), text: Some(text.clone()) }
    }

    pub(crate) fn of_wire(hash: u64) -> Tag {
        Tag { hash, text: None }
    }

    /// Its text, or what is known of it.
    pub(crate) fn shown(&self) -> String {
        self.text.as_ref().map_or_else(|| format!("#{:016x}", self.hash), |text| text.to_string())
    }
}

//! What does a configured space need to answer? Its place in the cache, its origin, its tags.

use std::borrow::Cow;
use std::sync::Arc;

use bellwether::{Cached, LoadCtx, LoadError, Loaded, OnDisk, Space};
use bellwether_adapters::{Capture, Captures, Keys, Origin, Payload};
use bellwether_core::key::push_part;
use bellwether_core::policy::Policy;
use bellwether_core::template::{self, Expansion, Match, Template, Value};
use bellwether_core::time::Span;
use bytes::Bytes;

use super::budgets::Budgets;
use super::filter::Filtered;
use super::outcome::Refusal;
use super::tally::Tally;
use crate::config::{OriginConfig, Place};

/// One `[[space]]` at work.
pub(super) struct Served {
    pub(super) name: String,
    pub(super) template: Template,
    pub(super) space: Space<[u8], Payload>,
    pub(super) policy: Policy,
    /// `None`: a plain space.
    pub(super) origin: Option<Source>,
    pub(super) tags: Vec<Expansion>,
    /// In front of every stored key: the generation, length first. Empty if there is none.
    pub(super) generation: Box<[u8]>,
    pub(super) tally: Arc<Tally>,
    /// Which keys exist, if its origin is to tell.
    pub(super) filtered: Option<Filtered>,
    /// What its clients may ask for, if that is limited.
    pub(super) budgets: Option<Arc<Budgets>>,
    /// Other processes have its values too.
    pub(super) shared: bool,
    /// Its entries also live on this machine's disk.
    pub(super) on_disk: bool,
}

/// A body that no origin described.
pub(super) fn plain_payload(body: Bytes) -> Payload {
    Payload { body, validator: None, content_type: None }
}

/// Whether the disk was asked for a key, for who decides by what is there.
pub(super) enum Looked {
    /// Not yet: memory may be enough.
    NotYet,
    /// It was, or need not be: what it has.
    Found(Option<OnDisk>),
}

/// What people are told of a space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpaceView {
    /// Its name.
    pub name: String,
    /// Which keys belong to it: its `match`.
    pub template: String,
    /// Its origin; `None`: a plain space.
    pub origin: Option<String>,
    /// A value is fresh for so long.
    pub ttl: Span,
}

/// Where a space's values come from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) origin: Arc<dyn Origin>,
    /// The template's captures, shared by all loads.
    names: Arc<[Arc<str>]>,
    /// Whether many keys can be loaded at once.
    pub(super) many: bool,
    /// The origin's name, and where its address is written: for problems.
    pub(super) named: Arc<(String, Place)>,
    /// Names the keys that there are.
    pub(super) keys: Option<Arc<dyn Keys>>,
}

impl Source {
    pub(super) fn new(origin: Arc<dyn Origin>, template: &Template, many: bool, of: &OriginConfig) -> Source {
        let names = template.captures().map(|(name, _)| name.into()).collect();
        Source { origin, names, many, named: Arc::new((of.name.clone(), of.place.clone())), keys: None }
    }

    /// The same, whose keys are named by `keys`.
    pub(super) fn naming(self, keys: Option<Arc<dyn Keys>>) -> Source {
        Source { keys, ..self }
    }

    /// What the key says, ready to be bound. `None` if a capture is no text.
    fn captures(&self, found: &template::Captures<'_>) -> Option<Captures> {
        let values = self.names.iter().zip(found.iter());
        let owned = values.map(|(name, (_, value))| {
            let value = match value {
                Value::Int(number) => Capture::Int(number),
                Value::Text(bytes) => Capture::Text(std::str::from_utf8(bytes).ok()?.to_owned()),
            };
            Some((name.clone(), value))
        });
        owned.collect()
    }
}

/// All that a load of one key needs, owned: it goes on without its caller.
pub(super) struct Load {
    source: Source,
    captures: Captures,
    tags: Vec<Arc<str>>,
}

/// How any key of a space is loaded although nobody reads it.
pub(super) struct Recipe {
    source: Source,
    template: Template,
    tags: Vec<Expansion>,
    generation: Box<[u8]>,
}

impl Recipe {
    /// The load of a stored key; `None` if no such row can exist.
    pub(super) fn load(&self, stored: &[u8]) -> Option<Load> {
        let Match::Yes(found) = self.template.match_key(stored.strip_prefix(&*self.generation)?) else { return None };
        load(&self.source, &self.tags, &found)
    }
}

fn load(source: &Source, tags: &[Expansion], captures: &template::Captures<'_>) -> Option<Load> {
    let owned = source.captures(captures).filter(|captures| !source.origin.never(captures))?;
    Some(Load { captures: owned, tags: tags_of(tags, captures), source: source.clone() })
}

/// Bytes that are no text become U+FFFD: at worst two keys share a tag.
fn tags_of(tags: &[Expansion], captures: &template::Captures<'_>) -> Vec<Arc<str>> {
    tags.iter().map(|tag| String::from_utf8_lossy(&tag.expand(captures)).into()).collect()
}

impl Load {
    pub(super) async fn run(self, ctx: LoadCtx<Vec<u8>, Payload>) -> Result<Loaded<Payload>, LoadError> {
        let have = ctx.stale();
        let loaded = self.source.origin.load(self.captures, have.as_deref()).await?;
        Ok(self.tags.into_iter().fold(loaded, Loaded::tag))
    }
}

impl Served {
    /// What people are told of it.
    pub(super) fn view(&self) -> SpaceView {
        SpaceView {
            name: self.name.clone(),
            template: self.template.to_string(),
            origin: self.origin.as_ref().map(|source| source.named.0.clone()),
            ttl: self.policy.ttl,
        }
    }

    /// Its entries also live outside this process's memory.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.shared || self.on_disk
    }

    /// The key as it is stored: another generation never sees this one's entries. Without a
    /// generation it is the key itself. A space with another generation begins anew, and the cache
    /// keeps spaces apart by their ids: two keys never have the same bytes.
    pub(super) fn stored<'k>(&self, key: &'k [u8]) -> Cow<'k, [u8]> {
        if self.generation.is_empty() {
            return Cow::Borrowed(key);
        }
        Cow::Owned([&self.generation, key].concat())
    }

    /// What is there for those who ask in Redis's words. In a plain space a stale value is not: it is
    /// kept for who gets the token to renew it, and a `SET … NX` that saw it would never write.
    pub(super) fn present(&self, stored: &[u8]) -> Option<Cached<Payload>> {
        self.space.peek(stored).filter(|found| self.origin.is_some() || !found.is_stale())
    }

    /// Its clients alone write it, and what memory had to let go of is on disk: what is there decides.
    pub(super) fn decides_by_disk(&self) -> bool {
        self.on_disk && !self.shared && self.origin.is_none()
    }

    /// As [`Served::present`], of what memory has or else the disk. To be asked under the key's write lock.
    ///
    /// # Errors
    /// The disk must be asked first.
    pub(super) fn before(&self, stored: &[u8], looked: &Looked) -> Result<Option<Cached<Payload>>, Refusal> {
        match (self.present(stored), looked) {
            (Some(found), _) => Ok(Some(found)),
            (None, Looked::Found(found)) => {
                Ok(found.as_ref().and_then(|found| self.space.take_up(found)).filter(|found| !found.is_stale()))
            }
            (None, Looked::NotYet) => Err(Refusal::Unsure),
        }
    }

    /// The key as a client knows it.
    pub(super) fn unstored<'k>(&self, stored: &'k [u8]) -> Option<&'k [u8]> {
        stored.strip_prefix(&*self.generation)
    }

    /// The load of a key; `None` if no such row can exist: a capture is no text, or its origin says
    /// so without being asked.
    pub(super) fn load(&self, source: &Source, captures: &template::Captures<'_>) -> Option<Load> {
        load(source, &self.tags, captures)
    }

    /// How its keys are loaded although nobody reads them; `None`: a plain space.
    pub(super) fn recipe(&self) -> Option<Recipe> {
        let (template, tags, generation) = (self.template.clone(), self.tags.clone(), self.generation.clone());
        Some(Recipe { source: self.origin.clone()?, template, tags, generation })
    }

    /// The captures of several stored keys with their tags. All matched the template before they were stored.
    pub(super) fn loads(&self, source: &Source, stored: &[Vec<u8>]) -> Vec<(Captures, Vec<Arc<str>>)> {
        let of_key = |stored: &Vec<u8>| match self.template.match_key(self.unstored(stored)?) {
            Match::Yes(found) => Some((source.captures(&found)?, self.tags(&found))),
            Match::No | Match::WrongType => None,
        };
        stored.iter().filter_map(of_key).collect()
    }

    /// The tags of an entry.
    pub(super) fn tags(&self, captures: &template::Captures<'_>) -> Vec<Arc<str>> {
        tags_of(&self.tags, captures)
    }
}

/// What stands in front of the stored keys of a generation.
pub(super) fn generation_prefix(generation: Option<&str>) -> Box<[u8]> {
    let mut prefix = Vec::new();
    if let Some(generation) = generation {
        push_part(&mut prefix, generation.as_bytes());
    }
    prefix.into()
}

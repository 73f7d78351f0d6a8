//! Which space does a key belong to? One configuration at work, whole: a reload puts another in its place.

use std::sync::Arc;

use bellwether::Why;
use bellwether_core::key::MAX_KEY_BYTES;
use bellwether_core::template::{Captures, Route, Template, route};

use super::filter::Filter;
use super::front::Front;
use super::opened::Opened;
use super::outcome::Refusal;
use super::served::Served;
use super::tally::Tally;
use crate::config::Config;

/// What a request finds when it begins.
pub(super) struct Serving {
    /// In the order in which they are tried.
    pub(super) spaces: Vec<Served>,
    /// The same, as far as a hit looks at them.
    pub(super) front: Arc<Front>,
    /// As they were opened, for whoever goes on with them.
    pub(super) origins: Vec<Arc<Opened>>,
    /// Requests that no space matches: the same through all reloads.
    pub(super) nowhere: Arc<Tally>,
    /// What was asked for.
    pub(super) config: Config,
}

/// Where a key belongs.
pub(super) enum Belongs<'a> {
    /// Here, and this is what it says.
    To(&'a Served, Captures<'a>),
    /// It would belong here, but a capture isn't of its type: no such row can exist.
    WrongType(&'a Served),
    /// No space matches.
    Nowhere,
    /// It is longer than any key.
    TooLong,
}

impl Serving {
    /// The filters of existing keys, and which keys they are for.
    pub(super) fn filters(&self) -> impl Iterator<Item = (Template, Arc<Filter>)> + '_ {
        let of = |served: &Served| Some((served.template.clone(), served.filtered.as_ref()?.filter.clone()));
        self.spaces.iter().filter_map(of)
    }

    pub(super) fn belongs<'a>(&'a self, key: &'a [u8]) -> Belongs<'a> {
        if key.len() > MAX_KEY_BYTES {
            return Belongs::TooLong;
        }
        match route(self.spaces.iter().map(|served| &served.template), key) {
            Route::Space { index, captures } => Belongs::To(&self.spaces[index], captures),
            Route::WrongType { index } => Belongs::WrongType(&self.spaces[index]),
            Route::Nowhere => Belongs::Nowhere,
        }
    }

    /// The space that `key` is written to or removed from.
    pub(super) fn target<'a>(&'a self, key: &'a [u8]) -> Result<(&'a Served, Captures<'a>), Refusal> {
        match self.belongs(key) {
            Belongs::To(served, captures) => Ok((served, captures)),
            Belongs::WrongType(served) => Err(Refusal::WrongType { space: served.name.clone() }),
            Belongs::TooLong => {
                self.nowhere.count(Why::NoSpace);
                Err(Refusal::KeyTooLong)
            }
            Belongs::Nowhere => {
                self.nowhere.count(Why::NoSpace);
                Err(Refusal::NoSpace)
            }
        }
    }

    /// The plain space that `key` is written to.
    pub(super) fn plain<'a>(&'a self, key: &'a [u8]) -> Result<(&'a Served, Captures<'a>), Refusal> {
        let (served, captures) = match self.belongs(key) {
            // An origin decides what exists, so the type of a capture changes nothing here.
            Belongs::WrongType(served) if served.origin.is_some() => return Err(read_only(served)),
            Belongs::WrongType(served) => {
                // A write that no read could ever find is a request that was refused.
                served.tally.count(Why::NegativeType);
                return Err(Refusal::WrongType { space: served.name.clone() });
            }
            _ => self.target(key)?,
        };
        if served.origin.is_some() {
            return Err(read_only(served));
        }
        Ok((served, captures))
    }
}

fn read_only(served: &Served) -> Refusal {
    served.tally.count(Why::ReadOnly);
    Refusal::ReadOnly { space: served.name.clone() }
}

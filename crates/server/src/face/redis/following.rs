//! What does a client want to be told without asking? Of the end of what it keeps, and what its channels carry.

use std::sync::Arc;

use bytes::Bytes;

use super::glob;
use crate::service::Service;
use crate::service::watch::{ClientId, Mailbox, Tracking};

/// Where Redis tells clients of RESP2 what is no longer good for whoever had it told to them.
pub(super) const REDIRECTED: &str = "__redis__:invalidate";
/// Where everybody can follow every invalidation.
pub(super) const INVALIDATIONS: &str = "bellwether:invalidate";
/// All channels there are.
pub(super) const CHANNELS: [&str; 2] = [REDIRECTED, INVALIDATIONS];
/// Patterns that one client may subscribe to: each message is compared with all of them.
pub(super) const MOST_PATTERNS: usize = 32;

/// Which of the keys that it reads a client keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Keeps {
    /// All.
    #[default]
    All,
    /// Those behind `CLIENT CACHING YES`.
    OptIn,
    /// All but those behind `CLIENT CACHING NO`.
    OptOut,
    /// Whatever has its prefixes, read here or anywhere.
    Prefixes,
}

/// `CLIENT TRACKING ON`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tracked {
    pub(super) keeps: Keeps,
    pub(super) tracking: Tracking,
    /// Said by `CLIENT CACHING`, for the next command alone.
    pub(super) caching: Option<bool>,
}

/// What one client is told unasked.
pub(super) struct Following {
    service: Service,
    id: ClientId,
    pub(super) mailbox: Arc<Mailbox>,
    tracked: Option<Tracked>,
    pub(super) channels: Vec<Bytes>,
    pub(super) patterns: Vec<Bytes>,
}

impl Following {
    pub(super) fn new(service: &Service, id: ClientId) -> Following {
        let mailbox = service.watch().enter(id);
        Following { service: service.clone(), id, mailbox, tracked: None, channels: Vec::new(), patterns: Vec::new() }
    }

    pub(super) fn tracked(&self) -> Option<&Tracked> {
        self.tracked.as_ref()
    }

    /// From now on the client keeps in this way, or nothing.
    pub(super) fn track(&mut self, tracked: Option<Tracked>) {
        self.service.track(self.id, tracked.as_ref().map(|tracked| tracked.tracking.clone()));
        self.tracked = tracked;
    }

    pub(super) fn caching(&mut self, caching: Option<bool>) {
        if let Some(tracked) = &mut self.tracked {
            tracked.caching = caching;
        }
    }

    /// Whether the client keeps what the present command hands out.
    pub(super) fn keeps(&self) -> bool {
        self.tracked.as_ref().is_some_and(|tracked| match tracked.keeps {
            Keeps::All => true,
            Keeps::OptIn => tracked.caching == Some(true),
            Keeps::OptOut => tracked.caching != Some(false),
            Keeps::Prefixes => false,
        })
    }

    /// Whether commands need a look at what stands here.
    pub(super) fn is_any(&self) -> bool {
        self.tracked.is_some() || self.subscriptions() > 0
    }

    pub(super) fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    pub(super) fn hears(&self, channel: &str) -> bool {
        self.channels.iter().any(|of| of == channel)
    }

    /// The patterns that a message on `channel` is told by, each.
    pub(super) fn by_pattern(&self, channel: &str) -> impl Iterator<Item = &Bytes> {
        self.patterns.iter().filter(move |pattern| glob::matches(pattern, channel.as_bytes()))
    }

    /// To be called after a change of channels or patterns.
    pub(super) fn subscribed(&self) {
        let follows = self.hears(INVALIDATIONS) || self.by_pattern(INVALIDATIONS).next().is_some();
        self.service.watch().follow(self.id, follows);
    }

    /// Nothing any more.
    pub(super) fn reset(&mut self) {
        self.track(None);
        self.channels.clear();
        self.patterns.clear();
        self.subscribed();
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.service.watch().leave(self.id);
    }
}

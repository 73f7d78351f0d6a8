//! Who keeps copies of what we handed out, and how do they hear that one is no longer good?
//!
//! Clients keep values of their own (`CLIENT TRACKING`), or follow every invalidation (a channel). Both have a mailbox;
//! whoever changes a key puts it into the mailboxes of those whom it concerns. What was handed out is good for as long
//! as it was fresh: then its keepers are told as well, whether it changed or not.

mod client_id;
mod mailbox;
mod prefixes;
mod table;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bellwether::Tick;
use bytes::Bytes;
use parking_lot::RwLock;

pub(crate) use client_id::ClientId;
pub(crate) use mailbox::{Mailbox, Message, What};
use prefixes::Prefixes;
pub(crate) use prefixes::{MOST_PREFIXES, TooManyPrefixes};
use table::Table;

/// How a client wants to hear of what it keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tracking {
    /// Another client is told in its place.
    pub(crate) redirect: Option<ClientId>,
    /// Not of its own changes.
    pub(crate) noloop: bool,
    /// Of everything under these prefixes, read or not.
    pub(crate) broadcast: Option<Vec<Bytes>>,
}

/// A connection.
struct Member {
    mailbox: Arc<Mailbox>,
    tracking: Option<Tracking>,
}

/// Keepers of copies, and what they keep.
#[derive(Default)]
pub(crate) struct Watch {
    members: RwLock<HashMap<ClientId, Member>>,
    table: Table,
    prefixes: RwLock<Prefixes>,
    /// Who follows the channel of all invalidations.
    followers: RwLock<HashSet<ClientId>>,
    /// Clients that track and clients that follow. While there is none, changes cost one look.
    interested: AtomicUsize,
    /// Whether any prefix is wanted: then every read under one has an end that must be told.
    broadcasting: AtomicBool,
}

impl Watch {
    /// A connection begins.
    pub(crate) fn enter(&self, id: ClientId) -> Arc<Mailbox> {
        let mailbox = Arc::<Mailbox>::default();
        self.members.write().insert(id, Member { mailbox: mailbox.clone(), tracking: None });
        mailbox
    }

    /// A connection ends.
    pub(crate) fn leave(&self, id: ClientId) {
        self.track(id, None);
        self.follow(id, false);
        self.members.write().remove(&id);
    }

    /// Whether a connection has this number.
    pub(crate) fn is_here(&self, id: ClientId) -> bool {
        self.members.read().contains_key(&id)
    }

    /// From now on `id` hears of what it keeps in this way, or not at all. True if it is the first of all.
    ///
    /// Room for its prefixes must have been asked for: [`Watch::room_for`].
    pub(crate) fn track(&self, id: ClientId, tracking: Option<Tracking>) -> bool {
        let mut members = self.members.write();
        let Some(member) = members.get_mut(&id) else { return false };
        let mut prefixes = self.prefixes.write();
        prefixes.forget(id);
        if let Some(wanted) = tracking.as_ref().and_then(|tracking| tracking.broadcast.as_ref()) {
            prefixes.add(id, wanted);
        }
        self.broadcasting.store(!prefixes.is_empty(), Ordering::SeqCst);
        let (before, after) = (member.tracking.is_some(), tracking.is_some());
        member.tracking = tracking;
        self.interest(before, after)
    }

    /// Whether `id` may have so many prefixes, in place of those it has.
    ///
    /// # Errors
    /// All together would have more than there is room for.
    pub(crate) fn room_for(&self, id: ClientId, prefixes: usize) -> Result<(), TooManyPrefixes> {
        self.prefixes.read().room_for(id, prefixes)
    }

    /// From now on `id` follows all invalidations, or no longer does.
    pub(crate) fn follow(&self, id: ClientId, follows: bool) -> bool {
        let mut followers = self.followers.write();
        let was = if follows { !followers.insert(id) } else { followers.remove(&id) };
        self.interest(was, follows)
    }

    fn interest(&self, before: bool, after: bool) -> bool {
        match (before, after) {
            (false, true) => self.interested.fetch_add(1, Ordering::SeqCst) == 0,
            (true, false) => {
                if self.interested.fetch_sub(1, Ordering::SeqCst) == 1 {
                    self.table.take_all();
                }
                false
            }
            _ => false,
        }
    }

    /// Whether anybody wants to hear of anything.
    #[inline]
    pub(crate) fn is_anybody_interested(&self) -> bool {
        self.interested.load(Ordering::SeqCst) > 0
    }

    /// Whether reads must be remembered whoever makes them.
    #[inline]
    pub(crate) fn is_broadcasting(&self) -> bool {
        self.broadcasting.load(Ordering::Relaxed)
    }

    /// What `key` has is about to be handed to `keeper`, or to somebody while its prefix is watched. To be called before
    /// the look at the value: what changes in between is told.
    pub(crate) fn hands(&self, key: &[u8], keeper: Option<ClientId>) {
        if keeper.is_none() && !self.prefixes.read().meet(key) {
            return;
        }
        for evicted in self.table.keep(key, keeper) {
            self.tell_keepers(&evicted.key, &evicted.keepers, None);
        }
    }

    /// What was handed out of `key` is good until then.
    pub(crate) fn good_until(&self, key: &[u8], until: Tick) {
        self.table.until(key, until);
    }

    /// `key` was changed or invalidated, by this client if by any.
    pub(crate) fn changed(&self, key: &[u8], by: Option<ClientId>) {
        if !self.is_anybody_interested() {
            return;
        }
        let keepers = self.table.take(key);
        let key = Bytes::copy_from_slice(key);
        self.tell_keepers(&key, &keepers, by);
        self.tell_followers(&What::Key(key));
    }

    /// All that carries `tag` was invalidated. Which keys these are nobody knows: keepers are told to keep nothing.
    pub(crate) fn tag_changed(&self, tag: &[u8]) {
        if self.is_anybody_interested() {
            self.tell_followers(&What::Tag(Bytes::copy_from_slice(tag)));
            self.forget_everything();
        }
    }

    /// Anything may have changed.
    pub(crate) fn everything_changed(&self) {
        if self.is_anybody_interested() {
            self.tell_followers(&What::All);
            self.forget_everything();
        }
    }

    fn forget_everything(&self) {
        self.table.take_all();
        let members = self.members.read();
        for (id, member) in members.iter().filter(|(_, member)| member.tracking.is_some()) {
            tell(&members, *id, member, &What::All, None);
        }
    }

    /// Tells of what is no longer fresh at `now`.
    pub(crate) fn sweep(&self, now: Tick) {
        for ended in self.table.take_due(now) {
            self.tell_keepers(&ended.key, &ended.keepers, None);
        }
    }

    fn tell_keepers(&self, key: &Bytes, keepers: &[ClientId], by: Option<ClientId>) {
        let members = self.members.read();
        let watching = self.prefixes.read().of(key);
        let mut all: Vec<ClientId> = keepers.iter().copied().chain(watching).collect();
        all.sort_unstable();
        all.dedup();
        for id in all {
            if let Some(member) = members.get(&id) {
                tell(&members, id, member, &What::Key(key.clone()), by);
            }
        }
    }

    fn tell_followers(&self, what: &What) {
        let followers = self.followers.read();
        if followers.is_empty() {
            return;
        }
        let members = self.members.read();
        for member in followers.iter().filter_map(|id| members.get(id)) {
            member.mailbox.put(Message::Told(what.clone()));
        }
    }

    /// Clients that track, keys that are kept, prefixes that are watched, clients that follow.
    pub(crate) fn counts(&self) -> [usize; 4] {
        let tracking = self.members.read().values().filter(|member| member.tracking.is_some()).count();
        let prefixes = self.prefixes.read().len();
        let followers = self.followers.read().len();
        [tracking, self.table.keys(), prefixes, followers]
    }
}

fn tell(members: &HashMap<ClientId, Member>, id: ClientId, member: &Member, what: &What, by: Option<ClientId>) {
    let Some(tracking) = &member.tracking else { return };
    if tracking.noloop && by == Some(id) {
        return;
    }
    match tracking.redirect {
        None => member.mailbox.put(Message::Invalid(what.clone())),
        Some(other) => match members.get(&other) {
            Some(target) => target.mailbox.put(Message::Invalid(what.clone())),
            None => member.mailbox.put(Message::Broken(other)),
        },
    }
}

#[cfg(test)]
mod tests;

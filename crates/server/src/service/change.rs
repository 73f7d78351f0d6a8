//! What may a client change about a value that is there? It is taken, or gets another end: in the shared tier, where there
//! is one, for all processes at once.

use bellwether::{Cached, Ended, Loaded, Only, Span, Why};
use bellwether_adapters::Payload;
use bellwether_core::template::Match;
use futures_util::future::FutureExt;

use super::Service;
use super::outcome::{Outcome, Refusal, Terms};
use super::served::{Looked, Served};
use super::serving::Belongs;
use super::write::{Deciding, Written};

/// What is done to a value of a plain space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is removed, and handed out.
    Take,
    /// It ends so long from now, or when its space says, if the condition allows that.
    End(Option<Span>, Only),
}

impl Service {
    /// A change that depends on what others do to the key: the shared tier decides, where it answers. `None`: this process
    /// does, by [`Service::take`], [`Service::end`] or [`Service::renew`]. `reads`: the value was asked for, so that it is a
    /// request.
    pub(crate) fn change_decided(&self, key: &[u8], change: Change, reads: bool) -> Option<Deciding> {
        let serving = self.serving();
        let Belongs::To(served, _) = serving.belongs(key) else { return None };
        if served.decides_by_disk() {
            return Some(self.change_by_disk(key, change, reads));
        }
        if !served.shared {
            return None;
        }
        if served.origin.is_some() {
            return match change {
                Change::End(Some(left), only) if left > Span::ZERO && only != Only::Later => {
                    Some(self.ends_sooner(served, key, left, only))
                }
                _ => None,
            };
        }
        let stored = served.stored(key);
        let decided = match change {
            Change::Take => {
                served.space.take(&stored).map(|taken| taken.map(|before| (before.is_some(), before))).boxed()
            }
            Change::End(left, only) => {
                let left = left.map(|left| left.at_most(Span::LONGEST));
                let ended = served.space.end_if(&stored, left, only);
                ended.map(|ended| ended.map(|ended| (ended.stored, ended.before))).boxed()
            }
        };
        // Changes of its own: those of the connection belong to the command that it is at by then.
        let (service, key, tally) = (self.collecting(), key.to_vec(), served.tally.clone());
        let (space, stored) = (served.space.clone(), stored.into_owned());
        let done = async move {
            if let Ok((stored, before)) = decided.await {
                if reads {
                    tally.count(if before.is_some() { Why::Hit } else { Why::NotCached });
                }
                if stored {
                    service.changed(&key);
                }
                return Ok(Written { stored, before });
            }
            // The tier can't be asked. This process decides on what it owes the tier itself, and takes what it has. What it has
            // not may be there all the same; and another end is no business of a copy's, which somebody may have removed or
            // written over since: it would come back. Nothing is done then, and nobody is told otherwise.
            let ends = matches!(change, Change::End(..));
            if !space.is_owed(&stored) && (ends || service.present(&key)?.is_none()) {
                if reads {
                    tally.count(Why::Timeout);
                }
                return Err(Refusal::Undecided);
            }
            let written = service.change_here(&key, change, &Looked::Found(None));
            if let Some(telling) = service.telling() {
                telling.done().await;
            }
            written
        };
        Some(done.boxed())
    }

    /// A value of a space with an origin ends sooner: here, in the shared tier, and so in every process. Where the tier
    /// does not answer this process's copy alone does.
    fn ends_sooner(&self, served: &Served, key: &[u8], left: Span, only: Only) -> Deciding {
        let stored = served.stored(key).into_owned();
        let (service, key, space) = (self.collecting(), key.to_vec(), served.space.clone());
        let done = async move {
            let here = service.end(&key, left, only)?;
            if let Some(telling) = service.telling() {
                telling.done().await;
            }
            let ended = space.end_sooner(&stored, left.at_most(Span::LONGEST)).await;
            let everywhere = ended.is_ok_and(|ended| ended.stored);
            if everywhere {
                // The copy here went with the step: who looks at it next finds what the tier has now.
                space.take_over(&stored).await;
                service.changed(&key);
            }
            Ok(Written { stored: here || everywhere, before: None })
        };
        done.boxed()
    }

    /// Another end for a value that was just read, which is told to all who must know before this returns. The value is
    /// answered whatever becomes of it: what others could not be told is told them later.
    pub(crate) async fn end_of_read(&self, key: &[u8], left: Option<Span>) {
        if let Some(deciding) = self.change_decided(key, Change::End(left, Only::Always), false) {
            let _ = deciding.await;
            return;
        }
        // The key has a space: it was just read.
        let _ = match left {
            None => self.renew(key),
            Some(left) => self.end(key, left, Only::Always),
        };
        if let Some(telling) = self.telling() {
            telling.done().await;
        }
    }

    /// A change to what memory has, or else the disk.
    fn change_by_disk(&self, key: &[u8], change: Change, reads: bool) -> Deciding {
        let (service, key) = (self.collecting(), key.to_vec());
        let done = async move {
            let changed = match service.change_here(&key, change, &Looked::NotYet) {
                Err(Refusal::Unsure) => {
                    let looked = service.look_on_disk(&key).await?;
                    service.change_here(&key, change, &looked)
                }
                changed => changed,
            };
            if let (true, Ok(Written { before, .. }), Belongs::To(served, _)) =
                (reads && change != Change::Take, &changed, service.serving().belongs(&key))
            {
                served.tally.count(before.as_ref().map_or(Why::NotCached, |before| before.why()));
            }
            if let Some(telling) = service.telling() {
                telling.done().await;
            }
            changed
        };
        done.boxed()
    }

    fn change_here(&self, key: &[u8], change: Change, looked: &Looked) -> Result<Written, Refusal> {
        let (stored, before) = match change {
            Change::Take => self.take_of(key, looked).map(|before| (before.is_some(), before))?,
            Change::End(left, only) => self.end_of(key, left, only, looked)?,
        };
        Ok(Written { stored, before })
    }

    /// Reads and removes a value of a plain space.
    ///
    /// # Errors
    /// The key is of no plain space.
    pub fn take(&self, key: &[u8]) -> Result<Option<Cached<Payload>>, Refusal> {
        self.take_of(key, &Looked::Found(None))
    }

    fn take_of(&self, key: &[u8], looked: &Looked) -> Result<Option<Cached<Payload>>, Refusal> {
        let serving = self.serving();
        let (served, _) = serving.plain(key)?;
        let stored = served.stored(key);
        let _one_at_a_time = self.0.lock(&stored);
        let found = match served.before(&stored, looked)? {
            Some(value) if served.decides_by_disk() => {
                served.tally.count(value.why());
                Outcome::Value(value)
            }
            _ => served.read_plain(&stored, &Terms::asked(self.now())),
        };
        let removed = served.space.remove(&stored);
        self.tells(served, removed.was_resident(), removed.acknowledged());
        self.changed(key);
        Ok(match found {
            Outcome::Value(value) => Some(value),
            _ => None,
        })
    }

    /// What an end is asked for of memory or the disk: whether it was changed, and what was there.
    fn end_of(
        &self,
        key: &[u8],
        left: Option<Span>,
        only: Only,
        looked: &Looked,
    ) -> Result<(bool, Option<Cached<Payload>>), Refusal> {
        let serving = self.serving();
        let before = match serving.belongs(key) {
            Belongs::To(served, _) => served.before(&served.stored(key), looked)?,
            _ => None,
        };
        let stored = match left {
            Some(left) => self.end_found(key, left, only, looked)?,
            None => self.renew_found(key, looked)?,
        };
        Ok((stored, before))
    }

    /// Gives a value another end, `left` from now, if `only` allows that: one that has passed removes it. In a space with
    /// an origin values only ever end sooner. True if it was changed.
    ///
    /// # Errors
    /// The key belongs to no space.
    pub fn end(&self, key: &[u8], left: Span, only: Only) -> Result<bool, Refusal> {
        self.end_found(key, left, only, &Looked::Found(None))
    }

    fn end_found(&self, key: &[u8], left: Span, only: Only, looked: &Looked) -> Result<bool, Refusal> {
        if left > Span::ZERO {
            return self.end_after(key, left, |now| only.allows(now, left), looked);
        }
        let before = match self.serving().belongs(key) {
            Belongs::To(served, _) => served.before(&served.stored(key), looked)?,
            _ => None,
        };
        match before {
            Some(value) if !only.allows(value.remaining(), left) => Ok(false),
            before => self.remove(key).map(|resident| resident || before.is_some()),
        }
    }

    /// Gives a value another end, `left` from now, if `allowed` says so of what it has
    /// left. In a space with an origin values only ever end sooner. True if it was changed.
    ///
    /// # Errors
    /// The key belongs to no space.
    fn end_after(
        &self,
        key: &[u8],
        left: Span,
        allowed: impl FnOnce(Span) -> bool,
        looked: &Looked,
    ) -> Result<bool, Refusal> {
        let changed = self.0.resident_or(&self.serving(), key, |served, stored| {
            // Whoever may not know yet what is there has asked before.
            let Ok(Some(cached)) = served.before(stored, looked) else { return false };
            let shortens = left < cached.remaining();
            if !(shortens || served.origin.is_none()) || !allowed(cached.remaining()) {
                return false;
            }
            let left = left.at_most(Span::LONGEST);
            match served.origin.is_none() && served.shared {
                true => self.puts(served, stored, self.again(served, key, &cached).ttl(left)),
                false => {
                    self.ends(served, served.space.end_at(stored, self.now() + left))
                        || served.decides_by_disk()
                            && self.puts(served, stored, self.again(served, key, &cached).ttl(left))
                }
            }
        })?;
        if changed {
            self.changed(key);
        }
        Ok(changed)
    }

    /// Gives a fresh value of a plain space the space's full time again, its grace behind it. False elsewhere.
    ///
    /// # Errors
    /// The key belongs to no space.
    pub fn renew(&self, key: &[u8]) -> Result<bool, Refusal> {
        self.renew_found(key, &Looked::Found(None))
    }

    fn renew_found(&self, key: &[u8], looked: &Looked) -> Result<bool, Refusal> {
        let renew = |served: &Served, stored: &[u8]| match (served.origin.is_none(), served.shared) {
            (true, true) => {
                let found = served.present(stored);
                found.is_some_and(|cached| self.puts(served, stored, self.again(served, key, &cached)))
            }
            (true, false) => {
                let Ok(Some(cached)) = served.before(stored, looked) else { return false };
                self.ends(served, served.space.renew(stored))
                    || served.decides_by_disk() && self.puts(served, stored, self.again(served, key, &cached))
            }
            (false, _) => false,
        };
        self.0.resident_or(&self.serving(), key, renew)
    }

    /// Another end of a value, and what is heard of it on disk.
    fn ends(&self, served: &Served, ended: Ended) -> bool {
        let changed = ended.changed();
        self.tells(served, changed, ended.acknowledged());
        changed
    }

    /// The same value again, with the tags of its space: for another end of its life in all tiers.
    fn again(&self, served: &Served, key: &[u8], cached: &Cached<Payload>) -> Loaded<Payload> {
        let tags = match served.template.match_key(key) {
            Match::Yes(captures) => served.tags(&captures),
            Match::No | Match::WrongType => Vec::new(),
        };
        tags.into_iter().fold(Loaded::value(Payload::clone(cached)), Loaded::tag)
    }
}

//! Which keys did this process change a moment ago, and on which server? If it learns that others used another set of
//! servers by then, it does so again where they look.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// More are not remembered.
const MOST: usize = 4_096;

/// Changes of the last moments.
pub(super) struct Recent {
    /// How long one is remembered, and longer as long as nobody knows whether others had another set of servers by then.
    lasts: Duration,
    kept: Mutex<Kept>,
}

struct Kept {
    changes: VecDeque<Change>,
    /// When all servers were asked last that are used, and none knew of another set, nor has known for a while.
    confirmed: Instant,
    /// Since when they all answer: whoever could not reach one of them may still have to tell it.
    answering: Option<Instant>,
    /// When one was forgotten too soon.
    lost: Option<Instant>,
}

impl Kept {
    fn new() -> Kept {
        Kept { changes: VecDeque::new(), confirmed: Instant::now(), answering: None, lost: None }
    }
}

/// A key, and the server on which it was changed.
pub(super) struct Change {
    pub(super) key: Vec<u8>,
    pub(super) server: String,
    /// When it was about to be.
    pub(super) at: Instant,
}

impl Recent {
    pub(super) fn new(lasts: Duration) -> Recent {
        Recent { lasts, kept: Mutex::new(Kept::new()) }
    }

    /// All servers that are used were asked from `at` on, and none knew of another set; or (false) some did not answer.
    pub(super) fn asked(&self, at: Instant, all_answered: bool) {
        let mut kept = self.kept.lock();
        if !all_answered {
            kept.answering = None;
            return;
        }
        let since = *kept.answering.get_or_insert(at);
        if at.saturating_duration_since(since) >= self.lasts / 2 {
            kept.confirmed = at;
        }
    }

    /// `key` is about to be changed.
    pub(super) fn note(&self, key: &[u8], server: &str) {
        self.note_at(Instant::now(), key, server);
    }

    fn note_at(&self, at: Instant, key: &[u8], server: &str) {
        let mut kept = self.kept.lock();
        while kept.changes.front().is_some_and(|first| self.is_over(first.at, kept.confirmed, at)) {
            kept.changes.pop_front();
        }
        if kept.changes.len() >= MOST {
            kept.changes.pop_front();
            kept.lost = Some(at);
        }
        kept.changes.push_back(Change { key: key.to_vec(), server: server.to_owned(), at });
    }

    /// All of them; `None`: there were too many.
    pub(super) fn take(&self) -> Option<Vec<Change>> {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> Option<Vec<Change>> {
        let mut kept = self.kept.lock();
        let (changes, lost, confirmed) = (std::mem::take(&mut kept.changes), kept.lost.take(), kept.confirmed);
        drop(kept);
        let is_whole = lost.is_none_or(|lost| self.is_over(lost, confirmed, now));
        is_whole.then(|| changes.into_iter().filter(|change| !self.is_over(change.at, confirmed, now)).collect())
    }

    /// Whether a change of `at` was seen by whoever uses another set: he was not there half of the time later.
    fn is_over(&self, at: Instant, confirmed: Instant, now: Instant) -> bool {
        now.saturating_duration_since(at) > self.lasts && confirmed.saturating_duration_since(at) > self.lasts / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTS: Duration = Duration::from_secs(6);

    fn keys(taken: Option<Vec<Change>>) -> Option<Vec<String>> {
        taken.map(|all| all.into_iter().map(|change| String::from_utf8(change.key).unwrap()).collect())
    }

    #[test]
    fn what_was_changed_is_told_once_while_it_is_of_this_moment() {
        let (recent, start) = (Recent::new(LASTS), Instant::now());
        recent.note_at(start, b"a", "h:1");
        recent.note_at(start + LASTS, b"b", "h:1");
        assert_eq!(keys(recent.take_at(start + LASTS)), Some(vec!["a".into(), "b".into()]));
        assert_eq!(keys(recent.take_at(start + LASTS)), Some(vec![]));
        recent.note_at(start, b"a", "h:1");
        assert_eq!(keys(recent.take_at(start + LASTS * 2)), Some(vec!["a".into()]), "nobody was asked since");
        // A server that answers again may not have been told yet by those who could not reach it either.
        for (before, left) in [(Some(true), 0), (Some(false), 1), (None, 1)] {
            let recent = Recent::new(LASTS);
            recent.note_at(start, b"a", "h:1");
            before.into_iter().for_each(|answered| recent.asked(start + LASTS / 2, answered));
            recent.asked(start + LASTS, true);
            assert_eq!(keys(recent.take_at(start + LASTS * 2)).map(|all| all.len()), Some(left), "{before:?}");
        }
    }

    #[test]
    fn too_many_are_not_taken_for_all() {
        let (recent, start) = (Recent::new(LASTS), Instant::now());
        let note = |many: usize| (0..many).for_each(|n| recent.note_at(start, format!("{n}").as_bytes(), "h:1"));
        note(MOST);
        assert_eq!(keys(recent.take_at(start)).map(|all| all.len()), Some(MOST));
        note(MOST + 1);
        assert_eq!(keys(recent.take_at(start)), None);
        note(1);
        assert_eq!(keys(recent.take_at(start)), Some(vec!["0".into()]));
        note(MOST + 1);
        recent.asked(start + LASTS / 2, true);
        recent.asked(start + LASTS, true);
        assert_eq!(keys(recent.take_at(start + LASTS * 2)), Some(vec![]), "what was lost is of no interest any more");
    }
}

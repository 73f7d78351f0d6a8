//! May a value that lies on a node be trusted, although nodes have come and gone? Only if nobody looked for its key
//! elsewhere since it was stored.
//!
//! While another set of nodes was in use, a key may have lived on another node, and have been changed or invalidated
//! there; what lies here is older and nobody told it. So each set of nodes that comes into use gets an *epoch*, every
//! value carries the epoch under which it was stored, and a value is trusted only if every set that has been in use
//! since places its key on this very node. A node that comes back with all its old values serves none that has
//! moved, and a node that never left keeps all that did not.

/// So many sets of nodes are remembered. What was stored before is not trusted: more loads, never older values.
pub const MOST: usize = 8;

/// The sets of nodes that were in use, each with the epoch in which it came into use last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster<M> {
    /// Ascending by epoch; no set twice.
    past: Vec<(u32, M)>,
    /// Nothing of this epoch or before is trusted.
    floor: u32,
}

impl<M> Default for Roster<M> {
    fn default() -> Roster<M> {
        Roster { past: Vec::new(), floor: 0 }
    }
}

impl<M: Clone + Ord> Roster<M> {
    /// From what was written down.
    pub fn new(floor: u32, past: impl IntoIterator<Item = (u32, M)>) -> Roster<M> {
        let mut roster = Roster { past: Vec::new(), floor };
        roster.add(past);
        roster
    }

    /// Nothing of this epoch or before is trusted.
    pub fn floor(&self) -> u32 {
        self.floor
    }

    /// Sets and their epochs, ascending.
    pub fn past(&self) -> &[(u32, M)] {
        &self.past
    }

    /// Takes over what somebody else knows: free of order, and twice is once.
    pub fn merge(&mut self, other: &Roster<M>) {
        self.floor = self.floor.max(other.floor);
        self.add(other.past.iter().cloned());
    }

    fn add(&mut self, past: impl IntoIterator<Item = (u32, M)>) {
        for (epoch, members) in past {
            match self.past.iter_mut().find(|(_, known)| *known == members) {
                Some((latest, _)) => *latest = epoch.max(*latest),
                None => self.past.push((epoch, members)),
            }
        }
        self.past.sort_unstable();
        let excess = self.past.len().saturating_sub(MOST);
        for (epoch, _) in self.past.drain(..excess) {
            self.floor = self.floor.max(epoch);
        }
        self.past.retain(|(epoch, _)| *epoch > self.floor);
    }

    /// The set in use.
    pub fn current(&self) -> Option<&M> {
        self.past.last().map(|(_, latest)| latest)
    }

    /// The epoch in which a set came into use last.
    pub fn epoch(&self, members: &M) -> Option<u32> {
        self.past.iter().find(|(_, known)| known == members).map(|(epoch, _)| *epoch)
    }

    /// This set comes into use, unless it is: in an epoch above all others, and not below `at_least` (seconds since
    /// 1970: where every memory of earlier sets is lost, what was stored under them is not trusted).
    pub fn enter(&mut self, members: M, at_least: u32) -> u32 {
        if let Some((epoch, latest)) = self.past.last()
            && *latest == members
        {
            return *epoch;
        }
        let newest = self.past.last().map_or(self.floor, |(epoch, _)| *epoch);
        let epoch = newest.saturating_add(1).max(at_least);
        if self.past.is_empty() {
            self.floor = self.floor.max(epoch - 1);
        }
        self.add([(epoch, members)]);
        epoch
    }

    /// The set in use gets an epoch of its own, if another came into use in the same one: what is stored under it could
    /// be the other's.
    pub fn part(&mut self) {
        if let [.., (before, _), (epoch, _)] = &mut self.past[..]
            && before == epoch
        {
            *epoch = epoch.saturating_add(1);
        }
    }

    /// Somebody used `members` until now, and has changed more there than can be told: what moved with the set in use
    /// and was stored since is not trusted.
    pub fn was_used(&mut self, members: M) {
        if let Some(current) = self.current().filter(|current| **current != members).cloned() {
            self.enter(members, 0);
            self.enter(current, 0);
        }
    }

    /// Whether something stored in `epoch` can be what its key has last said. `places_here`: whether a set of nodes
    /// places the key where it was found.
    pub fn trusts(&self, epoch: u32, mut places_here: impl FnMut(&M) -> bool) -> bool {
        let since = self.past.iter().rev().take_while(|(used, _)| *used >= epoch);
        epoch > self.floor && since.map(|(_, members)| members).all(&mut places_here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const THREE: &str = "a,b,c";
    const TWO: &str = "a,b";
    const FOUR: &str = "a,b,c,d";

    /// A key that lives on the last node of any set.
    fn last_is(node: &'static str) -> impl FnMut(&&'static str) -> bool {
        move |members| members.ends_with(node)
    }

    #[test]
    fn a_node_that_comes_back_serves_nothing_that_lived_elsewhere_meanwhile() {
        let mut roster = Roster::default();
        let first = roster.enter(THREE, 100);
        assert!(roster.trusts(first, last_is("c")));
        roster.enter(TWO, 100);
        assert!(!roster.trusts(first, last_is("c")), "it lives on b now");
        let third = roster.enter(THREE, 100);
        assert!(!roster.trusts(first, last_is("c")), "it was on b meanwhile");
        assert!(roster.trusts(third, last_is("c")));
        assert!(roster.trusts(first, |members| members.starts_with('a')), "a never lost this key");
    }

    #[test]
    fn a_node_that_was_added_and_goes_leaves_no_older_copies_behind() {
        let mut roster = Roster::default();
        let first = roster.enter(THREE, 100);
        roster.enter(FOUR, 100);
        roster.enter(THREE, 100);
        assert!(!roster.trusts(first, last_is("c")), "it was on d meanwhile");
    }

    #[test]
    fn what_is_in_use_does_not_enter_again() {
        let mut roster = Roster::default();
        assert_eq!((roster.enter(THREE, 100), roster.enter(THREE, 900)), (100, 100));
        assert_eq!((roster.enter(TWO, 50), roster.epoch(&THREE)), (101, Some(100)));
        assert_eq!(roster.current(), Some(&TWO));
    }

    #[test]
    fn where_all_memory_is_lost_nothing_older_is_trusted() {
        let mut roster = Roster::default();
        let epoch = roster.enter(THREE, 100);
        assert!(!roster.trusts(epoch - 1, |_| true) && !roster.trusts(0, |_| true));
    }

    #[test]
    fn processes_of_two_minds_never_trust_what_the_other_may_have_moved() {
        let mut roster = Roster::new(0, [(5, THREE), (5, TWO)]);
        assert!(!roster.trusts(5, last_is("c")), "either may have stored it");
        roster.enter(THREE, 0);
        assert!(!roster.trusts(5, last_is("c")) && roster.trusts(6, last_is("c")));
    }

    #[test]
    fn a_set_in_use_parts_from_another_of_the_same_epoch() {
        let mut roster = Roster::new(0, [(5, THREE), (5, TWO)]);
        roster.part();
        assert_eq!((roster.current(), roster.epoch(&THREE), roster.epoch(&TWO)), (Some(&THREE), Some(6), Some(5)));
        assert!(roster.trusts(6, last_is("c")) && !roster.trusts(5, last_is("c")));
        roster.part();
        assert_eq!(roster.epoch(&THREE), Some(6), "once");
    }

    #[test]
    fn what_moved_is_not_trusted_if_somebody_used_the_former_set_until_now() {
        let mut roster = Roster::default();
        roster.enter(THREE, 100);
        let second = roster.enter(TWO, 100);
        let on_b = |members: &&str| *members == TWO;
        assert!(roster.trusts(second, on_b));
        roster.was_used(THREE);
        assert_eq!(roster.current(), Some(&TWO), "it stays in use");
        assert!(!roster.trusts(second, on_b) && roster.trusts(second, |_| true), "what did not move is kept");
        assert!(roster.trusts(roster.epoch(&TWO).unwrap(), on_b));
        let before = roster.clone();
        roster.was_used(TWO);
        assert_eq!(roster, before, "the set in use is no former one");
    }

    #[test]
    fn memory_is_bounded_and_what_it_forgets_is_not_trusted() {
        let mut roster = Roster::default();
        let first = roster.enter(0, 100);
        for members in 1..=MOST {
            roster.enter(members, 100);
        }
        assert_eq!(roster.past().len(), MOST);
        assert!(!roster.trusts(first, |_| true) && roster.trusts(first + 1, |_| true));
    }

    proptest! {
        #[test]
        fn merging_is_free_of_order(
            a in prop::collection::vec((1u32..40, 0u8..6), 0..6), b in prop::collection::vec((1u32..40, 0u8..6), 0..6),
            floors in (0u32..10, 0u32..10), epoch in 0u32..40,
        ) {
            let (a, b) = (Roster::new(floors.0, a), Roster::new(floors.1, b));
            let (mut one, mut other) = (a.clone(), b.clone());
            one.merge(&b);
            other.merge(&a);
            prop_assert_eq!(&one, &other);
            let places = |members: &u8| members.is_multiple_of(2);
            prop_assert!(!one.trusts(epoch, places) || a.trusts(epoch, places), "knowing more never trusts more");
        }
    }
}

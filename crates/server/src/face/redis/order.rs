//! Which commands of one connection may be under way at once? Those of different keys, looks at one key, and plain writes
//! of one key; whatever else concerns a key comes after all that came before it.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

/// Commands of one connection that may be under way: what is asked of the shared tier at once must be answered within the
/// time that a single one has.
const MOST_UNDERWAY: usize = 256;
/// Their bytes, unless there is but one: until the tier has a value, memory can't do without it.
const MOST_UNDERWAY_BYTES: usize = 256 << 10;
/// Keys that they may name.
const MOST_NAMES: usize = 10_000;

/// What a command does with each key that it names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Access {
    /// It says what is there.
    #[default]
    Look,
    /// It writes one key, whatever was there: of several at once the last one stays, and may go to other tiers for all of
    /// them. They begin in the order in which they came.
    Put,
    /// It says what was there, and changes it.
    Change,
}

impl Access {
    /// Whether two commands may do so at once.
    fn goes_with(self, other: Access) -> bool {
        self == other && self != Access::Change
    }
}

/// A command that was not begun yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Deferred {
    /// As it was sent.
    pub(super) raw: Box<[u8]>,
    /// What `CLIENT CACHING` had said for it.
    pub(super) caching: Option<bool>,
}

/// The commands of one connection that are under way or wait for those, by the numbers of their replies.
#[derive(Default)]
pub(super) struct Order {
    lines: HashMap<Bytes, Line>,
    tickets: HashMap<u64, Ticket>,
    /// Those that may begin now.
    ready: VecDeque<u64>,
    /// Keys of all tickets, one that two name twice.
    names: usize,
    /// Tickets of those that do more than look.
    writes: usize,
    /// Bytes of all commands, and of the deferred ones.
    bytes: usize,
    held: usize,
}

/// The commands that name one key.
#[derive(Default)]
struct Line {
    /// What those do that have begun, and how many they are.
    access: Access,
    begun: usize,
    waiting: VecDeque<(u64, Access)>,
    /// The last to come: it may name the key twice.
    last: Option<u64>,
}

/// A command's places in the lines of its keys.
struct Ticket {
    keys: Vec<Bytes>,
    access: Access,
    bytes: usize,
    /// Lines in which it waits.
    waits: usize,
    deferred: Option<Deferred>,
}

impl Line {
    fn admits(&self, access: Access) -> bool {
        self.waiting.is_empty() && self.lets_begin(access)
    }

    fn lets_begin(&self, access: Access) -> bool {
        self.begun == 0 || self.access.goes_with(access)
    }

    fn begin(&mut self, access: Access) {
        self.access = access;
        self.begun += 1;
    }

    /// The next that may begin, and has.
    fn advance(&mut self) -> Option<u64> {
        let (number, access) = *self.waiting.front()?;
        if !self.lets_begin(access) {
            return None;
        }
        self.waiting.pop_front();
        self.begin(access);
        Some(number)
    }
}

impl Order {
    /// Whether anything is under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.tickets.is_empty()
    }

    /// Whether the command of this number is under way, or waits.
    pub(super) fn has(&self, number: u64) -> bool {
        self.tickets.contains_key(&number)
    }

    /// Whether anything is under way that changes something.
    pub(super) fn is_writing(&self) -> bool {
        self.writes > 0
    }

    /// Whether a further command, of so many words and bytes, may be under way or wait.
    pub(super) fn has_room(&self, words: usize, bytes: usize) -> bool {
        self.tickets.len() < MOST_UNDERWAY
            && self.names + words <= MOST_NAMES
            && self.bytes + bytes <= MOST_UNDERWAY_BYTES
    }

    /// Bytes of commands that wait.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Whether a command must wait for others.
    pub(super) fn blocks<'a>(&self, mut keys: impl Iterator<Item = &'a [u8]>, access: Access) -> bool {
        keys.any(|key| self.lines.get(key).is_some_and(|line| !line.admits(access)))
    }

    /// A command is under way, or waits for its turn in the line of each of its keys.
    pub(super) fn enter<'a>(
        &mut self,
        number: u64,
        keys: impl Iterator<Item = &'a [u8]>,
        access: Access,
        bytes: usize,
        deferred: Option<Deferred>,
    ) {
        let mut ticket = Ticket { keys: Vec::new(), access, bytes, waits: 0, deferred: None };
        for key in keys {
            let key = Bytes::copy_from_slice(key);
            let line = self.lines.entry(key.clone()).or_default();
            if line.last == Some(number) {
                continue;
            }
            line.last = Some(number);
            if line.admits(access) {
                line.begin(access);
            } else {
                line.waiting.push_back((number, access));
                ticket.waits += 1;
            }
            ticket.keys.push(key);
        }
        self.names += ticket.keys.len();
        self.bytes += bytes;
        self.writes += usize::from(access != Access::Look);
        self.tickets.insert(number, ticket);
        if let Some(deferred) = deferred {
            self.defer(number, deferred);
        }
    }

    /// The command is to be run later.
    pub(super) fn defer(&mut self, number: u64, deferred: Deferred) {
        if let Some(ticket) = self.tickets.get_mut(&number) {
            self.held += deferred.raw.len();
            ticket.deferred = Some(deferred);
        }
    }

    /// The command, which is to be run now.
    pub(super) fn take(&mut self, number: u64) -> Option<Deferred> {
        let deferred = self.tickets.get_mut(&number)?.deferred.take()?;
        self.held -= deferred.raw.len();
        Some(deferred)
    }

    /// The next that waited and may begin.
    pub(super) fn next(&mut self) -> Option<u64> {
        self.ready.pop_front()
    }

    /// The command is done: whoever waited for it may begin. One that never entered is none.
    pub(super) fn leave(&mut self, number: u64) {
        drop(self.take(number));
        let Some(ticket) = self.tickets.remove(&number) else { return };
        self.names -= ticket.keys.len();
        self.bytes -= ticket.bytes;
        self.writes -= usize::from(ticket.access != Access::Look);
        for key in ticket.keys {
            let Some(line) = self.lines.get_mut(&key) else { continue };
            line.begun -= 1;
            while let Some(next) = line.advance() {
                if let Some(ticket) = self.tickets.get_mut(&next) {
                    ticket.waits -= 1;
                    if ticket.waits == 0 {
                        self.ready.push_back(next);
                    }
                }
            }
            if line.begun == 0 {
                self.lines.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys<'a>(names: &'a [&'a str]) -> impl Iterator<Item = &'a [u8]> {
        names.iter().map(|name| name.as_bytes())
    }

    fn deferred(number: u64) -> Option<Deferred> {
        Some(Deferred { raw: number.to_string().into_bytes().into(), caching: None })
    }

    /// Enters a command; whether it begins at once.
    fn enter(order: &mut Order, number: u64, names: &[&str], access: Access) -> bool {
        let waits = order.blocks(keys(names), access);
        order.enter(number, keys(names), access, 1, if waits { deferred(number) } else { None });
        !waits
    }

    #[test]
    fn writes_of_different_keys_and_plain_ones_of_one_key_are_under_way_at_once() {
        let mut order = Order::default();
        assert!(enter(&mut order, 0, &["a"], Access::Put) && enter(&mut order, 1, &["b"], Access::Change));
        assert!(enter(&mut order, 2, &["a"], Access::Put) && enter(&mut order, 3, &["c"], Access::Look));
        // A look waits for both writes, a write for the look, another key for nobody.
        assert!(!enter(&mut order, 4, &["a"], Access::Look) && !enter(&mut order, 5, &["a"], Access::Put));
        assert!(enter(&mut order, 6, &["d"], Access::Change));
        order.leave(0);
        assert_eq!(order.next(), None);
        order.leave(2);
        assert_eq!((order.next(), order.next()), (Some(4), None));
        assert_eq!(order.take(4), deferred(4));
        order.leave(4);
        assert_eq!(order.next(), Some(5));
        [1, 3, 5, 6].into_iter().for_each(|number| order.leave(number));
        assert!(
            !order.is_busy()
                && order.lines.is_empty()
                && (order.names, order.bytes, order.held, order.writes) == (0, 0, 0, 0)
        );
    }

    #[test]
    fn what_is_under_way_is_bounded() {
        let mut order = Order::default();
        assert!(order.has_room(2, 16 << 10));
        (0..MOST_UNDERWAY as u64).for_each(|number| assert!(enter(&mut order, number, &["a"], Access::Put)));
        assert!(!order.has_room(1, 0));
        order.leave(0);
        assert!(order.has_room(2, 0) && !order.has_room(MOST_NAMES, 0) && !order.has_room(1, MOST_UNDERWAY_BYTES));
    }

    proptest! {
        /// Whatever ends when: each command is run once, no two that conflict are under way, those of a key begin in the
        /// order in which they came, and nothing is left.
        #[test]
        fn commands_of_a_key_keep_their_order(
            commands in proptest::collection::vec((0_u8..3, proptest::collection::vec(0_usize..3, 1..4)), 1..40),
            ends in proptest::collection::vec(any::<proptest::sample::Index>(), 40),
        ) {
            const NAMES: [&str; 3] = ["a", "b", "c"];
            let access = |n: usize| match (commands[n].0, commands[n].1.len()) {
                (0, _) => Access::Look,
                (1, 1) => Access::Put,
                _ => Access::Change,
            };
            let shares = |a: usize, b: usize| commands[a].1.iter().any(|key| commands[b].1.contains(key));
            let conflict = |a: usize, b: usize| shares(a, b) && !access(a).goes_with(access(b));
            let (mut order, mut underway, mut begun) = (Order::default(), Vec::new(), Vec::new());
            let mut ends = ends.into_iter();
            let mut came = 0;
            while came < commands.len() || !underway.is_empty() {
                if came < commands.len() && (underway.is_empty() || came % 3 != 2 || underway.len() < 3) {
                    let names: Vec<&str> = commands[came].1.iter().map(|key| NAMES[*key]).collect();
                    if enter(&mut order, came as u64, &names, access(came)) {
                        underway.push(came);
                        begun.push(came);
                    }
                    came += 1;
                } else {
                    let at = ends.next().map_or(0, |index| index.index(underway.len()));
                    order.leave(underway.swap_remove(at) as u64);
                    while let Some(next) = order.next() {
                        let next = usize::try_from(next).expect("small");
                        prop_assert!(order.take(next as u64).is_some());
                        underway.push(next);
                        begun.push(next);
                    }
                }
                for (n, a) in underway.iter().enumerate() {
                    prop_assert!(underway[n + 1..].iter().all(|b| !conflict(*a, *b)), "{underway:?}");
                }
            }
            let mut all = begun.clone();
            all.sort_unstable();
            prop_assert_eq!(all, (0..commands.len()).collect::<Vec<_>>());
            for (n, a) in begun.iter().enumerate() {
                let free = |a: usize, b: usize| !shares(a, b) || access(a) == Access::Look && access(b) == Access::Look;
                prop_assert!(begun[n + 1..].iter().all(|b| a < b || free(*a, *b)), "{begun:?}");
            }
            prop_assert!(!order.is_busy() && order.lines.is_empty() && order.held == 0 && order.names == 0);
        }
    }
}

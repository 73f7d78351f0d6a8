//! How do the rings hang together? By the places of neighbours, in blocks that don't move.

/// How often a hand passes by an entry that was asked for that often since the last time, or more often.
const MOST: u32 = 2;

/// What a place has in a ring: its neighbours, and how often a hand will pass by. 12 bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Link {
    next: u32,
    prev: u32,
    pub(super) chances: Chances,
}

/// In which ring an entry is, how often a hand will pass by, and how often it had been asked for when that was reckoned:
/// one bit, two, and the rest. An entry asked for exactly 2^29 times since then seems not to have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chances(u32);

impl Chances {
    const HOT: u32 = 0b001;
    const LEFT_SHIFT: u32 = 1;
    const LEFT: u32 = 0b11;
    const SERVED_SHIFT: u32 = 3;

    /// None yet, of an entry that was asked for so often by now.
    pub(super) fn new(is_hot: bool, served: u32) -> Chances {
        Chances(u32::from(is_hot) | served << Chances::SERVED_SHIFT)
    }

    pub(super) fn is_hot(self) -> bool {
        self.0 & Chances::HOT != 0
    }

    pub(super) fn hot(self) -> Chances {
        Chances(self.0 | Chances::HOT)
    }

    fn left(self) -> u32 {
        self.0 >> Chances::LEFT_SHIFT & Chances::LEFT
    }

    fn with(self, left: u32) -> Chances {
        Chances(self.0 & !(Chances::LEFT << Chances::LEFT_SHIFT) | left.min(MOST) << Chances::LEFT_SHIFT)
    }

    /// The same of an entry that was asked for so often by now.
    pub(super) fn at(self, served: u32) -> Chances {
        let times = (served << Chances::SERVED_SHIFT)
            .wrapping_sub(self.0 >> Chances::SERVED_SHIFT << Chances::SERVED_SHIFT)
            >> Chances::SERVED_SHIFT;
        self.counted_from(served).with(self.left() + times.min(MOST))
    }

    /// The same of an entry that was asked for as often, but counts from elsewhere.
    pub(super) fn counted_from(self, served: u32) -> Chances {
        Chances::new(self.is_hot(), served).with(self.left())
    }

    pub(super) fn one_more(self) -> Chances {
        self.with(self.left() + 1)
    }

    /// A hand has passed by; `None`: it does not.
    pub(super) fn one_less(self) -> Option<Chances> {
        self.left().checked_sub(1).map(|left| self.with(left))
    }
}

/// Links of one block: 3 KiB.
const BLOCK: usize = 256;

/// Links by place, in blocks: a table that doubles would leave up to half of itself unused, and stop everybody while it
/// is copied.
#[derive(Default)]
pub(super) struct Links(Vec<Box<[Link]>>);

impl Links {
    pub(super) fn at(&self, place: u32) -> Link {
        self.0[place as usize / BLOCK][place as usize % BLOCK]
    }

    pub(super) fn at_mut(&mut self, place: u32) -> &mut Link {
        &mut self.0[place as usize / BLOCK][place as usize % BLOCK]
    }

    fn reach(&mut self, place: u32) {
        while self.0.len() <= place as usize / BLOCK {
            self.0.push(vec![Link::default(); BLOCK].into());
        }
    }
}

/// Places in a circle, and where the hand is.
#[derive(Default)]
pub(super) struct Ring {
    hand: Option<u32>,
    /// Of all entries.
    pub(super) weight: u64,
}

impl Ring {
    /// Where the hand is.
    pub(super) fn first(&self) -> Option<u32> {
        self.hand
    }

    /// The hand goes one on.
    pub(super) fn pass(&mut self, links: &Links) {
        self.hand = self.hand.map(|hand| links.at(hand).next);
    }

    /// The last to which the hand comes.
    pub(super) fn join(&mut self, links: &mut Links, place: u32, weight: u32) {
        links.reach(place);
        let next = self.hand.unwrap_or(place);
        let prev = if next == place { place } else { links.at(next).prev };
        *links.at_mut(place) = Link { next, prev, ..links.at(place) };
        links.at_mut(prev).next = place;
        links.at_mut(next).prev = place;
        self.hand = Some(next);
        self.weight += u64::from(weight);
    }

    pub(super) fn leave(&mut self, links: &mut Links, place: u32, weight: u32) {
        let Link { next, prev, .. } = links.at(place);
        links.at_mut(prev).next = next;
        links.at_mut(next).prev = prev;
        if self.hand == Some(place) {
            self.hand = (next != place).then_some(next);
        }
        self.weight -= u64::from(weight);
    }
}

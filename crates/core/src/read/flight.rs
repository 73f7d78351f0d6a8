//! Whom may a reader follow? The flights of one key, as data.
//!
//! A flight is *reading* its origin or *not yet reading*. A reader may join one that has not begun
//! to read, or one that no invalidation has overtaken since it began. Otherwise it leads, or waits
//! as, the one successor: so at most [`MOST_READING`] loads of a key read at once, whatever comes.

use crate::fence::Fence;
use crate::guard::cooldown::Cooling;
use crate::policy::Priority;
use crate::read::decide::Demand;
use crate::time::{Span, Tick};

/// Loads of one key that may read at once (G1: one, plus one successor after an invalidation).
pub const MOST_READING: usize = 2;

/// Names a flight within its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlightId(pub u64);

/// One coalesced load.
#[derive(Clone, Debug)]
pub struct Flight {
    /// Its name.
    pub id: FlightId,
    /// Since when, and under which fence, it reads the origin.
    pub reading: Option<Reading>,
    /// The shared tier's lease under which it began to read with nothing of the key in hand; zero: under none.
    pub lease: Fence,
    /// An invalidation came since it began to read: nobody may join, nothing will be kept.
    pub overtaken: bool,
    /// It was overtaken by nothing but what others did, and nothing says that this came after its lease: nobody may join, but
    /// what it loads is offered to the shared tier, which refuses it if it did.
    pub doubted: bool,
    /// The strictest demand of all who joined: what a tier holds must meet it, or the origin is asked.
    pub demand: Demand,
    /// The highest class of all who joined.
    pub priority: Priority,
    /// The latest deadline of all who joined; `None` while nobody waits (a refresh).
    pub deadline: Option<Tick>,
    /// How many wait for it, the leader's caller not counted.
    pub followers: u32,
}

/// When a flight began to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Drawn at that moment.
    pub fence: Fence,
    /// That moment.
    pub since: Tick,
}

/// Who asks to join.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// What age it would accept.
    pub demand: Demand,
    /// Its class.
    pub priority: Priority,
    /// Its deadline; `None` for a refresh, which nobody waits for.
    pub deadline: Option<Tick>,
    /// The newest invalidation of the whole space: a load that began to read before it can't be followed.
    pub floor: Fence,
}

/// What became of an asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// It follows this flight; `raised` if the flight inherited its class or deadline.
    Follow {
        /// The flight.
        id: FlightId,
        /// Whether the guard must hear of a higher class, a later deadline or more waiters.
        raised: bool,
    },
    /// It leads this new flight, at once.
    Lead(FlightId),
    /// It leads this new flight, which starts when the older one ends, or at `at` if that comes first.
    LeadLater {
        /// The flight.
        id: FlightId,
        /// `None`: two are reading already, only an end makes room.
        at: Option<Tick>,
    },
}

/// The flights of one key, and its last failure.
#[derive(Clone, Debug, Default)]
pub struct Flights {
    active: [Option<Flight>; MOST_READING],
    parked: Option<Flight>,
    /// The last load failed: until when, how often, in which way.
    pub cooling: Option<Cooling>,
}

impl Flights {
    /// Joins the flight that `asker` may follow and that will end first, or starts the one named `id`.
    ///
    /// `hedge` is how long a successor waits for an overtaken older flight before it starts beside it.
    pub fn join(&mut self, asker: &Asker, id: FlightId, hedge: Span, now: Tick) -> Join {
        let welcoming = self.iter_mut().filter(|flight| flight.welcomes(asker, now));
        if let Some(flight) = welcoming.min_by_key(|flight| flight.reading.map_or(Tick::NEVER, |r| r.since)) {
            let raised = flight.take_on(asker);
            return Join::Follow { id: flight.id, raised };
        }
        let flight = Flight {
            id,
            reading: None,
            lease: Fence::ZERO,
            overtaken: false,
            doubted: false,
            demand: asker.demand,
            priority: asker.priority,
            deadline: asker.deadline,
            followers: 0,
        };
        let oldest = self.active.iter().flatten().filter_map(|f| f.reading).map(|r| r.since).min();
        let running = self.active.iter().flatten().count();
        if running == 0 {
            self.active[0] = Some(flight);
            return Join::Lead(id);
        }
        // A parked flight has not begun to read, so it would have been joined above.
        debug_assert!(self.parked.is_none());
        self.parked = Some(flight);
        let at = (running < MOST_READING).then(|| (oldest.unwrap_or(now) + hedge).max(now));
        Join::LeadLater { id, at }
    }

    /// Whether a new flight for `asker` would be superfluous: somebody already loads what it would.
    pub fn covers(&self, asker: &Asker, now: Tick) -> bool {
        self.iter().any(|flight| flight.welcomes(asker, now))
    }

    /// The parked flight `id` wants to start although an older one may still run. True if it may:
    /// there is room, or it was started already.
    pub fn unpark(&mut self, id: FlightId) -> bool {
        if self.parked.as_ref().is_none_or(|flight| flight.id != id) {
            return self.get(id).is_some();
        }
        let Some(room) = self.active.iter_mut().find(|place| place.is_none()) else { return false };
        *room = self.parked.take();
        true
    }

    /// `id` begins to read the origin, now, under `fence`. False if there is no such active flight.
    pub fn begin_read(&mut self, id: FlightId, fence: Fence, now: Tick) -> bool {
        let Some(flight) = self.active.iter_mut().flatten().find(|f| f.id == id) else { return false };
        flight.reading = Some(Reading { fence, since: now });
        true
    }

    /// `id` reads by this lease, which it was granted before it began, and shows no validator of an older value.
    pub fn reads_by(&mut self, id: FlightId, lease: Fence) {
        if let Some(flight) = self.active.iter_mut().flatten().find(|f| f.id == id) {
            flight.lease = lease;
        }
    }

    /// Under which fence the key's flight reads, if an invalidation that is heard of only now came before: the tier raised
    /// the key to `heard`, and granted the flight's lease above that. Then all that began under that fence or later is newer
    /// than the invalidation. Both are fences of the tier, of one key.
    ///
    /// `None` as well where there is another flight: what that one has begun with is not known here.
    pub fn reads_after(&self, heard: Fence) -> Option<Fence> {
        let mut flights = self.iter();
        let (flight, None) = (flights.next()?, flights.next()) else { return None };
        let after = heard > Fence::ZERO && flight.lease > heard && !flight.overtaken;
        flight.reading.filter(|_| after).map(|reading| reading.fence)
    }

    /// An invalidation came: what reads now can't be joined any more, and the past failure is forgotten.
    pub fn overtake(&mut self) {
        for flight in self.iter_mut().filter(|f| f.reading.is_some()) {
            (flight.overtaken, flight.doubted) = (true, false);
        }
        self.cooling = None;
    }

    /// The same for an invalidation by somebody else, by the fence to which it raised the key in the tier; `None`: it may not
    /// have been there yet. A lease that is not known to be older than it leaves a doubt, which the tier resolves.
    pub fn overtake_heard(&mut self, heard: Option<Fence>) {
        for flight in self.iter_mut().filter(|f| f.reading.is_some()) {
            let in_doubt = flight.lease > heard.unwrap_or_default() && (!flight.overtaken || flight.doubted);
            (flight.overtaken, flight.doubted) = (true, in_doubt);
        }
        self.cooling = None;
    }

    /// `id` is over: its last state, and the parked flight whose turn comes, if any.
    pub fn end(&mut self, id: FlightId) -> Option<(Flight, Option<FlightId>)> {
        let place =
            self.active.iter_mut().chain([&mut self.parked]).find(|p| p.as_ref().is_some_and(|f| f.id == id))?;
        let ended = place.take()?;
        let parked = self.parked.as_ref().map(|flight| flight.id);
        let next = parked.filter(|next| self.unpark(*next));
        Some((ended, next))
    }

    /// The flight named `id`.
    pub fn get(&self, id: FlightId) -> Option<&Flight> {
        self.active.iter().chain([&self.parked]).flatten().find(|f| f.id == id)
    }

    /// All flights, those that may run before the one that waits its turn.
    pub fn iter(&self) -> impl Iterator<Item = &Flight> {
        self.active.iter().chain([&self.parked]).flatten()
    }

    /// How many read the origin right now.
    pub fn reading(&self) -> usize {
        self.active.iter().flatten().filter(|f| f.reading.is_some()).count()
    }

    /// Nothing is known of this key any more: its slot can go.
    pub fn idle(&self, now: Tick) -> bool {
        self.iter().next().is_none() && self.cooling.as_ref().is_none_or(|c| c.forgotten(now))
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Flight> {
        self.active.iter_mut().chain([&mut self.parked]).flatten()
    }
}

impl Flight {
    /// Whether a reader that begins now may share this flight's answer.
    fn welcomes(&self, asker: &Asker, now: Tick) -> bool {
        match self.reading {
            None => true,
            Some(reading) if self.overtaken || reading.fence <= asker.floor => false,
            Some(reading) => match asker.demand {
                Demand::MaxAge(most) => now.since(reading.since) <= most,
                Demand::Any | Demand::Fresh | Demand::CachedOnly => true,
            },
        }
    }

    /// Inherits what the asker brings; true if that changes its place in the guard's queue.
    fn take_on(&mut self, asker: &Asker) -> bool {
        self.followers = self.followers.saturating_add(1);
        self.demand = self.demand.stricter(asker.demand);
        let (priority, deadline) = (self.priority.max(asker.priority), self.deadline.max(asker.deadline));
        // Only a flight that still waits for its permit has a place to be raised in.
        let raised = self.reading.is_none() && (priority != self.priority || deadline != self.deadline);
        (self.priority, self.deadline) = (priority, deadline);
        raised
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEDGE: Span = Span(50);

    fn asker(demand: Demand) -> Asker {
        Asker { demand, priority: Priority::Normal, deadline: Some(Tick(1000)), floor: Fence::ZERO }
    }

    fn join(flights: &mut Flights, id: u64, now: u64) -> Join {
        flights.join(&asker(Demand::Any), FlightId(id), HEDGE, Tick(now))
    }

    #[test]
    fn g1_everybody_follows_the_first() {
        let mut flights = Flights::default();
        assert_eq!(join(&mut flights, 1, 0), Join::Lead(FlightId(1)));
        assert_eq!(join(&mut flights, 2, 0), Join::Follow { id: FlightId(1), raised: false });
        assert!(flights.begin_read(FlightId(1), Fence(1), Tick(1)));
        assert_eq!(join(&mut flights, 3, 2), Join::Follow { id: FlightId(1), raised: false });
        let (ended, next) = flights.end(FlightId(1)).expect("it ran");
        assert_eq!((ended.followers, next), (2, None));
        assert!(flights.idle(Tick(3)));
    }

    #[test]
    fn g2_after_an_invalidation_only_a_flight_that_has_not_begun_to_read_is_joined() {
        let mut flights = Flights::default();
        join(&mut flights, 1, 0);
        flights.overtake();
        assert_eq!(
            join(&mut flights, 2, 0),
            Join::Follow { id: FlightId(1), raised: false },
            "it has read nothing yet"
        );
        flights.begin_read(FlightId(1), Fence(1), Tick(5));
        flights.overtake();
        assert_eq!(join(&mut flights, 2, 6), Join::LeadLater { id: FlightId(2), at: Some(Tick(55)) });
        assert_eq!(join(&mut flights, 3, 7), Join::Follow { id: FlightId(2), raised: false });
        assert_eq!(flights.end(FlightId(1)).and_then(|(_, next)| next), Some(FlightId(2)), "its turn came");
        assert!(flights.begin_read(FlightId(2), Fence(2), Tick(20)));
    }

    /// One flight that reads under this lease.
    fn begun(lease: u64) -> Flights {
        let mut flights = Flights::default();
        join(&mut flights, 1, 0);
        flights.begin_read(FlightId(1), Fence(700), Tick(1));
        flights.reads_by(FlightId(1), Fence(lease));
        flights
    }

    #[test]
    fn g2_only_a_lone_flight_whose_lease_is_above_an_invalidation_reads_after_it() {
        assert_eq!(begun(50).reads_after(Fence(49)), Some(Fence(700)));
        // Controls: a lease that was granted before it, none at all, and an invalidation without a place in the tier's order.
        assert_eq!((begun(50).reads_after(Fence(50)), begun(50).reads_after(Fence(51))), (None, None));
        assert_eq!((begun(0).reads_after(Fence(1)), begun(50).reads_after(Fence::ZERO)), (None, None));
        let mut flights = begun(50);
        flights.overtake();
        assert_eq!(flights.reads_after(Fence(49)), None, "overtaken by another");
        join(&mut flights, 2, 2);
        assert_eq!(flights.reads_after(Fence(49)), None, "two flights");
        assert_eq!(Flights::default().reads_after(Fence(49)), None);
    }

    #[test]
    fn g2_a_lease_that_may_be_younger_than_what_is_heard_of_leaves_a_doubt() {
        let doubted = |lease, heard: &[Option<u64>]| {
            let mut flights = begun(lease);
            heard.iter().for_each(|heard| flights.overtake_heard(heard.map(Fence)));
            let flight = flights.get(FlightId(1)).expect("it runs");
            assert!(flight.overtaken && !flights.covers(&asker(Demand::Any), Tick(2)), "nobody may join");
            flight.doubted
        };
        assert!(doubted(50, &[None]) && doubted(50, &[None, None, Some(49)]) && doubted(50, &[Some(49), None]));
        for heard in [&[Some(50)][..], &[None, Some(51)], &[Some(51), None], &[Some(51), Some(49)]] {
            assert!(!doubted(50, heard), "it is older than one of them: {heard:?}");
        }
        assert!(!doubted(0, &[None]), "no lease, no doubt");
        let mut flights = begun(50);
        flights.overtake_heard(None);
        flights.overtake();
        flights.overtake_heard(None);
        assert!(!flights.get(FlightId(1)).expect("it runs").doubted, "what happened here came after it");
    }

    #[test]
    fn g2_a_load_older_than_its_spaces_clearing_is_not_followed() {
        let mut flights = Flights::default();
        join(&mut flights, 1, 0);
        flights.begin_read(FlightId(1), Fence(7), Tick(0));
        let after = |floor| Asker { floor: Fence(floor), ..asker(Demand::Any) };
        assert!(flights.covers(&after(6), Tick(1)));
        assert!(!flights.covers(&after(7), Tick(1)));
    }

    #[test]
    fn a_slow_older_flight_holds_its_successor_no_longer_than_the_hedge() {
        let mut flights = Flights::default();
        join(&mut flights, 1, 0);
        flights.begin_read(FlightId(1), Fence(1), Tick(0));
        flights.overtake();
        assert_eq!(join(&mut flights, 2, 90), Join::LeadLater { id: FlightId(2), at: Some(Tick(90)) });
        assert!(flights.unpark(FlightId(2)));
        flights.begin_read(FlightId(2), Fence(2), Tick(90));
        flights.overtake();
        assert_eq!(join(&mut flights, 3, 91), Join::LeadLater { id: FlightId(3), at: None }, "two read already");
        assert!(!flights.unpark(FlightId(3)));
    }

    #[test]
    fn a_reader_who_wants_a_younger_answer_does_not_follow_an_old_load() {
        let mut flights = Flights::default();
        join(&mut flights, 1, 0);
        flights.begin_read(FlightId(1), Fence(1), Tick(0));
        let young = asker(Demand::MaxAge(Span(10)));
        assert!(matches!(flights.join(&young, FlightId(2), HEDGE, Tick(10)), Join::Follow { .. }));
        assert!(matches!(flights.join(&young, FlightId(2), HEDGE, Tick(11)), Join::LeadLater { .. }));
    }

    #[test]
    fn g4_a_flight_inherits_class_and_deadline_and_never_loses_them() {
        let mut flights = Flights::default();
        let refresh = Asker { demand: Demand::Any, priority: Priority::Background, deadline: None, floor: Fence::ZERO };
        flights.join(&refresh, FlightId(1), HEDGE, Tick(0));
        let critical =
            Asker { demand: Demand::Any, priority: Priority::Critical, deadline: Some(Tick(300)), floor: Fence::ZERO };
        assert_eq!(
            flights.join(&critical, FlightId(2), HEDGE, Tick(0)),
            Join::Follow { id: FlightId(1), raised: true }
        );
        let low = Asker { demand: Demand::Any, priority: Priority::Low, deadline: Some(Tick(100)), floor: Fence::ZERO };
        assert_eq!(flights.join(&low, FlightId(3), HEDGE, Tick(0)), Join::Follow { id: FlightId(1), raised: false });
        let flight = flights.get(FlightId(1)).expect("it waits");
        assert_eq!((flight.priority, flight.deadline), (Priority::Critical, Some(Tick(300))));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Join(Option<u64>),
        Begin(usize),
        Unpark(usize),
        Overtake,
        End(usize),
    }

    fn any_op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => prop::option::of(0u64..40).prop_map(Op::Join),
            3 => (0usize..3).prop_map(Op::Begin),
            1 => (0usize..3).prop_map(Op::Unpark),
            2 => Just(Op::Overtake),
            3 => (0usize..3).prop_map(Op::End),
        ]
    }

    proptest! {
        #[test]
        fn g1_g2_hold_over_any_history(ops in prop::collection::vec(any_op(), 1..120)) {
            let mut flights = Flights::default();
            let (mut now, mut ids) = (0u64, 0u64);
            let mut last_overtake = 0u64;
            for op in ops {
                now += 1;
                let live: Vec<FlightId> = flights.iter().map(|f| f.id).collect();
                match op {
                    Op::Join(age) => {
                        ids += 1;
                        let demand = age.map_or(Demand::Any, |ms| Demand::MaxAge(Span(ms)));
                        match flights.join(&asker(demand), FlightId(ids), HEDGE, Tick(now)) {
                            Join::Follow { id, .. } => {
                                let flight = flights.get(id).expect("followed flights exist");
                                if let Some(reading) = flight.reading {
                                    prop_assert!(reading.since.0 > last_overtake, "joined a load older than an invalidation");
                                    if let Some(ms) = age { prop_assert!(now - reading.since.0 <= ms); }
                                }
                            }
                            Join::Lead(id) => prop_assert!(live.is_empty() && id.0 == ids),
                            Join::LeadLater { id, at } => {
                                prop_assert_eq!(id.0, ids);
                                prop_assert!(!live.is_empty());
                                prop_assert!(at.is_none_or(|t| t.0 >= now));
                            }
                        }
                    }
                    Op::Begin(n) => if let Some(id) = live.get(n) {
                        let not_yet = flights.get(*id).is_some_and(|f| f.reading.is_none());
                        if not_yet { flights.begin_read(*id, Fence(now), Tick(now)); }
                    },
                    Op::Unpark(n) => if let Some(id) = live.get(n) { flights.unpark(*id); },
                    Op::Overtake => { last_overtake = now; flights.overtake(); }
                    Op::End(n) => if let Some(id) = live.get(n) {
                        let (_, next) = flights.end(*id).expect("it was live");
                        prop_assert!(flights.get(*id).is_none());
                        if let Some(next) = next {
                            prop_assert!(flights.get(next).is_some_and(|f| f.reading.is_none()));
                        }
                        // A flight is never left waiting for a turn that nobody will announce.
                        prop_assert!(flights.parked.is_none());
                    },
                }
                prop_assert!(flights.reading() <= MOST_READING);
                prop_assert!(flights.iter().count() <= MOST_READING + 1);
                prop_assert!(flights.iter().filter(|f| f.reading.is_none()).count() <= 2);
            }
        }
    }
}

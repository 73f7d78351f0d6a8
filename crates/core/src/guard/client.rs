//! How much may one client ask in vain? A budget for each, in a table that a million addresses do not enlarge.
//!
//! Whoever is over it is served after all others; whoever goes on is turned away. The table forgets whom it can best
//! afford to: a newcomer takes the place of the one with the most left, and what that one had left, so that changing
//! addresses wins nothing once the table is full.

use crate::time::{Span, Tick};

/// Clients that are told apart at once.
pub const MOST_CLIENTS: usize = SETS * WAYS;
const SETS: usize = 1_024;
/// Places in which one client may be found.
const WAYS: usize = 8;
/// Parts of a token: a rate in tokens a second is the gain of a millisecond in these.
const TOKEN: i64 = 1_000;
/// Debts do not grow beyond what so many seconds pay back: what was asked for at once is known only once it is answered.
const MOST_DEBT: i64 = 10;

/// How a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has something left.
    Within,
    /// It has not: its loads come after all others.
    Lowest,
    /// It is in debt by more than a second's worth: it is turned away for so long.
    Refused(Span),
}

/// One client's place. Its number is 0 while nobody has it.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    client: u64,
    /// What it has left, in parts of a token; below zero: a debt.
    left: i64,
    at: Tick,
}

/// The budgets of all clients of one space.
#[derive(Clone, Debug)]
pub struct Clients {
    places: Box<[Place]>,
    /// Tokens a second, and the most that anybody has.
    rate: i64,
}

impl Clients {
    /// Each client may ask so many times a second in vain, and so many at once; at least one.
    pub fn new(rate_per_s: f64) -> Clients {
        // Float to integer casts saturate, and NaN gives 0.
        let rate = (rate_per_s as u32).max(1);
        Clients { places: vec![Place::default(); MOST_CLIENTS].into(), rate: i64::from(rate) }
    }

    /// How `client` stands, by a number that its address was hashed to.
    pub fn standing(&self, client: u64, now: Tick) -> Standing {
        let left = self.left(&self.places[self.place(client, now)], now);
        let burst = self.rate * TOKEN;
        if left > 0 {
            Standing::Within
        } else if left > -burst {
            Standing::Lowest
        } else {
            let missing = left.saturating_neg() - burst + 1;
            Standing::Refused(Span(u64::try_from(missing / self.rate + 1).unwrap_or(1)))
        }
    }

    /// `client` has asked in vain once more.
    pub fn spend(&mut self, client: u64, now: Tick) {
        let at = self.place(client, now);
        let left = self.left(&self.places[at], now) - TOKEN;
        let place = Place { client: named(client), left: left.max(-MOST_DEBT * self.rate * TOKEN), at: now };
        self.places[at] = place;
    }

    /// Clients that have nothing left.
    pub fn over(&self, now: Tick) -> usize {
        self.places.iter().filter(|place| place.client != 0 && self.left(place, now) <= 0).count()
    }

    /// Where `client` is, or would be.
    fn place(&self, client: u64, now: Tick) -> usize {
        let first = (client as usize % SETS) * WAYS;
        let places = &self.places[first..first + WAYS];
        let own = places.iter().position(|place| place.client == named(client));
        let most_left = || (0..WAYS).max_by_key(|at| self.left(&places[*at], now)).unwrap_or_default();
        first + own.unwrap_or_else(most_left)
    }

    fn left(&self, place: &Place, now: Tick) -> i64 {
        let burst = self.rate * TOKEN;
        if place.client == 0 {
            return burst;
        }
        let gained = i64::try_from(now.since(place.at).0).unwrap_or(i64::MAX).saturating_mul(self.rate);
        place.left.saturating_add(gained).min(burst)
    }
}

/// No client has the number of an empty place.
fn named(client: u64) -> u64 {
    client.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draw;

    const RATE: f64 = 10.0;

    #[test]
    fn a_client_is_lowered_after_its_burst_and_refused_after_a_second_of_debt() {
        let (mut clients, now) = (Clients::new(RATE), Tick(1_000));
        let mut seen = Vec::new();
        for _ in 0..25 {
            seen.push(clients.standing(7, now));
            clients.spend(7, now);
        }
        assert!(seen[..10].iter().all(|standing| *standing == Standing::Within), "{seen:?}");
        assert!(seen[10..20].iter().all(|standing| *standing == Standing::Lowest), "{seen:?}");
        assert!(seen[20..].iter().all(|standing| matches!(standing, Standing::Refused(_))), "{seen:?}");
        assert_eq!(clients.standing(8, now), Standing::Within, "others pay nothing for it");
        assert_eq!(clients.over(now), 1);
    }

    #[test]
    fn who_waits_as_long_as_told_is_let_in_and_not_before() {
        let (mut clients, now) = (Clients::new(RATE), Tick(1_000));
        (0..25).for_each(|_| clients.spend(7, now));
        let Standing::Refused(wait) = clients.standing(7, now) else { panic!("it has spent too much") };
        assert!(matches!(clients.standing(7, Tick(now.0 + wait.0 - 2)), Standing::Refused(_)));
        assert_eq!(clients.standing(7, now + wait), Standing::Lowest);
        assert_eq!(clients.standing(7, now + Span::secs(10)), Standing::Within);
    }

    #[test]
    fn over_a_minute_a_scanner_gets_its_rate_and_two_bursts() {
        let mut clients = Clients::new(RATE);
        let mut loads = 0;
        for ms in 0..60_000 {
            let now = Tick(ms);
            if !matches!(clients.standing(3, now), Standing::Refused(_)) {
                loads += 1;
                clients.spend(3, now);
            }
        }
        assert!((600..=622).contains(&loads), "{loads}");
    }

    #[test]
    fn debts_have_an_end() {
        let mut clients = Clients::new(RATE);
        (0..1_000_000).for_each(|_| clients.spend(7, Tick(1_000)));
        assert_eq!(clients.standing(7, Tick(1_000) + Span::secs(12)), Standing::Within);
    }

    #[test]
    fn a_million_addresses_take_no_more_room_and_win_nothing_once_the_table_is_full() {
        let (mut clients, now) = (Clients::new(RATE), Tick(1_000));
        let room = clients.places.len();
        let mut served = 0_u64;
        for number in 0..1_000_000 {
            // Each address asks once.
            let client = Draw(1).fork(number).0;
            if !matches!(clients.standing(client, now), Standing::Refused(_)) {
                served += 1;
                clients.spend(client, now);
            }
        }
        assert_eq!(clients.places.len(), room);
        let most = 2 * MOST_CLIENTS as u64 * RATE as u64;
        assert!(served <= most, "{served} of a million, the table's {MOST_CLIENTS} budgets hold {most}");
    }
}

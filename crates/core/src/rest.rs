//! May a serving thread that has nothing to do rest, so that what comes meanwhile is answered together?
//!
//! A thread that sleeps until something comes is woken for every few requests, where requests come a little more slowly
//! than it answers them: going to sleep and being woken then costs a fifth of an answer and more. A short rest lets more
//! come together. Network cards do the same with their interrupts.
//!
//! It must not be felt. A client that waits for each answer before it asks again asks less often by one in [`PART`] at most;
//! a thread that few ask does not rest at all; and nobody waits longer than [`LONGEST`] for it.

use std::time::Duration;

/// A rest lasts at most the time between two requests of one client, divided by this.
pub const PART: u32 = 16;
/// However seldom they ask.
pub const LONGEST: Duration = Duration::from_micros(40);
/// It is worth while if so many requests are expected meanwhile.
pub const WORTH: u32 = 2;

/// How long to rest, if `clients` sent `requests` within `time`; zero: not at all.
pub fn rest(clients: u32, requests: u32, time: Duration) -> Duration {
    if requests == 0 {
        return Duration::ZERO;
    }
    let between = time * clients / requests;
    let rest = (between / PART).min(LONGEST);
    if rest * requests < time * WORTH { Duration::ZERO } else { rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(4);

    #[test]
    fn many_busy_clients_are_let_come_together() {
        // Fifty clients, 80,000 requests a second: each asks every 625 us.
        assert_eq!(rest(50, 320, TIME), Duration::from_micros(625) / PART);
        assert_eq!(rest(1000, 400, TIME), LONGEST, "each asks every 10 ms");
    }

    #[test]
    fn few_clients_and_few_requests_wait_for_nothing() {
        for (clients, requests) in [(0, 0), (1, 400), (8, 300), (31, 400), (50, 50), (1000, 100)] {
            assert_eq!(rest(clients, requests, TIME), Duration::ZERO, "{clients} {requests}");
        }
    }

    #[test]
    fn nobody_asks_less_often_by_more_than_a_part() {
        for (clients, requests) in (0..2000).step_by(7).flat_map(|clients| (1..2000).map(move |asked| (clients, asked)))
        {
            let (rest, between) = (rest(clients, requests, TIME), TIME * clients / requests);
            assert!(rest <= LONGEST && rest * PART <= between, "{clients} {requests}: {rest:?}");
        }
    }
}

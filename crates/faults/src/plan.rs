//! What becomes of a chunk? A function of the faults, the chunk and the dice.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fastrand::Rng;

use crate::fault::{Direction, Faults, Slice};

/// What is to be done with a chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Before anything of it arrives.
    pub(crate) delay: Duration,
    /// What arrives, in order, with a pause after each but the last.
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) pause: Duration,
    /// Both sides are reset after that.
    pub(crate) reset: bool,
    pub(crate) corrupted: bool,
    pub(crate) duplicated: bool,
    pub(crate) swallowed: bool,
}

/// The dice of one direction of one connection.
pub(crate) fn dice(seed: u64, connection: u64, direction: Direction) -> Rng {
    let mut rng = Rng::with_seed(seed);
    // One after the other: sums of seed and number would give two connections the same dice.
    let of_connection = rng.u64(..) ^ connection;
    let mut rng = Rng::with_seed(of_connection);
    let of_direction = rng.u64(..) ^ u64::from(direction == Direction::ToClient);
    Rng::with_seed(of_direction)
}

/// Draws the same number of dice whatever is wrong, but for slices and what hits: a fault that is switched on does not
/// change where others strike.
pub(crate) fn plan(faults: &Faults, chunk: Bytes, dice: &mut Rng) -> Plan {
    let mut fork = dice.fork();
    let [corrupt, duplicate, reset, jitter] = std::array::from_fn(|_| fork.f64());
    let mut plan = Plan { delay: faults.latency + faults.jitter.mul_f64(jitter), ..Plan::default() };
    if faults.swallow {
        plan.swallowed = true;
        return plan;
    }
    let mut bytes = chunk;
    if corrupt < faults.corrupt {
        bytes = flipped(&bytes, &mut fork);
        plan.corrupted = true;
    }
    if reset < faults.reset {
        bytes.truncate(fork.usize(0..bytes.len().max(1)));
        plan.reset = true;
    } else if duplicate < faults.duplicate {
        bytes = [&bytes[..], &bytes].concat().into();
        plan.duplicated = true;
    }
    match faults.slice {
        Some(Slice { bytes: longest, pause }) => {
            plan.pause = pause;
            while !bytes.is_empty() {
                let length = fork.usize(1..=longest.max(1)).min(bytes.len());
                plan.pieces.push(bytes.split_to(length));
            }
        }
        None if bytes.is_empty() => {}
        None => plan.pieces.push(bytes),
    }
    plan
}

/// One bit of it is another.
fn flipped(chunk: &[u8], dice: &mut Rng) -> Bytes {
    let mut bytes = BytesMut::from(chunk);
    if !bytes.is_empty() {
        let at = dice.usize(..bytes.len());
        bytes[at] ^= 1 << dice.u32(0..8);
    }
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Direction, Duration, Faults, Slice, dice, plan};
    use fastrand::Rng as Dice;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn faults() -> impl Strategy<Value = Faults> {
        (0u64..100, 0u64..100, prop::option::of(1usize..50), 0.0..1.0, 0.0..1.0, 0.0..0.5).prop_map(
            |(latency, jitter, slice, corrupt, duplicate, reset)| Faults {
                latency: Duration::from_millis(latency),
                jitter: Duration::from_millis(jitter),
                slice: slice.map(|bytes| Slice { bytes, pause: Duration::ZERO }),
                corrupt,
                duplicate,
                reset,
                ..Faults::NONE
            },
        )
    }

    fn different(one: &[u8], other: &[u8]) -> u32 {
        one.iter().zip(other).map(|(a, b)| (a ^ b).count_ones()).sum()
    }

    proptest! {
        #[test]
        fn what_arrives_is_what_was_sent_but_for_the_faults_that_are_told(
            faults in faults(), seed: u64, chunks in vec(vec(any::<u8>(), 1..200), 1..20),
        ) {
            let (mut dice, mut again) = (Dice::with_seed(seed), Dice::with_seed(seed));
            for chunk in chunks {
                let made = plan(&faults, chunk.clone().into(), &mut dice);
                prop_assert_eq!(&made, &plan(&faults, chunk.clone().into(), &mut again), "the same dice");
                let arrived = made.pieces.concat();
                let length = chunk.len();
                let halves = arrived.chunks(length);
                let flips: Vec<u32> = halves.map(|half| different(half, &chunk)).collect();
                let expected = if made.duplicated { 2 * length } else { length };
                let right = if made.reset { arrived.len() < length } else { arrived.len() == expected };
                prop_assert!(right);
                prop_assert!(flips.iter().all(|&flips| flips <= u32::from(made.corrupted)));
                prop_assert!(made.reset || flips.iter().all(|&flips| flips == u32::from(made.corrupted)));
                prop_assert!(made.delay >= faults.latency && made.delay <= faults.latency + faults.jitter);
                let longest = faults.slice.map_or(usize::MAX, |slice| slice.bytes);
                prop_assert!(made.pieces.iter().all(|piece| (1..=longest).contains(&piece.len())));
            }
        }

        #[test]
        fn a_fault_that_is_switched_on_does_not_move_another(seed: u64) {
            let corrupt = Faults { corrupt: 0.3, ..Faults::NONE };
            let both = Faults { slice: Some(Slice { bytes: 3, pause: Duration::ZERO }), duplicate: 0.5, ..corrupt };
            let hit = |faults: &Faults| {
                let mut dice = dice(seed, 7, Direction::ToClient);
                (0..50).map(|_| plan(faults, Bytes::from_static(b"0123456789"), &mut dice).corrupted).collect::<Vec<_>>()
            };
            prop_assert_eq!(hit(&corrupt), hit(&both));
        }
    }

    #[test]
    fn connections_and_directions_have_dice_of_their_own() {
        let first = |connection, direction| dice(1, connection, direction).u64(..);
        let drawn = [
            first(1, Direction::ToServer),
            first(1, Direction::ToClient),
            first(2, Direction::ToServer),
            first(2, Direction::ToClient),
        ];
        assert!((1..4).all(|at| !drawn[..at].contains(&drawn[at])));
    }
}

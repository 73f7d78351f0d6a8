//! How long does a load take at an origin of the simulation, when it is alone there?

use super::{Draw, Span};

/// How load times are distributed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Times {
    /// From half of it to one and a half.
    Uniform(Span),
    Fixed(Span),
    /// Its median, and the deviation of its logarithm.
    Lognormal(Span, f64),
    /// Most take the first, and this share of them the second.
    TwoKinds(Span, Span, f64),
}

impl Times {
    /// That of one load; one draw says the same always. At least a millisecond, which is the clock's step.
    pub(super) fn draw(self, draw: Draw) -> Span {
        let took = match self {
            Times::Uniform(mean) => return mean.scale(0.5 + draw.unit()),
            Times::Fixed(took) => took,
            Times::Lognormal(median, sigma) => {
                // Box and Muller's.
                let radius = (-2.0 * (1.0 - draw.fork(1).unit()).ln()).sqrt();
                let normal = radius * (std::f64::consts::TAU * draw.fork(2).unit()).cos();
                median.scale((sigma * normal).exp()).at_most(Span::secs(8))
            }
            Times::TwoKinds(most, few, share) => {
                if draw.fork(1).unit() < share {
                    few
                } else {
                    most
                }
            }
        };
        took.max(Span::ms(1))
    }

    /// Of many loads, in milliseconds.
    pub(super) fn mean_ms(self) -> f64 {
        let draws = 20_000;
        (0..draws).map(|n| self.draw(Draw(0xA5).fork(n)).0).sum::<u64>() as f64 / draws as f64
    }
}

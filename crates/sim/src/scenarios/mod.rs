//! What do policies cost in the incidents this product exists for? Twelve scenarios, a file each.
//!
//! Every scenario compares sets of policies, from none ([`Level::Naive`], what people write) over some to all of
//! Bellwether's ([`Level::Full`]), under the same requests; each figure stands beside what nothing can do better, and
//! the numbers to reach are checked. What decides is the core's own code. Naive and partial sets are this crate's own
//! controls where the core has no such policy: a scenario whose control does not hurt would show nothing.

mod figure;
mod ladder;
mod name;
mod promoted;
mod s1;
mod s10;
mod s11;
mod s12;
mod s2;
mod s3;
mod s4;
mod s5;
mod s6;
mod s7;
mod s8;
mod s9;
mod storm;
mod study;
#[cfg(test)]
mod tests;
mod watch;

pub use figure::{Figure, Unit};
pub use name::Scenario;
pub use study::{About, Bar, Goal, Height, Level, Picture, Run, Set, Sizes, Study};

/// A scenario's cases, of the size that the design names unless `sizes` says otherwise.
pub fn studies(scenario: Scenario, sizes: &Sizes) -> Vec<Box<dyn Study>> {
    match scenario {
        Scenario::S1 => s1::studies(sizes),
        Scenario::S2 => s2::studies(sizes),
        Scenario::S3 => s3::studies(sizes),
        Scenario::S4 => s4::studies(sizes),
        Scenario::S5 => s5::studies(sizes),
        Scenario::S6 => s6::studies(sizes),
        Scenario::S7 => s7::studies(sizes),
        Scenario::S8 => s8::studies(sizes),
        Scenario::S9 => s9::studies(sizes),
        Scenario::S10 => s10::studies(sizes),
        Scenario::S11 => s11::studies(sizes),
        Scenario::S12 => s12::studies(sizes),
    }
}

/// A scenario's runs of the lease engine, for that engine's tests.
#[cfg(test)]
pub(crate) fn ladder(scenario: Scenario) -> Vec<crate::fleet::Case> {
    match scenario {
        Scenario::S1 => s1::cases(),
        Scenario::S2 => s2::cases(),
        Scenario::S3 => s3::cases(),
        Scenario::S6 => s6::cases(),
        Scenario::S7 => s7::cases(),
        Scenario::S10 => s10::cases(),
        _ => Vec::new(),
    }
}

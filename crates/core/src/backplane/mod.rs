//! What do processes prove to each other about invalidations? Whether one missed any, and what they cover.

pub mod feed;
pub mod floors;

#[cfg(test)]
mod feed_tests;

//! Which keys can't have a row? What a filter of the keys that exist may be trusted with, and when it is built anew.
//!
//! The filter's bits live in the shell; every decision about them is here.

pub mod absent;
pub mod odds;
pub mod overlay;
pub mod rebuild;
pub mod surge;

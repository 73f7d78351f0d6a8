//! Every decision of the Bellwether cache.
//!
//! The core sees metadata, never values. It has no async, no clock, no randomness, no I/O and no
//! `unsafe`: time ([`time::Tick`]) and randomness ([`draw::Draw`]) come in as data. Production, the
//! simulator and the property tests run the very same code.
#![forbid(unsafe_code)]

// The nouns.
pub mod cell;
pub mod draw;
pub mod entry;
pub mod failure;
pub mod fence;
pub mod key;
pub mod lease;
pub mod moment;
pub mod policy;
pub mod position;
pub mod template;
pub mod time;
pub mod why;

pub mod backplane;
pub mod evict;
pub mod filter;
pub mod guard;
pub mod heat;
pub mod loadtimes;
pub mod read;
pub mod rest;
pub mod ring;
pub mod write;

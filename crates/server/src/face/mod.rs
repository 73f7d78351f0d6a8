//! In which languages can Bellwether be asked?

pub mod http;
pub mod redis;

//! How are figures shown? A table for people, JSON and CSV for programs, a page with plots. Same figures, same bytes.

mod comparison;
mod html;
mod overview;
mod plot;
mod plots;
mod reading;
mod seeds;
mod table;
mod whatif;
mod words;

pub use comparison::Comparison;
pub use overview::summary;
pub use plots::scenarios;
pub use table::Table;
pub use whatif::WhatIf;
pub use words::whole;

//! How is the origin kept within its budget (G9)? Permits, rates, a queue by class, and cool-downs.

pub mod brake;
pub mod bucket;
pub mod cooldown;
pub mod gate;
pub mod pacer;
pub mod ramp;
pub mod share;

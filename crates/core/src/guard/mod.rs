//! How is the origin kept within its budget (G9)? A queue by class, an adaptive limit, rates, a breaker, cool-downs.

pub mod brake;
pub mod breaker;
pub mod bucket;
pub mod catch_up;
pub mod client;
pub mod cooldown;
pub mod ended;
pub mod gate;
pub mod limiter;
pub mod pacer;
pub mod ramp;
pub mod retries;
pub mod share;
pub mod shed;
pub mod standing;
pub mod unmet;

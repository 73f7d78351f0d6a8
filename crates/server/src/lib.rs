//! What does Bellwether look like from outside? The RESP, HTTP and admin listeners, and what configures them.
#![forbid(unsafe_code)]

pub mod admin;
mod allowance;
pub mod config;
pub mod connections;
pub mod face;
mod rest;
pub mod run;
pub mod service;
pub mod shutdown;
pub mod telemetry;

//! What if the network misbehaves? A TCP proxy with faults to switch on.
#![forbid(unsafe_code)]

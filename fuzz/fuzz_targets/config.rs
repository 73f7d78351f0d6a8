//! Is any file read without a panic, and does every problem have a place?
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bellwether_server::config::fuzzing::config(data));

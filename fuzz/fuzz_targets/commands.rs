//! Does any cut of a stream of commands tell the same story?
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bellwether_resp::fuzzing::commands(data));

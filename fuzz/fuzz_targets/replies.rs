//! Does any cut of a stream of replies read the same, and does what was read write back equal?
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bellwether_resp::fuzzing::replies(data));

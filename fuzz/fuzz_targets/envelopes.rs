//! Are any stored bytes read without a panic and within the limits, and does what was read say the same again?
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bellwether_envelope::fuzzing::envelope(data));

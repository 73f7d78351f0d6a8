//! Does every row become JSON that says the same, or an error?
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bellwether_adapters::fuzzing::rows(data));

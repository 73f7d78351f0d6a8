//! Is a key its captures put back, and is hiding never claimed wrongly?
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bellwether_core::template::fuzzing::templates(data));

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| intuned_gateway::fuzzing::document(data));

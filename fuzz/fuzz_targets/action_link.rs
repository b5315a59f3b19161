#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vorhoelle_fuzz::action_link(data));

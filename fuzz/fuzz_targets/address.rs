#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| tunnel_balancer_properties::address(text));

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hydron_oracles::check("parquet", input));

//! The data phase decodes the same whether its bytes come at once or in any pieces, as a slow reading of the specification has it, and holds no
//! more than its limits allow.
//!
//! Run with `-malloc_limit_mb=16`: an allocation that a declared length asks for ends the run.

#![no_main]

#[path = "../src/data.rs"]
mod data;

use data::Settings;
use libfuzzer_sys::arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut input = Unstructured::new(input);
    let Ok(settings) = Settings::arbitrary(&mut input) else { return };
    let Ok(cuts) = <[u8; 8]>::arbitrary(&mut input) else { return };
    data::check(settings, &cuts, input.take_rest());
});

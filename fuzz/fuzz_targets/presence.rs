//! Any message about agents is refused, or survives being written and read again.
//!
//! Run with `-malloc_limit_mb=16`: an allocation that a declared length asks for ends the run.

#![no_main]

use libfuzzer_sys::fuzz_target;
use myelin_bus::presence::fuzz_message;

fuzz_target!(|message: &[u8]| fuzz_message(message));

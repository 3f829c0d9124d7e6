//! Any message about polls is read or refused, and what is read is written and read the same again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use myelin_bridge_zmq::health::fuzz_message;

fuzz_target!(|message: &[u8]| fuzz_message(message));

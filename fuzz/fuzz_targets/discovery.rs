//! Any request to the registry is answered with JSON, and any JSON that is read prints as it would again.
//!
//! Run with `-max_len=4096`: the bound on a request itself has a test.

#![no_main]

use libfuzzer_sys::fuzz_target;
use myelin_bridge_zmq::discovery::fuzz_dialect;

fuzz_target!(|request: &[u8]| fuzz_dialect(request));

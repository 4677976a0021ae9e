//! The files of functions and of chains.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lumos_workloads::{Payload, Request, Workloads};

fuzz_target!(|data: &[u8]| {
    let folder = lumos_fuzz::folder();
    // Beside them, an input could name any file of the node as a standard input.
    if data.windows(5).any(|word| word == b"stdin") {
        return;
    }
    lumos_fuzz::write(folder.path(), data, &["f.toml", "g.toml", "chains/c.toml"]);
    for read in [Workloads::read_drafts, Workloads::read] {
        match read(folder.path()) {
            Err(error) => drop(error.to_string()),
            Ok(workloads) => {
                let payloads = workloads.functions.iter().flat_map(|function| &function.payloads);
                // Larger ones take their time, and are made alike.
                payloads.filter(|payload| is_small(payload)).for_each(|payload| {
                    payload.generate();
                });
            }
        }
    }
});

fn is_small(payload: &Payload) -> bool {
    match payload.request {
        Request::Bytes { bytes, .. }
        | Request::Text { bytes, .. }
        | Request::Sealed { bytes, .. }
        | Request::Orders { bytes, .. } => bytes < 1 << 14,
        Request::Photo { width, height, .. } => width.max(height) < 64,
        _ => true,
    }
}

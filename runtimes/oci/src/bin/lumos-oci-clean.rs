//! Removes what containers without a daemon may have left on the node, and the unpacked images.

use std::process::ExitCode;

use lumos_bench::Sandbox;
use lumos_bench::sandbox::Layout;

fn main() -> ExitCode {
    let layout = match Layout::of_process(env!("CARGO_MANIFEST_DIR")) {
        Ok(layout) => layout,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    for leftover in lumos_oci::Oci::remove_leftovers(&layout) {
        println!("removed {leftover}");
    }
    let unpacked = lumos_oci::unpacked(&layout);
    if unpacked.exists() {
        if let Err(error) = std::fs::remove_dir_all(&unpacked) {
            eprintln!("error: cannot remove {}: {error}", unpacked.display());
            return ExitCode::FAILURE;
        }
        println!("removed the unpacked images in {}", unpacked.display());
    }
    ExitCode::SUCCESS
}

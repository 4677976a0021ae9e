//! The worker, and the WASI command, of `json`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<json_guest::Json>()
}

//! The worker, and the WASI command, of `n-body`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<n_body_guest::NBody>()
}

//! The worker, and the WASI command, of `sha256`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<sha256_guest::Sha>()
}

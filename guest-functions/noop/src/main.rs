//! The worker, and the WASI command, of `noop`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<noop_guest::Noop>()
}

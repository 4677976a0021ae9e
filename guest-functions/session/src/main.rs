//! The worker, and the WASI command, of `session`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<session_guest::Session>()
}

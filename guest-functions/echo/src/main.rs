//! The worker, and the WASI command, of `echo`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<echo_guest::Echo>()
}

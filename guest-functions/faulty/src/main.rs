//! The worker, and the WASI command, of `faulty`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<faulty_guest::Faulty>()
}

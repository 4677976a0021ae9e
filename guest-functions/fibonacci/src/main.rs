//! The worker, and the WASI command, of `fibonacci`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<fibonacci_guest::Fibonacci>()
}

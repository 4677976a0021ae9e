//! The worker, and the WASI command, of `primes`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<primes_guest::Primes>()
}

//! The worker, and the WASI command, of `kv-write`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<kv_write_guest::KvWrite>()
}

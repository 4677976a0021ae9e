//! The worker, and the WASI command, of `kv-read`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<kv_read_guest::KvRead>()
}

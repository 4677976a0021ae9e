//! The worker, and the WASI command, of `gzip`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<gzip_guest::Gzip>()
}

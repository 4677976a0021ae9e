//! The worker, and the WASI command, of `aes-decrypt`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<aes_decrypt_guest::AesDecrypt>()
}

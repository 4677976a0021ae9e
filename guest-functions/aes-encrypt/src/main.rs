//! The worker, and the WASI command, of `aes-encrypt`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<aes_encrypt_guest::AesEncrypt>()
}

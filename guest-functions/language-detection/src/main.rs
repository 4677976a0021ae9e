//! The worker, and the WASI command, of `language-detection`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<language_detection_guest::LanguageDetection>()
}

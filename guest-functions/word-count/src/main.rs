//! The worker, and the WASI command, of `word-count`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<word_count_guest::WordCount>()
}

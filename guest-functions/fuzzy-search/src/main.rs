//! The worker, and the WASI command, of `fuzzy-search`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<fuzzy_search_guest::FuzzySearch>()
}

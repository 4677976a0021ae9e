//! The worker, and the WASI command, of `page-rank`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<page_rank_guest::PageRank>()
}

//! The Criterion suites of the wasmer engines.

fn main() -> std::process::ExitCode {
    lumos_bench::suites::main(env!("CARGO_PKG_NAME"), lumos_wasmer::engine)
}

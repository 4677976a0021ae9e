//! The Criterion suites of the native control.

fn main() -> std::process::ExitCode {
    lumos_bench::suites::main(env!("CARGO_PKG_NAME"), lumos_native::engine)
}

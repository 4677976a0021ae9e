//! What every runtime crate has to show.

fn main() -> std::process::ExitCode {
    lumos_bench::conformance::main(env!("CARGO_PKG_NAME"), lumos_wasmer::engine)
}

//! The worker of the engine that loads precompiled code: it links no compiler.

fn main() -> std::process::ExitCode {
    lumos_bench::worker::main(lumos_wasmer::engine)
}

//! The worker of the engines that load precompiled code: it links no compiler.

fn main() -> std::process::ExitCode {
    lumos_bench::worker::main(lumos_wasmtime::engine)
}

//! What compiles ahead of time for other architectures than this one.

fn main() -> std::process::ExitCode {
    lumos_bench::worker::main(lumos_wasmtime::engine)
}

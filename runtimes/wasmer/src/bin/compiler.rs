//! The worker of the engines that compile, which also compiles ahead of time.

fn main() -> std::process::ExitCode {
    lumos_bench::worker::main(lumos_wasmer::engine)
}

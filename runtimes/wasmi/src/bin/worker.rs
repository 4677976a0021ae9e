//! The worker of the wasmi engines.

fn main() -> std::process::ExitCode {
    lumos_bench::worker::main(lumos_wasmi::engine)
}

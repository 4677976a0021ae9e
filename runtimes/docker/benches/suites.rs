//! The Criterion suites of functions in containers.

fn main() -> std::process::ExitCode {
    lumos_bench::suites::main_of_sandbox(env!("CARGO_PKG_NAME"), lumos_docker::Docker::new)
}

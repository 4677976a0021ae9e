//! The Criterion suites of native functions in containers without a daemon.

fn main() -> std::process::ExitCode {
    lumos_bench::suites::main_of_sandbox(env!("CARGO_PKG_NAME"), lumos_oci::Oci::new)
}

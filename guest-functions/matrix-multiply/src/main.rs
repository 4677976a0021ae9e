//! The worker, and the WASI command, of `matrix-multiply`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<matrix_multiply_guest::MatrixMultiply>()
}

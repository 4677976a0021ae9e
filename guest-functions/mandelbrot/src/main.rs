//! The worker, and the WASI command, of `mandelbrot`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<mandelbrot_guest::Mandelbrot>()
}

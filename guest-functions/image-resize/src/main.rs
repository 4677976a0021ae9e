//! The worker, and the WASI command, of `image-resize`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<image_resize_guest::ImageResize>()
}

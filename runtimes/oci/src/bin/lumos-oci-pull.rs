//! Pulls images from a registry of its own, over links of known bandwidth: what the model of a
//! pull is compared with.

fn main() -> std::process::ExitCode {
    lumos_registry::main()
}

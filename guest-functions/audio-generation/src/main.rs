//! The worker, and the WASI command, of `audio-generation`.

fn main() -> std::process::ExitCode {
    lumos_abi::main::<audio_generation_guest::AudioGeneration>()
}

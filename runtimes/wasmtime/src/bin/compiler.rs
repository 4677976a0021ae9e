//! The worker of the engines that compile, which also compiles ahead of time:
//! `lumos-wasmtime precompile <engine> <module.wasm> <output>`.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["precompile", engine, module, output] => {
            match lumos_wasmtime::precompile(engine, Path::new(module), Path::new(output)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("{module}: {error:#}");
                    ExitCode::FAILURE
                }
            }
        }
        _ => lumos_bench::worker::main(lumos_wasmtime::engine),
    }
}

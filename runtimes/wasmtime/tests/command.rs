//! The artifact for other runtimes: a WASI command that reads a request from standard input and
//! writes the response to standard output.

use lumos_bench::conformance::Built;
use lumos_bench::suites::verify_digest;
use lumos_record::{ArtifactKind, Profile};
use wasmtime::{Engine, Linker, Module, Store};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};

/// More than any response.
const MOST_BYTES: usize = 16 << 20;

#[test]
fn commands_answer_rightly() {
    let package = env!("CARGO_PKG_NAME");
    let built = Built::read(package).unwrap_or_else(|error| panic!("{error:#}"));
    let engine = Engine::default();
    for workload in built.workloads.benchmarked().filter(|workload| built.takes(workload)) {
        let (runtime, function) = (&built.runtimes[0], &workload.function);
        let command = built.artifacts.function(runtime, ArtifactKind::WasmCommand, function, &[]);
        let command = command.unwrap_or_else(|refusal| panic!("{refusal}"));
        let module = Module::from_file(&engine, command.path()).unwrap();
        let is_quick = |profile| profile == Some(Profile::Quick);
        for payload in workload.payloads.iter().filter(|payload| is_quick(payload.profile)) {
            let response = run(&engine, &module, payload.generate());
            if let Err(stop) = verify_digest(&response, payload) {
                panic!("{function} {}: {stop}", payload.id);
            }
        }
    }
}

/// Runs a command to its end, and returns what it wrote.
fn run(engine: &Engine, module: &Module, request: Vec<u8>) -> Vec<u8> {
    let output = MemoryOutputPipe::new(MOST_BYTES);
    let wasi = WasiCtxBuilder::new()
        .stdin(MemoryInputPipe::new(request))
        .stdout(output.clone())
        .build_p1();
    let mut store = Store::new(engine, wasi);
    let mut linker = Linker::new(engine);
    p1::add_to_linker_sync(&mut linker, |wasi: &mut WasiP1Ctx| wasi).expect("an empty linker");
    let instance = linker.instantiate(&mut store, module).expect("a WASI module");
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start").expect("a command");
    match start.call(&mut store, ()) {
        Ok(()) => {}
        // A command ends by an exit, which is a trap to its host.
        Err(error) => {
            let exit = error.downcast_ref::<wasmtime_wasi::I32Exit>();
            assert!(exit.is_some_and(|exit| exit.0 == 0), "{error:#}");
        }
    }
    drop(store);
    output.try_into_inner().map(Vec::from).unwrap_or_default()
}

//! Functions as WASI commands, which read a request from standard input and write the response to
//! standard output.

use lumos_bench::conformance::Built;
use lumos_bench::suites::verify_digest;
use lumos_bench::{Engine, Limits};
use lumos_record::{ArtifactKind, Profile};

#[test]
fn commands_answer_rightly() {
    let package = env!("CARGO_PKG_NAME");
    let built = Built::read(package).unwrap_or_else(|error| panic!("{error:#}"));
    let engine = lumos_wasmtime::engine("wasmtime-jit", &Limits::default()).unwrap();
    for workload in built.workloads.benchmarked().filter(|workload| built.takes(workload)) {
        let (runtime, function) = (&built.runtimes[0], &workload.function);
        let command = built.artifacts.function(runtime, ArtifactKind::WasmCommand, function, &[]);
        let command = command.unwrap_or_else(|refusal| panic!("{refusal}"));
        let linked = engine.link(&engine.load(&command).unwrap()).unwrap();
        let is_quick = |profile| profile == Some(Profile::Quick);
        for payload in workload.payloads.iter().filter(|payload| is_quick(payload.profile)) {
            // It is to exit with 0.
            let request = [&0_i32.to_le_bytes()[..], &payload.generate()].concat();
            let mut response = Vec::new();
            engine.run(&linked, &request, &mut response).unwrap();
            if let Err(stop) = verify_digest(&response, payload) {
                panic!("{function} {}: {stop}", payload.id);
            }
        }
    }
}

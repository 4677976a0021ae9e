//! What the suite `load` measures: a library that is mapped and bound, each time anew.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lumos_bench::conformance::Built;
use lumos_bench::{Engine, Limits};

/// Whether the dynamic linker has a library in memory.
fn is_loaded(path: &Path) -> bool {
    let path = CString::new(path.as_os_str().as_bytes()).expect("a path has no zero byte");
    // SAFETY: the path is a string that outlives the call, and nothing is loaded.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) };
    if library.is_null() {
        return false;
    }
    // SAFETY: the handle is the one just given. Closing it leaves the library to its owner.
    unsafe { libc::dlclose(library) };
    true
}

/// Were it kept, a second load would only count a reference, and the suite measure that.
#[test]
fn a_library_is_unloaded_when_its_module_is_dropped() {
    let package = env!("CARGO_PKG_NAME");
    let built = Built::read(package).unwrap_or_else(|error| panic!("{error:#}"));
    let runtime = &built.runtimes[0];
    let loads = runtime.loads.unwrap();
    let engine = lumos_native::engine(&runtime.name, &Limits::default()).unwrap();
    for workload in built.workloads.benchmarked() {
        let function = &workload.function;
        let artifact = built.artifacts.function(runtime, loads, function, &[]).unwrap();
        // What a call leaves to its thread, such as destructors, holds the library as long as the
        // thread lives. So the suite checks its artifact on a thread of its own, as here.
        let call = || {
            let module = engine.load(&artifact).unwrap();
            let linked = engine.link(&module).unwrap();
            let mut instance = engine.new_instance(&linked).unwrap();
            let request = workload.payloads[0].generate();
            engine.invoke(&mut instance, &request, &mut Vec::new())
        };
        let called = std::thread::scope(|scope| scope.spawn(call).join().unwrap());
        // Without a store, functions that keep state refuse; they have run all the same.
        assert_eq!(called.is_ok(), !workload.keeps_state, "{function}: {called:?}");
        // The first of these may find the library, and its end takes it away.
        for _ in 0..2 {
            let module = engine.load(&artifact).unwrap();
            assert!(is_loaded(artifact.path()), "{function} is not there while it is loaded");
            drop(module);
            assert!(!is_loaded(artifact.path()), "{function} stays after its module");
        }
    }
}

//! The `process` sandbox with workers that misbehave, and runs that are interrupted: what is on
//! record afterwards, and that nothing is left behind.

mod interruption;
mod misbehaviour;
mod rogue;

use std::process::ExitCode;

use anyhow::Result;
use lumos_abi::Timings;
use lumos_bench::conformance::checkout::{Answer, Checkout};
use lumos_bench::conformance::{is_bench_target, run};
use lumos_bench::suites::select::Selection;
use lumos_bench::{Checked, Engine, InvokeError, suites};
use lumos_record::{ArtifactKind, Mode, Profile, Runtime, Suite};

const PACKAGE: &str = "lumos-rogue";

fn main() -> ExitCode {
    if rogue::is_worker() {
        return rogue::main();
    }
    if is_bench_target() {
        return suites::main(PACKAGE, |_, _| Ok(Stuck));
    }
    run(misbehaviour::trials().chain(interruption::trials()).collect())
}

/// An engine whose functions never return.
struct Stuck;

impl Engine for Stuck {
    type Module = ();
    type Linked = ();
    type Environment = ();
    type Instance = ();

    fn load(&self, _: &Checked) -> Result<()> {
        Ok(())
    }

    fn link(&self, (): &()) -> Result<()> {
        Ok(())
    }

    fn environment(&self, (): &()) -> Result<()> {
        Ok(())
    }

    fn instantiate(&self, (): &(), (): ()) -> Result<()> {
        Ok(())
    }

    fn answer<'i>(&self, (): &'i mut (), _: [&[u8]; 2]) -> Result<&'i [u8], InvokeError> {
        loop {
            std::hint::spin_loop();
        }
    }

    fn invoke_timed(
        &self,
        instance: &mut (),
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<Timings, InvokeError> {
        self.invoke(instance, request, response)?;
        Ok(Timings::default())
    }

    fn clock_cost_ps(&self, (): &mut ()) -> Result<u64, InvokeError> {
        Ok(0)
    }
}

/// A checkout with a runtime for each way to misbehave; this program is the worker of all.
fn checkout(ways: &[&str]) -> Result<Checkout> {
    let mut checkout = Checkout::new()?;
    let program = std::env::current_exe()?;
    let worker = Some(("rogue", "1.0"));
    checkout.add_artifact(ArtifactKind::Worker, None, worker, &program)?;
    std::fs::write(checkout.layout().artifacts().join("echo.wasm"), "a module")?;
    checkout.add_artifact(ArtifactKind::Wasm, Some("echo"), None, "echo.wasm".as_ref())?;
    checkout.add_workload("echo", &[Answer { payload: "1", request: "one", response: "one" }])?;
    checkout.manifest.runtimes = ways.iter().map(|way| runtime(way)).collect();
    Ok(checkout)
}

fn runtime(name: &str) -> Runtime {
    let plain = Runtime::plain(name, PACKAGE, Mode::Interpreted, "1.0", ArtifactKind::Wasm);
    Runtime { worker: Some("rogue".to_owned()), ..plain }
}

/// Each case once, with that many milliseconds for an invocation.
fn selection(suites: &[Suite], invocation_timeout_ms: u64) -> Selection {
    let suites = suites.iter().map(|suite| suite.to_string()).collect();
    Selection {
        suites,
        profile: Profile::Standard,
        verify: true,
        invocation_timeout_ms,
        ..Selection::default()
    }
}

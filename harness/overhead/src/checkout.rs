//! What `cargo xtask build` left, and which cases can be made of it.

use std::time::Duration;

use anyhow::{Context, Result};
use lumos_bench::artifact::Artifacts;
use lumos_bench::sandbox::WorkerSpec;
use lumos_bench::suites::plan::Planned;
use lumos_bench::suites::served::worker_spec;
use lumos_bench::{Checked, Engine as _, Limits};
use lumos_record::{ArtifactKind, Layout, Runtime, Setting, Suite};
use lumos_workloads::Workloads;

/// How long a worker may be silent; nothing here takes a thousandth of it.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// The artifacts and the workloads of a checkout.
pub struct Checkout {
    artifacts: Artifacts,
    workloads: Workloads,
}

impl Checkout {
    /// Reads those of the checkout that this program was built from.
    ///
    /// # Errors
    /// When something has not been built; the message names the remedy.
    pub fn read() -> Result<Self> {
        let layout = Layout::of_process(env!("CARGO_MANIFEST_DIR"))?;
        Ok(Self {
            artifacts: Artifacts::read(&layout.artifacts())?,
            workloads: Workloads::read(&layout.workloads())?,
        })
    }

    /// One function with one payload on one engine, in a plain process.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn planned(
        &self,
        suite: Suite,
        engine: &str,
        function: &str,
        payload: &str,
    ) -> Result<Planned<'_>> {
        self.planned_in(suite, engine, Runtime::PROCESS, function, payload)
    }

    /// The same in any sandbox.
    ///
    /// # Errors
    /// As [`Checkout::planned`].
    pub fn planned_in(
        &self,
        suite: Suite,
        engine: &str,
        sandbox: &str,
        function: &str,
        payload: &str,
    ) -> Result<Planned<'_>> {
        let mut runtimes = self.artifacts.manifest.runtimes.iter();
        let runtime = runtimes.find(|known| known.name == engine && known.sandbox == sandbox);
        let workload = self.workloads.function(function);
        Ok(Planned {
            suite,
            setting: Setting::default(),
            row: 0,
            runtime: runtime.with_context(|| format!("no runtime `{engine}` was built"))?,
            workload: workload.with_context(|| format!("there is no function `{function}`"))?,
            payload: workload
                .and_then(|workload| workload.payload(payload))
                .with_context(|| format!("{function} has no payload `{payload}`"))?,
            chain: None,
        })
    }

    /// What the engine of a case loads.
    ///
    /// # Errors
    /// When it is missing or not what was built.
    pub fn artifact(&self, planned: &Planned<'_>) -> Result<Checked> {
        let (runtime, function) = (planned.runtime, &planned.workload.function);
        let loads = runtime.loads.context("the runtime has no part in the in-process lane")?;
        Ok(self.artifacts.function(runtime, loads, function, &settings(runtime)?)?)
    }

    /// What a sandbox runs for a case.
    ///
    /// # Errors
    /// As [`Checkout::artifact`].
    pub fn worker_spec(&self, planned: &Planned<'_>) -> Result<WorkerSpec> {
        let (runtime, function) = (planned.runtime, &planned.workload.function);
        Ok(worker_spec(&self.artifacts, runtime, function, &settings(runtime)?)?)
    }
}

/// The settings of a runtime's engine, where what it loads has to agree with them.
fn settings(runtime: &Runtime) -> Result<Vec<String>> {
    match runtime.serves {
        ArtifactKind::Precompiled => {
            Ok(lumos_wasmtime::engine(&runtime.name, &Limits::default())?.settings())
        }
        _ => Ok(Vec::new()),
    }
}

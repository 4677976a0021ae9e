//! Every engine runs every function, and answers as the workload says.

use anyhow::{Context, Result, anyhow};
use lumos_record::{Profile, Runtime};
use lumos_workloads::{Payload, Workload};

use crate::artifact::Artifacts;
use crate::suites::verify_digest;
use crate::{Checked, Engine, Limits};

/// Runs the function in the engine, by itself.
pub(super) fn check<E: Engine>(
    artifacts: &Artifacts,
    runtime: &Runtime,
    workload: &Workload,
    new_engine: fn(&str, &Limits) -> Result<E>,
) -> Result<()> {
    let loads = runtime.loads.context("the runtime has no part in the in-process lane")?;
    let engine = new_engine(&runtime.name, &Limits::default())?;
    let artifact = artifacts.function(runtime, loads, &workload.function, &engine.settings())?;
    for payload in payloads(workload) {
        answer(&engine, &artifact, payload).with_context(|| format!("payload {}", payload.id))?;
    }
    Ok(())
}

/// The first payload, which is the least work, and what the quick profile measures.
fn payloads(workload: &Workload) -> impl Iterator<Item = &Payload> {
    let chosen = |(place, payload): &(usize, &Payload)| {
        *place == 0 || payload.profile == Some(Profile::Quick)
    };
    workload.payloads.iter().enumerate().filter(chosen).map(|(_, payload)| payload)
}

/// Two instances of one module, called in turn: what one does must not show in the other.
fn answer<E: Engine>(engine: &E, artifact: &Checked, payload: &Payload) -> Result<()> {
    let module = engine.load(artifact)?;
    let linked = engine.link(&module)?;
    let mut instances = [engine.new_instance(&linked)?, engine.new_instance(&linked)?];
    let request = payload.generate();
    let mut response = Vec::new();
    for index in [0, 1, 0] {
        response.clear();
        engine.invoke(&mut instances[index], &request, &mut response)?;
        verify_digest(&response, payload).map_err(|stop| anyhow!(stop))?;
    }
    Ok(())
}

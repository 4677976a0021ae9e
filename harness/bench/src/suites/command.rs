//! WASI commands, which somebody else may have built: each invocation is a run from the beginning
//! to the end, in an instance of its own.

use lumos_record::ArtifactKind;
use lumos_workloads::sha256_hex;

use super::harness::{Details, Harness, Measured, Trouble, verify_digest};
use super::loaded::show;
use super::plan::Planned;
use super::running::Running;
use super::timing::{Invocations, time_step};
use crate::Engine;

/// Makes sure that the engine of a worker offers what its command imports.
///
/// # Errors
/// A skip that names what is lacking; a failure where the module cannot be loaded, or is none.
pub(super) fn check<E: Engine, S>(running: &mut Running<'_, E, S>) -> Result<(), Trouble> {
    let engine = running.engine()?;
    load(running.harness, &*engine, running.planned, running.planned.runtime.serves).map(drop)
}

fn load<E: Engine>(
    harness: &Harness,
    engine: &E,
    planned: &Planned<'_>,
    kind: ArtifactKind,
) -> Result<E::Module, Trouble> {
    let (runtime, function) = (planned.runtime, &planned.workload.function);
    let artifact = harness.artifacts.function(runtime, kind, function, &engine.settings())?;
    let watch = harness.watch;
    let (_, module) = time_step(&watch, || engine.load(&artifact).map_err(show))?;
    if !engine.is_command(&module) {
        return Err(Trouble::Failure(
            "the module is no WASI command: it exports no `_start`, or is one of Lumos' functions"
                .to_owned(),
        ));
    }
    let lacking = engine.lacking_imports(&module);
    if !lacking.is_empty() {
        return Err(Trouble::Skip(format!(
            "{} does not offer what the module imports: {}",
            runtime.name,
            lacking.join(", ")
        )));
    }
    Ok(module)
}

/// Measures a case of the suite `fresh`: an instance, and the whole of a run in it.
pub(super) fn fresh<E: Engine, S>(running: &mut Running<'_, E, S>) -> Result<Measured, Trouble> {
    let (kind, engine) = (running.loads()?, running.engine()?);
    let Running { harness, planned, case, .. } = running;
    let watch = harness.watch;
    let module = load(harness, &*engine, planned, kind)?;
    let (_, linked) = time_step(&watch, || engine.link(&module).map_err(show))?;
    let request = planned.payload.generate();
    let run = |response: &mut Vec<u8>| {
        engine.run(&linked, &request, response).map_err(|error| error.to_string())
    };
    let mut response = Vec::new();
    time_step(&watch, || run(&mut response))?;
    harness.verify_answer(&response, planned)?;
    let mut invocations = Invocations::new(response);
    let (cost, ()) = invocations.time_one(&watch, run)?;
    if !harness.selection.verify {
        harness.measure_steady(case, cost, |iterations| {
            let each = |total, _| Ok(total + invocations.time_one(&watch, run)?.0);
            (0..iterations).try_fold(std::time::Duration::ZERO, each)
        })?;
    }
    let verified = invocations.verified + 1;
    Ok(Measured { verified, size_bytes: request.len() as u64, details: Details::None })
}

impl Harness {
    /// Checks a first answer: by its digest or, where nobody has said which answer is right, by
    /// what this run's other engines have answered.
    ///
    /// # Errors
    /// A sentence that says how they differ.
    pub fn verify_answer(&self, response: &[u8], planned: &Planned<'_>) -> Result<(), String> {
        let (workload, payload) = (planned.workload, planned.payload);
        if !payload.response_sha256.is_empty() || !workload.is_command {
            return verify_digest(response, payload);
        }
        let Some(session) = &self.session else { return Ok(()) };
        let digest = sha256_hex(response);
        let name = format!("{}-{}", workload.function, payload.id);
        let Some((other, runtime)) = session
            .agreed(&name, &digest, &planned.case().runtime)
            .map_err(|error| format!("the answers that a run agrees upon: {error}"))?
        else {
            return Ok(());
        };
        Err(format!(
            "the engines do not agree: {} bytes with SHA-256 {digest}, and {runtime} answered \
             {other}",
            response.len()
        ))
    }
}

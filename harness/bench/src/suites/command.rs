//! WASI commands, which somebody else may have built: each invocation is a run from the beginning
//! to the end, in an instance of its own.

use lumos_record::{ArtifactKind, show_bytes};
use lumos_workloads::sha256_hex;

use super::harness::{Details, Harness, Measured, Trouble, verify_digest};
use super::loaded::show;
use super::plan::Planned;
use super::running::Running;
use super::timing::{Invocations, time_step};
use crate::artifact::Refusal;
use crate::{Engine, Limits};

/// Makes sure that the engine of a worker can run its command.
///
/// # Errors
/// A skip that names what the engine or the limit of memory lacks; a failure where the module
/// cannot be loaded, or is none.
pub(super) fn check<E: Engine, S>(running: &mut Running<'_, E, S>) -> Result<(), Trouble> {
    let engine = running.engine()?;
    load(running.harness, &*engine, running.planned, running.planned.runtime.serves).map(drop)
}

/// Makes sure that a runtime can run a command at all, as far as is known before it is loaded.
fn check_needs(planned: &Planned<'_>) -> Result<(), Trouble> {
    let Planned { runtime, workload, setting, suite, .. } = planned;
    let lacks: Vec<&str> = workload
        .proposals
        .iter()
        .filter(|proposal| runtime.lacks.contains(proposal))
        .map(String::as_str)
        .collect();
    if !lacks.is_empty() {
        return Err(Trouble::Skip(format!(
            "the module uses proposals for WebAssembly that {} does not run: {}",
            runtime.name,
            lacks.join(", ")
        )));
    }
    let limit = setting.memory_bytes.unwrap_or(Limits::default().memory_bytes);
    if workload.memory_bytes > limit {
        let remedy = match suite.has_workers() {
            true => ": `--memory` raises it",
            false => ", which a setting raises in suites with workers alone",
        };
        return Err(Trouble::Skip(format!(
            "the module asks for {} at its start, and the limit of memory is {}{remedy}",
            show_bytes(workload.memory_bytes),
            show_bytes(limit)
        )));
    }
    Ok(())
}

fn load<E: Engine>(
    harness: &Harness,
    engine: &E,
    planned: &Planned<'_>,
    kind: ArtifactKind,
) -> Result<E::Module, Trouble> {
    check_needs(planned)?;
    let (runtime, function) = (planned.runtime, &planned.workload.function);
    let artifact = harness.artifacts.function(runtime, kind, function, &engine.settings());
    let artifact = artifact.map_err(|refusal| match refusal {
        // What this runtime makes of the module is its own affair, whenever it compiles.
        Refusal::Missing(what, _) => Trouble::Failure(what),
        refusal => refusal.into(),
    })?;
    let watch = harness.watch;
    let (_, module) = time_step(&watch, || engine.load(&artifact).map_err(show))?;
    if !engine.is_command(&module) {
        return Err(Trouble::Failure(
            "the module is no WASI command: it exports no `_start`, or is one of Lumos' functions"
                .to_owned(),
        ));
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
    if planned.payload.response_sha256.is_empty() {
        // What differs from run to run is no disagreement of engines.
        let mut again = Vec::new();
        time_step(&watch, || run(&mut again))?;
        same_again(&response, &again)?;
    }
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

/// Compares two answers of a command to the same request, on the same engine.
///
/// # Errors
/// A sentence that says that they differ.
pub(super) fn same_again(first: &[u8], second: &[u8]) -> Result<(), String> {
    if first == second {
        return Ok(());
    }
    let [one, other] = [first, second]
        .map(|answer| format!("{} bytes with SHA-256 {}", answer.len(), sha256_hex(answer)));
    Err(format!(
        "its answer differs from run to run, so that nothing can be compared with it: {one}, then \
         {other}"
    ))
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
            "the engines do not agree, and which of them is right is not known (`--expect` tells): \
             {digest} is the SHA-256 of this answer, and {other} that of {runtime}'s"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use lumos_record::{Mode, Runtime, Setting, Suite};
    use lumos_workloads::{Payload, Request, Workload};

    use super::*;

    /// What becomes of a command with such needs in a suite, under a setting.
    fn reason(proposals: &[&str], memory_bytes: u64, suite: Suite, setting: &str) -> String {
        let payload = Payload {
            id: "stdin".into(),
            profile: None,
            sweep: false,
            request: Request::Command { exit: 0, stdin: Vec::new() },
            value: None,
            request_sha256: String::new(),
            response_sha256: String::new(),
            step_sha256: Vec::new(),
        };
        let workload = Workload {
            function: "module".into(),
            summary: "A module".into(),
            fixture: false,
            keeps_state: false,
            is_command: true,
            proposals: proposals.iter().map(|&name| name.to_owned()).collect(),
            memory_bytes,
            malformed: None,
            payloads: vec![payload],
            file: PathBuf::new(),
        };
        let lacks = vec!["exceptions".to_owned(), "gc".to_owned()];
        let plain = Runtime::plain("fake", "crate", Mode::Jit, "1", ArtifactKind::Wasm);
        let runtime = &Runtime { lacks, ..plain };
        let setting: Setting = setting.parse().unwrap();
        let payload = &workload.payloads[0];
        let planned =
            Planned { suite, workload: &workload, chain: None, payload, runtime, setting, row: 0 };
        match check_needs(&planned) {
            Ok(()) => String::new(),
            Err(Trouble::Skip(reason)) => reason,
            Err(failure) => panic!("{failure:?}"),
        }
    }

    #[test]
    fn what_an_engine_lacks_is_named_whatever_the_suite() {
        let expected = "the module uses proposals for WebAssembly that fake does not run: \
                        exceptions, gc";
        for suite in [Suite::ColdStart, Suite::Fresh] {
            assert_eq!(reason(&["exceptions", "simd", "gc"], 0, suite, ""), expected);
            assert_eq!(reason(&["simd"], 1 << 30, suite, ""), "");
        }
    }

    #[test]
    fn a_memory_above_the_limit_is_told_with_the_limit() {
        let asks = "the module asks for 2GiB at its start, and the limit of memory is 1GiB";
        let cold = reason(&[], 2 << 30, Suite::ColdStart, "");
        assert_eq!(cold, format!("{asks}: `--memory` raises it"));
        assert!(reason(&[], 2 << 30, Suite::Fresh, "").starts_with(asks));
        assert_eq!(reason(&[], 2 << 30, Suite::ColdStart, "memory=3GiB"), "");
        assert!(reason(&[], 2 << 20, Suite::ColdStart, "memory=1MiB").contains("is 1MiB"));
    }

    #[test]
    fn a_command_that_disagrees_with_itself_is_told_from_engines_that_disagree() {
        assert_eq!(same_again(b"same", b"same"), Ok(()));
        let message = same_again(b"one", b"other").unwrap_err();
        assert!(message.contains("differs from run to run"), "{message}");
        assert!(message.contains("3 bytes") && message.contains("5 bytes"), "{message}");
    }
}

//! The suites `chain` and `chain_local`: a request through several functions, each of which works
//! on what the one before it answered.
//!
//! In the served lane every function has a worker, and the measuring process carries the bytes
//! from one socket to the next, as a platform's router does. In the in-process lane every function
//! has an instance, and a response is copied once, from one instance's memory to the next one's.

use std::iter::once;

use lumos_abi::worker::InvokeError;
use lumos_record::{Case, WorkerUse};
use lumos_workloads::{Payload, Step, Value, sha256_hex};

use super::harness::{Details, Harness, Measured, Trouble};
use super::loaded::Loaded;
use super::plan::Planned;
use super::running::Running;
use super::select::limits;
use super::served::worker_spec;
use super::states;
use super::timing::{Invocations, time_step};
use super::watch::Watch;
use crate::Engine;
use crate::sandbox::{Sandbox, State, Teardown};

/// The steps of a case's chain that run.
fn planned_steps<'p>(planned: &Planned<'p>) -> Result<&'p [Step], Trouble> {
    let chain = planned.chain.ok_or_else(|| Trouble::Failure("no chain is planned".to_owned()))?;
    let count = planned.setting.steps.map_or(chain.steps.len(), usize::from);
    let steps = chain.steps.get(..count).filter(|steps| !steps.is_empty());
    steps.ok_or_else(|| {
        Trouble::Failure(format!("the chain has {} steps, not {count}", chain.steps.len()))
    })
}

/// Compares the response of a step with its digest.
fn verify_step(
    response: &[u8],
    step: &Step,
    payload: &Payload,
    index: usize,
) -> Result<(), String> {
    let (found, expected) = (sha256_hex(response), payload.step_sha256.get(index));
    if expected == Some(&found) {
        return Ok(());
    }
    let expected = expected.map_or("none", String::as_str);
    Err(format!(
        "wrong answer of the step `{}` ({}): {} bytes with SHA-256 {found} instead of {expected}",
        step.name,
        step.function,
        response.len()
    ))
}

/// Says which step went wrong.
#[cold]
fn at_step(step: &Step, error: &InvokeError) -> String {
    format!("the step `{}` ({}): {error}", step.name, step.function)
}

/// A worker of a chain.
struct Link<'s, W> {
    step: &'s Step,
    worker: W,
    /// What its function is asked: the step's header, and behind it the response of the step
    /// before.
    request: Vec<u8>,
    header_bytes: usize,
}

impl<W> Link<'_, W> {
    /// Makes the request of what the step before answered. Without a header the two buffers change
    /// places: what is in `response` then is of no use to anyone.
    fn take(&mut self, response: &mut Vec<u8>) {
        if self.header_bytes == 0 {
            std::mem::swap(&mut self.request, response);
        } else {
            self.request.truncate(self.header_bytes);
            self.request.extend_from_slice(response);
        }
    }
}

/// Workers that have been launched, and not ended.
struct Served<'s, S: Sandbox> {
    sandbox: &'s S,
    links: Vec<Link<'s, S::Worker>>,
    /// The worker that did not answer.
    broken: Option<usize>,
}

impl<S: Sandbox> Served<'_, S> {
    /// Carries a request through all workers; `check` sees each step's response.
    fn relay(
        &mut self,
        request: &[u8],
        response: &mut Vec<u8>,
        mut check: impl FnMut(usize, &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        for (index, link) in self.links.iter_mut().enumerate() {
            let request = match index {
                0 => request,
                _ => {
                    link.take(response);
                    &link.request
                }
            };
            if let Err(error) = self.sandbox.invoke(&mut link.worker, request, response) {
                self.broken = Some(index);
                return Err(at_step(link.step, &error));
            }
            check(index, response)?;
        }
        Ok(())
    }

    /// Ends all workers. Of one that broke it says what became of it.
    fn end(self, mut each: impl FnMut(Option<u64>, Teardown) -> Result<(), String>) -> Vec<String> {
        let Self { sandbox, links, broken } = self;
        let mut troubles = Vec::new();
        for (index, link) in links.into_iter().enumerate() {
            if broken == Some(index) {
                troubles.push(sandbox.autopsy(link.worker));
                continue;
            }
            let peak_rss_bytes = sandbox.peak_rss_bytes(&link.worker);
            let teardown = sandbox.teardown(link.worker);
            troubles.extend(each(peak_rss_bytes, teardown).err());
        }
        troubles
    }
}

/// The driver of the suite `chain`.
pub(super) fn served<E: Engine, S: Sandbox>(
    running: &mut Running<'_, E, S>,
) -> Result<Measured, Trouble> {
    let settings = running.settings_of_worker()?;
    let Running { harness, sandbox, planned, case, .. } = running;
    let steps = planned_steps(planned)?;
    let limits = limits(&harness.selection, &planned.setting);
    sandbox.check_limits(&limits)?;
    let mut states = Vec::new();
    let mut worker_specs = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let mut worker_spec =
            worker_spec(&harness.artifacts, planned.runtime, &step.function, &settings)?;
        sandbox.prepare(&worker_spec)?;
        if let Some((backend, key)) = planned.setting.state.zip(step.key.as_ref()) {
            let value = Value { key: key.clone(), before: None, after: None };
            let state = harness.states.prepare(backend, &value)?;
            worker_spec.state = Some(state.clone());
            states.push((index, key, state));
        }
        worker_specs.push(worker_spec);
    }
    let request = planned.payload.generate();
    let mut chain = Served { sandbox: *sandbox, links: Vec::new(), broken: None };
    let mut outcome = Ok(());
    for (step, worker_spec) in steps.iter().zip(&worker_specs) {
        let header = step.header.generate();
        match sandbox.launch(worker_spec, &limits) {
            Ok(worker) => {
                chain.links.push(Link { step, worker, header_bytes: header.len(), request: header })
            }
            Err(error) => {
                outcome = Err(format!("the step `{}` ({}): {error}", step.name, step.function));
                break;
            }
        }
    }
    let measured = match outcome {
        Ok(()) => measure_served(harness, planned, case, &mut chain, &request),
        Err(cause) => Err(Trouble::Failure(cause)),
    };
    let invocations = measured.as_ref().map_or(0, |&count| count);
    let mut uses = Vec::new();
    let troubles = chain.end(|peak_rss_bytes, teardown| {
        uses.push(WorkerUse {
            case: (*case).clone(),
            peak_rss_bytes,
            cpu: teardown.cpu,
            invocations,
        });
        teardown.trouble.map_or(Ok(()), Err)
    });
    let verified = match measured {
        Ok(verified) if troubles.is_empty() => verified,
        Ok(_) => return Err(Trouble::Failure(troubles.join("; "))),
        Err(Trouble::Failure(cause)) => {
            let all: Vec<String> = once(cause).chain(troubles).collect();
            return Err(Trouble::Failure(all.join("; ")));
        }
        Err(skip) => return Err(skip),
    };
    harness.worker_uses.extend(uses);
    for (index, key, state) in states {
        // What a step leaves is what the step before it answered.
        check_state(&state, key, index, planned.payload)?;
    }
    Ok(Measured { verified, size_bytes: request.len() as u64, details: Details::None })
}

/// Compares what a step left with the response that it was given.
fn check_state(state: &State, key: &str, index: usize, payload: &Payload) -> Result<(), String> {
    let expected = match index.checked_sub(1) {
        Some(before) => payload.step_sha256.get(before),
        None => Some(&payload.request_sha256),
    };
    let found = sha256_hex(&states::value(state, key)?);
    if expected == Some(&found) {
        return Ok(());
    }
    Err(format!("what lies under the key `{key}` has the SHA-256 {found}, and not what was put"))
}

fn measure_served<S: Sandbox>(
    harness: &mut Harness,
    planned: &Planned<'_>,
    case: &Case,
    chain: &mut Served<'_, S>,
    request: &[u8],
) -> Result<u64, Trouble> {
    let mut response = Vec::new();
    let steps: Vec<&Step> = chain.links.iter().map(|link| link.step).collect();
    chain.relay(request, &mut response, |index, response| {
        verify_step(response, steps[index], planned.payload, index)
    })?;
    let mut invocations = Invocations::new(response);
    let watch = harness.unwatched;
    let mut invoke = |response: &mut Vec<u8>| chain.relay(request, response, |_, _| Ok(()));
    let cost = invocations.time(1, &watch, &mut invoke)?;
    if !harness.selection.verify {
        harness.measure_steady(case, cost, |iterations| {
            // Others had the processor meanwhile.
            invocations.time(1, &watch, &mut invoke)?;
            invocations.time(iterations, &watch, &mut invoke)
        })?;
    }
    Ok(invocations.verified + 1)
}

/// An instance of a chain.
struct LocalLink<'s, E: Engine> {
    step: &'s Step,
    header: Vec<u8>,
    loaded: Loaded<E>,
}

/// Carries a request through all instances; `check` sees each step's response where it lies.
fn relay<E: Engine>(
    engine: &E,
    links: &mut [LocalLink<'_, E>],
    request: &[u8],
    response: &mut Vec<u8>,
    mut check: impl FnMut(usize, &[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let mut body = request;
    for (index, LocalLink { step, header, loaded }) in links.iter_mut().enumerate() {
        let answer = engine.answer(&mut loaded.instance, [header, body]);
        body = answer.map_err(|error| at_step(step, &error))?;
        check(index, body)?;
    }
    response.extend_from_slice(body);
    Ok(())
}

/// The driver of the suite `chain_local`.
pub(super) fn local<E: Engine, S>(running: &mut Running<'_, E, S>) -> Result<Measured, Trouble> {
    let (loads, engine) = (running.loads()?, running.engine()?);
    let engine = &*engine;
    let Running { harness, planned, case, .. } = running;
    let steps = planned_steps(planned)?;
    let (settings, watch) = (engine.settings(), harness.watch);
    let mut links = Vec::new();
    for step in steps {
        let artifact =
            harness.artifacts.function(planned.runtime, loads, &step.function, &settings)?;
        let (_, loaded) = time_step(&watch, || Loaded::new(engine, &artifact))?;
        links.push(LocalLink { step, header: step.header.generate(), loaded });
    }
    let request = planned.payload.generate();
    let response = first_local(engine, &mut links, planned, &request, &watch)?;
    let mut invocations = Invocations::new(response);
    let mut invoke =
        |response: &mut Vec<u8>| relay(engine, &mut links, &request, response, |_, _| Ok(()));
    let cost = invocations.time(1, &watch, &mut invoke)?;
    if !harness.selection.verify {
        harness.measure_steady(case, cost, |iterations| {
            // Others had the processor meanwhile.
            invocations.time(1, &watch, &mut invoke)?;
            invocations.time(iterations, &watch, &mut invoke)
        })?;
    }
    let verified = invocations.verified + 1;
    Ok(Measured { verified, size_bytes: request.len() as u64, details: Details::None })
}

/// The first request, with each step's response checked.
fn first_local<E: Engine>(
    engine: &E,
    links: &mut [LocalLink<'_, E>],
    planned: &Planned<'_>,
    request: &[u8],
    watch: &Watch,
) -> Result<Vec<u8>, String> {
    let steps: Vec<&Step> = links.iter().map(|link| link.step).collect();
    let mut response = Vec::new();
    time_step(watch, || {
        relay(engine, links, request, &mut response, |index, body| {
            verify_step(body, steps[index], planned.payload, index)
        })
    })?;
    Ok(response)
}

//! The served lane: what a platform sees, a socket and a boundary between two processes.

use std::time::{Duration, Instant};

use lumos_abi::monotonic_ns;
use lumos_record::{Case, Ledger, Phase, PhaseSpan, Runtime, WorkerUse};
use lumos_workloads::Value;

use super::command;
pub use super::harness::Cold;
use super::harness::{Details, Harness, Measured, Trouble, verify_digest};
use super::page_cache;
use super::plan::Planned;
use super::running::Running;
use super::select::limits;
use super::states;
use super::timing::{Invocations, check};
use crate::artifact::{Artifacts, Refusal};
use crate::sandbox::{Mark, Sandbox, WorkerSpec};
use crate::{Engine, InvokeError, Limits};

/// What a sandbox needs to run a function on a runtime, whose engine has `settings`.
///
/// # Errors
/// See [`Refusal`].
pub fn worker_spec(
    artifacts: &Artifacts,
    runtime: &Runtime,
    function: &str,
    settings: &[String],
) -> Result<WorkerSpec, Refusal> {
    let artifact = artifacts.function(runtime, runtime.serves, function, settings)?;
    Ok(match &runtime.worker {
        Some(worker) => WorkerSpec {
            program: artifacts.worker(worker)?,
            engine: Some(runtime.name.clone()),
            artifact: Some(artifact),
            state: None,
        },
        None => WorkerSpec { program: artifact, engine: None, artifact: None, state: None },
    })
}

/// The driver of the suite `cold_start`.
pub(super) fn cold_start<E: Engine, S: Sandbox>(
    running: &mut Running<'_, E, S>,
) -> Result<Measured, Trouble> {
    run(running, |served, harness, planned| served.cold(harness, planned))
}

/// The driver of the suites that time one request to a worker that has answered before.
pub(super) fn warm<E: Engine, S: Sandbox>(
    running: &mut Running<'_, E, S>,
) -> Result<Measured, Trouble> {
    run(running, |served, harness, planned| served.warm(harness, planned))
}

/// Measures a case whose workers all do the same.
pub(super) fn run<E: Engine, S: Sandbox>(
    running: &mut Running<'_, E, S>,
    measure: impl FnOnce(&mut Served<'_, S>, &mut Harness, &Planned<'_>) -> Result<Measured, Trouble>,
) -> Result<Measured, Trouble> {
    let settings = running.settings_of_worker()?;
    if running.planned.workload.is_command {
        command::check(running)?;
    }
    let Running { harness, sandbox, planned, case, .. } = running;
    let function = &planned.workload.function;
    let mut worker_spec = worker_spec(&harness.artifacts, planned.runtime, function, &settings)?;
    sandbox.prepare(&worker_spec)?;
    if planned.setting.drops_caches {
        page_cache::drop_caches().map_err(Trouble::Skip)?;
    }
    let value = planned.payload.value.as_ref();
    if let Some((backend, value)) = planned.setting.state.zip(value) {
        worker_spec.state = Some(harness.states.prepare(backend, value)?);
    }
    let request = planned.payload.generate();
    let moved = value.and_then(Value::left);
    let size_bytes = moved.map_or(request.len(), |value| value.generate().len()) as u64;
    let limits = limits(&harness.selection, &planned.setting);
    sandbox.check_limits(&limits)?;
    let mut served = Served { sandbox: *sandbox, worker_spec, limits, case, request };
    let measured = measure(&mut served, harness, planned)?;
    if let Some((state, value)) = served.worker_spec.state.as_ref().zip(value) {
        states::check(state, value)?;
    }
    Ok(Measured { size_bytes, ..measured })
}

/// A case with all that its workers are launched from.
pub struct Served<'s, S> {
    /// Where the workers live.
    pub sandbox: &'s S,
    /// What they run.
    pub worker_spec: WorkerSpec,
    /// What they may use.
    pub limits: Limits,
    /// What the records are filed under.
    pub case: &'s Case,
    /// What they are asked.
    pub request: Vec<u8>,
}

impl<S: Sandbox> Served<'_, S> {
    /// One worker, whose first response has been checked.
    fn warm(&mut self, harness: &mut Harness, planned: &Planned<'_>) -> Result<Measured, Trouble> {
        let sandbox = self.sandbox;
        let mut worker =
            sandbox.launch(&self.worker_spec, &self.limits).map_err(|e| e.to_string())?;
        let outcome = self.warm_worker(harness, planned, &mut worker);
        match outcome {
            Ok(invocations) => {
                let peak_rss_bytes = sandbox.peak_rss_bytes(&worker);
                let teardown = sandbox.teardown(worker);
                if let Some(trouble) = teardown.trouble {
                    return Err(Trouble::Failure(trouble));
                }
                let (case, cpu) = (self.case.clone(), teardown.cpu);
                harness.worker_uses.push(WorkerUse { case, peak_rss_bytes, cpu, invocations });
                Ok(Measured { verified: invocations, size_bytes: 0, details: Details::None })
            }
            Err(Trouble::Failure(cause)) => {
                Err(Trouble::Failure(format!("{cause}; {}", sandbox.autopsy(worker))))
            }
            Err(skip) => {
                sandbox.teardown(worker);
                Err(skip)
            }
        }
    }

    fn warm_worker(
        &self,
        harness: &mut Harness,
        planned: &Planned<'_>,
        worker: &mut S::Worker,
    ) -> Result<u64, Trouble> {
        let (sandbox, request) = (self.sandbox, &self.request);
        let mut response = Vec::new();
        sandbox.invoke(worker, request, &mut response).map_err(|e| e.to_string())?;
        verify_digest(&response, planned.payload)?;
        let mut invocations = Invocations::new(response);
        let watch = harness.unwatched;
        let mut invoke = |response: &mut Vec<u8>| -> Result<(), InvokeError> {
            sandbox.invoke(worker, request, response)
        };
        let cost = match harness.known_cost(self.case) {
            Some(cost) => cost,
            None => invocations.time(1, &watch, &mut invoke)?,
        };
        if !harness.selection.verify {
            harness.measure_steady(self.case, cost, |iterations| {
                // Others had the processor meanwhile.
                invocations.time(1, &watch, &mut invoke)?;
                invocations.time(iterations, &watch, &mut invoke)
            })?;
        }
        Ok(invocations.verified + 1)
    }

    /// A fresh worker for every sample.
    fn cold(&mut self, harness: &mut Harness, planned: &Planned<'_>) -> Result<Measured, Trouble> {
        let mut response = Vec::new();
        let payload = planned.payload;
        // Where nobody knows the right answer beforehand, the engines have to agree first.
        let known = harness.known_cost(self.case).filter(|_| !payload.response_sha256.is_empty());
        let mut expected = None;
        let cost = match known {
            Some(cost) => cost,
            None => {
                let start = Instant::now();
                self.cold_start(&mut response)?;
                // A platform pays for the teardown as well, and so does the run's time.
                let cost = start.elapsed();
                if payload.response_sha256.is_empty() {
                    let mut again = Vec::new();
                    self.cold_start(&mut again)?;
                    command::same_again(&response, &again)?;
                }
                harness.verify_answer(&response, planned)?;
                expected = Some(response.clone());
                cost
            }
        };
        let mut starts = Vec::new();
        let drops_caches = self.case.setting.drops_caches;
        if !harness.selection.verify {
            harness.measure_cold(self.case, cost, |iterations| {
                let mut total = Duration::ZERO;
                for _ in 0..iterations {
                    if drops_caches {
                        page_cache::drop_caches()?;
                    }
                    let (start, outer) = self.cold_start(&mut response)?;
                    match &expected {
                        Some(expected) => check(&response, expected)?,
                        None => {
                            verify_digest(&response, payload)?;
                            expected = Some(response.clone());
                        }
                    }
                    total += outer;
                    starts.push(start);
                }
                Ok(total)
            })?;
        }
        let verified = starts.len() as u64 + u64::from(known.is_none());
        Ok(Measured { verified, size_bytes: 0, details: Details::Cold(starts) })
    }

    /// Launches a worker, invokes it once and ends it; the time is that up to the response.
    ///
    /// # Errors
    /// What the worker did instead.
    pub fn cold_start(&self, response: &mut Vec<u8>) -> Result<(Cold, Duration), String> {
        let sandbox = self.sandbox;
        let outer = Instant::now();
        let start_ns = monotonic_ns();
        let mut worker =
            sandbox.launch(&self.worker_spec, &self.limits).map_err(|error| error.to_string())?;
        let outcome = sandbox.invoke(&mut worker, &self.request, response);
        let end_ns = monotonic_ns();
        let outer = outer.elapsed();
        if let Err(error) = outcome {
            return Err(format!("{error}; {}", sandbox.autopsy(worker)));
        }
        let phases = phases(start_ns, sandbox.marks(&worker), end_ns)?;
        let peak_rss_bytes = sandbox.peak_rss_bytes(&worker);
        let farewell = Instant::now();
        let teardown = sandbox.teardown(worker);
        let teardown_ns = farewell.elapsed().as_nanos() as u64;
        if let Some(trouble) = teardown.trouble {
            return Err(trouble);
        }
        let ledger = Ledger {
            case: self.case.clone(),
            sample: 0,
            outer_ns: outer.as_nanos() as u64,
            phases,
            teardown_ns,
        };
        let worker = WorkerUse {
            case: self.case.clone(),
            peak_rss_bytes,
            cpu: teardown.cpu,
            invocations: 1,
        };
        Ok((Cold { ledger, worker }, outer))
    }
}

/// The phases between two readings of the clock; the last one is the first call.
///
/// # Errors
/// When the marks lie outside, or go backwards: the clocks of two processes then differ.
fn phases(start_ns: u64, marks: &[Mark], end_ns: u64) -> Result<Vec<PhaseSpan>, String> {
    let mut marks = marks.to_vec();
    marks.push(Mark { phase: Phase::FirstCall, end_ns });
    let mut before_ns = start_ns;
    marks
        .iter()
        .map(|&Mark { phase, end_ns }| {
            let wall_ns = end_ns.checked_sub(before_ns).ok_or_else(|| {
                format!("the phase {phase} ended {} ns before it began", before_ns - end_ns)
            })?;
            before_ns = end_ns;
            Ok(PhaseSpan { phase, wall_ns })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(phase: Phase, end_ns: u64) -> Mark {
        Mark { phase, end_ns }
    }

    #[test]
    fn phases_fill_the_time_between_the_readings() {
        let marks = [mark(Phase::Create, 130), mark(Phase::Start, 150), mark(Phase::Load, 190)];
        let spans = phases(100, &marks, 250).unwrap();
        let times: Vec<u64> = spans.iter().map(|span| span.wall_ns).collect();
        assert_eq!(times, [30, 20, 40, 60]);
    }

    #[test]
    fn marks_of_another_clock_are_refused() {
        assert!(phases(100, &[mark(Phase::Start, 90)], 250).is_err());
        assert!(phases(100, &[mark(Phase::Load, 300)], 250).unwrap_err().contains("first-call"));
    }
}

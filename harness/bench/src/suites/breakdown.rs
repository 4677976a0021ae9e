//! The suite `breakdown`: where the time of an invocation goes.
//!
//! A sample is two fresh workers, which do the same: one is asked for timings, and the other is
//! not. What the parts of the one add up to is compared with the whole of the other, so that a
//! measurement that distorts what it measures shows.

use std::time::{Duration, Instant};

use lumos_record::{Breakdown, TimedCalls};

use super::harness::{Details, Harness, Measured, Trouble, verify_digest};
use super::plan::Planned;
use super::running::Running;
use super::served::{self, Served};
use super::timing::check;
use crate::Engine;
use crate::sandbox::Sandbox;

/// How long the later invocations of a worker may take together.
const WARM_TIME: Duration = Duration::from_millis(5);
/// The most later invocations of a worker.
const MOST_WARM_CALLS: u32 = 100;

/// The driver of the suite.
pub(super) fn run<E: Engine, S: Sandbox>(
    running: &mut Running<'_, E, S>,
) -> Result<Measured, Trouble> {
    served::run(running, |served, harness, planned| served.breakdown(harness, planned))
}

impl<S: Sandbox> Served<'_, S> {
    /// Two fresh workers for every sample.
    fn breakdown(
        &mut self,
        harness: &mut Harness,
        planned: &Planned<'_>,
    ) -> Result<Measured, Trouble> {
        let mut response = Vec::new();
        self.cold_start(&mut response)?;
        verify_digest(&response, planned.payload)?;
        let expected = response;
        let start = Instant::now();
        let first = self.sample(&expected, 1, false)?;
        let cost = start.elapsed();
        let warm_ns = u128::from(first.warm_ns.max(1));
        let affordable = u32::try_from(WARM_TIME.as_nanos() / warm_ns).unwrap_or(u32::MAX);
        let warm_calls = affordable.clamp(1, MOST_WARM_CALLS);
        let mut samples = Vec::new();
        if !harness.selection.verify {
            harness.measure_cold(self.case, cost, |iterations| {
                let mut total = Duration::ZERO;
                for _ in 0..iterations {
                    // Whoever is first finds colder caches: each is in every second sample.
                    let swapped = samples.len() % 2 == 1;
                    let sample = self.sample(&expected, warm_calls, swapped)?;
                    total += Duration::from_nanos(sample.cold_ns);
                    samples.push(sample);
                }
                Ok(total)
            })?;
        }
        let per_sample = 2 * (1 + u64::from(warm_calls));
        let verified = 5 + samples.len() as u64 * per_sample;
        Ok(Measured { verified, size_bytes: 0, details: Details::Breakdown(samples) })
    }

    fn sample(&self, expected: &[u8], warm_calls: u32, swapped: bool) -> Result<Breakdown, String> {
        let mut found = Breakdown {
            case: self.case.clone(),
            sample: 0,
            cold_ns: 0,
            warm_ns: 0,
            warm_calls,
            launch_ns: 0,
            first: TimedCalls::default(),
            warm: TimedCalls::default(),
            clock_cost_ps: 0,
        };
        if swapped {
            self.taken_apart(&mut found, expected)?;
            self.whole(&mut found, expected)?;
        } else {
            self.whole(&mut found, expected)?;
            self.taken_apart(&mut found, expected)?;
        }
        Ok(found)
    }

    /// A worker that is not asked for timings.
    fn whole(&self, found: &mut Breakdown, expected: &[u8]) -> Result<(), String> {
        let sandbox = self.sandbox;
        let mut response = Vec::with_capacity(expected.len() + 64);
        let start = Instant::now();
        let worker = self.launch()?;
        self.with(worker, |worker| {
            sandbox.invoke(worker, &self.request, &mut response).map_err(|e| e.to_string())?;
            found.cold_ns = nanoseconds(start);
            check(&response, expected)?;
            for _ in 0..found.warm_calls {
                let start = Instant::now();
                sandbox.invoke(worker, &self.request, &mut response).map_err(|e| e.to_string())?;
                found.warm_ns += nanoseconds(start);
                check(&response, expected)?;
            }
            Ok(())
        })
    }

    /// A worker that is asked for timings.
    fn taken_apart(&self, found: &mut Breakdown, expected: &[u8]) -> Result<(), String> {
        let mut response = Vec::with_capacity(expected.len() + 64);
        let start = Instant::now();
        let worker = self.launch()?;
        found.launch_ns = nanoseconds(start);
        self.with(worker, |worker| {
            self.timed(worker, &mut found.first, &mut response)?;
            check(&response, expected)?;
            let cost_ps = self.sandbox.clock_cost_ps(worker).map_err(|e| e.to_string())?;
            found.clock_cost_ps = cost_ps;
            for _ in 0..found.warm_calls {
                self.timed(worker, &mut found.warm, &mut response)?;
                check(&response, expected)?;
            }
            Ok(())
        })
    }

    fn timed(
        &self,
        worker: &mut S::Worker,
        sums: &mut TimedCalls,
        response: &mut Vec<u8>,
    ) -> Result<(), String> {
        let start = Instant::now();
        let timings = self.sandbox.invoke_timed(worker, &self.request, response);
        sums.outer_ns += nanoseconds(start);
        let timings = timings.map_err(|error| error.to_string())?;
        sums.decode_ns += timings.decode_ns;
        sums.compute_ns += timings.compute_ns;
        sums.encode_ns += timings.encode_ns;
        sums.retrieval_ns += timings.retrieval_ns;
        sums.retrievals += timings.retrievals;
        Ok(())
    }

    fn launch(&self) -> Result<S::Worker, String> {
        self.sandbox.launch(&self.worker_spec, &self.limits).map_err(|error| error.to_string())
    }

    /// Ends a worker after its use, whatever became of it.
    fn with(
        &self,
        mut worker: S::Worker,
        serve: impl FnOnce(&mut S::Worker) -> Result<(), String>,
    ) -> Result<(), String> {
        match serve(&mut worker) {
            Ok(()) => self.sandbox.teardown(worker).trouble.map_or(Ok(()), Err),
            Err(cause) => Err(format!("{cause}; {}", self.sandbox.autopsy(worker))),
        }
    }
}

fn nanoseconds(start: Instant) -> u64 {
    start.elapsed().as_nanos() as u64
}

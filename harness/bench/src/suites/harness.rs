//! What the cases of a process share: Criterion, the artifacts, and the way in which a case's
//! outcome becomes records.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use anyhow::Result;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use lumos_record::{
    Breakdown, Case, Counted, Failure, Layout, Ledger, Profile, Record, Skip, Suite, WorkerUse,
};
use lumos_workloads::{Payload, sha256_hex};

use super::select::Selection;
use super::session::{Session, criterion_directory};
use super::states::States;
use super::timing::Stop;
use super::turns::{self, Turns};
use super::watch::Watch;
use crate::artifact::{Artifacts, Refusal};
use crate::sandbox::Unready;

/// Why a case has no samples.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It was not run.
    Skip(String),
    /// It was run and went wrong.
    Failure(String),
}

impl From<Unready> for Trouble {
    fn from(unready: Unready) -> Self {
        match unready {
            Unready::Skip(reason) => Self::Skip(reason),
            Unready::Failure(cause) => Self::Failure(cause),
        }
    }
}

impl From<Refusal> for Trouble {
    /// What this node could not build is left out. That nobody asked for it is a fault of whoever
    /// derived what the case takes.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Absent(..) => Self::Failure(refusal.to_string()),
            _ => Self::Skip(refusal.to_string()),
        }
    }
}

impl From<Stop> for Trouble {
    fn from(cause: Stop) -> Self {
        Self::Failure(cause)
    }
}

/// A cold start's records.
#[derive(Debug)]
pub struct Cold {
    /// Its phases; the number of the sample is not known yet.
    pub ledger: Ledger,
    /// What the worker used.
    pub worker: WorkerUse,
}

/// A case that went well.
#[derive(Debug)]
pub struct Measured {
    /// How many responses were checked.
    pub verified: u64,
    /// How many bytes it moves; see [`lumos_record::Finished::size_bytes`].
    pub size_bytes: u64,
    /// What belongs to its samples.
    pub details: Details,
}

/// What a case leaves beside the samples that Criterion keeps, an entry for each: those of
/// Criterion's warm-up first.
#[derive(Debug)]
pub enum Details {
    /// Nothing.
    None,
    /// Cold starts.
    Cold(Vec<Cold>),
    /// Invocations that were taken apart; the number of the sample is not known yet.
    Breakdown(Vec<Breakdown>),
    /// A count, and no samples.
    Count(Count),
}

/// How many instructions an invocation executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Their number.
    pub instructions: u64,
    /// What counted.
    pub counter: &'static str,
}

/// How the samples of a steady case are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// How many samples.
    pub samples: usize,
    /// The time to take them in.
    pub measurement: Duration,
    /// The time before the first.
    pub warm_up: Duration,
}

impl Sampling {
    /// Chooses for a case of which one iteration takes `cost`, and which may take `time`.
    pub fn choose(cost: Duration, time: Duration) -> Self {
        const FEWEST: u32 = 10;
        const MOST: u32 = 50;
        let measurement = time * 3 / 4;
        let affordable = measurement.as_nanos() / cost.as_nanos().max(1);
        if affordable < u128::from(FEWEST) {
            // One iteration a sample, and the fewest that Criterion takes.
            let least = Duration::from_millis(1);
            return Self { samples: FEWEST as usize, measurement: least, warm_up: least };
        }
        let samples = affordable.min(u128::from(MOST)) as usize;
        Self { samples, measurement, warm_up: time / 5 }
    }
}

/// What a run keeps beside the engines.
pub struct Harness {
    /// Where things are.
    pub layout: Layout,
    /// The artifacts.
    pub artifacts: Artifacts,
    /// What was asked for, limits among it.
    pub selection: Selection,
    /// The deadline that the supervisor sees.
    pub watch: Watch,
    /// A deadline that nobody sees: workers have one on their socket.
    pub unwatched: Watch,
    /// What the workers of the case in progress used.
    pub worker_uses: Vec<WorkerUse>,
    /// Criterion, with the user's arguments.
    pub criterion: Criterion,
    /// Which of Criterion's settings the user has chosen; these are left alone.
    pub chosen: Chosen,
    /// The time that a case may take.
    pub time_per_case: Duration,
    /// The records; none when nothing is kept.
    pub session: Option<Session>,
    /// The baseline that samples are saved under, beside Criterion's own.
    pub save_baseline: Option<String>,
    /// How many cases failed.
    pub failures: usize,
    /// What functions keep their state in.
    pub states: States,
    /// Whom the samples are taken in turns with, if with anybody.
    pub turns: Option<Turns>,
}

/// Which of Criterion's settings are on the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chosen {
    /// `--sample-size`
    pub sample_size: bool,
    /// `--warm-up-time`
    pub warm_up: bool,
    /// `--measurement-time`
    pub measurement: bool,
}

/// The payload of the unwinding that ends a case inside Criterion.
struct Stopped(Stop);

/// A panic of Criterion itself, such as at the name of a baseline that does not exist: it
/// concerns the whole process.
struct Misuse(Box<dyn Any + Send>);

impl Harness {
    /// Runs one case and records its outcome.
    ///
    /// # Errors
    /// When the outcome cannot be recorded.
    pub fn case(
        &mut self,
        case: &Case,
        run: impl FnOnce(&mut Self) -> Result<Measured, Trouble>,
    ) -> Result<()> {
        self.record(&Record::Started { case: case.clone() })?;
        self.worker_uses.clear();
        let outcome = self.attempt(run).and_then(|measured| self.keep(case, measured));
        match outcome {
            Ok(records) => records.iter().try_for_each(|record| self.record(record)),
            Err(Trouble::Skip(reason)) => self.skip(case, reason),
            Err(Trouble::Failure(cause)) => {
                eprintln!("FAILED {case}: {cause}");
                self.failures += 1;
                self.forget(case);
                self.record(&Record::Failure(Failure { case: case.clone(), cause }))
            }
        }
    }

    /// Runs a case. An engine or a sandbox that panics has failed this case, not the run.
    fn attempt(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<Measured, Trouble>,
    ) -> Result<Measured, Trouble> {
        let outcome = catch_unwind(AssertUnwindSafe(|| run(self)));
        // A case that stopped in the middle of an invocation has left its deadline behind.
        self.watch.disarm();
        outcome.unwrap_or_else(|panic| match panic.downcast::<Misuse>() {
            Ok(misuse) => resume_unwind(misuse.0),
            Err(panic) => Err(Trouble::Failure(describe_panic(&*panic))),
        })
    }

    /// Records that a case is not run.
    ///
    /// # Errors
    /// When that cannot be recorded.
    pub fn skip(&mut self, case: &Case, reason: String) -> Result<()> {
        eprintln!("skipped {case}: {reason}");
        self.record(&Record::Skip(Skip { case: case.clone(), reason }))
    }

    fn record(&mut self, record: &Record) -> Result<()> {
        self.session.as_mut().map_or(Ok(()), |session| session.write(record))
    }

    /// The records of a case that went well.
    fn keep(&mut self, case: &Case, measured: Measured) -> Result<Vec<Record>, Trouble> {
        if self.selection.verify {
            return Ok(vec![Record::Verified { case: case.clone() }]);
        }
        let Some(session) = &self.session else { return Ok(Vec::new()) };
        if let Details::Count(Count { instructions, counter }) = measured.details {
            let (case, counter) = (case.clone(), counter.to_owned());
            return Ok(vec![Record::Counted(Counted { case, instructions, counter })]);
        }
        let (finished, times) = session
            .keep_samples(&self.layout, case, measured.verified, measured.size_bytes)
            .map_err(|error| Trouble::Failure(format!("{error:#}")))?;
        let mut records: Vec<Record> = self.worker_uses.drain(..).map(Record::Worker).collect();
        records.extend(match measured.details {
            Details::None | Details::Count(_) => Vec::new(),
            Details::Cold(starts) => cold_records(kept(starts, times.len()))?,
            Details::Breakdown(samples) => {
                let samples = (0..).zip(kept(samples, times.len()));
                samples
                    .map(|(sample, found)| Record::Breakdown(Breakdown { sample, ..found }))
                    .collect()
            }
        });
        // Last, so that a case which is finished has all of its records.
        records.push(Record::Finished(finished));
        Ok(records)
    }

    /// Removes what Criterion keeps of a case that failed: it would be taken for its samples.
    fn forget(&self, case: &Case) {
        if self.session.is_none() || self.selection.verify {
            return;
        }
        let directory = criterion_directory(&self.layout, case);
        for name in ["new"].into_iter().chain(self.save_baseline.as_deref()) {
            // Often there is nothing to remove.
            let _ = std::fs::remove_dir_all(directory.join(name));
        }
    }

    /// Measures a case whose state does not change from one iteration to the next.
    ///
    /// # Errors
    /// What `routine` says.
    pub fn measure_steady(
        &mut self,
        case: &Case,
        cost: Duration,
        bytes: usize,
        routine: impl FnMut(u64) -> Result<Duration, Stop>,
    ) -> Result<(), Trouble> {
        self.check_affordable(case.suite, cost)?;
        let sampling = Sampling::choose(cost, self.time_per_case);
        let throughput = (case.suite.takes_payload() && bytes > 0).then_some(bytes as u64);
        self.measure(case, sampling, SamplingMode::Auto, throughput, routine)
    }

    /// Measures what has to begin anew each time, such as a cold start: one iteration a sample,
    /// so that every sample is raw.
    ///
    /// # Errors
    /// What `routine` says.
    pub fn measure_cold(
        &mut self,
        case: &Case,
        cost: Duration,
        routine: impl FnMut(u64) -> Result<Duration, Stop>,
    ) -> Result<(), Trouble> {
        self.check_affordable(case.suite, cost)?;
        let affordable = self.time_per_case.as_nanos() / cost.as_nanos().max(1);
        let samples = affordable.clamp(10, 100) as usize;
        // However short a cold start is, a second one does not fit into a sample.
        let measurement = Duration::from_nanos(1);
        let sampling = Sampling { samples, measurement, warm_up: Duration::from_millis(1) };
        let chosen = Chosen { sample_size: self.chosen.sample_size, ..Chosen::default() };
        let chosen = std::mem::replace(&mut self.chosen, chosen);
        let outcome = self.measure(case, sampling, SamplingMode::Flat, None, routine);
        self.chosen = chosen;
        outcome
    }

    /// The most that one case may take when it needs more than its share.
    fn longest_case(&self, suite: Suite) -> Duration {
        match self.selection.profile {
            // Somebody asked for it by name.
            _ if suite.is_on_request() => Duration::MAX,
            Profile::Quick => Duration::from_secs(12),
            Profile::Standard => Duration::from_secs(40),
            Profile::Full => Duration::MAX,
        }
    }

    fn check_affordable(&self, suite: Suite, cost: Duration) -> Result<(), Trouble> {
        let (needed, longest) = (cost * 11, self.longest_case(suite));
        if needed <= longest {
            return Ok(());
        }
        Err(Trouble::Skip(format!(
            "ten samples would take {:.0} s, and the profile `{}` gives a case {} s at most: \
             `--profile full` measures it",
            needed.as_secs_f64(),
            self.selection.profile,
            longest.as_secs()
        )))
    }

    fn measure(
        &mut self,
        case: &Case,
        sampling: Sampling,
        mode: SamplingMode,
        throughput: Option<u64>,
        mut routine: impl FnMut(u64) -> Result<Duration, Stop>,
    ) -> Result<(), Trouble> {
        let mut group = self.criterion.benchmark_group(case.group());
        group.sampling_mode(mode);
        if !self.chosen.sample_size {
            group.sample_size(sampling.samples);
        }
        if !self.chosen.warm_up {
            group.warm_up_time(sampling.warm_up);
        }
        if !self.chosen.measurement {
            group.measurement_time(sampling.measurement);
        }
        if let Some(bytes) = throughput {
            group.throughput(Throughput::Bytes(bytes));
        }
        let id = BenchmarkId::new(&case.runtime, case.input());
        let mut samples = turns::Samples::new(self.turns.as_ref(), case);
        // A case that fails leaves Criterion by unwinding: whatever duration it returned
        // instead would be taken for a sample.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|iterations| {
                    samples.begin(iterations);
                    let time = catch_unwind(AssertUnwindSafe(|| routine(iterations)))
                        .unwrap_or_else(|panic| Err(describe_panic(&*panic)))
                        .unwrap_or_else(|stop| resume_unwind(Box::new(Stopped(stop))));
                    // Criterion does not write samples of no time at all.
                    time.max(Duration::from_nanos(1))
                });
            });
        }));
        match outcome {
            Ok(()) => {
                group.finish();
                Ok(())
            }
            Err(payload) => match payload.downcast::<Stopped>() {
                Ok(stopped) => Err(Trouble::Failure(stopped.0)),
                Err(panic) => resume_unwind(Box::new(Misuse(panic))),
            },
        }
    }

    /// Tells Criterion that a case exists, when it only wants to list the cases.
    pub fn register(&mut self, case: &Case) {
        let mut group = self.criterion.benchmark_group(case.group());
        group.bench_function(BenchmarkId::new(&case.runtime, case.input()), |_| {});
        group.finish();
    }
}

fn describe_panic(panic: &(dyn Any + Send)) -> Stop {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the runtime's code panicked: {}", message.unwrap_or("without a message"))
}

/// The entries of the samples that Criterion kept: the last ones, after its warm-up.
fn kept<T>(mut entries: Vec<T>, count: usize) -> Vec<T> {
    entries.split_off(entries.len().saturating_sub(count))
}

/// The records of cold starts.
fn cold_records(mut starts: Vec<Cold>) -> Result<Vec<Record>, Trouble> {
    for (sample, start) in (0..).zip(&mut starts) {
        start.ledger.sample = sample;
    }
    let broken: Vec<String> =
        starts.iter().filter_map(|start| start.ledger.reconcile().err()).collect();
    // The scheduler may stop the harness between two readings of the clock, now and then. A
    // ledger with a hole is off in every sample.
    if broken.len() > 1 && broken.len() * 20 > starts.len() {
        return Err(Trouble::Failure(format!(
            "{} of {} cold starts do not reconcile; the first: {}",
            broken.len(),
            starts.len(),
            broken[0]
        )));
    }
    Ok(starts
        .into_iter()
        .flat_map(|start| [Record::Phases(start.ledger), Record::Worker(start.worker)])
        .collect())
}

/// Compares a response with the digest of the right answer.
///
/// # Errors
/// A sentence with both digests and the beginning of the response.
pub fn verify_digest(response: &[u8], payload: &Payload) -> Result<(), Stop> {
    let digest = sha256_hex(response);
    if digest == payload.response_sha256 {
        return Ok(());
    }
    let beginning = String::from_utf8_lossy(&response[..response.len().min(60)]);
    Err(format!(
        "wrong answer: {} bytes with SHA-256 {digest} instead of {}; they begin with {beginning:?}",
        response.len(),
        payload.response_sha256
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumos_record::{Phase, PhaseSpan};

    #[test]
    fn sampling_fits_the_time() {
        let time = Duration::from_secs(2);
        let fast = Sampling::choose(Duration::from_nanos(30), time);
        assert_eq!((fast.samples, fast.measurement), (50, Duration::from_millis(1500)));
        let slow = Sampling::choose(Duration::from_millis(100), time);
        assert_eq!(slow.samples, 15);
        let slowest = Sampling::choose(Duration::from_secs(1), time);
        assert_eq!((slowest.samples, slowest.measurement), (10, Duration::from_millis(1)));
    }

    fn cold(outer_ns: u64, phase_ns: u64) -> Cold {
        let case = Case {
            suite: Suite::ColdStart,
            function: "noop".into(),
            runtime: "fake-process".into(),
            payload: "empty".into(),
            setting: Default::default(),
        };
        let phases = vec![PhaseSpan { phase: Phase::FirstCall, wall_ns: phase_ns }];
        let worker = WorkerUse {
            case: case.clone(),
            peak_rss_bytes: None,
            cpu: Default::default(),
            invocations: 1,
        };
        Cold { ledger: Ledger { case, sample: 0, outer_ns, phases, teardown_ns: 0 }, worker }
    }

    #[test]
    fn the_cold_starts_of_the_warm_up_are_left_out() {
        let starts = (1..=13).map(|n| cold(n * 1_000_000, n * 1_000_000)).collect();
        let records = cold_records(kept(starts, 10)).unwrap();
        assert_eq!(records.len(), 20);
        let Record::Phases(first) = &records[0] else { panic!("{:?}", records[0]) };
        assert_eq!((first.sample, first.outer_ns), (0, 4_000_000));
    }

    #[test]
    fn ledgers_with_holes_fail_the_case_and_one_hiccup_does_not() {
        let mut starts: Vec<Cold> = (0..20).map(|_| cold(1_000_000, 1_000_000)).collect();
        starts[3] = cold(3_000_000, 1_000_000);
        assert!(cold_records(starts).is_ok());
        let starts = (0..20).map(|_| cold(3_000_000, 1_000_000)).collect();
        let Err(Trouble::Failure(cause)) = cold_records(starts) else { panic!("accepted") };
        assert!(cause.contains("20 of 20"), "{cause}");
    }
}

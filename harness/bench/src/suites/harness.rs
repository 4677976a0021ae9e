//! What the cases of a process share: the artifacts, their turns, and the way in which a case's
//! outcome becomes records.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use anyhow::Result;
use lumos_criterion::{Asked, Criterion, Samples, Stopped, register, try_case};
use lumos_record::{
    Breakdown, Case, Counted, Event, Failure, Layout, Ledger, Profile, Record, Skip, Suite,
    WorkerUse,
};
use lumos_workloads::{Payload, sha256_hex};

use super::sampling::Sampling;
use super::select::Selection;
use super::session::{Brief, Session};
use super::states::States;
use super::turns::Turns;
use super::watch::Watch;
use crate::artifact::{Artifacts, Refusal};
pub use crate::trouble::Trouble;

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

/// What a case leaves beside its samples, an entry for each.
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
    /// Criterion, with the user's arguments, where cases are only tried, or told by name.
    pub trying: Option<Criterion>,
    /// What the user has asked for of the sampling.
    pub asked: Asked,
    /// The time that a case may take in this round.
    pub time_per_case: Duration,
    /// The records; none when nothing is kept.
    pub session: Option<Session>,
    /// How many cases failed.
    pub failures: usize,
    /// What functions keep their state in.
    pub states: States,
    /// Whom the samples are taken in turns with; none where nothing is kept.
    pub turns: Option<Turns>,
    /// The row of the case in progress.
    pub row: usize,
    /// The samples of the case in progress.
    pub samples: Samples,
    /// What the conductor has told this process.
    pub brief: Brief,
}

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
        if let Some(turns) = self.turns.as_ref().filter(|_| self.selection.verify) {
            // Nobody compares how long it takes, but all go through the rows together.
            turns.wait(self.row, 0, 1, case);
        }
        self.record(&Record::Started { case: case.clone() })?;
        self.worker_uses.clear();
        self.samples = Samples::default();
        self.artifacts.begin_case();
        let outcome = self.attempt(run).and_then(|measured| {
            self.artifacts.check_unchanged().map_err(Trouble::Failure)?;
            self.keep(case, measured)
        });
        match outcome {
            Ok(records) => records.iter().try_for_each(|record| self.record(record)),
            Err(Trouble::Skip(reason)) => self.skip(case, reason),
            Err(Trouble::Failure(cause)) => {
                Event::Failed { case: case.clone(), cause: cause.clone() }.tell();
                self.failures += 1;
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
        outcome.unwrap_or_else(|panic| match panic.downcast::<Stopped>() {
            Ok(stopped) => Err(Trouble::Failure(stopped.0)),
            Err(panic) => Err(Trouble::Failure(describe_panic(&*panic))),
        })
    }

    /// Records that a case is not run.
    ///
    /// # Errors
    /// When that cannot be recorded.
    pub fn skip(&mut self, case: &Case, reason: String) -> Result<()> {
        Event::Skipped { case: case.clone(), reason: reason.clone() }.tell();
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
        let finished = session
            .keep_samples(case, &self.samples, measured.verified, measured.size_bytes)
            .map_err(|error| Trouble::Failure(format!("{error:#}")))?;
        let mut records: Vec<Record> = self.worker_uses.drain(..).map(Record::Worker).collect();
        records.extend(match measured.details {
            Details::None | Details::Count(_) => Vec::new(),
            Details::Cold(starts) => cold_records(starts)?,
            Details::Breakdown(samples) => (0..)
                .zip(samples)
                .map(|(sample, found)| Record::Breakdown(Breakdown { sample, ..found }))
                .collect(),
        });
        // Last, so that a case which is finished has all of its records.
        records.push(Record::Finished(finished));
        Ok(records)
    }

    /// What an iteration of a case costs, where an earlier round has shown it: then none is run
    /// to find out.
    pub fn known_cost(&self, case: &Case) -> Option<Duration> {
        self.brief.costs.get(&case.to_string()).copied()
    }

    /// Measures a case whose state does not change from one iteration to the next.
    ///
    /// # Errors
    /// What `routine` says.
    pub fn measure_steady(
        &mut self,
        case: &Case,
        cost: Duration,
        routine: impl FnMut(u64) -> Result<Duration, String>,
    ) -> Result<(), Trouble> {
        self.check_affordable(case.suite, cost)?;
        let rounds = self.selection.rounds();
        let sampling = Sampling::steady(cost, self.time_per_case, rounds, &self.asked);
        self.measure(case, cost, sampling, routine)
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
        routine: impl FnMut(u64) -> Result<Duration, String>,
    ) -> Result<(), Trouble> {
        self.check_affordable(case.suite, cost)?;
        let rounds = self.selection.rounds();
        let sampling = Sampling::cold(cost, self.time_per_case, rounds, &self.asked);
        self.measure(case, cost, sampling, routine)
    }

    /// The most that one case may take when it needs more than its share.
    fn longest_case(&self, suite: Suite) -> Duration {
        match self.selection.profile {
            // Somebody asked for it by name.
            _ if suite.spec().on_request => Duration::MAX,
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
        cost: Duration,
        sampling: Sampling,
        mut routine: impl FnMut(u64) -> Result<Duration, String>,
    ) -> Result<(), Trouble> {
        if let Some(criterion) = &mut self.trying {
            try_case(criterion, case, routine);
            return Ok(());
        }
        // A runtime's panic leaves what is under way, such as a worker, as a failure does.
        let mut routine = |iterations: u64| {
            catch_unwind(AssertUnwindSafe(|| routine(iterations)))
                .unwrap_or_else(|panic| Err(describe_panic(&*panic)))
        };
        let iterations = sampling.warm_up(cost, &mut routine)?;
        for number in 0..sampling.samples {
            if let Some(turns) = &mut self.turns {
                turns.wait(self.row, number, sampling.samples, case);
                turns.confuse();
            }
            self.samples.push(iterations, routine(iterations)?);
        }
        Ok(())
    }

    /// Ends what Criterion prints, and says what has failed.
    pub fn end(&self) {
        if let Some(criterion) = &self.trying {
            criterion.final_summary();
        }
        if self.failures > 0 {
            eprintln!("{} cases failed; the run goes on record with them", self.failures);
        }
    }

    /// Tells Criterion that a case exists, when it only wants to list the cases.
    pub fn register(&mut self, case: &Case) {
        let Some(criterion) = &mut self.trying else { return };
        register(criterion, case);
    }
}

fn describe_panic(panic: &(dyn Any + Send)) -> String {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the runtime's code panicked: {}", message.unwrap_or("without a message"))
}

/// The records of cold starts.
fn cold_records(mut starts: Vec<Cold>) -> Result<Vec<Record>, Trouble> {
    for (sample, start) in (0..).zip(&mut starts) {
        start.ledger.sample = sample;
    }
    // A round has few samples: whoever reads all rounds sees whether it happens too often. A
    // ledger with a hole is off in every sample.
    if let Some(cause) = Ledger::distrust(starts.iter().map(|start| &start.ledger), 2) {
        return Err(Trouble::Failure(cause));
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
pub fn verify_digest(response: &[u8], payload: &Payload) -> Result<(), String> {
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
    fn cold_starts_are_numbered() {
        let starts = (1..=3).map(|n| cold(n * 1_000_000, n * 1_000_000)).collect();
        let records = cold_records(starts).unwrap();
        assert_eq!(records.len(), 6);
        let Record::Phases(last) = &records[4] else { panic!("{:?}", records[4]) };
        assert_eq!((last.sample, last.outer_ns), (2, 3_000_000));
    }

    #[test]
    fn ledgers_with_holes_fail_the_case_and_hiccups_do_not() {
        let mut starts: Vec<Cold> = (0..20).map(|_| cold(1_000_000, 1_000_000)).collect();
        starts[3] = cold(3_000_000, 1_000_000);
        starts[9] = cold(3_000_000, 1_000_000);
        assert!(cold_records(starts).is_ok());
        let starts = (0..20).map(|_| cold(3_000_000, 1_000_000)).collect();
        let Err(Trouble::Failure(cause)) = cold_records(starts) else { panic!("accepted") };
        assert!(cause.contains("20 of 20"), "{cause}");
    }
}

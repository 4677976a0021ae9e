//! What a run writes as it happens: one record a line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Case, Phase, RunManifest};

/// A line of a run's records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Record {
    /// The first line: what the run is.
    Run(Box<RunManifest>),
    /// A measuring process joined the run.
    Process(Process),
    /// What a process's sandbox is made of on this node.
    Sandbox(SandboxFacts),
    /// What a chain consists of, before its first case.
    Chain(ChainFacts),
    /// A case began; without a later outcome it was interrupted.
    Started {
        /// The case.
        case: Case,
    },
    /// A case ended in samples.
    Finished(Finished),
    /// A case ended in a count.
    Counted(Counted),
    /// A case was run once and checked, but not timed, as `--verify` asks for.
    Verified {
        /// The case.
        case: Case,
    },
    /// The phases of one cold start.
    Phases(Ledger),
    /// What one worker used in its whole life.
    Worker(WorkerUse),
    /// One sample of the suite `breakdown`.
    Breakdown(Breakdown),
    /// A case was not run.
    Skip(Skip),
    /// A case was run and went wrong.
    Failure(Failure),
}

impl Record {
    /// The case whose outcome this is; none of other records.
    pub fn outcome_of(&self) -> Option<&Case> {
        match self {
            Self::Finished(Finished { case, .. })
            | Self::Counted(Counted { case, .. })
            | Self::Verified { case } => Some(case),
            Self::Skip(skip) => Some(&skip.case),
            Self::Failure(failure) => Some(&failure.case),
            Self::Run(_)
            | Self::Process(_)
            | Self::Sandbox(_)
            | Self::Started { .. }
            | Self::Phases(_)
            | Self::Worker(_)
            | Self::Breakdown(_)
            | Self::Chain(_) => None,
        }
    }
}

/// A measuring process: one per runtime crate, more when one had to be ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The crate, such as `lumos-wasmi`.
    pub package: String,
    /// Its process id.
    pub pid: u32,
    /// Its command line.
    pub command_line: Vec<String>,
}

/// What a sandbox is made of on this node, such as a container engine's version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxFacts {
    /// The crate that brings the sandbox.
    pub package: String,
    /// Names and values, for readers.
    pub facts: BTreeMap<String, String>,
}

/// What a chain consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainFacts {
    /// The chain's name, which stands in the place of a function's in its cases.
    pub chain: String,
    /// Its functions, in the order of the steps.
    pub functions: Vec<String>,
}

/// A case that ended in samples, which Criterion keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// The case.
    pub case: Case,
    /// The folder of the run that holds a copy of Criterion's `benchmark.json`, `sample.json`
    /// and `estimates.json`, relative to the run's folder. A later run overwrites Criterion's
    /// own files; this copy stays.
    pub criterion: PathBuf,
    /// Responses that were checked against the expected digest; none was wrong. In `pull`, the
    /// unpacked images, whose layers were.
    pub verified: u64,
    /// How many bytes the case moves: its request or, where the function keeps state, the value
    /// that it gets or puts.
    #[serde(default)]
    pub size_bytes: u64,
}

/// A case whose instructions were counted: the same number each time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The case.
    pub case: Case,
    /// The instructions of one invocation, as the counter defines them.
    pub instructions: u64,
    /// What counted: `fuel` of the engine, or `callgrind`.
    pub counter: String,
}

/// One phase's share of a cold start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseSpan {
    /// The phase.
    pub phase: Phase,
    /// How long it took.
    pub wall_ns: u64,
}

/// The phases of one cold start, beside the time measured around all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The case.
    pub case: Case,
    /// Which cold start of the case, from 0.
    pub sample: u32,
    /// The time measured around the whole, from another pair of clock readings.
    pub outer_ns: u64,
    /// The phases inside that time, in order.
    pub phases: Vec<PhaseSpan>,
    /// The teardown, which comes after that time.
    pub teardown_ns: u64,
}

impl Ledger {
    /// The most that the phases may differ from the outer time: 20 us, or 1 % if that is more.
    ///
    /// The two are taken by separate readings of the clock, between which the scheduler may act.
    pub fn tolerance_ns(&self) -> u64 {
        (self.outer_ns / 100).max(20_000)
    }

    /// Checks that the phases add up to the outer time.
    ///
    /// # Errors
    /// A sentence with both figures, when they don't.
    pub fn reconcile(&self) -> Result<(), String> {
        let sum: u64 = self.phases.iter().map(|span| span.wall_ns).sum();
        if sum.abs_diff(self.outer_ns) > self.tolerance_ns() {
            return Err(format!(
                "the phases add up to {sum} ns, but {} ns were measured around them",
                self.outer_ns
            ));
        }
        if !self.phases.is_sorted_by(|a, b| a.phase < b.phase) {
            return Err(format!("the phases are out of order: {:?}", self.phases));
        }
        Ok(())
    }
}

/// What invocations took that asked for timings, by two clocks: all sums over the invocations,
/// as they were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedCalls {
    /// From sending the request until the response was there, by the harness's clock. In it are
    /// four readings of the function's clock, and two more for each retrieval.
    pub outer_ns: u64,
    /// From the request's bytes to the input, by the function's clock, and one reading of it.
    pub decode_ns: u64,
    /// From the input to the output, by the function's clock, with all retrievals; one reading of
    /// the clock, and one more for each retrieval.
    pub compute_ns: u64,
    /// From the output to the response's bytes, by the function's clock, and one reading of it.
    pub encode_ns: u64,
    /// Getting and putting state, by the function's clock, and one reading of it for each
    /// retrieval.
    pub retrieval_ns: u64,
    /// How many times state was got or put.
    pub retrievals: u64,
}

/// One sample of the suite `breakdown`: two fresh workers, of which one is asked for timings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakdown {
    /// The case.
    pub case: Case,
    /// Which sample of the case, from 0.
    pub sample: u32,
    /// The worker without timings: from its creation to its first response. This is the sample
    /// that Criterion keeps.
    pub cold_ns: u64,
    /// The same worker's later invocations: the sum over [`Breakdown::warm_calls`].
    pub warm_ns: u64,
    /// How many later invocations each of the two workers served.
    pub warm_calls: u32,
    /// The worker with timings: from its creation until it could accept a request.
    pub launch_ns: u64,
    /// Its first invocation.
    pub first: TimedCalls,
    /// Its later invocations: the sums over [`Breakdown::warm_calls`].
    pub warm: TimedCalls,
    /// What one reading of the clock takes inside its function, in picoseconds.
    pub clock_cost_ps: u64,
}

/// User and system time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuTime {
    /// In user mode.
    pub user_ns: u64,
    /// In the kernel.
    pub system_ns: u64,
}

/// What one worker used, from its creation to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerUse {
    /// The case.
    pub case: Case,
    /// The most memory that was resident, of the worker alone; none if it could not be read.
    pub peak_rss_bytes: Option<u64>,
    /// The processor time.
    pub cpu: CpuTime,
    /// How many requests it answered.
    pub invocations: u64,
}

/// A case that was not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// The case.
    pub case: Case,
    /// Why, and what would make it run.
    pub reason: String,
}

/// A case that was run and went wrong: it has no samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The case.
    pub case: Case,
    /// What happened.
    pub cause: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Suite;

    fn ledger(outer_ns: u64, phases: &[(Phase, u64)]) -> Ledger {
        Ledger {
            case: Case {
                suite: Suite::ColdStart,
                function: "noop".into(),
                runtime: "fake-process".into(),
                payload: "empty".into(),
                setting: Default::default(),
            },
            sample: 0,
            outer_ns,
            phases: phases.iter().map(|&(phase, wall_ns)| PhaseSpan { phase, wall_ns }).collect(),
            teardown_ns: 0,
        }
    }

    #[test]
    fn a_ledger_reconciles_within_its_tolerance_only() {
        let phases = [(Phase::Create, 400_000), (Phase::FirstCall, 600_000)];
        assert!(ledger(1_000_000, &phases).reconcile().is_ok());
        assert!(ledger(1_019_000, &phases).reconcile().is_ok());
        let message = ledger(1_100_000, &phases).reconcile().unwrap_err();
        assert!(message.contains("1000000") && message.contains("1100000"), "{message}");
    }

    #[test]
    fn phases_out_of_order_are_refused() {
        let phases = [(Phase::FirstCall, 500_000), (Phase::Create, 500_000)];
        assert!(ledger(1_000_000, &phases).reconcile().unwrap_err().contains("out of order"));
    }
}

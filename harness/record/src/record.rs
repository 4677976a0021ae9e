//! What a run writes as it happens: one record a line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Case, Phase, RunManifest, text};

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
    /// What the node did by itself, at the end of a round.
    Weather(Weather),
    /// How precisely the figures are known, at the end of the last round.
    Precision(PrecisionReached),
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
            | Self::Weather(_)
            | Self::Precision(_)
            | Self::Started { .. }
            | Self::Phases(_)
            | Self::Worker(_)
            | Self::Breakdown(_)
            | Self::Chain(_) => None,
        }
    }
}

/// A measuring process: one per runtime, more when one had to be ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The crate, such as `lumos-wasmi`.
    pub package: String,
    /// Its process id.
    pub pid: u32,
    /// Its command line.
    pub command_line: Vec<String>,
    /// The processor that it shares with all others of its round; none where it takes no turns, or
    /// where the node does not let it choose: then the scheduler moves it, which shows in short
    /// times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<u32>,
}

/// What the node did by itself while a round was measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weather {
    /// How long the round took.
    pub wall_ns: u64,
    /// What the hypervisor took of all processors meanwhile; none where the kernel does not tell.
    pub stolen_ns: Option<u64>,
    /// How often the kernel took the processor from a measuring process or a worker.
    pub involuntary_switches: u64,
    /// The clock of the first processor at the end; none where the kernel does not tell.
    pub frequency_khz: Option<u64>,
    /// The times of a piece of work that is always the same, before each row, on the processor
    /// that is measured on.
    pub calibrations_ns: Vec<u64>,
    /// The number of the round that this one stands for, which the node has disturbed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead_of: Option<u32>,
}

impl Weather {
    /// How much longer than in the quietest round the same work may have taken, in the middle,
    /// before a round is measured again: a tenth.
    const SLOWER: f64 = 1.1;
    /// The share of the processors' time that may have been stolen before it is.
    const STOLEN: f64 = 0.05;

    /// The median of the calibrations; 0 where there are none.
    pub fn calibration_ns(&self) -> u64 {
        let mut sorted = self.calibrations_ns.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or(0)
    }

    /// The share that was stolen of one processor's time; 0 where the kernel does not tell.
    pub fn stolen(&self) -> f64 {
        self.stolen_ns.unwrap_or(0) as f64 / self.wall_ns.max(1) as f64
    }

    /// Which of several rounds is to be measured again: of those that the node has disturbed, the
    /// one in which the same work took longest. The rule was written down before any of them was
    /// measured, and looks at no figure that is reported: a round counts as disturbed where that
    /// work took more than a tenth longer than in the quietest round, or where more than a
    /// twentieth of a processor's time was stolen.
    pub fn worst(rounds: &[Self]) -> Option<usize> {
        let quietest = rounds.iter().map(Self::calibration_ns).min()? as f64;
        let is_disturbed = |weather: &Self| {
            weather.calibration_ns() as f64 > quietest * Self::SLOWER
                || weather.stolen() > Self::STOLEN
        };
        let disturbed = rounds.iter().enumerate().filter(|(_, weather)| is_disturbed(weather));
        disturbed.max_by_key(|(_, weather)| weather.calibration_ns()).map(|(place, _)| place)
    }
}

/// How precisely the figures of a run are known, and what more time would bring: ratios to native
/// code in the same sandbox, and times where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrecisionReached {
    /// How far an interval was to reach from its figure, in thousandths of it.
    pub wanted_permille: u32,
    /// How many figures have intervals.
    pub figures: usize,
    /// How many of them reach no further than that.
    pub met: usize,
    /// How many of the others more rounds would bring there, if these differ as those did before.
    pub more: usize,
    /// The time that they would take.
    pub more_ns: u64,
}

impl fmt::Display for PrecisionReached {
    /// A sentence without its full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted_permille, figures, met, more, more_ns } = self;
        let percent = f64::from(*wanted_permille) / 10.0;
        write!(f, "{met} of {figures} figures are known within {percent} %")?;
        let left = figures - met;
        let seconds = more_ns / 1_000_000_000 + 1;
        let time = match seconds {
            ..120 => format!("{seconds} s"),
            _ => format!("{} min", seconds.div_ceil(60)),
        };
        match (left, more) {
            (0, _) => Ok(()),
            (_, 0) => write!(f, "; no affordable time would bring the others there"),
            (1, _) => write!(f, "; {time} more would bring the other there"),
            _ => write!(f, "; {time} more would bring about {more} of the other {left} there"),
        }
    }
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

/// A case that ended in samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// The case.
    pub case: Case,
    /// The folder of the samples, relative to the run's: `sample.json` and `benchmark.json`, in
    /// Criterion's form.
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

impl Ledger {
    /// Why cold starts are no samples: at least two of their ledgers, and more than one in
    /// `one_in`, do not reconcile. A single one may be the scheduler's doing.
    pub fn distrust<'l>(ledgers: impl Iterator<Item = &'l Self>, one_in: usize) -> Option<String> {
        let reconciled: Vec<_> = ledgers.map(Self::reconcile).collect();
        let mut broken = reconciled.iter().filter_map(|one| one.as_ref().err());
        let count = broken.clone().count();
        let first = broken.next()?;
        (count > 1 && count * one_in > reconciled.len()).then(|| {
            let all = reconciled.len();
            format!("{count} of {all} cold starts do not reconcile; the first: {first}")
        })
    }
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
    #[serde(serialize_with = "text::write", deserialize_with = "text::read")]
    pub reason: String,
}

/// A case that was run and went wrong: it has no samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The case.
    pub case: Case,
    /// What happened.
    #[serde(serialize_with = "text::write", deserialize_with = "text::read")]
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
    fn precision_is_told_in_a_sentence() {
        let told = |figures, met, more, seconds: u64| {
            let more_ns = seconds * 1_000_000_000;
            PrecisionReached { wanted_permille: 25, figures, met, more, more_ns }.to_string()
        };
        assert_eq!(told(8, 8, 0, 0), "8 of 8 figures are known within 2.5 %");
        assert!(told(8, 6, 0, 0).ends_with("; no affordable time would bring the others there"));
        assert!(told(8, 7, 1, 61).ends_with("; 62 s more would bring the other there"));
        let many = "; 11 min more would bring about 3 of the other 4 there";
        assert!(told(8, 4, 3, 601).ends_with(many));
    }

    #[test]
    fn the_round_that_the_node_has_disturbed_most_is_measured_again() {
        let weather = |calibration_ns, stolen_ns| Weather {
            wall_ns: 1_000_000,
            stolen_ns: Some(stolen_ns),
            calibrations_ns: vec![calibration_ns - 1, calibration_ns, 9_000],
            ..Weather::default()
        };
        assert_eq!(weather(200, 0).calibration_ns(), 200);
        let calm = [weather(200, 0), weather(215, 40_000), weather(210, 0)];
        assert_eq!(Weather::worst(&calm), None);
        let slow = [weather(200, 0), weather(230, 0), weather(250, 0)];
        assert_eq!(Weather::worst(&slow), Some(2));
        let stolen = [weather(200, 60_000), weather(205, 0)];
        assert_eq!(Weather::worst(&stolen), Some(0));
        assert_eq!(Weather::worst(&[]), None);
    }

    #[test]
    fn phases_out_of_order_are_refused() {
        let phases = [(Phase::FirstCall, 500_000), (Phase::Create, 500_000)];
        assert!(ledger(1_000_000, &phases).reconcile().unwrap_err().contains("out of order"));
    }
}

//! Whatever a function does becomes a record, the other cases run, and nothing stays behind.

use anyhow::{Result, bail, ensure};
use lumos_record::{Case, Profile, Runtime, Suite};
use lumos_workloads::Workload;

use super::Built;
use super::checkout::{Answer, Checkout, Outcome, outcomes};
use crate::suites::select::Selection;

/// The function that misbehaves as its request tells it to.
const FUNCTION: &str = "faulty";

/// The fault that ends at no time by itself.
const ENDLESS: &str = "loop";
/// How long that may take: long enough for a compiler on a busy node to be done before its worker
/// counts as silent.
const ENDLESS_LIMIT_MS: u64 = 1000;
/// How long others may take, which end by themselves: on a node that is busy with something else,
/// some take a second.
const LIMIT_MS: u64 = 10_000;
const MEMORY_BYTES: u64 = 128 << 20;

/// Below what the function takes where nothing stops it, above what is allowed to a measuring
/// process with its engine and its function.
const MOST_RESIDENT_BYTES: u64 = 1 << 30;

/// What must become of a case.
#[derive(Debug)]
enum Expected {
    /// It answers rightly.
    Verified,
    /// It fails, and the cause holds these words.
    Failed(String),
    /// It breaks by itself, before it is stopped for the time it takes.
    Broken,
}

impl Expected {
    /// Of a case whose payload's id is the fault.
    fn of(case: &Case) -> Self {
        let seconds = ENDLESS_LIMIT_MS / 1000;
        match (case.payload.as_str(), case.suite) {
            // A worker answers once in `cold_start`, and its first answer is the same each time.
            ("ok", _) | ("differ", Suite::ColdStart) => Self::Verified,
            ("differ", _) => Self::Failed("wrong answer".into()),
            ("refuse", _) => {
                Self::Failed("refused the request: the request asked to be refused".into())
            }
            (ENDLESS, Suite::ColdStart | Suite::Warm) => {
                Self::Failed(format!("the worker was silent for {seconds} s"))
            }
            (ENDLESS, _) => Self::Failed(format!("no answer within {seconds} s")),
            _ => Self::Broken,
        }
    }

    fn allows(&self, outcome: &Outcome) -> bool {
        const STOPPED: [&str; 4] = ["silent", "no answer within", "wrong answer", "refused"];
        match (self, outcome) {
            (Self::Verified, Outcome::Verified) => true,
            (Self::Failed(words), Outcome::Failed(cause)) => cause.contains(words),
            (Self::Broken, Outcome::Failed(cause)) => {
                !cause.is_empty() && !STOPPED.iter().any(|stop| cause.contains(stop))
            }
            _ => false,
        }
    }
}

/// Has the function misbehave in every way, in a worker and in the measuring process.
pub(super) fn check(built: &Built, runtime: &Runtime) -> Result<()> {
    let Some(workload) = built.workloads.function(FUNCTION) else {
        bail!("there is no workloads/{FUNCTION}.toml");
    };
    let checkout = built.checkout(runtime, FUNCTION)?;
    add_faults(&checkout, workload)?;
    let mut suites = vec![Suite::ColdStart, Suite::Warm, Suite::Call];
    suites.retain(|&suite| runtime.takes_part(suite, Profile::Full));
    let ids = workload.payloads.iter().map(|payload| payload.id.clone());
    let (endless, others): (Vec<_>, Vec<_>) = ids.partition(|id| id == ENDLESS);
    for (payloads, invocation_timeout_ms) in [(endless, ENDLESS_LIMIT_MS), (others, LIMIT_MS)] {
        let count = suites.len() * payloads.len();
        let selection = Selection {
            profile: Profile::Full,
            suites: suites.iter().map(|suite| suite.to_string()).collect(),
            payloads,
            verify: true,
            invocation_timeout_ms,
            memory_limit_bytes: MEMORY_BYTES,
            ..Selection::default()
        };
        let ended = checkout.run(&selection, &[])?;
        let outcomes = outcomes(&ended.run()?)?;
        for (case, outcome) in &outcomes {
            let expected = Expected::of(case);
            ensure!(expected.allows(outcome), "{case}: {outcome:?} instead of {expected:?}");
        }
        ensure!(outcomes.len() == count, "{} outcomes of {count} cases: {ended}", outcomes.len());
        ensure!(ended.status.success(), "a failed case failed the run: {ended}");
    }
    ensure!(
        children_peak_rss_bytes() < MOST_RESIDENT_BYTES,
        "a function took more memory than it was allowed: {} bytes",
        children_peak_rss_bytes()
    );
    checkout.nothing_is_left()
}

/// The same payloads, of a function that is measured.
fn add_faults(checkout: &Checkout, workload: &Workload) -> Result<()> {
    let requests: Vec<(String, Vec<u8>)> =
        workload.payloads.iter().map(|payload| (payload.id.clone(), payload.generate())).collect();
    let answers: Vec<Answer<'_>> = requests
        .iter()
        .map(|(id, request)| {
            let response = if id == "differ" { "answer 1" } else { "ok" };
            Ok(Answer { payload: id, request: std::str::from_utf8(request)?, response })
        })
        .collect::<Result<_>>()?;
    checkout.add_workload(FUNCTION, &answers)
}

/// The most that any process below this one has held so far.
fn children_peak_rss_bytes() -> u64 {
    // SAFETY: zero is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live value.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    usage.ru_maxrss.unsigned_abs() * 1024
}

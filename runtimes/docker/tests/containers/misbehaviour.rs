//! What a worker does wrong is the cause of its case's failure, and of no other's.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use lumos_bench::conformance::checkout::Outcome;
use lumos_bench::suites::select::Selection;
use lumos_record::Suite;

use crate::{checkout, run, selection, with_engine};

/// Ways to behave, and what must stand in the cause. Between them are workers that do well.
const WAYS: [(&str, &[&str]); 11] = [
    ("honest", &[]),
    ("exits-at-once", &["ended before it connected", "exit status: 7: I cannot; go on"]),
    ("never-connects", &["did not connect within 1 s", "signal 9"]),
    ("is-greedy-at-once", &["before it connected", MEMORY]),
    ("is-greedy", &["ended without an answer", MEMORY]),
    ("says-nonsense", &["the worker's hello has the line `lunch 9`"]),
    (
        "crashes",
        &["ended without an answer", "the worker's end (signal", "gave up: my stack; is broken"],
    ),
    ("hangs", &["the worker was silent for 1 s", "signal 9, SIGKILL: ended by the harness"]),
    ("ends-badly", &["the worker ended badly (exit status: 9)"]),
    ("chatters", &[]),
    ("breaks-out", &[]),
];

const MEMORY: &str = "the kernel ended it for its memory: the limit is 67108864 bytes";

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        with_engine("misbehaviour::in_cold_start", || misbehaviour(Suite::ColdStart)),
        with_engine("misbehaviour::in_warm", || misbehaviour(Suite::Warm)),
        with_engine("misbehaviour::lingering", lingering),
    ]
}

fn misbehaviour(suite: Suite) -> Result<()> {
    let checkout = checkout(&WAYS.map(|(way, _)| way))?;
    let selection = Selection { memory_limit_bytes: 64 << 20, ..selection(&[suite]) };
    let (_, outcomes) = run(&checkout, &selection)?;
    for ((way, outcome), (_, words)) in outcomes.iter().zip(WAYS) {
        let is_right = match outcome {
            Outcome::Verified => words.is_empty(),
            Outcome::Failed(cause) => {
                !words.is_empty()
                    && words.iter().all(|word| cause.contains(word))
                    && !cause.contains("idle talk")
            }
            _ => false,
        };
        ensure!(is_right, "{way}: {outcome:?}");
    }
    checkout.nothing_is_left()
}

/// A worker that does not end by itself is ended, and its sample does not count.
fn lingering() -> Result<()> {
    let checkout = checkout(&["lingers"])?;
    let (_, outcomes) = run(&checkout, &selection(&[Suite::ColdStart]))?;
    let [(_, Outcome::Failed(cause))] = outcomes.as_slice() else { anyhow::bail!("{outcomes:?}") };
    ensure!(cause.contains("the worker ended badly (signal 9"), "{cause}");
    checkout.nothing_is_left()
}

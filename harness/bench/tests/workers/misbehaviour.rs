//! What a worker does wrong is the cause of its cases' failure, and of no other's.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use lumos_bench::conformance::checkout::{Outcome, outcomes};
use lumos_bench::conformance::trial;
use lumos_record::Suite;

use crate::{checkout, selection};

/// Long enough for a worker to start on a busy node.
const LIMIT_MS: u64 = 500;

/// Ways to misbehave, and what must stand in the cause. Between them are workers that do well.
const WAYS: [(&str, &[&str]); 26] = [
    ("is-honest", &[]),
    ("exits-at-once", &["ended before it connected", "exit status: 7", "I cannot go on"]),
    ("never-connects", &["did not connect within 0.5 s", "signal 9"]),
    ("never-says-hello", &["the worker was silent for 0.5 s", "signal 9"]),
    ("garbage-as-hello", &["broke the protocol", "garbage on the socket"]),
    ("unknown-phase", &["the worker's hello has the line `lunch 9`"]),
    ("hello-in-binary", &["the worker's hello is not text"]),
    ("answers-unasked", &["began with a Response instead of a Hello"]),
    ("hangs-up", &["the worker ended without an answer"]),
    ("declines", &["the artifact has no export `lumos_open`"]),
    ("crashes", &["ended without an answer", "signal 6, SIGABRT", "my stack; is broken"]),
    ("hangs", &["the worker was silent for 0.5 s", "signal 9, SIGKILL: ended by the harness"]),
    ("garbage", &["broke the protocol", "garbage on the socket"]),
    ("says-hello-again", &["answered a request with a Hello"]),
    ("says-too-much", &["more bytes than the frame's header announced"]),
    ("cuts-short", &["closed the socket after 15 bytes of a frame"]),
    ("stops-halfway", &["the worker was silent for 0.5 s"]),
    ("announces-gigabytes", &["garbage on the socket"]),
    ("announces-more-than-there-is", &["the worker was silent for 0.5 s"]),
    ("floods", &["garbage on the socket: more bytes than the frame's header announced"]),
    ("leaves-a-process", &[]),
    ("answers-wrongly", &["wrong answer: 8 bytes", "they begin with \"nonsense\""]),
    ("ends-badly", &["the worker ended badly", "exit status: 9"]),
    ("chatters", &[]),
    ("exits-quietly", &["exit status: 4)"]),
    ("is-honest-as-well", &[]),
];

/// The tests.
pub fn trials() -> impl Iterator<Item = Trial> {
    [
        trial("misbehaviour::in_cold_start", || misbehaviour(Suite::ColdStart)),
        trial("misbehaviour::in_warm", || misbehaviour(Suite::Warm)),
        trial("misbehaviour::artifact_altered", artifact_altered),
        trial("misbehaviour::lingering", lingering),
        trial("misbehaviour::a_socket_with_too_long_a_path", too_long_a_path),
        trial("misbehaviour::no_folder_for_temporary_files", no_temporary_folder),
    ]
    .into_iter()
}

fn misbehaviour(suite: Suite) -> Result<()> {
    let checkout = checkout(&WAYS.map(|(way, _)| way))?;
    let ended = checkout.run(&selection(&[suite], LIMIT_MS), &[])?;
    ensure!(ended.status.success() && !ended.output.contains("panicked"), "{ended}");
    let outcomes = outcomes(&ended.run()?)?;
    ensure!(outcomes.len() == WAYS.len(), "{} outcomes", outcomes.len());
    for (way, words) in WAYS {
        let runtime = format!("{way}-process");
        let outcome = outcomes.iter().find(|(case, _)| case.runtime == runtime);
        let is_right = match outcome {
            Some((_, Outcome::Verified)) => words.is_empty(),
            Some((_, Outcome::Failed(cause))) => {
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

/// What is measured is the same from the first sample to the last.
fn artifact_altered() -> Result<()> {
    let checkout = checkout(&["alters-its-artifact", "is-honest"])?;
    let run = checkout.run(&selection(&[Suite::Warm], LIMIT_MS), &[])?.run()?;
    for outcome in outcomes(&run)?.into_values() {
        // Whichever is measured second finds another module.
        let said = match outcome {
            Outcome::Failed(cause) | Outcome::Skipped(cause) => cause,
            other => anyhow::bail!("{other:?}"),
        };
        ensure!(said.contains("echo.wasm is not what was built"), "{said}");
    }
    checkout.nothing_is_left()
}

/// A worker that does not end by itself, whatever it is asked, is ended, and its sample does not
/// count.
fn lingering() -> Result<()> {
    let checkout = checkout(&["lingers"])?;
    let run = checkout.run(&selection(&[Suite::ColdStart], LIMIT_MS), &[])?.run()?;
    let outcome = outcomes(&run)?.into_values().next();
    let Some(Outcome::Failed(cause)) = &outcome else { anyhow::bail!("{outcome:?}") };
    ensure!(cause.contains("the worker ended badly (signal 9"), "{cause}");
    checkout.nothing_is_left()
}

fn too_long_a_path() -> Result<()> {
    let mut checkout = checkout(&["is-honest"])?;
    let long = checkout.layout().root.join("long".repeat(25));
    std::fs::create_dir(&long)?;
    checkout.variables.push(("TMPDIR", long.into()));
    let ended = checkout.run(&selection(&[Suite::Warm], LIMIT_MS), &[])?;
    ensure!(ended.status.code() == Some(1), "{ended}");
    ensure!(ended.output.contains("a shorter path in TMPDIR may help"), "{ended}");
    Ok(())
}

fn no_temporary_folder() -> Result<()> {
    let mut checkout = checkout(&["is-honest"])?;
    checkout.variables.push(("TMPDIR", "/no/such/folder".into()));
    let ended = checkout.run(&selection(&[Suite::Warm], LIMIT_MS), &[])?;
    ensure!(ended.status.code() == Some(1), "{ended}");
    ensure!(ended.output.contains("cannot make a folder for sockets"), "{ended}");
    ensure!(ended.output.contains("/no/such/folder"), "{ended}");
    Ok(())
}
